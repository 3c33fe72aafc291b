"""The server's tokens: who a bearer token is, right now, and who has just stopped being anybody.

The rule: a lookup takes no lock and asks the clock; a token that goes, for whatever reason, is
announced to `on_ended` with the key of its connections. A token that has expired by a clock that
was just set is refused, and kept.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from pgmcp.auth.credential_file import CredentialFile
from pgmcp.auth.tokens import Token, digest, missing_token_file, parse_tokens
from pgmcp.auth.wall_clock import WallClock
from pgmcp.errors import FileError
from pgmcp.log import quote

_log = logging.getLogger("pgmcp.auth")

Ended = Callable[[str, str], None]
"""Told a principal's key and the reason when its credential is over."""


class TokenStore:
    """The tokens of one file. `clock` is the wall clock, aware of its zone, and `elapsed` a
    monotonic one that tells when the other is set."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], datetime],
        on_ended: Ended,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self._clock = WallClock(clock, elapsed)
        self._on_ended = on_ended
        self._file: CredentialFile[Mapping[str, Token]] = CredentialFile(path, _parse, {})
        self._expired: frozenset[str] = frozenset()
        self._to_remove = False
        self._by_id: tuple[Mapping[str, Token], Mapping[str, Token]] = ({}, {})

    def start(self) -> None:
        """Load the file for the first time and clean it; FileError when there is none."""
        if not self._file.exists():
            raise missing_token_file(self.path)
        self._file.reload()
        removed = self._remove_expired()
        self._expired = frozenset(self._expired_now())
        valid = len(self._file.value) - len(self._expired)
        _log.info("Loaded %d API token(s) from %s", valid, self.path)
        if removed:
            _log.info("Removed %d expired token(s)", removed)

    def find(self, secret: str) -> Token | None:
        """The valid token that `secret` is, None when it is none."""
        hashed = digest(secret)
        token = self._file.value.get(hashed)
        if token is None or not hmac.compare_digest(token.hash, hashed):
            return None
        return None if token.expired(self._clock.now()) else token

    def get(self, token_id: str) -> Token | None:
        """The valid token of that id, None when there is none."""
        tokens, by_id = self._by_id
        if tokens is not self._file.value:
            tokens = self._file.value
            by_id = {token.id: token for token in tokens.values()}
            self._by_id = (tokens, by_id)
        token = by_id.get(token_id)
        return None if token is None or token.expired(self._clock.now()) else token

    def reload(self) -> bool:
        """Take over the changed file; False when its bytes are the ones already known."""
        old, new, changed = self._file.reload()
        self._announce(old, new)
        return changed

    def sweep(self) -> None:
        """End the tokens whose time has come, and take them out of the file."""
        settled = self._clock.settled()
        expired = self._expired_now()
        for key, token in expired.items():
            if key not in self._expired:
                self._end(token, "expired")
                self._to_remove = True
        self._expired = frozenset(expired)
        if self._to_remove and settled:
            self._to_remove = False
            self._remove_expired()

    def _expired_now(self) -> dict[str, Token]:
        now = self._clock.now()
        return {token.key: token for token in self._file.value.values() if token.expired(now)}

    def _remove_expired(self) -> int:
        """Rewrite the file without expired tokens; how many there were."""
        now = self._clock.now()
        removed: list[Token] = []

        def change(data: bytes) -> bytes | None:
            listed = parse_tokens(data, str(self.path))
            removed[:] = [token for token in listed.tokens if token.expired(now)]
            return listed.without(lambda token: token.expired(now)).dump() if removed else None

        try:
            # Looked at first without the lock: a folder that is read-only is no trouble
            # as long as there is nothing to write.
            data = self._file.read()
            if data is None or change(data) is None:
                return 0
            self._file.rewrite(change)
        except FileError as error:
            _log.warning("expired tokens stay in the file, without effect: %s", error.message)
            return 0
        for token in removed:
            _log.info("token removed id=%s reason=expired", quote(token.id))
        return len(removed)

    def _announce(self, old: Mapping[str, Token], new: Mapping[str, Token]) -> None:
        now = self._clock.now()
        current = {token.key: token for token in new.values()}
        for token in old.values():
            kept = current.get(token.key)
            if token.expired(now) and token.key in self._expired:
                continue  # it was announced
            if kept is None:
                self._end(token, "expired" if token.expired(now) else "removed")
            elif kept.database != token.database:
                self._end(token, "bound to another database")

    def _end(self, token: Token, reason: str) -> None:
        _log.info("token ended id=%s reason=%s", quote(token.id), quote(reason))
        self._on_ended(token.key, f"token {reason}")


def _parse(data: bytes, origin: str) -> Mapping[str, Token]:
    return {token.hash: token for token in parse_tokens(data, origin).tokens}
