"""Which requests may come in, which calls may run, and which wait: shares of each owner.

The rule: a call that waits holds its connection and no thread. One owner's requests never take all
places, and its calls compute one at a time, so that others find a place, a thread and the
processor.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pgmcp.calls.call import Call, Waiting
from pgmcp.calls.shares import FairQueue, Places
from pgmcp.errors import OverloadedError

RESUME_SECONDS = 1.0
"""How long a call that has waited for something waits for the processor too, at most: a bound
instead of a proof that no call of an owner ever waits for another one that waits for this."""


class Computing(Waiting):
    """One call's hold on its owner's turn to compute, for one thread; given away while it waits.

    It is no lock around anything: what it protects is other owners' time.
    """

    __slots__ = ("_held", "_lock")

    def __init__(self, lock: threading.Lock) -> None:
        self._lock: threading.Lock | None = lock
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
            self._held = self._lock.acquire(True, RESUME_SECONDS)

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

    An owner runs `share` calls at most and has `waiting` more wait, in turns with other owners.
    """

    def __init__(self, *, requests: int, running: int, share: int, waiting: int) -> None:
        self._requests = Places(requests)
        self._running = Places(running, share)
        self._waiting_share = waiting
        self._queue: FairQueue[QueuedCall] = FairQueue()
        self._computing: dict[str, threading.Lock] = {}
        self._queue_lock = threading.Lock()

    def change(self, *, running: int, share: int) -> None:
        """Other numbers from now on; what runs already is not ended."""
        with self._queue_lock:
            self._running.size, self._running.most = running, share
            queued_calls = self._ready_calls()
        _resume(queued_calls)

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
            if self._queue and self._queue.waiting(call.owner):
                return False
            if not self._running.try_take(call.owner):
                return False
            call.waiting = computing = self._computing_of(call.owner)
        computing.resume()
        return True

    def wait(self, queued: QueuedCall) -> None:
        """Have a call wait for its turn. It is resumed with a state: "running" (`end` must follow
        its `call.waiting.resume()`), "refused" or "withdrawn"."""
        owner = queued.call.owner
        with self._queue_lock:
            if queued.state == "new":
                if self._queue.waiting(owner) >= self._waiting_share:
                    queued.state = "refused"
                else:
                    queued.state = "waiting"
                    self._queue.put(owner, queued)
            queued_calls = [queued] if queued.state != "waiting" else self._ready_calls()
        _resume(queued_calls)

    def withdraw(self, queued: QueuedCall) -> None:
        """Have a call wait no longer: it has been cancelled."""
        with self._queue_lock:
            waits = queued.state == "waiting"
            if waits:
                self._queue.remove(queued.call.owner, queued)
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
            queued_calls = self._ready_calls() if self._queue else None
        if queued_calls:
            _resume(queued_calls)

    def withdraw_late(self) -> None:
        """Cancel the calls whose time is over while they wait."""
        if self._queue:
            with self._queue_lock:
                late = [t for t in self._queue.items() if t.call.remaining() == 0.0]
            for queued in late:
                queued.call.cancel("it waited in vain for its turn, behind others of its owner")

    def _ready_calls(self) -> list[QueuedCall]:
        """The turns that have come; the lock is held."""
        queued_calls: list[QueuedCall] = []
        while (queued := self._queue.pop(self._running.may_take)) is not None:
            self._running.take(queued.call.owner)
            queued.call.waiting = self._computing_of(queued.call.owner)
            queued.state = "running"
            queued_calls.append(queued)
        return queued_calls

    def _computing_of(self, owner: str) -> Computing:
        """For one more call of an owner; the lock is held."""
        lock = self._computing.get(owner)
        if lock is None:
            lock = self._computing[owner] = threading.Lock()
        return Computing(lock)


def _resume(queued_calls: list[QueuedCall]) -> None:
    for queued in queued_calls:
        queued.resume()
