"""The threads that serve: as many as wait for databases, but few that compute.

The rule: while the processor is free, work never waits for a thread. Once it is not, more threads
only fight for the interpreter, and one that is awake takes item after item: measured with small
requests, one thread answers 19,000 a second where sixteen answer 10,000.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from pgmcp.calls.shares import FairQueue

log = logging.getLogger("pgmcp.http")

T = TypeVar("T")

STALL_SECONDS = 0.003
"""How long nothing may move before a thread is woken, however busy the processor is."""
_BUSY_STALL_SECONDS = 0.025
"""The same before a thread beyond `size` is started while the processor is busy."""
LINGER_SECONDS = 0.001
"""How long one thread that has answered waits for the same client's next request: to wake another
thread for it costs as much as a fifth of a small request."""
_GROWTH_SECONDS = 0.05
_WINDOW_SECONDS = 0.005
_SATURATED = 0.8


class WorkerPool(Generic[T]):
    """Up to `size` threads that stay, and up to `limit` that leave after `idle_seconds` of rest.

    Items wait by `owner_of` them, and the owners take turns. `work` handles one item and must not
    raise. One thread calls `add_threads_if_stalled` after each round of `put`, and every
    `STALL_SECONDS` while `waiting()`. `taken` counts the items begun.
    """

    def __init__(
        self,
        work: Callable[[T], None],
        owner_of: Callable[[T], str],
        *,
        name: str,
        size: int,
        limit: int,
        idle_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work = work
        self._owner_of = owner_of
        self._name = name
        self._size = size
        self.limit = limit
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._items: FairQueue[str, T] = FairQueue()
        self._threads: dict[int, threading.Thread] = {}
        self._idle_threads: list[threading.Lock] = []
        self._started = 0
        self._stopping = False
        self._threads_lock = threading.Lock()
        self.taken = 0
        self._taken_before = 0
        self._progress_at = self._waiting_since = clock()
        self._boost = 1
        self._window = (clock(), time.process_time())
        self._saturated = False
        self._surplus = 0
        self._lingers = threading.Lock()
        self._latest = self._again = 0

    def __len__(self) -> int:
        """How many threads there are."""
        return len(self._threads)

    def put(self, item: T) -> None:
        """Have `item` worked on, in its turn."""
        with self._threads_lock:
            self._items.put(self._owner_of(item), item)
            at_rest = len(self._idle_threads) + self._lingers.locked()
            if not self._saturated or len(self._threads) <= at_rest:
                self._wake(1, self._size)

    def linger(self, item: T, is_readable_within: Callable[[float], bool]) -> bool:
        """Have the thread that works on `item` wait a moment for more of it, if only that one has
        come lately; what `is_readable_within` says after that time at most, in seconds.

        Beside others, who come meanwhile, a thread that waits for one of them costs more calls than
        it saves.
        """
        if self._again != id(item) or self._items or not self._lingers.acquire(blocking=False):
            return False
        try:
            return is_readable_within(LINGER_SECONDS)
        finally:
            self._lingers.release()

    def waiting(self) -> bool:
        """Whether an item waits for a thread."""
        return bool(self._items)

    def add_threads_if_stalled(self) -> None:
        """Measure the processor's load, and find threads for items that wait too long.

        When nothing moves and little is computed, every thread waits for something: then more are
        started, twice as many each time.
        """
        now, taken = self._clock(), self.taken
        if now - self._window[0] >= _WINDOW_SECONDS:
            self._measure(now)
        if taken != self._taken_before or not self._items:
            self._taken_before, self._progress_at, self._boost = taken, now, 1
        if not self._items:
            self._waiting_since = now
            return
        stalled_seconds = now - self._progress_at
        with self._threads_lock:
            if not self._saturated and stalled_seconds >= STALL_SECONDS:
                self._wake(self._boost, self.limit)
                self._progress_at, self._boost = now, self._boost * 2
            elif not self._saturated and now - self._waiting_since >= _GROWTH_SECONDS:
                self._wake(2, self.limit)
                self._waiting_since = now
            elif stalled_seconds >= _BUSY_STALL_SECONDS:
                self._wake(1, self.limit)
                self._progress_at = now
            elif stalled_seconds >= STALL_SECONDS:
                self._wake(1, self._size)

    def stop(self, timeout_seconds: float) -> bool:
        """End every thread once it is done; whether all ended in time."""
        with self._threads_lock:
            self._stopping = True
            threads = list(self._threads.values())
            self._wake(len(self._idle_threads), 0)
        deadline = self._clock() + timeout_seconds
        for thread in threads:
            thread.join(max(0.0, deadline - self._clock()))
        return not any(thread.is_alive() for thread in threads)

    def _measure(self, now: float) -> None:
        then, used_then = self._window
        used = time.process_time()
        self._window = (now, used)
        self._saturated = (used - used_then) / (now - then) > _SATURATED
        awake = len(self._threads) - len(self._idle_threads)
        self._surplus = 1 if self._saturated and awake > 1 else 0

    def _wake(self, count: int, limit: int) -> None:
        """Wake `count` threads, or start them up to `limit` in all; the lock is held."""
        for _ in range(count):
            if self._idle_threads:
                self._idle_threads.pop().release()  # the last to rest: its stack is still warm
            elif len(self._threads) < limit and not self._stopping:
                self._start()
            else:
                return

    def _start(self) -> None:
        self._started += 1
        number = self._started
        thread = threading.Thread(
            target=self._serve, args=(number,), name=f"{self._name}-{number}", daemon=True
        )
        self._threads[number] = thread
        try:
            thread.start()
        except RuntimeError as error:  # the system gives no more: the others will get to it
            del self._threads[number]
            log.warning("cannot start a thread: %s", error)

    def _serve(self, number: int) -> None:
        wakeup = threading.Lock()
        wakeup.acquire()
        while True:
            if not self._surplus:
                with self._threads_lock:
                    item = self._items.pop()
                if item is not None:
                    # Threads that count at once may lose a count: what counts is that it moves.
                    self.taken += 1
                    # By id, so that nothing is kept, and without the lock: what is wrong for once
                    # costs a wait of LINGER_SECONDS, or the one that would have paid.
                    self._again = id(item) if id(item) == self._latest else 0
                    self._latest = id(item)
                    self._work(item)
                    continue
            if not self._sleep(wakeup, number):
                return

    def _sleep(self, wakeup: threading.Lock, number: int) -> bool:
        """Sleep until woken; False when it is time to end."""
        with self._threads_lock:
            if self._stopping:
                del self._threads[number]
                return False
            surplus = self._surplus and len(self._threads) - len(self._idle_threads) > 1
            self._surplus = 0
            if self._items and not surplus:
                return True
            self._idle_threads.append(wakeup)
        if wakeup.acquire(timeout=self._idle_seconds):
            return True
        with self._threads_lock:
            if wakeup not in self._idle_threads:  # woken just now
                wakeup.acquire()
                return True
            self._idle_threads.remove(wakeup)
            if len(self._threads) <= self._size:
                return True
            del self._threads[number]
            return False
