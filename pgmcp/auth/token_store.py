"""The server's tokens: who a bearer token is, right now, and who has just stopped being anybody.

The rule: a lookup takes no lock and asks the clock; a token that goes, for whatever reason, is
announced to `on_ended` with the key of its connections.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from pgmcp.auth.credential_file import CredentialFile
from pgmcp.auth.tokens import Token, digest, missing_token_file, parse_tokens
from pgmcp.errors import FileError
from pgmcp.log import quote

_log = logging.getLogger("pgmcp.auth")

Ended = Callable[[str, str], None]
"""Told a principal's key and the reason when its credential is over."""


class TokenStore:
    """The tokens of one file. `clock` is the wall clock, aware of its zone."""

    def __init__(self, path: Path, *, clock: Callable[[], datetime], on_ended: Ended) -> None:
        self.path = path
        self._clock = clock
        self._on_ended = on_ended
        self._file: CredentialFile[Mapping[str, Token]] = CredentialFile(path, self._parse, {})
        self._by_id: tuple[Mapping[str, Token], Mapping[str, Token]] = ({}, {})

    def start(self) -> None:
        """Load the file for the first time and clean it; FileError when there is none."""
        if not self._file.exists():
            raise missing_token_file(self.path)
        self._file.reload()
        removed = self._forget_expired()
        _log.info("Loaded %d API token(s) from %s", len(self._file.value), self.path)
        if removed:
            _log.info("Removed %d expired token(s)", removed)

    def find(self, secret: str) -> Token | None:
        """The valid token that `secret` is, None when it is none."""
        hashed = digest(secret)
        token = self._file.value.get(hashed)
        if token is None or not hmac.compare_digest(token.hash, hashed):
            return None
        return None if token.expired(self._clock()) else token

    def get(self, token_id: str) -> Token | None:
        """The valid token of that id, None when there is none."""
        tokens, by_id = self._by_id
        if tokens is not self._file.value:
            tokens = self._file.value
            by_id = {token.id: token for token in tokens.values()}
            self._by_id = (tokens, by_id)
        token = by_id.get(token_id)
        return None if token is None or token.expired(self._clock()) else token

    def reload(self) -> bool:
        """Take over the changed file; False when its bytes are the ones already known."""
        old, new, changed = self._file.reload()
        self._announce(old, new)
        return changed

    def sweep(self) -> None:
        """End the tokens whose time has come, and take them out of the file."""
        now = self._clock()
        if any(token.expired(now) for token in self._file.value.values()):
            old, new = self._file.apply(self._valid)
            self._announce(old, new)
            self._forget_expired()

    def _forget_expired(self) -> int:
        """Rewrite the file without expired tokens; how many there were."""
        now = self._clock()
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

    def _parse(self, data: bytes, origin: str) -> Mapping[str, Token]:
        return self._valid({token.hash: token for token in parse_tokens(data, origin).tokens})

    def _valid(self, tokens: Mapping[str, Token]) -> Mapping[str, Token]:
        now = self._clock()
        return {hashed: token for hashed, token in tokens.items() if not token.expired(now)}

    def _announce(self, old: Mapping[str, Token], new: Mapping[str, Token]) -> None:
        current = {token.key: token for token in new.values()}
        for token in old.values():
            kept = current.get(token.key)
            if kept is None:
                reason = "expired" if token.expired(self._clock()) else "removed"
            elif kept.database != token.database:
                reason = "bound to another database"
            else:
                continue
            _log.info("token ended id=%s reason=%s", quote(token.id), quote(reason))
            self._on_ended(token.key, f"token {reason}")
