"""What worker processes have in common, kept by their parent: sessions, counts of failed attempts,
usage of budgets, numbers, and questions to all of them.

The rule: it decides and does no I/O. A message of a worker comes in, and messages for workers come
out. What ends a session is answered only once every worker knows it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from pgmcp.auth.limiter import LimitStore
from pgmcp.metrics import combine
from pgmcp.processes.messages import WorkerMessage
from pgmcp.stores.memory import MemoryLimitStore
from pgmcp.stores.usage import MemoryUsageStore

Outgoing = list[tuple[int, WorkerMessage]]
"""Messages for workers, each with the worker's number."""

LATE_SECONDS = 5.0
"""How long a worker may take to do what all workers are asked for. One that takes longer might let
in who has been shut out."""


@dataclass(slots=True)
class _Round:
    """A question to several workers. `waiting` are those that have not said anything yet."""

    waiting: set[int]
    finish: Callable[[], Outgoing]
    began: float


class Broker:
    """The common state of the workers. `numbers` gives the parent's own numbers, packed."""

    def __init__(
        self,
        numbers: Callable[[], list[Any]] = list,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._numbers = numbers
        self._clock = clock
        self._workers: set[int] = set()
        self._sessions: dict[str, list[Any]] = {}
        self._version = 0
        self._limits: dict[str, LimitStore] = {}
        self._usage = MemoryUsageStore(clock=clock)
        self._rounds: dict[int, _Round] = {}
        self._last_round = 0
        self._counted: dict[int, list[Any]] = {}
        self._counted_by_ended: list[Any] = []
        self._stopped: list[list[Any]] = []
        self._answers: dict[str, Callable[..., Any]] = {
            "session": self._sessions.get,
            "session add": self._add,
            "sessions": self._list,
            "session count": lambda: len(self._sessions),
            "limit": self._limit,
            "stopped credentials": lambda: self._stopped,
        }

    @property
    def sessions(self) -> int:
        """How many sessions there are."""
        return len(self._sessions)

    def join(self, worker: int) -> None:
        """A worker is there."""
        self._workers.add(worker)

    def leave(self, worker: int) -> Outgoing:
        """A worker is gone: nobody waits for it, and what it counted stays."""
        self._workers.discard(worker)
        self._usage.not_saved(worker)
        if worker in self._counted:
            lasting = [self._counted_by_ended, combine.lasting(self._counted.pop(worker))]
            self._counted_by_ended = combine.pack(combine.combined(lasting))
        out: Outgoing = []
        for number, going_round in list(self._rounds.items()):
            out += self._heard(number, going_round, worker)
        return [(to, message) for to, message in out if to in self._workers]

    def take(self, worker: int, message: WorkerMessage) -> Outgoing:
        """What follows from a worker's message; ValueError or KeyError for none of ours."""
        kind, *rest = message
        if kind == "ask":
            number, what, *args = rest
            return self._ask(worker, number, what, args)
        if kind == "said":
            number, value = rest
            going_round = self._rounds[number]
            if value is not None:
                self._counted[worker] = value
            return self._heard(number, going_round, worker)
        if kind == "others":
            return self._to(self._workers - {worker}, "tell", *rest)
        raise ValueError(f"no message of a worker: {kind!r}")

    def late(self) -> set[int]:
        """The workers that others have waited for too long."""
        until = self._clock() - LATE_SECONDS
        return {w for r in self._rounds.values() if r.began < until for w in r.waiting}

    def _ask(self, worker: int, number: int, what: str, args: list[Any]) -> Outgoing:
        if what == "session remove":
            return self._remove(worker, number, *args)
        if what == "stop credential":
            return self._stop(worker, number, args)
        if what == "numbers":
            self._counted[worker] = args[0]
            finish = partial(self._count, worker, number)
            return self._begin(self._workers - {worker}, finish, "numbers")
        if what == "usage":
            return [(worker, ["answer", number, self._count_usage(worker, *args)])]
        return [(worker, ["answer", number, self._answers[what](*args)])]

    # -- sessions ----------------------------------------------------------------------------------

    def _add(self, hashed: str, session: list[Any]) -> None:
        self._sessions[hashed] = session
        self._version += 1

    def _list(self, version: int) -> list[Any]:
        """The version, and the sessions unless they are of `version`."""
        same = version == self._version
        return [self._version, None if same else list(self._sessions.values())]

    def _remove(self, worker: int, number: int, reasons: dict[str, str]) -> Outgoing:
        removed = [
            [session, reason]
            for hashed, reason in reasons.items()
            if (session := self._sessions.pop(hashed, None)) is not None
        ]
        answer: Outgoing = [(worker, ["answer", number, bool(removed)])]
        if not removed:
            return answer
        self._version += 1
        return self._begin(self._workers, lambda: answer, "removed", removed)

    def _stop(self, worker: int, number: int, stop: list[Any]) -> Outgoing:
        """Have all others stop a credential; who joins later asks for those that no file names."""
        *_, written = stop
        if not written:
            self._stopped.append(stop)
        answer: Outgoing = [(worker, ["answer", number, None])]
        return self._begin(self._workers - {worker}, lambda: answer, "stop credential", *stop)

    # -- attempts ----------------------------------------------------------------------------------

    def _limit(self, name: str, method: str, *args: Any) -> Any:
        store = self._limits.get(name)
        if store is None:
            store = self._limits[name] = MemoryLimitStore(clock=self._clock)
        calls: dict[str, Callable[..., Any]] = {
            "ages": store.ages,
            "count": store.count,
            "forget latest": store.forget_latest,
            "mark": store.mark,
            "keys": store.__len__,
        }
        return calls[method](*args)

    def _count_usage(self, worker: int, method: str, *args: Any) -> Any:
        store = self._usage
        calls: dict[str, Callable[..., Any]] = {
            "begin": store.begin,
            "take": store.take,
            "unsaved": lambda: store.unsaved(worker),
            "saved": lambda day, totals: store.saved(day, totals, worker),
            "not saved": lambda: store.not_saved(worker),
            "unknown": store.unknown,
        }
        return calls[method](*args)

    # -- rounds ------------------------------------------------------------------------------------

    def _count(self, worker: int, number: int) -> Outgoing:
        numbers = [self._numbers(), self._counted_by_ended, *self._counted.values()]
        return [(worker, ["answer", number, numbers])]

    def _begin(
        self, workers: Iterable[int], finish: Callable[[], Outgoing], *what: Any
    ) -> Outgoing:
        """Ask workers, and `finish` when all have said something or are gone."""
        waiting = set(workers)
        if not waiting:
            return finish()
        self._last_round += 1
        self._rounds[self._last_round] = _Round(waiting, finish, self._clock())
        return self._to(waiting, "do", self._last_round, *what)

    def _heard(self, number: int, going_round: _Round, worker: int) -> Outgoing:
        going_round.waiting.discard(worker)
        if going_round.waiting:
            return []
        del self._rounds[number]
        return going_round.finish()

    def _to(self, workers: Iterable[int], *message: Any) -> Outgoing:
        return [(worker, list(message)) for worker in workers]
