"""Memory that clients may make the server keep, shared fairly between them.

The rule: what is kept is counted before it is kept, against whoever sent or asked for it, and given
back however that ended. Who holds much leaves as much free: a newcomer always finds some.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

FREE_BYTES = 32 * 1024
"""What each holder may have uncounted: small requests are always admitted."""


class Budget:
    """`size_bytes` for everybody; for any number of threads.

    An owner may hold no more than it leaves free: the first half of all, the next a quarter.
    """

    def __init__(self, size_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.size_bytes = size_bytes
        self._clock = clock
        self._held: Counter[str] = Counter()
        self._held_changed = threading.Condition()
        self._used_bytes = 0

    @property
    def used_bytes(self) -> int:
        """What is held now, by all together."""
        return self._used_bytes

    def change(self, owner: str, count: int, wait_seconds: float = 0.0) -> bool:
        """Have `count` bytes more (or, negative, less) held by `owner`; False when that is too
        much, also after `wait_seconds`."""
        with self._held_changed:
            if count > 0 and not self._fits(owner, count):
                if wait_seconds <= 0:
                    return False
                if not self._held_changed.wait_for(lambda: self._fits(owner, count), wait_seconds):
                    return False
            self._used_bytes += count
            self._held[owner] += count
            if not self._held[owner]:
                del self._held[owner]
            if count < 0:
                self._held_changed.notify_all()
        return True

    def _fits(self, owner: str, count: int) -> bool:
        return self._held[owner] + count <= self.size_bytes - self._used_bytes - count


class Reservation:
    """What one request or one answer keeps of a budget. For one thread at a time.

    `owner` does not change once something is counted.
    """

    __slots__ = ("_budget", "_counted", "owner")

    def __init__(self, budget: Budget, owner: str = "") -> None:
        self._budget = budget
        self._counted = 0
        self.owner = owner

    def resize(self, count: int, wait_seconds: float = 0.0) -> bool:
        """Keep `count` bytes from now on, of which FREE_BYTES are not counted; False when they are
        too many, and then nothing has changed."""
        counted = max(0, count - FREE_BYTES)
        if counted != self._counted:
            if not self._budget.change(self.owner, counted - self._counted, wait_seconds):
                return False
            self._counted = counted
        return True

    def close(self) -> None:
        """Give everything back. May be repeated."""
        self.resize(0)
