"""The state that a client brings back with the answers to a question (2026-07-28, `requestState`).

The rule: it is signed, expires, and is taken once, from the caller and for the request that it was
made for. It is not encrypted: no secret belongs in it.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from pgmcp.errors import InvalidParamsError

LIFE_SECONDS = 600
"""How long a user may take to answer."""
MAX_STATE_CHARACTERS = 8192
_NONCE_BYTES = 12


class Marks(Protocol):
    """The texts that were used."""

    def mark(self, key: str, seconds: float) -> bool:
        """Mark a text for so many seconds; True when it was not marked. One of several gets
        True."""


class RequestStates:
    """Makes and takes states. `keys` has the key that signs and what is used, and is asked when the
    first is needed; `clock` tells the time of day in seconds, since several processes may share a
    key."""

    def __init__(self, keys: Callable[[], tuple[bytes, Marks]], clock: Callable[[], float]) -> None:
        self._keys = keys
        self._clock = clock

    def issue(self, request: bytes, state: Any) -> str:
        """A text that holds `state`, a JSON value, for the next time of this request (`digest_of`).

        ValueError for a state that is too large.
        """
        import secrets  # here: it loads OpenSSL, which most starts do without

        nonce = secrets.token_urlsafe(_NONCE_BYTES)
        payload = json.dumps([self._clock() + LIFE_SECONDS, nonce, state], allow_nan=False).encode()
        if len(payload) > MAX_STATE_CHARACTERS // 2:
            raise ValueError("the state of a question is too large")
        return f"{_encoded(payload)}.{_encoded(self._signature(request, payload))}"

    def redeem(self, request: bytes, text: object) -> Any:
        """The state in a text. InvalidParamsError for one that was changed, is too old, was taken
        before, or was made for another caller or request."""
        from hmac import compare_digest

        try:
            if not isinstance(text, str) or len(text) > MAX_STATE_CHARACTERS:
                raise ValueError
            payload, signature = map(_decoded, text.split("."))
            if not compare_digest(signature, self._signature(request, payload)):
                raise ValueError
            expires, nonce, state = json.loads(payload)
        except ValueError:
            raise _refusal("is not one that this server made for this request") from None
        if not 0 < expires - self._clock() <= LIFE_SECONDS:
            raise _refusal("has expired")
        _, used = self._keys()
        if not used.mark(nonce, LIFE_SECONDS):
            raise _refusal("was used before")
        return state

    def _signature(self, request: bytes, payload: bytes) -> bytes:
        from hmac import digest

        key, _ = self._keys()
        return digest(key, b"%s.%s" % (request, payload), "sha256")


def digest_of(caller: str, method: str, params: Mapping[str, Any]) -> bytes:
    """What a state is bound to: who asks, and for what."""
    from hashlib import sha256

    bound = [caller, method, params.get("name"), params.get("arguments")]
    return sha256(json.dumps(bound, sort_keys=True).encode()).hexdigest().encode()


def _refusal(why: str) -> InvalidParamsError:
    return InvalidParamsError(f"params.requestState {why}: call again without it")


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decoded(text: str) -> bytes:
    """ValueError for what `_encoded` does not write."""
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if _encoded(data) != text:
        raise ValueError(text)
    return data
