"""How often an address may fail: a sliding window per address, in bounded memory.

The rule: nothing an address does removes a count before its window has passed; when the table is
full, new addresses share counters instead of pushing others out.
"""

from __future__ import annotations

import hashlib
import math
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from pgmcp.net.addresses import address_key

_SHARED_COUNTERS = 1024


class Limiter:
    """At most `limit` failures per `window_seconds` and address; `clock` is monotonic.

    Up to `max_addresses` are counted one by one. 0 as the limit refuses nothing.
    """

    def __init__(
        self,
        limit: int,
        window_seconds: float,
        *,
        max_addresses: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._window_seconds = window_seconds
        self._max_addresses = max_addresses
        self._clock = clock
        self._salt = secrets.token_bytes(16)
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._told: dict[str, float] = {}
        self._failures_lock = threading.Lock()

    def change(self, limit: int, window_seconds: float) -> None:
        """Hold addresses to other numbers from now on; what was counted still counts."""
        with self._failures_lock:
            self._limit, self._window_seconds = limit, window_seconds

    def retry_after(self, address: str) -> int | None:
        """Whole seconds until the address may try again, None when it may now."""
        with self._failures_lock:
            return self._wait(self._name(address), self._clock())

    def count(self, address: str) -> int | None:
        """Count a failure, unless the address may not try: then the seconds it must wait.

        Counting before the attempt is made is what keeps parallel attempts within the limit.
        """
        with self._failures_lock:
            name, now = self._name(address), self._clock()
            wait = self._wait(name, now)
            if wait is None and self._limit:
                self._failures.setdefault(name, deque()).append(now)
                # Ordered by the latest failure, so that what has passed is in front.
                self._failures.move_to_end(name)
            return wait

    def forgive(self, address: str) -> None:
        """Take back the latest count of an address: the attempt was not a failure."""
        with self._failures_lock:
            name = self._name(address)
            times = self._failures.get(name)
            if times:
                times.pop()
                if not times:
                    del self._failures[name]

    def is_news(self, address: str) -> bool:
        """Whether nobody was told within the window that this address has to wait: a flood of
        refusals is one line in the log."""
        with self._failures_lock:
            name, now = self._name(address), self._clock()
            if now < self._told.get(name, now):
                return False
            if len(self._told) >= self._max_addresses:
                self._told.clear()
            self._told[name] = now + self._window_seconds
            return True

    def __len__(self) -> int:
        """How many counters there are now."""
        return len(self._failures)

    def _wait(self, name: str, now: float) -> int | None:
        start = now - self._window_seconds
        while self._failures:
            times = next(iter(self._failures.values()))
            if times[-1] > start:
                break
            self._failures.popitem(last=False)
        own = self._failures.get(name, deque())
        while own and own[0] <= start:
            own.popleft()
        if self._limit == 0 or len(own) < self._limit:
            return None
        return max(1, math.ceil(own[-self._limit] - start))

    def _name(self, address: str) -> str:
        name = address_key(address)
        if name in self._failures:
            return name
        # The salt keeps an attacker from choosing whose counter to share.
        hashed = hashlib.blake2b(name.encode(errors="replace"), key=self._salt, digest_size=4)
        shared = f"shared {int.from_bytes(hashed.digest()) % _SHARED_COUNTERS}"
        # Room in the table must not give a fresh count to whom a shared one holds.
        full = len(self._failures) >= self._max_addresses
        return shared if full or shared in self._failures else name
