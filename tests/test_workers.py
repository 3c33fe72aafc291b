"""The threads that serve: who waits for whom, and what is reported how often."""

from __future__ import annotations

import socket
from collections.abc import Callable
from queue import Queue
from threading import Event

import pytest

from pgmcp.transport.readiness import Readiness, Selector, readiness
from pgmcp.transport.workers import LINGER_SECONDS, WorkerPool


def test_a_thread_waits_for_a_client_that_came_twice_in_a_row_and_for_none_beside_others() -> None:
    asked: list[float] = []
    answers: Queue[tuple[str, bool]] = Queue()

    def is_readable_within(seconds: float) -> bool:
        asked.append(seconds)
        return not pool.linger(latest[0], is_readable_within)  # another thread may not, meanwhile

    def work(item: str) -> None:
        latest[0] = item
        answers.put((item, pool.linger(item, is_readable_within)))

    latest = [""]
    pool = WorkerPool[str](work, lambda item: item, name="test", size=1, limit=1, idle_seconds=60.0)

    def lingers(item: str) -> bool:
        pool.put(item)
        worked_on, lingered = answers.get(timeout=60)
        assert worked_on == item
        return lingered

    # The literals are one object each: a connection's handler is one for all of its requests.
    try:
        assert [lingers(item) for item in ("a", "a", "a")] == [False, True, True]
        assert asked == [LINGER_SECONDS] * 2
        assert [lingers(item) for item in ("b", "a", "b", "a")] == [False] * 4
        assert [lingers(item) for item in ("a", "b", "b")] == [True, False, True]
        assert len(asked) == 4
    finally:
        assert pool.stop(60.0)


def test_a_thread_waits_for_no_client_while_others_wait_for_it() -> None:
    pool: WorkerPool[str]
    first, second = Event(), Event()
    answers: Queue[bool] = Queue()

    def work(item: str) -> None:
        if item == "a":
            first.set()
            assert second.wait(60)
        answers.put(pool.linger(item, lambda _: True))

    pool = WorkerPool[str](work, lambda item: item, name="test", size=1, limit=1, idle_seconds=60.0)
    try:
        second.set()
        pool.put("a")
        assert answers.get(timeout=60) is False
        first.clear()
        second.clear()
        pool.put("a")
        assert first.wait(60)
        pool.put("b")
        second.set()
        assert [answers.get(timeout=60) for _ in "ab"] == [False, False]
    finally:
        second.set()
        assert pool.stop(60.0)


@pytest.mark.parametrize("make", [readiness, Selector])
def test_what_is_armed_is_reported_once_and_what_is_kept_always(
    make: Callable[[], Readiness],
) -> None:
    ready = make()
    (near, far), (kept, other) = socket.socketpair(), socket.socketpair()
    with near, far, kept, other:
        ready.keep(kept.fileno())
        ready.arm(near.fileno(), write=False)
        assert ready.wait(0) == []
        far.send(b"x")
        assert ready.wait(10) == [near.fileno()]
        assert ready.wait(0) == []
        other.send(b"x")
        assert ready.wait(10) == ready.wait(10) == [kept.fileno()]
        ready.arm(near.fileno(), write=True)  # again, for something else
        assert sorted(ready.wait(10)) == sorted([near.fileno(), kept.fileno()])
        ready.arm(near.fileno(), write=False)
        ready.drop(near.fileno())
        ready.drop(near.fileno())
        ready.drop(kept.fileno())
        assert ready.wait(0) == []
        ready.close()
