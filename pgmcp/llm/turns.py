"""How many may ask at once, and how many more may wait to.

The rule: nobody waits longer than the own deadline, nor in a line that would not move.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pgmcp.calls.call import Call
from pgmcp.errors import ModelError


class Turns:
    """`most` at once, and as many more in line: each waits with a thread that could serve others.

    `waiting` is how many are in line.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0
        self.waiting = 0
        self._turn = threading.Condition()

    @contextmanager
    def one(self, call: Call, seconds: float) -> Iterator[None]:
        """Hold a turn. ModelError when none comes within `seconds`; CallEndedError."""
        with call.on_cancel(self._look_again):
            self._take(call, seconds)
        try:
            yield
        finally:
            with self._turn:
                self._taken -= 1
                self._turn.notify_all()

    def _take(self, call: Call, seconds: float) -> None:
        with self._turn:
            if self._taken >= self._most:
                if self.waiting >= self._most:
                    raise _busy()
                self.waiting += 1
                try:
                    self._turn.wait_for(
                        lambda: self._taken < self._most or call.cancelled is not None, seconds
                    )
                finally:
                    self.waiting -= 1
                if call.cancelled is not None:
                    call.check()
                if self._taken >= self._most:
                    raise _busy()
            self._taken += 1

    def _look_again(self) -> None:
        with self._turn:
            self._turn.notify_all()


def _busy() -> ModelError:
    return ModelError(
        "the model is busy with other questions", "Ask again later, or write the SQL."
    )
