"""The stores of a worker process, which ask their parent: sessions, counted attempts and usage.

The rule: a session that this process knows is looked up without a question, and forgotten before
anybody is told that it has ended.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pgmcp.auth.sessions import EndedSessions, Session
from pgmcp.auth.usage import Used
from pgmcp.stores.usage import UsageChanges, UsageCounts

Ask = Callable[..., Any]
"""Asks the parent; OverloadedError when it does not answer."""


class AskingSessionStore:
    """`auth.sessions.SessionStore` of which the parent has the sessions."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._known: dict[str, Session] = {}
        self._removals = 0
        self._listed: tuple[int, Sequence[Session]] = (-1, ())
        self._known_lock = threading.Lock()
        self._subscribers: list[Callable[[EndedSessions], None]] = []

    def subscribe(self, on_removed: Callable[[EndedSessions], None]) -> None:
        """Have `on_removed` told of sessions that were removed, each with the reason."""
        self._subscribers.append(on_removed)

    def reload(self) -> bool:
        """False: `forget` is called as soon as a session is removed."""
        return False

    def find(self, hashed: str) -> Session | None:
        """The session of that hash, None when there is none."""
        # Without the lock: a look-up in a dict is atomic.
        session = self._known.get(hashed)
        if session is not None:
            return session
        with self._known_lock:
            before = self._removals
        packed = self._ask("session", hashed)
        if packed is None:
            return None
        session = _unpack(packed)
        with self._known_lock:
            # What was removed since the question may be this one: then it is not kept.
            if self._removals == before:
                session = self._known.setdefault(hashed, session)
        return session

    def sessions(self) -> Sequence[Session]:
        """All sessions, in the order in which they were added."""
        known, listed = self._listed
        version, packed = self._ask("sessions", known)
        if packed is not None:
            listed = [_unpack(each) for each in packed]
            self._listed = (version, listed)
        return listed

    def add(self, session: Session) -> None:
        """Add a session."""
        self._ask("session add", session.hash, _pack(session))

    def remove(self, reasons: Mapping[str, str]) -> bool:
        """Remove the sessions of these hashes, each for a reason; False when there is none.

        When this returns, every worker process has forgotten them.
        """
        return bool(reasons) and bool(self._ask("session remove", dict(reasons)))

    def forget(self, removed: Sequence[Any]) -> None:
        """Take note of sessions that the parent has removed, each with the reason."""
        ended = [(_unpack(packed), reason) for packed, reason in removed]
        with self._known_lock:
            self._removals += 1
            for session, _ in ended:
                self._known.pop(session.hash, None)
        for tell in self._subscribers:
            tell(ended)

    def __len__(self) -> int:
        """How many sessions there are."""
        return int(self._ask("session count"))


class AskingLimitStore:
    """`auth.limiter.LimitStore` of which the parent has the counters, under `name`."""

    def __init__(self, ask: Ask, name: str) -> None:
        self._ask = ask
        self._name = name

    def ages(self, key: str, window_seconds: float) -> Sequence[float]:
        """How long ago each attempt within the window was counted, in seconds, oldest first."""
        return self._floats("ages", key, window_seconds)

    def count(self, key: str, limit: int, window_seconds: float) -> Sequence[float]:
        """The ages, and count an attempt now if there are fewer than `limit`, in one step."""
        return self._floats("count", key, limit, window_seconds)

    def forget_latest(self, key: str) -> None:
        """Forget the latest attempt, if there is one."""
        self._ask("limit", self._name, "forget latest", key)

    def mark(self, key: str, seconds: float) -> bool:
        """Mark `key` for so many seconds; True when it was not marked."""
        return bool(self._ask("limit", self._name, "mark", key, seconds))

    def __len__(self) -> int:
        """How many counters there are now."""
        return int(self._ask("limit", self._name, "keys"))

    def _floats(self, method: str, *args: Any) -> Sequence[float]:
        ages: list[float] = self._ask("limit", self._name, method, *args)
        return ages


class AskingUsageStore:
    """`server.usage.KeptUsage` of which the parent has the counts."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def begin(self, owner: str, rows: int | None, bytes_: int | None, calls: int | None) -> Used:
        """Count a call, unless a limit is reached; what was used before it."""
        return Used(*self._ask("usage", "begin", owner, rows, bytes_, calls))

    def take(self, owner: str, count: int, size: int, rows: int | None, bytes_: int | None) -> Used:
        """Count rows and bytes, each up to its limit; what was used before."""
        return Used(*self._ask("usage", "take", owner, count, size, rows, bytes_))

    def unsaved(self) -> tuple[int, UsageChanges]:
        """The day, and what the file does not have."""
        day, changes = self._ask("usage", "unsaved")
        return day, changes

    def saved(self, day: int, totals: Mapping[str, UsageCounts]) -> None:
        """Take over what the file says of this day."""
        self._ask("usage", "saved", day, dict(totals))

    def not_saved(self) -> None:
        """What `unsaved` returned is still to be saved."""
        self._ask("usage", "not saved")

    def unknown(self) -> None:
        """What was used today cannot be told."""
        self._ask("usage", "unknown")


def _pack(session: Session) -> list[Any]:
    expires_at = session.expires_at.isoformat()
    return [session.username, session.hash, expires_at, session.ends_at]


def _unpack(packed: Sequence[Any]) -> Session:
    username, hashed, expires_at, ends_at = packed
    return Session(username, hashed, datetime.fromisoformat(expires_at), ends_at)
