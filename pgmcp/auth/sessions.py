"""Sessions: what a login gives, for 24 hours.

The rule: a session is kept as the hash of its token, and when it ends, for whatever reason, its key
is announced, with which its calls end. The connections are its user's.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from pgmcp.auth.ended import Ended, log_each
from pgmcp.auth.principal import session_key
from pgmcp.auth.tokens import digest, new_secret
from pgmcp.logs.log import quote

LIFETIME = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Session:
    """A session. `hash` is the SHA-256 of its token, 64 lower-case hex digits.

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


EndedSessions = Sequence[tuple[Session, str]]
"""Sessions that are over, each with the reason."""


class SessionStore(Protocol):
    """Keeps sessions by the hash of their token. It stores and decides nothing."""

    def subscribe(self, on_removed: Callable[[EndedSessions], None]) -> None:
        """Have `on_removed` told of sessions that were removed, by whichever process, each with the
        reason, once lookups say the same."""

    def reload(self) -> bool:
        """Tell of what other processes removed since the last look; False when that is nothing.

        StoreError when it cannot be read. It is asked every second.
        """

    def find(self, hashed: str) -> Session | None:
        """The session of that hash, whichever process added it; None when there is none."""

    def sessions(self) -> Sequence[Session]:
        """All sessions, in the order in which they were added."""

    def add(self, session: Session) -> None:
        """Add a session."""

    def remove(self, reasons: Mapping[str, str]) -> bool:
        """Remove the sessions of these hashes, each for a reason; False when there is none.

        Of several who remove a session at the same time, one gets True.
        """

    def __len__(self) -> int:
        """How many sessions there are."""


class Sessions:
    """The sessions of one store, at most `max_per_user` for one user.

    `clock` is the wall clock. `elapsed` is the one that sessions end by: setting the machine's time
    neither ends nor prolongs them.
    """

    def __init__(
        self,
        store: SessionStore,
        *,
        clock: Callable[[], datetime],
        max_per_user: int,
        on_ended: Ended,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._clock = clock
        self._elapsed = elapsed
        self.max_per_user = max_per_user
        self._on_ended = on_ended
        store.subscribe(self._tell)

    def open(self, username: str) -> tuple[str, Session]:
        """A new session and its token; the user's oldest goes when there are too many."""
        secret = new_secret()
        ends_at = self._elapsed() + LIFETIME.total_seconds()
        session = Session(username, digest(secret), self._clock() + LIFETIME, ends_at)
        self._store.add(session)
        # Looked at after adding: of several logins at the same time the last to look sees all of
        # them, so that together they leave `max_per_user`, the newest.
        own = [s for s in self._store.sessions() if s.username == username]
        evicted = own[: max(0, len(own) - self.max_per_user)]
        self._end(evicted, "more sessions than a user may have")
        return secret, session

    def find(self, secret: str) -> Session | None:
        """The live session of a token, None when there is none."""
        hashed = digest(secret)
        session = self._store.find(hashed)
        if session is None or not hmac.compare_digest(session.hash, hashed):
            return None
        return None if session.ends_at <= self._elapsed() else session

    def end(self, key: str, reason: str) -> bool:
        """End the session of that key; False when there is none."""
        return self._end([s for s in self._store.sessions() if s.key == key], reason)

    def end_users(self, gone: Mapping[str, str]) -> None:
        """End every session of the users of these names, each with its reason."""
        sessions = self._store.sessions()
        self._store.remove({s.hash: gone[s.username] for s in sessions if s.username in gone})

    def sweep(self) -> None:
        """End the sessions whose time has come, and tell of those that other processes ended."""
        self._store.reload()
        now = self._elapsed()
        self._end([s for s in self._store.sessions() if s.ends_at <= now], "session expired")

    def __len__(self) -> int:
        """How many sessions there are."""
        return len(self._store)

    def _end(self, sessions: Iterable[Session], reason: str) -> bool:
        return self._store.remove({session.hash: reason for session in sessions})

    def _tell(self, ended: EndedSessions) -> None:
        self._on_ended({session.key: reason for session, reason in ended})
        log_each(
            (
                f"session ended user={quote(session.username)} reason={quote(reason)}"
                for session, reason in ended
            ),
            len(ended),
        )
