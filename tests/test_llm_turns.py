"""Questions to the model: no owner takes all turns, and the owners take turns in line."""

from __future__ import annotations

import contextlib
import threading

import pytest

from pgmcp.calls.call import Call
from pgmcp.errors import CallEndedError, ModelError
from pgmcp.llm.turns import Turns
from tests.serving import until


class Askers:
    """Threads that hold a turn until they are told to go on."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.began: list[str] = []
        self.go_on: dict[str, threading.Event] = {}
        self._threads: list[threading.Thread] = []

    def ask(self, name: str) -> Call:
        call = Call(60, owner=name[:3])
        self.go_on[name] = threading.Event()

        def ask() -> None:
            with contextlib.suppress(CallEndedError), self.turns.hold(call, 60):
                self.began.append(name)
                self.go_on[name].wait(60)

        before = self.turns.waiting, len(self.began)
        self._threads.append(threading.Thread(target=ask, daemon=True))
        self._threads[-1].start()
        until(lambda: (self.turns.waiting, len(self.began)) != before)
        return call

    def finish(self) -> None:
        for event in self.go_on.values():
            event.set()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()


def test_an_owner_that_asks_all_it_may_leaves_turns_and_the_line_for_others() -> None:
    askers = Askers(Turns(4))
    for number in range(6):
        askers.ask(f"ann {number}")
    assert (len(askers.began), askers.turns.waiting) == (3, 3)
    with pytest.raises(ModelError, match="busy with other questions"):
        askers.turns.hold(Call(60, owner="ann"), 60).__enter__()
    askers.ask("ben 0")
    assert askers.began[-1] == "ben 0"
    askers.ask("ben 1")
    assert askers.turns.waiting == 4
    askers.finish()
    assert askers.turns.waiting == 0
    assert askers.turns._asking.taken == askers.turns._in_line.taken == 0


def test_owners_take_turns_in_line() -> None:
    askers = Askers(Turns(1))
    askers.ask("ann 0")
    askers.turns._in_line.size = 10
    for name in ("ann 1", "ann 2", "ben 0", "joe 0"):
        askers.ask(name)
    for name in ("ann 0", "ann 1", "ben 0", "joe 0"):
        count = len(askers.began)
        askers.go_on[name].set()
        until(lambda count=count: len(askers.began) > count)  # type: ignore[misc]
    assert askers.began == ["ann 0", "ann 1", "ben 0", "joe 0", "ann 2"]
    askers.finish()


def test_who_is_called_off_leaves_the_line_to_the_next() -> None:
    askers = Askers(Turns(1))
    askers.ask("ann 0")
    askers.turns._in_line.size = 10
    gone = askers.ask("ben 0")
    askers.ask("joe 0")
    gone.cancel("gone")
    until(lambda: askers.turns.waiting == 1)
    askers.go_on["ann 0"].set()
    until(lambda: "joe 0" in askers.began)
    askers.finish()
    assert askers.began == ["ann 0", "joe 0"]
    assert askers.turns._asking.taken == askers.turns._in_line.taken == 0
