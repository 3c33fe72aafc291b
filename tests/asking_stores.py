"""The stores of worker processes, with their parent's broker in this process."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from pgmcp.processes.broker import Broker, Outgoing
from pgmcp.stores.asking import AskingLimitStore, AskingSessionStore, AskingUsageStore


class Parent:
    """A broker, and workers of which each has one store."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.broker = Broker(clock=clock)
        self.handlers: dict[int, Callable[[Any], None]] = {}
        self.answers: dict[int, Any] = {}
        self._numbers = itertools.count(1)
        # The broker has one thread.
        self._broker_lock = threading.RLock()

    def sessions(self) -> AskingSessionStore:
        """The session store of one more worker."""
        worker = next(self._numbers)
        store = AskingSessionStore(self._asking(worker))
        self.handlers[worker] = store.forget
        return store

    def limits(self) -> AskingLimitStore:
        """The limit store of one more worker."""
        return AskingLimitStore(self._asking(next(self._numbers)), "tests")

    def usage(self) -> AskingUsageStore:
        """The store of usage of one more worker."""
        return AskingUsageStore(self._asking(next(self._numbers)))

    def _asking(self, worker: int) -> Callable[..., Any]:
        self.broker.join(worker)

        def ask(what: str, *args: Any) -> Any:
            with self._broker_lock:
                number = next(self._numbers)
                self._deliver(self.broker.take(worker, ["ask", number, what, *_sent(args)]))
                return _sent(self.answers.pop(number))

        return ask

    def _deliver(self, messages: Outgoing) -> None:
        waiting = deque(messages)
        while waiting:
            worker, (kind, number, *rest) = waiting.popleft()
            if kind == "answer":
                self.answers[number] = rest[0]
            else:
                assert (kind, rest[0]) == ("do", "removed")
                if worker in self.handlers:
                    self.handlers[worker](_sent(rest[1]))
                waiting.extend(self.broker.take(worker, ["said", number, None]))


def _sent(value: Any) -> Any:
    """A value after its way through a message."""
    return json.loads(json.dumps(value))
