"""A worker process's line to its parent.

The rule: a question that gets no answer is an error for whoever asked, never a guess; and a worker
that has lost its parent ends, because nobody would tell it who may not come in any more.
"""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pgmcp.errors import OverloadedError
from pgmcp.processes.messages import MessageInbox, WorkerMessage, encode

ANSWER_SECONDS = 10.0
"""How long a question may take: longer than a worker that does not move is waited for."""
_READ_BYTES = 65536


@dataclass(slots=True, eq=False)
class _Question:
    """A question under way. `value` is written once, before `answered` is set."""

    answered: threading.Event = field(default_factory=threading.Event)
    value: Any = None
    lost: bool = True


class Link:
    """The line of worker `number` of `count`, over a connected stream socket.

    `handlers` do what the parent asks for, by its name, in the thread that reads: they are brief.
    What they return goes back where the parent wants to know.
    """

    def __init__(self, sock: socket.socket, number: int, count: int) -> None:
        self.number = number
        self.count = count
        self.handlers: dict[str, Callable[..., Any]] = {}
        self._socket = sock
        self._numbers = itertools.count(1)
        self._questions: dict[int, _Question] = {}
        self._lost = False
        self._reader: threading.Thread | None = None
        self._questions_lock = threading.Lock()
        # A message goes out whole, so this lock is held while writing.
        self._line_lock = threading.Lock()

    def start(self, on_lost: Callable[[], object]) -> None:
        """Begin to listen; `on_lost` is called once when the parent is gone."""
        self._reader = threading.Thread(
            target=self._listen, args=(on_lost,), name="pgmcp-parent", daemon=True
        )
        self._reader.start()

    def ask(self, what: str, *args: Any) -> Any:
        """The parent's answer; OverloadedError when there is none. Not for handlers: the thread
        that runs them is the one that reads the answer."""
        assert threading.current_thread() is not self._reader
        question = _Question()
        with self._questions_lock:
            # Looked at together with the adding: `_end` has seen this question, or this sees that.
            if self._lost:
                raise _unreachable()
            number = next(self._numbers)
            self._questions[number] = question
        try:
            self._send("ask", number, what, *args)
            question.answered.wait(ANSWER_SECONDS)
        finally:
            with self._questions_lock:
                self._questions.pop(number, None)
        if question.lost:
            raise _unreachable()
        return question.value

    def notify(self, text: str) -> None:
        """Pass on what the init system is told."""
        self._send("notify", text)

    def tell_open(self, connections: int) -> None:
        """Tell the parent how many clients are connected here."""
        self._send("open", connections)

    def tell_others(self, what: str, *args: Any) -> None:
        """Have the handler of that name called in every other worker."""
        self._send("others", what, *args)

    def _send(self, *message: Any) -> None:
        data = encode(*message)
        try:
            with self._line_lock:
                self._socket.sendall(data)
        except OSError:
            raise _unreachable() from None

    def _listen(self, on_lost: Callable[[], object]) -> None:
        inbox = MessageInbox()
        try:
            while data := self._read():
                for message in inbox.take(data):
                    self._take(message)
        finally:
            self._end()
            on_lost()

    def _read(self) -> bytes:
        try:
            return self._socket.recv(_READ_BYTES)
        except OSError:
            return b""

    def _take(self, message: WorkerMessage) -> None:
        kind, *rest = message
        if kind == "answer":
            number, value = rest
            question = self._questions.get(number)
            if question is not None:
                question.value, question.lost = value, False
                question.answered.set()
        elif kind == "do":
            number, what, *args = rest
            value = self.handlers[what](*args)
            self._send("said", number, value)
        else:
            what, *args = rest
            self.handlers[what](*args)

    def _end(self) -> None:
        with self._questions_lock:
            self._lost = True
            waiting = list(self._questions.values())
        for question in waiting:
            question.answered.set()


def _unreachable() -> OverloadedError:
    return OverloadedError("the server is stopping, please try again")
