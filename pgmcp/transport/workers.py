"""The threads that serve: one of them leads, and the others wait for somebody or rest.

The rule: the leader polls for all clients and for all threads that wait for a database, and works
on what is ready itself (leader/followers). It hands the lead on only to whoever has something to
do: measured, to wake another thread costs as much as a small request, and two threads that compute
at once take the interpreter from each other at each system call. A leader that computes for long
loses the lead to another thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from pgmcp.calls.shares import FairQueue

log = logging.getLogger("pgmcp.http")

T = TypeVar("T")

STALL_SECONDS = 0.005
"""How long the leader may compute before another thread leads."""
_BUSY_STALL_SECONDS = 0.025
"""The same once `size` threads are awake, which take the interpreter from each other."""
_POLL_SECONDS = 1.0
_ITEMS_PER_POLL = 4
"""How many items are worked on before the leader looks who else has come."""


class Worker:
    """A thread of a pool. `ready`: a descriptor that it waits for can be read."""

    __slots__ = ("ready", "thread", "wakeup")

    def __init__(self) -> None:
        self.thread: threading.Thread | None = None
        self.ready = False
        self.wakeup = threading.Lock()
        self.wakeup.acquire()


class ReadinessSource(Protocol[T]):
    """Where items come from."""

    def select(self, timeout_seconds: float) -> tuple[list[T], list[Worker]]:
        """The items and the threads whose descriptors are ready, after so much time at most."""

    def watch(self, descriptors: Sequence[int], worker: Worker) -> None:
        """Have `select` report this thread once when one of these can be read."""

    def unwatch(self, descriptors: Sequence[int]) -> None:
        """Do not report it any more. May be repeated."""

    def wake(self) -> None:
        """Make `select` return soon."""


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

    def __len__(self) -> int:
        """How many threads there are."""
        return len(self._threads)

    def put(self, item: T) -> None:
        """Have `item` worked on, in its turn; from any thread."""
        with self._lead_lock:
            self._items.put(self._owner_of(item), item)
            polling = self._polling
            heir = self._new_leader() if self._leader is None else None
        if heir is not None:
            heir.wakeup.release()
        elif polling:
            self._source.wake()

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
            self._is_watched = moved or not self._polling
            watched = self._is_watched
        if heir is not None:
            heir.wakeup.release()
        elif needed:  # every thread works: who has come waits in turn from now on
            self._take_in(*self._source.select(0))
            self._source.wake()  # a leader that began to poll just now did not see these
        return watched

    # -- waiting for somebody else -----------------------------------------------------------------

    def wait_for(self, descriptors: Sequence[int], seconds: float) -> bool:
        """Have the leader wait until one of these can be read, for `seconds` at most.

        It leads meanwhile, until somebody else has something to do. False for any other thread,
        which has to wait by itself. May return early.
        """
        me: Worker | None = getattr(self._local, "worker", None)
        if me is None or me is not self._leader:
            return False
        until = self._clock() + seconds
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
            elif not self._wait_for_lead(me, heir, left):
                return True
        return True

    def _wait_for_lead(self, me: Worker, heir: Worker | None, seconds: float) -> bool:
        """Wait until this thread leads, having handed the lead to `heir`; False after so much time,
        if it still does not."""
        if heir is not None:
            heir.wakeup.release()
        if me.wakeup.acquire(timeout=seconds):
            return True
        with self._lead_lock:
            if me in self._waiting:
                del self._waiting[me]
                if me in self._ready:
                    self._ready.remove(me)
                return False
        me.wakeup.acquire()  # somebody has just released it
        return True

    def block(self) -> None:
        """Hand the lead on, if this thread has it: it is about to wait for something else."""
        me = getattr(self._local, "worker", None)
        if me is None or me is not self._leader:
            return
        with self._lead_lock:
            heir = self._new_leader() if self._leader is me else None
            if heir is None and self._leader is me:
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
            wake = not self._is_watched and bool(items or workers)
            self._is_watched = self._is_watched or wake
        self._take_in(items, workers)
        if wake:
            self._wake_watcher()

    def _take_in(self, items: list[T], workers: list[Worker]) -> None:
        """Have these wait for their turn."""
        with self._lead_lock:
            for item in items:
                self._items.put(self._owner_of(item), item)
            for worker in workers:
                if worker in self._waiting and not worker.ready:
                    self._ready.append(worker)
                # Also of one that leads by now, or begins to wait just now: nobody tells it again.
                worker.ready = True

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
            elif not self._rest(me, heir):
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

    def _rest(self, me: Worker, heir: Worker | None) -> bool:
        """Sleep until it is this thread's turn to lead, having handed the lead to `heir`; False
        when it is time to end."""
        if heir is not None:
            heir.wakeup.release()
        while not me.wakeup.acquire(timeout=self._idle_seconds):
            with self._lead_lock:
                if me not in self._idle_threads:
                    break
                if len(self._threads) > self._size:
                    self._idle_threads.remove(me)
                    self._threads.discard(me)
                    return False
        else:
            return True
        me.wakeup.acquire()  # somebody has just released it
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
