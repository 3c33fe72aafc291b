"""Sessions: what a login gives, for 24 hours, in memory only.

The rule: a session is kept as the hash of its token, and when it ends, for whatever reason, its key
is announced, with which its calls end. The connections are its user's.
"""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pgmcp.auth.principal import session_key
from pgmcp.auth.token_store import Ended, log_each
from pgmcp.auth.tokens import digest, new_secret
from pgmcp.logs.log import quote

LIFETIME = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Session:
    """One session. `hash` is the SHA-256 of its token.

    `expires_at` is what the client is told; `ends_at`, in seconds of a monotonic clock, counts.
    """

    username: str
    hash: str
    expires_at: datetime
    ends_at: float

    @property
    def key(self) -> str:
        """What its calls end with; see `auth.principal`."""
        return session_key(self.username, self.hash[:16])


class SessionStore:
    """All sessions, at most `max_per_user` for one user.

    `clock` is the wall clock. `elapsed` is the one that sessions end by: setting the machine's time
    neither ends nor prolongs them.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        max_per_user: int,
        on_ended: Ended,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._elapsed = elapsed
        self.max_per_user = max_per_user
        self._on_ended = on_ended
        self._sessions: dict[str, Session] = {}
        self._sessions_lock = threading.Lock()

    def open(self, username: str) -> tuple[str, Session]:
        """A new session and its token; the user's oldest goes when there are too many."""
        secret = new_secret()
        ends_at = self._elapsed() + LIFETIME.total_seconds()
        session = Session(username, digest(secret), self._clock() + LIFETIME, ends_at)
        with self._sessions_lock:
            self._sessions[session.hash] = session
            # Insertion order is age.
            own = [s for s in self._sessions.values() if s.username == username]
            evicted = own[: max(0, len(own) - self.max_per_user)]
        self._end(evicted, "more sessions than a user may have")
        return secret, session

    def find(self, secret: str) -> Session | None:
        """The live session of a token, None when there is none."""
        hashed = digest(secret)
        session = self._sessions.get(hashed)
        if session is None or not hmac.compare_digest(session.hash, hashed):
            return None
        return None if session.ends_at <= self._elapsed() else session

    def end(self, key: str, reason: str) -> bool:
        """End the session of that key; False when there is none."""
        return self._end([s for s in self._all() if s.key == key], reason)

    def end_users(self, gone: Mapping[str, str]) -> None:
        """End every session of the users of these names, each with its reason."""
        ended = [s for s in self._all() if s.username in gone]
        self._end_each([(session, gone[session.username]) for session in ended])

    def sweep(self) -> None:
        """End the sessions whose time has come."""
        now = self._elapsed()
        self._end([s for s in self._all() if s.ends_at <= now], "session expired")

    def __len__(self) -> int:
        """How many there are."""
        return len(self._sessions)

    def _all(self) -> list[Session]:
        with self._sessions_lock:
            return list(self._sessions.values())

    def _end(self, sessions: Iterable[Session], reason: str) -> bool:
        return self._end_each([(session, reason) for session in sessions])

    def _end_each(self, sessions: Sequence[tuple[Session, str]]) -> bool:
        with self._sessions_lock:
            ended = [
                (session, reason)
                for session, reason in sessions
                if self._sessions.pop(session.hash, None) is not None
            ]
        if ended:
            self._on_ended({session.key: reason for session, reason in ended})
            log_each(
                (
                    f"session ended user={quote(session.username)} reason={quote(reason)}"
                    for session, reason in ended
                ),
                len(ended),
            )
        return bool(ended)
