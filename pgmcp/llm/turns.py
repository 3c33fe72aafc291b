"""How many may ask at once, and how many more may wait to.

The rule: nobody waits longer than the own deadline, nor in a line that would not move, and no owner
takes all turns or the whole line.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pgmcp.calls.call import Call
from pgmcp.calls.shares import FairQueue, Places
from pgmcp.errors import ModelError


class Turns:
    """`most` at once, and as many more in line: each waits with a thread that could serve others.

    `waiting` is how many are in line. Of both an owner has its share, and the owners take turns.
    """

    def __init__(self, most: int) -> None:
        self._asking = Places(most)
        self._in_line = Places(most)
        self._line: FairQueue[str, tuple[str, threading.Event]] = FairQueue()
        self._turns_lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many are in line."""
        return len(self._line)

    @contextmanager
    def hold(self, call: Call, seconds: float) -> Iterator[None]:
        """Hold a turn. ModelError when none comes within `seconds`; CallEndedError."""
        self._take(call, seconds)
        try:
            yield
        finally:
            with self._turns_lock:
                self._asking.give_back(call.owner)
                self._next()

    def _take(self, call: Call, seconds: float) -> None:
        woken = threading.Event()
        with self._turns_lock:
            if not self._line.waiting(call.owner) and self._asking.try_take(call.owner):
                return
            if not self._in_line.try_take(call.owner):
                raise _busy()
            self._line.put(call.owner, (call.owner, woken))
        with call.on_cancel(woken.set):
            woken.wait(seconds)
        with self._turns_lock:
            self._in_line.give_back(call.owner)
            # Out of the line under the lock: who gave up can never be given a turn.
            gave_up = self._line.remove(call.owner, (call.owner, woken))
            if not gave_up and call.cancelled is not None:
                self._asking.give_back(call.owner)
                self._next()
        if call.cancelled is not None:
            call.check()
        if gave_up:
            raise _busy()

    def _next(self) -> None:
        """Have those go on whose turn has come; the lock is held."""
        may_ask = self._asking.may_take
        while (following := self._line.pop(may_ask)) is not None:
            owner, woken = following
            self._asking.take(owner)
            woken.set()


def _busy() -> ModelError:
    return ModelError(
        "the model is busy with other questions", "Ask again later, or write the SQL."
    )
