"""Attenuable tokens: the text of one, and of the narrower ones that its holder makes of it.

A token is `pgmcp_a1.NONCE.CONDITION….TAG`, all of it letters, digits, `-`, `_` and `.`. The tag of
one without a condition is the HMAC-SHA-256 of the nonce under the server's key; each condition's
tag is the HMAC of the condition under the tag before it, so that a holder can add conditions and
can take none away (Birgisson et al., "Macaroons", 2014).

The rule: whoever cannot read a condition refuses it. Sizes are bounded before anything is computed.
No I/O.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pgmcp.auth.narrowing import Narrowing
from pgmcp.auth.tokens import MAX_SECRET_CHARACTERS, digest

PREFIX = "pgmcp_a1."
MAX_CONDITIONS = 16
_KIND, _DOT = PREFIX.removesuffix("."), "."
_NONCE_BYTES = 16
_NONCE = re.compile(r"[A-Za-z0-9_-]{22}")
_TAG = re.compile(r"[A-Za-z0-9_-]{43}")
_NUMBER = re.compile(r"[1-9][0-9]{0,10}", re.ASCII)


class AttenuationError(ValueError):
    """Why a token cannot be narrowed so, for its holder."""


@dataclass(frozen=True, slots=True)
class AttenuationKey:
    """The key that attenuable tokens are made with. `id`, which the entries of its tokens have,
    tells it from other keys and tells nothing of it."""

    value: bytes = field(repr=False)
    id: str

    @classmethod
    def of(cls, value: bytes) -> AttenuationKey:
        """The key of these random bytes."""
        told = hashlib.sha256(b"pgmcp attenuation key" + value).hexdigest()
        return cls(value, f"key-{told[:16]}")


class Claim(NamedTuple):
    """What a narrowed token says. `parent`: the hash of the token that it was made of. `genuine`:
    the tag is that of the conditions."""

    parent: str
    conditions: Sequence[str]
    genuine: bool


def new_attenuable_secret(key: AttenuationKey) -> str:
    """A new token that its holder can narrow."""
    nonce = _encoded(secrets.token_bytes(_NONCE_BYTES))
    return _text(nonce, (), _first_tag(key, nonce))


def claim_of(secret: str, key: AttenuationKey) -> Claim | None:
    """What a token claims that was narrowed; None for one that was not, and for other text.

    The parent is computed for a wrong tag too, so that the work tells nothing of the tag.
    """
    parts = _split(secret)
    if parts is None or not parts.conditions:
        return None
    tag = _first_tag(key, parts.nonce)
    parent = digest(_text(parts.nonce, (), tag))
    for condition in parts.conditions:
        tag = _next_tag(tag, condition)
    genuine = hmac.compare_digest(_encoded(tag), parts.tag)
    return Claim(parent, parts.conditions, genuine)


def narrowing_of(conditions: Sequence[str]) -> Narrowing | None:
    """What the conditions of a genuine claim say together; None where one cannot be read."""
    said: dict[str, list[Any]] = {}
    for text in conditions:
        condition = _condition(text)
        if condition is None:
            return None
        field_name, value = condition
        said.setdefault(field_name, []).append(value)
    return Narrowing.of_all(said)


def attenuated(secret: str, narrowing: Narrowing) -> str:
    """A token narrower than this one, which may have been narrowed itself; AttenuationError.

    Nobody is asked whether the token is valid.
    """
    parts = _split(secret)
    if parts is None:
        raise AttenuationError("this is no token that was made with -attenuable, or a part of one")
    conditions = list(_conditions(narrowing))
    if not conditions:
        raise AttenuationError("there is no condition to add")
    tag = base64.urlsafe_b64decode(parts.tag + "=")
    for condition in conditions:
        tag = _next_tag(tag, condition)
    conditions = [*parts.conditions, *conditions]
    if len(conditions) > MAX_CONDITIONS:
        raise AttenuationError(f"a token may have {MAX_CONDITIONS} conditions at most")
    text = _text(parts.nonce, conditions, tag)
    if len(text) > MAX_SECRET_CHARACTERS:
        raise AttenuationError(f"a token may have {MAX_SECRET_CHARACTERS} characters at most")
    return text


# -- the text of a token ---------------------------------------------------------------------------


class _Parts(NamedTuple):
    nonce: str
    conditions: Sequence[str]
    tag: str


def _split(secret: str) -> _Parts | None:
    """The parts of a token of this kind; None for other text."""
    if len(secret) > MAX_SECRET_CHARACTERS or not secret.startswith(PREFIX):
        return None
    if not 2 <= secret.count(_DOT) <= MAX_CONDITIONS + 2:
        return None
    _, nonce, *conditions, tag = secret.split(_DOT)
    well_formed = _NONCE.fullmatch(nonce) and _TAG.fullmatch(tag) and secret.isascii()
    return _Parts(nonce, conditions, tag) if well_formed else None


def _text(nonce: str, conditions: Sequence[str], tag: bytes) -> str:
    return _DOT.join((_KIND, nonce, *conditions, _encoded(tag)))


def _encoded(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _first_tag(key: AttenuationKey, nonce: str) -> bytes:
    return hmac.digest(key.value, PREFIX.encode() + nonce.encode(), "sha256")


def _next_tag(tag: bytes, condition: str) -> bytes:
    return hmac.digest(tag, condition.encode(), "sha256")


# -- conditions: base64url of lines, of which the first says what the others are -------------------


def _conditions(narrowing: Narrowing) -> Iterator[str]:
    """Conditions that say this together; AttenuationError."""
    for kind, values in (
        ("database", narrowing.databases),
        ("policy", narrowing.policies or None),
        ("tool", narrowing.tools),
        ("rows", None if narrowing.rows is None else (str(narrowing.rows),)),
        ("until", _seconds(narrowing.expires_at)),
        *(("network", networks) for networks in narrowing.networks),
    ):
        if values is None:
            continue
        condition = _encoded("\n".join((kind, *values)).encode())
        if any("\n" in value for value in values) or _condition(condition) is None:
            raise AttenuationError(f"it cannot be narrowed to {kind} {', '.join(values) or 'none'}")
        yield condition


def _seconds(moment: datetime | None) -> tuple[str] | None:
    return None if moment is None else (str(int(moment.timestamp())),)


def _condition(text: str) -> tuple[str, Any] | None:
    """The field of `Narrowing` that a condition is about, and its value; None where it cannot be
    read."""
    try:
        standard = text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4)
        data = binascii.a2b_base64(standard, strict_mode=True)
        kind, *values = data.decode().split("\n")
        if not values or not all(values) or kind not in _READ:
            return None
        field_name, read = _READ[kind]
        return field_name, read(values)
    except (binascii.Error, ValueError, OverflowError, OSError):
        return None


def _number(values: list[str]) -> int:
    (text,) = values
    if not _NUMBER.fullmatch(text):
        raise ValueError("not a number")
    return int(text)


def _time(values: list[str]) -> datetime:
    return datetime.fromtimestamp(_number(values), UTC)


def _networks(values: list[str]) -> tuple[str, ...]:
    return tuple(str(ipaddress.ip_network(value)) for value in values)


_READ: Mapping[str, tuple[str, Callable[[list[str]], Any]]] = {
    "database": ("databases", tuple),
    "policy": ("policies", tuple),
    "tool": ("tools", tuple),
    "rows": ("rows", _number),
    "until": ("expires_at", _time),
    "network": ("networks", _networks),
}
