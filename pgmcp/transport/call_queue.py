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

    __slots__ = ("_held", "_turn")

    def __init__(self, turn: threading.Lock) -> None:
        self._turn: threading.Lock | None = turn
        self._held = False

    def pause(self) -> None:
        """Let other calls of the owner compute."""
        if self._held:
            self._held = False
            if self._turn is not None:
                self._turn.release()

    def resume(self) -> None:
        """Compute again, as soon as no other call of the owner does."""
        if self._turn is not None and not self._held:
            self._held = self._turn.acquire(True, RESUME_SECONDS)

    def stop(self) -> None:
        """Let other calls of the owner compute, for good: a connection may wait later."""
        self.pause()
        self._turn = None


@dataclass(slots=True, eq=False)
class Turn:
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
        self._queue: FairQueue[Turn] = FairQueue()
        self._computing: dict[str, threading.Lock] = {}
        self._queue_lock = threading.Lock()

    def change(self, *, running: int, share: int) -> None:
        """Other numbers from now on; what runs already is not ended."""
        with self._queue_lock:
            self._running.size, self._running.most = running, share
            turns = self._next_turns()
        _resume(turns)

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return len(self._queue)

    # -- requests ----------------------------------------------------------------------------------

    def come_in(self, owner: str) -> None:
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

    def wait(self, turn: Turn) -> None:
        """Have a call wait for its turn. It is resumed with a state: "running" (`end` must follow
        its `call.waiting.resume()`), "refused" or "withdrawn"."""
        owner = turn.call.owner
        with self._queue_lock:
            if turn.state == "new":
                if self._queue.waiting(owner) >= self._waiting_share:
                    turn.state = "refused"
                else:
                    turn.state = "waiting"
                    self._queue.put(owner, turn)
            turns = [turn] if turn.state != "waiting" else self._next_turns()
        _resume(turns)

    def withdraw(self, turn: Turn) -> None:
        """Have a call wait no longer: it has been cancelled."""
        with self._queue_lock:
            waits = turn.state == "waiting"
            if waits:
                self._queue.remove(turn.call.owner, turn)
            if waits or turn.state == "new":
                turn.state = "withdrawn"
        if waits:  # a new one is not in the queue yet: `wait` resumes it
            turn.resume()

    def end(self, call: Call) -> None:
        """Have a call's place go to the next one in turn."""
        call.waiting.stop()
        with self._queue_lock:
            if not self._running.give_back(call.owner):
                del self._computing[call.owner]
            turns = self._next_turns() if self._queue else None
        if turns:
            _resume(turns)

    def withdraw_late(self) -> None:
        """Cancel the calls whose time is over while they wait."""
        if self._queue:
            with self._queue_lock:
                late = [t for t in self._queue.items() if t.call.remaining() == 0.0]
            for turn in late:
                turn.call.cancel("it waited in vain for its turn, behind others of its owner")

    def _next_turns(self) -> list[Turn]:
        """The turns that have come; the lock is held."""
        turns: list[Turn] = []
        while (turn := self._queue.pop(self._running.may_take)) is not None:
            self._running.take(turn.call.owner)
            turn.call.waiting = self._computing_of(turn.call.owner)
            turn.state = "running"
            turns.append(turn)
        return turns

    def _computing_of(self, owner: str) -> Computing:
        """For one more call of an owner; the lock is held."""
        turn = self._computing.get(owner)
        if turn is None:
            turn = self._computing[owner] = threading.Lock()
        return Computing(turn)


def _resume(turns: list[Turn]) -> None:
    for turn in turns:
        turn.resume()
