"""Which requests may come in, which calls may run, and which wait: shares of each owner.

The rule: a call that waits holds its client's connection and no thread. That goes for the wait for
a database too: of the calls that need one pool, no more run than it may have connections, so that a
thread waits only for what others hold: connections being opened, or all that the server may have.
One owner's requests never take all places, and its calls compute one at a time, so that others find
a place, a thread and the processor.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pgmcp.calls.call import Call, Waiting
from pgmcp.calls.shares import FairQueue, K, Places
from pgmcp.errors import OverloadedError
from pgmcp.net.polling import Poll, Ready

PoolKey = tuple[str, str]
"""The owner of a pool, and the name of its database."""
Line = tuple[str, PoolKey | None]
"""Whose calls wait behind each other: an owner's that need the same pool, or none."""
RESUME_SECONDS = 1.0
"""How long a call that has waited for something waits for the processor too, at most: a bound
instead of a proof that no call of an owner ever waits for another one that waits for this."""


class Threads(Protocol):
    """The threads that calls run in, of which one leads: see `transport.workers`. Each method is
    for the thread that calls it."""

    def until_readable(self, poll: Poll, descriptors: Sequence[int], seconds: float) -> Ready:
        """See `net.polling.Waits`."""

    def block(self) -> None:
        """Have another thread lead: this one is about to wait."""

    def unblock(self) -> None:
        """Lead again if nobody does: this thread has waited."""


class NoThreads:
    """For calls in threads of their own."""

    def until_readable(self, poll: Poll, _: Sequence[int], seconds: float) -> Ready:
        """See `Threads`."""
        return poll.poll(seconds * 1000)

    def block(self) -> None:
        """See `Threads`."""

    def unblock(self) -> None:
        """See `Threads`."""


class Computing(Waiting):
    """One call's hold on its owner's turn to compute, for one thread; given away while it waits.

    It is no lock around anything: what it protects is other owners' time.
    """

    __slots__ = ("_held", "_lock", "_threads")

    def __init__(self, lock: threading.Lock, threads: Threads) -> None:
        self._lock: threading.Lock | None = lock
        self._threads = threads
        self._held = False

    def pause(self) -> None:
        """Let other calls of the owner compute."""
        if self._held:
            self._held = False
            if self._lock is not None:
                self._lock.release()

    def resume(self) -> None:
        """Compute again, as soon as no other call of the owner does."""
        if self._lock is not None and not self._held:
            self._held = self._lock.acquire(blocking=False)
            if not self._held:
                self._threads.block()
                self._held = self._lock.acquire(True, RESUME_SECONDS)
                self._threads.unblock()

    def until_readable(self, poll: Poll, descriptors: Sequence[int], seconds: float) -> Ready:
        """See `Waiting`. The thread leads meanwhile, if it does now."""
        self.pause()
        ready = self._threads.until_readable(poll, descriptors, seconds)
        self.resume()
        return ready

    def __enter__(self) -> None:
        self.pause()
        self._threads.block()

    def __exit__(self, *_: object) -> None:
        self._threads.unblock()
        self.resume()

    def stop(self) -> None:
        """Let other calls of the owner compute, for good: a connection may wait later."""
        self.pause()
        self._lock = None


@dataclass(slots=True, eq=False)
class QueuedCall:
    """A call that is to wait for its turn. `resume` is called once it need not wait any more, in
    whatever thread makes it so."""

    call: Call
    resume: Callable[[], None]
    state: Literal["new", "waiting", "running", "refused", "withdrawn"] = "new"


class CallQueue:
    """`requests` at a time, of which `running` calls run; for any number of threads.

    An owner runs `share` calls at most, of which as many for one pool as `pool_sizes` says of its
    database (without a word: all), and has `waiting` more wait, in turns with other owners.
    """

    def __init__(
        self,
        *,
        requests: int,
        running: int,
        share: int,
        waiting: int,
        pool_sizes: Mapping[str, int] | None = None,
        threads: Threads | None = None,
    ) -> None:
        self._requests = Places(requests)
        self._running = Places(running, share)
        self._waiting_share = waiting
        self._pool_sizes = pool_sizes or {}
        self._using: Counter[PoolKey] = Counter()
        self._waiting: Counter[str] = Counter()
        self._queue: FairQueue[Line, QueuedCall] = FairQueue()
        self._computing: dict[str, threading.Lock] = {}
        self._threads = NoThreads() if threads is None else threads  # a pool is false while empty
        self._queue_lock = threading.Lock()

    def change(
        self, *, running: int, share: int, pool_sizes: Mapping[str, int] | None = None
    ) -> None:
        """Other numbers from now on; what runs already is not ended."""
        with self._queue_lock:
            self._running.size, self._running.most = running, share
            self._pool_sizes = pool_sizes or {}
            ready = self._ready_calls()
        _resume(ready)

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return len(self._queue)

    # -- requests ----------------------------------------------------------------------------------

    def enter(self, owner: str) -> None:
        """Take a place for a request, from its head to the end of its answer; `leave` must follow.

        OverloadedError when the owner has its share of them.
        """
        with self._queue_lock:
            if self._requests.try_take(owner):
                return
            full = self._requests.taken >= self._requests.size
        raise OverloadedError.of_calls(full=full)

    def leave(self, owner: str) -> None:
        """Give the place of a request back."""
        with self._queue_lock:
            self._requests.give_back(owner)

    # -- calls -------------------------------------------------------------------------------------

    def begin(self, call: Call) -> bool:
        """Have a call run and compute, if it need not wait; `end` must follow if so."""
        with self._queue_lock:
            # Whoever waits goes first. That others' calls wait is no reason: they wait because
            # their owners have their shares, or have been passed over in no turn yet.
            line = _line_of(call)
            if self._queue and self._queue.waiting(line):
                return False
            if not self._may_run(line):
                return False
            call.waiting = computing = self._run(line)
        computing.resume()
        return True

    def wait(self, queued: QueuedCall) -> None:
        """Have a call wait for its turn. It is resumed with a state: "running" (`end` must follow
        its `call.waiting.resume()`), "refused" or "withdrawn"."""
        owner = queued.call.owner
        with self._queue_lock:
            if queued.state == "new":
                if self._waiting[owner] >= self._waiting_share:
                    queued.state = "refused"
                else:
                    queued.state = "waiting"
                    self._queue.put(_line_of(queued.call), queued)
                    self._waiting[owner] += 1
            ready = [queued] if queued.state != "waiting" else self._ready_calls()
        _resume(ready)

    def withdraw(self, queued: QueuedCall) -> None:
        """Have a call wait no longer: it has been cancelled."""
        with self._queue_lock:
            waits = queued.state == "waiting"
            if waits:
                self._queue.remove(_line_of(queued.call), queued)
                _take_off(self._waiting, queued.call.owner)
            if waits or queued.state == "new":
                queued.state = "withdrawn"
        if waits:  # a new one is not in the queue yet: `wait` resumes it
            queued.resume()

    def end(self, call: Call) -> None:
        """Have a call's place go to the next one in turn."""
        call.waiting.stop()
        with self._queue_lock:
            if not self._running.give_back(call.owner):
                del self._computing[call.owner]
            if call.pool is not None:
                _take_off(self._using, call.pool)
            ready = self._ready_calls() if self._queue else None
        if ready:
            _resume(ready)

    def withdraw_late(self) -> None:
        """Cancel the calls whose time is over while they wait."""
        if self._queue:
            with self._queue_lock:
                late = [t for t in self._queue.items() if t.call.remaining() == 0.0]
            for queued in late:
                queued.call.cancel("it waited in vain for its turn, behind others of its owner")

    def _ready_calls(self) -> list[QueuedCall]:
        """The turns that have come; the lock is held."""
        ready: list[QueuedCall] = []
        while (queued := self._queue.pop(self._may_run)) is not None:
            _take_off(self._waiting, queued.call.owner)
            queued.call.waiting = self._run(_line_of(queued.call))
            queued.state = "running"
            ready.append(queued)
        return ready

    def _may_run(self, line: Line) -> bool:
        """Whether one more call of a line may run; the lock is held."""
        owner, pool = line
        if pool is not None and self._using[pool] >= self._pool_sizes.get(pool[1], sys.maxsize):
            return False
        return self._running.may_take(owner)

    def _run(self, line: Line) -> Computing:
        """Count one more call of a line that runs; the lock is held."""
        owner, pool = line
        self._running.take(owner)
        if pool is not None:
            self._using[pool] += 1
        lock = self._computing.get(owner)
        if lock is None:
            lock = self._computing[owner] = threading.Lock()
        return Computing(lock, self._threads)


def _line_of(call: Call) -> Line:
    return call.owner, call.pool


def _take_off(counts: Counter[K], key: K) -> None:
    """Count one less; what is at none is no entry."""
    counts[key] -= 1
    if not counts[key]:
        del counts[key]


def _resume(ready: list[QueuedCall]) -> None:
    for queued in ready:
        queued.resume()
