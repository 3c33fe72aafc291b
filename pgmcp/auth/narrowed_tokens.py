"""The tokens that holders have narrowed: which of them is valid, right now.

The rule: a narrowed token is worth nothing without its parent. It is looked up as the parent is,
each time, and whatever is wrong with it, the answer is that of a token nobody knows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from pgmcp.auth.api_tokens import ApiTokens
from pgmcp.auth.attenuation import PREFIX, claim_of, narrowing_of
from pgmcp.auth.narrowing import Narrowing
from pgmcp.auth.principal import narrowed_key
from pgmcp.auth.tokens import ApiToken, digest

_MAX_KEPT = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class NarrowedToken:
    """A token that was narrowed. `parent`: the token of the store that it was made of, by however
    many steps. `key`: what its own calls end with."""

    parent: ApiToken
    narrowing: Narrowing
    key: str


class NarrowedTokens:
    """The narrowed tokens of the tokens in `tokens`. `clock` is the wall clock, aware of its
    zone."""

    def __init__(self, tokens: ApiTokens, clock: Callable[[], datetime]) -> None:
        self._tokens = tokens
        self._clock = clock
        self._kept: dict[str, NarrowedToken] = {}

    def find(self, secret: str) -> NarrowedToken | None:
        """The valid narrowed token that `secret` is, None when it is none."""
        if not secret.startswith(PREFIX):
            return None
        hashed = digest(secret)
        token = self._kept.get(hashed)  # a look-up in a dict is atomic
        if token is None or self._tokens.by_hash(token.parent.hash) is not token.parent:
            token = self._verified(secret, hashed)
            if token is None:
                return None
            if len(self._kept) >= _MAX_KEPT:
                self._kept.clear()
            self._kept[hashed] = token
        return None if token.narrowing.expired(self._clock()) else token

    def _verified(self, secret: str, hashed: str) -> NarrowedToken | None:
        key = self._tokens.attenuation_key
        claim = None if key is None else claim_of(secret, key)
        if claim is None:
            return None
        # Looked up before it matters, so that the time tells of neither the parent nor the tag.
        parent = self._tokens.by_hash(claim.parent)
        if parent is None or parent.attenuable is None or not claim.genuine:
            return None
        narrowing = narrowing_of(claim.conditions)
        if narrowing is None:
            return None
        return NarrowedToken(parent, narrowing, narrowed_key(parent.key, hashed[:16]))
