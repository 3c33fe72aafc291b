"""The stores that keep sessions and counted attempts in the memory of this process.

The rule: memory is bounded, whatever anonymous callers do. All is gone when the process ends.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence

from pgmcp.auth.sessions import EndedSessions, Session

_SHARED_COUNTERS = 1024


class MemorySessionStore:
    """`auth.sessions.SessionStore` in memory."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._sessions_lock = threading.Lock()
        self._subscribers: list[Callable[[EndedSessions], None]] = []

    def subscribe(self, on_removed: Callable[[EndedSessions], None]) -> None:
        """Have `on_removed` told of sessions that were removed, each with the reason."""
        self._subscribers.append(on_removed)

    def reload(self) -> bool:
        """False: no other process sees these sessions."""
        return False

    def find(self, hashed: str) -> Session | None:
        """The session of that hash, None when there is none."""
        # Without the lock: a look-up in a dict is atomic.
        return self._sessions.get(hashed)

    def sessions(self) -> Sequence[Session]:
        """All sessions, in the order in which they were added."""
        with self._sessions_lock:
            return list(self._sessions.values())

    def add(self, session: Session) -> None:
        """Add a session."""
        with self._sessions_lock:
            self._sessions[session.hash] = session

    def remove(self, reasons: Mapping[str, str]) -> bool:
        """Remove the sessions of these hashes, each for a reason; False when there is none."""
        with self._sessions_lock:
            # Popped under the lock: of several removers one gets the session and tells of it.
            removed = [
                (session, reason)
                for hashed, reason in reasons.items()
                if (session := self._sessions.pop(hashed, None)) is not None
            ]
        if removed:
            for tell in self._subscribers:
                tell(removed)
        return bool(removed)

    def __len__(self) -> int:
        """How many sessions there are."""
        return len(self._sessions)


class MemoryLimitStore:
    """`auth.limiter.LimitStore` in memory. `clock` is monotonic, in seconds.

    Up to `max_keys` are counted one by one. When the table is full, further keys share counters
    instead of pushing others out.
    """

    def __init__(
        self, *, max_keys: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_keys = max_keys
        self._clock = clock
        self._salt = secrets.token_bytes(16)
        self._times: OrderedDict[str, deque[float]] = OrderedDict()
        self._marks: dict[str, float] = {}
        self._times_lock = threading.Lock()

    def ages(self, key: str, window_seconds: float) -> Sequence[float]:
        """How long ago each attempt within the window was counted, in seconds, oldest first."""
        with self._times_lock:
            return self._ages(self._counter(key), self._clock(), window_seconds)

    def count(self, key: str, limit: int, window_seconds: float) -> Sequence[float]:
        """The ages, and count an attempt now if there are fewer than `limit`, in one step."""
        with self._times_lock:
            # One lock for looking and counting: of parallel attempts only `limit` are counted.
            counter, now = self._counter(key), self._clock()
            ages = self._ages(counter, now, window_seconds)
            if len(ages) < limit:
                self._times.setdefault(counter, deque()).append(now)
                # Ordered by the latest attempt, so that what has passed is in front.
                self._times.move_to_end(counter)
            return ages

    def forget_latest(self, key: str) -> None:
        """Forget the latest attempt, if there is one."""
        with self._times_lock:
            counter = self._counter(key)
            times = self._times.get(counter)
            if times:
                times.pop()
                if not times:
                    del self._times[counter]

    def mark(self, key: str, seconds: float) -> bool:
        """Mark `key` for so many seconds; True when it was not marked."""
        with self._times_lock:
            counter, now = self._counter(key), self._clock()
            if now < self._marks.get(counter, now):
                return False
            if len(self._marks) >= self._max_keys:
                self._marks.clear()
            self._marks[counter] = now + seconds
            return True

    def __len__(self) -> int:
        """How many counters there are now."""
        return len(self._times)

    def _ages(self, counter: str, now: float, window_seconds: float) -> list[float]:
        """The ages of a counter's attempts; what has passed of all counters is forgotten first."""
        start = now - window_seconds
        while self._times:
            times = next(iter(self._times.values()))
            if times[-1] > start:
                break
            self._times.popitem(last=False)
        own = self._times.get(counter, deque())
        while own and own[0] <= start:
            own.popleft()
        return [now - counted for counted in own]

    def _counter(self, key: str) -> str:
        """The name of a key's counter: its own while there is room, else a shared one."""
        if key in self._times:
            return key
        # The salt: an attacker cannot choose a key that shares the counter of a given address.
        hashed = hashlib.blake2b(key.encode(errors="replace"), key=self._salt, digest_size=4)
        shared = f"shared {int.from_bytes(hashed.digest()) % _SHARED_COUNTERS}"
        # A key that was counted under a shared counter stays there when the table has room again.
        full = len(self._times) >= self._max_keys
        return shared if full or shared in self._times else key
