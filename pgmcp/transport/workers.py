"""The threads that serve: one of them leads, and the others wait for somebody or rest.

The rule: the leader polls for all clients and for all threads that wait for a database, and works
on what is ready itself (leader/followers). It hands the lead on only to whoever has something to
do, and not at all while a database answers at once: measured, to wake another thread costs as much
as a small request, and two threads that compute at once take the interpreter from each other at
each system call. A leader that computes for long loses the lead to another thread.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from pgmcp.calls.shares import FairQueue
from pgmcp.net.polling import Poll, Ready
from pgmcp.transport.worker import ReadinessSource, Worker

log = logging.getLogger("pgmcp.http")

T = TypeVar("T")

STALL_SECONDS = 0.005
"""How long the leader may compute before another thread leads."""
_BUSY_STALL_SECONDS = 0.025
"""The same once `size` threads are awake, which take the interpreter from each other."""
HOLD_SECONDS = 0.001
"""How long the leader waits for a database before anybody else may lead: the answer to a short
statement comes sooner than another thread would be awake."""
HOLDS_SKIPPED = 8
"""How often nobody waits so after it was in vain: statements that take long run at once."""
_POLL_SECONDS = 1.0
_ITEMS_PER_POLL = 4
"""How many items are worked on before the leader looks who else has come."""


class WorkerPool(Generic[T]):
    """Up to `size` threads that stay, and up to `limit` that leave after `idle_seconds` of rest.

    Items come from `source` and `put`. They wait by `owner_of` them, and the owners take turns.
    `work` handles one item and must not raise. One thread, which calls `replace_stalled_leader`
    every STALL_SECONDS while that says so, is woken by `wake_watcher` when it has to again.
    `taken` counts the items begun.
    """

    def __init__(
        self,
        source: ReadinessSource[T],
        work: Callable[[T], None],
        owner_of: Callable[[T], str],
        *,
        name: str,
        size: int,
        limit: int,
        idle_seconds: float,
        wake_watcher: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._work = work
        self._owner_of = owner_of
        self._name = name
        self._size = size
        self.limit = limit
        self._idle_seconds = idle_seconds
        self._wake_watcher = wake_watcher
        self._clock = clock
        self._items: FairQueue[str, T] = FairQueue()
        self._threads: set[Worker] = set()
        self._idle_threads: list[Worker] = []
        self._waiting: dict[Worker, None] = {}  # for a descriptor, without the lead
        self._ready: deque[Worker] = deque()  # of those, whose turn to lead has come
        self._leader: Worker | None = None
        self._polling = False
        self._stopping = False
        self._lead_lock = threading.Lock()
        self._local = threading.local()
        self._started = 0
        self.taken = 0
        self._taken_since_poll = 0
        self._moves = self._moves_before = 0
        self._progress_at = clock()
        self._is_watched = False
        self._holds_to_skip = 0

    def __len__(self) -> int:
        """How many threads there are."""
        return len(self._threads)

    def put(self, item: T) -> None:
        """Have `item` worked on, in its turn; from any thread."""
        with self._lead_lock:
            self._items.put(self._owner_of(item), item)
            polling = self._polling
            heir = self._new_leader() if self._leader is None else None
            wake = heir is None and not polling and self._begins_to_be_watched()
        if heir is not None:
            heir.wakeup.release()
        elif polling:
            self._source.wake()
        elif wake:
            self._wake_watcher()

    def waiting(self) -> bool:
        """Whether an item waits for a thread."""
        return bool(self._items)

    def replace_stalled_leader(self) -> bool:
        """Have another thread lead if the leader has computed for too long, or if none leads;
        whether this is to be asked again soon."""
        now = self._clock()
        heir = None
        with self._lead_lock:
            moved = self._moves != self._moves_before
            if moved or self._polling:
                self._moves_before, self._progress_at = self._moves, now
            stalled_seconds = now - self._progress_at
            awake = len(self._threads) - len(self._idle_threads) - len(self._waiting)
            patience = STALL_SECONDS if awake < self._size else _BUSY_STALL_SECONDS
            needed = self._leader is None or stalled_seconds >= patience
            if needed:
                heir = self._new_leader()
                self._progress_at = now
            self._is_watched = watched = (moved or not self._polling) and self._has_others()
        if heir is not None:
            heir.wakeup.release()
        elif needed:  # every thread works: who has come waits in turn from now on
            items, workers = self._source.select(0)
            with self._lead_lock:
                self._take_in(items, workers)
            self._source.wake()  # a leader that began to poll just now did not see these
        return watched

    # -- waiting for somebody else -----------------------------------------------------------------

    def until_readable(self, poll: Poll, descriptors: Sequence[int], seconds: float) -> Ready:
        """See `net.polling.Waits`.

        The leader keeps the lead for HOLD_SECONDS, then leads on until somebody else has something
        to do. Any other thread waits by itself.
        """
        me: Worker | None = getattr(self._local, "worker", None)
        if me is None or me is not self._leader:
            return poll.poll(seconds * 1000)
        if self._holds_to_skip:
            self._holds_to_skip -= 1
        else:
            ready = poll.poll(min(HOLD_SECONDS, seconds) * 1000)
            if ready:
                return ready
            self._holds_to_skip = HOLDS_SKIPPED
            seconds -= HOLD_SECONDS
        waited = self._lead_until_readable(me, descriptors, self._clock() + seconds)
        return poll.poll(0 if waited else max(0.0, seconds) * 1000)

    def _lead_until_readable(self, me: Worker, descriptors: Sequence[int], until: float) -> bool:
        """False when the pool stops: then the thread waits by itself."""
        me.ready = False
        self._source.watch(descriptors, me)
        try:
            return self._wait_as(me, until)
        finally:
            self._source.unwatch(descriptors)

    def _wait_as(self, me: Worker, until: float) -> bool:
        while not me.ready:
            left = until - self._clock()
            with self._lead_lock:
                if self._stopping or left <= 0:
                    return not self._stopping
                heir = self._heir(me, waits=True)
                leads = self._leader is me
                if leads:
                    self._polling = True
                else:
                    self._waiting[me] = None
            if leads:
                self._poll(left)
            elif not self._sleep(me, heir, left):
                return True
        return True

    def _sleep(self, me: Worker, heir: Worker | None, seconds: float) -> bool:
        """Having handed the lead to `heir`, sleep until somebody wakes this thread; False after so
        much time."""
        if heir is not None:
            heir.wakeup.release()
        if me.wakeup.acquire(timeout=seconds):
            return True
        with self._lead_lock:
            asleep = me in self._waiting or me in self._idle_threads
            if asleep:  # nobody wakes it any more
                self._waiting.pop(me, None)
                for those in (self._idle_threads, self._ready):
                    with contextlib.suppress(ValueError):
                        those.remove(me)
        if not asleep:
            me.wakeup.acquire()  # somebody has just released it
        return not asleep

    def block(self) -> None:
        """Hand the lead on, if this thread has it: it is about to wait for something else."""
        me = getattr(self._local, "worker", None)
        if me is None or me is not self._leader:
            return
        with self._lead_lock:
            if self._leader is not me or not self._has_others():
                return  # whoever comes meanwhile has it watched, and soon replaced
            heir = self._new_leader()
            if heir is None:
                self._leader = None
        if heir is not None:
            heir.wakeup.release()

    def unblock(self) -> None:
        """Lead again if nobody does: this thread has waited."""
        me = getattr(self._local, "worker", None)
        if me is not None and self._leader is None:
            with self._lead_lock:
                if self._leader is None:
                    self._leader = me

    # -- leading -----------------------------------------------------------------------------------

    def _new_leader(self) -> Worker | None:
        """Somebody else who leads from now on, None when there is nobody; the lock is held, and the
        heir's `wakeup` is to be released."""
        if self._ready:
            heir: Worker | None = self._ready.popleft()
        else:
            heir = self._follower() or next(iter(self._waiting), None)
        if heir is not None:
            self._waiting.pop(heir, None)
            self._leader, self._polling = heir, False
        return heir

    def _follower(self) -> Worker | None:
        """A thread that rests or a new one, None at the limit; the lock is held."""
        if self._idle_threads:
            return self._idle_threads.pop()  # the last to rest: its stack is still warm
        if len(self._threads) >= self.limit or self._stopping:
            return None
        worker = Worker()
        self._started += 1
        worker.thread = threading.Thread(
            target=self._serve, args=(worker,), name=f"{self._name}-{self._started}", daemon=True
        )
        self._threads.add(worker)
        try:
            worker.thread.start()
        except RuntimeError as error:  # the system gives no more: the others will get to it
            self._threads.remove(worker)
            log.warning("cannot start a thread: %s", error)
            return None
        return worker

    def _poll(self, seconds: float) -> None:
        """Look who is ready; `_polling` was set, under the lock."""
        items, workers = self._source.select(min(seconds, _POLL_SECONDS))
        with self._lead_lock:
            self._polling = False
            self._moves += 1
            self._taken_since_poll = 0
            self._take_in(items, workers)
            wake = bool(items or workers) and self._begins_to_be_watched(len(items[:1]))
        if wake:
            self._wake_watcher()

    def _take_in(self, items: list[T], workers: list[Worker]) -> None:
        """Have these wait for their turn; the lock is held."""
        for item in items:
            self._items.put(self._owner_of(item), item)
        for worker in workers:
            if worker in self._waiting and not worker.ready:
                self._ready.append(worker)
            # Also of one that leads by now, or begins to wait just now: nobody tells it again.
            worker.ready = True

    def _begins_to_be_watched(self, taken: int = 0) -> bool:
        """Whether the watching thread is to be woken: it rests, and somebody may wait for the
        leader, which has `taken` so many of the items; the lock is held."""
        if self._is_watched or not self._has_others(taken):
            return False
        self._is_watched = True
        return True

    def _has_others(self, taken: int = 0) -> bool:
        """Whether there is anybody to whom it matters what the leader does; the lock is held."""
        awake = len(self._threads) - len(self._idle_threads)
        return awake > 1 or len(self._items) > taken or len(self._source) > 0

    def _serve(self, me: Worker) -> None:
        self._local.worker = me
        me.wakeup.acquire()
        while True:
            item = self._next(me)
            if item is None:
                return
            # Threads that count at once may lose a count: what counts is that it moves.
            self.taken += 1
            self._work(item)

    def _next(self, me: Worker) -> T | None:
        """The next item for this thread, None when it is to end."""
        while True:
            with self._lead_lock:
                self._moves += 1
                if self._stopping:
                    item = self._items.pop()
                    if item is None:
                        self._threads.discard(me)
                    return item
                if self._leader is None:
                    self._leader = me
                heir = self._heir(me, waits=False)
                leads = self._leader is me
                if not leads:
                    self._idle_threads.append(me)
                elif (item := self._item()) is not None:
                    return item
                else:
                    self._polling = True
                    seconds = 0.0 if self._items else _POLL_SECONDS
            if leads:
                self._poll(seconds)
            elif not self._sleep(me, heir, self._idle_seconds) and self._leaves(me):
                return None

    def _heir(self, me: Worker, *, waits: bool) -> Worker | None:
        """Who leads from now on instead of `me`, if that leads and somebody has more to do: whose
        answer has come or, while it `waits`, a thread for the next item. The lock is held, and the
        heir's `wakeup` is to be released."""
        if self._leader is not me:
            return None
        heir = None
        if self._ready:
            heir = self._ready.popleft()
            del self._waiting[heir]
        elif waits and self._items:
            heir = self._follower()
        if heir is not None:
            self._leader = heir
        return heir

    def _item(self) -> T | None:
        """The item whose turn it is, None when it is time to poll; the lock is held."""
        if self._taken_since_poll >= _ITEMS_PER_POLL:
            return None
        self._taken_since_poll += 1
        return self._items.pop()

    def _leaves(self, me: Worker) -> bool:
        """Whether a thread that has rested for long is one too many; then it ends."""
        with self._lead_lock:
            if len(self._threads) <= self._size:
                return False
            self._threads.discard(me)
            return True

    def stop(self, timeout_seconds: float) -> bool:
        """End every thread once it is done; whether all ended in time."""
        with self._lead_lock:
            self._stopping = True
            threads = [worker.thread for worker in self._threads if worker.thread is not None]
            asleep = [*self._idle_threads, *self._waiting]
            self._idle_threads.clear()
            self._waiting.clear()
            self._ready.clear()
        for worker in asleep:
            worker.wakeup.release()
        self._source.wake()
        deadline = self._clock() + timeout_seconds
        for thread in threads:
            thread.join(max(0.0, deadline - self._clock()))
        return not any(thread.is_alive() for thread in threads)
