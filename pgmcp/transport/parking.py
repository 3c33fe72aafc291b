"""Where connections wait that have nothing to say: one selector for all of them.

The rule: a parked item is owned by the parking alone. Whoever takes it out, by readiness, by its
deadline or by force, takes it out once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from pgmcp.transport.connection import Wait
from pgmcp.transport.readiness import Waking, readiness
from pgmcp.transport.worker import Worker

T = TypeVar("T")


class Parking(Generic[T]):
    """Items by the descriptor they wait for, and threads that wait for theirs beside them.

    `select` is called by one thread at a time, `expired` by one; everything else by any.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._readiness = readiness()
        self._waits: dict[int, tuple[T, Wait]] = {}
        self._workers: dict[int, Worker] = {}
        self._waits_lock = threading.Lock()
        self._waking = Waking(self._readiness)
        self.wake = self._waking.wake
        """Make `select` return soon."""

    def __len__(self) -> int:
        return len(self._waits)

    def park(self, descriptor: int, item: T, wait: Wait) -> None:
        """Keep `item` until its descriptor is ready or its deadline has passed."""
        with self._waits_lock:
            self._waits[descriptor] = (item, wait)
            self._readiness.arm(descriptor, write=wait.write)
        if self._readiness.must_wake:
            self.wake()

    def watch(self, descriptors: Sequence[int], worker: Worker) -> None:
        """Have `select` report a thread once when one of these can be read."""
        with self._waits_lock:
            for descriptor in descriptors:
                self._workers[descriptor] = worker
                self._readiness.arm(descriptor, write=False)
        if self._readiness.must_wake:
            self.wake()

    def unwatch(self, descriptors: Sequence[int]) -> None:
        """Do not report it any more. May be repeated."""
        with self._waits_lock:
            for descriptor in descriptors:
                if self._workers.pop(descriptor, None) is not None:
                    self._readiness.disarm(descriptor)

    def select(self, timeout_seconds: float) -> tuple[list[T], list[Worker]]:
        """The items whose descriptors are ready, out of the parking, and the threads."""
        ready = self._readiness.wait(timeout_seconds)
        items: list[T] = []
        workers: list[Worker] = []
        with self._waits_lock:
            for descriptor in ready:
                # It may have been taken, or closed, since it was ready.
                if (parked := self._waits.pop(descriptor, None)) is not None:
                    items.append(parked[0])
                elif (worker := self._workers.pop(descriptor, None)) is not None:
                    workers.append(worker)
                elif descriptor == self._waking.descriptor:
                    self._waking.heard()
        return items, workers

    def expired(self) -> list[T]:
        """The items whose deadline has passed, out of the parking."""
        now = self._clock()
        with self._waits_lock:
            late = [fd for fd, (_, wait) in self._waits.items() if wait.deadline <= now]
            return [self._take(fd) for fd in late]

    def take_idle(self, count: int | None = None) -> list[T]:
        """Up to `count` idle items, those nearest to their deadline first, out of the parking."""
        with self._waits_lock:
            idle = [(wait.deadline, fd) for fd, (_, wait) in self._waits.items() if wait.idle]
            return [self._take(fd) for _, fd in sorted(idle)[:count]]

    def take(self, descriptor: int, item: T, *, idle: bool | None = None) -> bool:
        """Take one item out of the parking; False when it is not there (any more), or is idle and
        should not be, or the other way round."""
        with self._waits_lock:
            parked = self._waits.get(descriptor)
            if parked is None or parked[0] is not item:  # the descriptor may be another's by now
                return False
            if idle is not None and parked[1].idle != idle:
                return False
            self._take(descriptor)
            return True

    def take_all(self) -> list[T]:
        """Every item, out of the parking."""
        with self._waits_lock:
            return [self._take(fd) for fd in list(self._waits)]

    def close(self) -> None:
        """Close the selector. Nothing is parked any more by then."""
        self._readiness.close()
        self._waking.close()

    def _take(self, descriptor: int) -> T:
        self._readiness.drop(descriptor)
        return self._waits.pop(descriptor)[0]
