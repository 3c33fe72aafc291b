"""The server's tokens: who a bearer token is, right now, and who has just stopped being anybody.

The rule: a lookup takes no lock and asks the clock; a token that goes, for whatever reason, is
announced to `on_ended` with the key of its connections. A token that has expired by a clock that
was just set is refused, and kept.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from pgmcp.auth.credential_file import CredentialFile
from pgmcp.auth.tokens import Token, digest, missing_token_file, parse_tokens
from pgmcp.auth.wall_clock import WallClock
from pgmcp.errors import FileError
from pgmcp.logs.log import quote

_log = logging.getLogger("pgmcp.auth")

Ended = Callable[[Mapping[str, str]], None]
"""Told the keys of principals whose credentials are over, each with the reason. Many may end at
once, and none may wait for it."""
MOST_LINES = 10
"""How many that end at once are logged one by one."""


_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The tokens of one version of the file. `soonest` is when the first of them expires."""

    by_hash: Mapping[str, Token]
    by_id: Mapping[str, Token]
    soonest: datetime

    @classmethod
    def of(cls, tokens: Sequence[Token]) -> Snapshot:
        """That of these tokens."""
        return cls(
            {token.hash: token for token in tokens},
            {token.id: token for token in tokens},
            min((t.expires_at for t in tokens if t.expires_at is not None), default=_NEVER),
        )


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
        self._file = CredentialFile(path, _parse, Snapshot.of(()))
        self._expired: frozenset[str] = frozenset()
        self._to_remove = False

    def start(self) -> None:
        """Load the file for the first time and clean it; FileError when there is none."""
        if not self._file.exists():
            raise missing_token_file(self.path)
        self._file.reload()
        removed = self._remove_expired()
        self._expired = frozenset(self._expired_now())
        valid = len(self._file.value.by_hash) - len(self._expired)
        _log.info("Loaded %d API token(s) from %s", valid, self.path)
        if removed:
            _log.info("Removed %d expired token(s)", removed)

    def find(self, secret: str) -> Token | None:
        """The valid token that `secret` is, None when it is none."""
        hashed = digest(secret)
        token = self._file.value.by_hash.get(hashed)
        if token is None or not hmac.compare_digest(token.hash, hashed):
            return None
        return None if token.expired(self._clock.now()) else token

    def get(self, token_id: str) -> Token | None:
        """The valid token of that id, None when there is none."""
        token = self._file.value.by_id.get(token_id)
        return None if token is None or token.expired(self._clock.now()) else token

    def reload(self) -> bool:
        """Take over the changed file; False when it says what this store knows."""
        old, new, changed = self._file.reload()
        self._announce(old, new)
        return changed

    def sweep(self) -> None:
        """End the tokens whose time has come, and take them out of the file."""
        settled = self._clock.settled()
        expired = self._expired_now()
        fresh = [token for key, token in expired.items() if key not in self._expired]
        self._to_remove = self._to_remove or bool(fresh)
        self._end([(token, "expired") for token in fresh])
        self._expired = frozenset(expired)
        if self._to_remove and settled:
            self._to_remove = False
            self._remove_expired()

    def _expired_now(self) -> dict[str, Token]:
        now, tokens = self._clock.now(), self._file.value
        if now < tokens.soonest:
            return {}
        return {token.key: token for token in tokens.by_hash.values() if token.expired(now)}

    def _remove_expired(self) -> int:
        """Rewrite the file without expired tokens; how many there were."""
        now = self._clock.now()
        removed: list[Token] = []

        def change(data: bytes) -> bytes | None:
            listed = parse_tokens(data, str(self.path), self._file.value.by_hash.values())
            removed[:] = [token for token in listed.tokens if token.expired(now)]
            return listed.without(lambda token: token.expired(now)).dump() if removed else None

        if now < self._file.value.soonest:
            return 0
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
        log_each(
            (f"token removed id={quote(token.id)} reason=expired" for token in removed),
            len(removed),
        )
        return len(removed)

    def _announce(self, old: Snapshot, new: Snapshot) -> None:
        """Tell of the tokens that are gone. They have been refused since `new` was put in place."""
        now, ended = self._clock.now(), []
        for token in old.by_hash.values():
            kept = new.by_hash.get(token.hash)
            if kept is token or (token.expired(now) and token.key in self._expired):
                continue  # it is still there, or was announced
            if kept is None or kept.id != token.id:
                ended.append((token, "expired" if token.expired(now) else "removed"))
            elif kept.database != token.database:
                ended.append((token, "bound to another database"))
        self._end(ended)

    def _end(self, ended: Sequence[tuple[Token, str]]) -> None:
        if not ended:
            return
        self._on_ended({token.key: f"token {reason}" for token, reason in ended})
        log_each(
            (f"token ended id={quote(token.id)} reason={quote(why)}" for token, why in ended),
            len(ended),
        )


def log_each(events: Iterable[str], count: int) -> None:
    """A line for each of so many events; of many at once for the first, and one for the rest."""
    for event in islice(events, MOST_LINES):
        _log.info("%s", event)
    if count > MOST_LINES:
        _log.info("and %d more like these at the same time", count - MOST_LINES)


def _parse(data: bytes, origin: str, before: Snapshot) -> Snapshot:
    return Snapshot.of(parse_tokens(data, origin, before.by_hash.values()).tokens)
