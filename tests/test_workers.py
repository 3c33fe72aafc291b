"""The threads that serve: who waits for whom, and what is reported how often."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from queue import Queue
from threading import Event
from typing import TypeVar

import pytest

from pgmcp.transport.parking import Parking
from pgmcp.transport.readiness import Readiness, Selector, readiness
from pgmcp.transport.workers import WorkerPool
from tests.serving import until

T = TypeVar("T")


class Threads:
    """A pool whose items are functions that it calls, and whoever watches it."""

    def __init__(self, *, size: int = 9, limit: int = 9) -> None:
        self._source = Parking[Callable[[], None]]()
        self.pool = WorkerPool[Callable[[], None]](
            self._source,
            lambda item: item(),
            lambda _: "owner",
            name="test",
            size=size,
            limit=limit,
            idle_seconds=60.0,
            wake_watcher=lambda: None,
        )

    def run(self, work: Callable[[], T]) -> Queue[T]:
        """Have a thread of the pool do this; what it says comes in the queue."""
        answer: Queue[T] = Queue()
        self.pool.put(lambda: answer.put(work()))
        return answer

    def read(self, near: socket.socket) -> Queue[tuple[bool, bytes]]:
        """Have a thread wait for a socket and read it."""
        return self.run(lambda: (self.pool.wait_for([near.fileno()], 60.0), near.recv(9)))

    def hold(self, go_on: Event, first: Callable[[], object] = lambda: None) -> Queue[bool]:
        """Have a thread do `first` and be at work until `go_on`; it is by then."""
        began = Event()

        def work() -> bool:
            first()
            began.set()
            return go_on.wait(60)

        held = self.run(work)
        assert began.wait(60)
        return held

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.pool.stop(60.0)
        self._source.close()


def test_one_thread_works_on_all_that_blocks_nobody() -> None:
    with Threads() as threads:
        assert [threads.run(partial(int, n)).get(timeout=60) for n in range(50)] == list(range(50))
        assert len(threads.pool) == 1


def test_a_thread_that_waits_for_a_descriptor_leads_until_another_has_something_to_do() -> None:
    near, far = socket.socketpair()
    with Threads() as threads, near, far:
        far.send(b"early")
        assert threads.read(near).get(timeout=60) == (True, b"early")
        assert len(threads.pool) == 1
        answer = threads.read(near)
        assert threads.run(lambda: 1).get(timeout=60) == 1  # by a second thread, which then leads
        assert len(threads.pool) == 2
        assert answer.empty()
        far.send(b"late")
        assert answer.get(timeout=60) == (True, b"late")


def test_with_one_thread_in_all_a_wait_still_ends() -> None:
    near, far = socket.socketpair()
    with Threads(size=1, limit=1) as threads, near, far:
        answer, other = threads.read(near), threads.run(lambda: 1)
        until(lambda: threads.pool.taken)
        far.send(b"x")
        assert (answer.get(timeout=60), other.get(timeout=60)) == ((True, b"x"), 1)


def test_a_wait_ends_with_its_time_whether_its_thread_leads_or_not() -> None:
    near, far = socket.socketpair()
    with Threads() as threads, near, far:
        wait_for = threads.pool.wait_for
        assert threads.run(lambda: wait_for([near.fileno()], 0.01)).get(timeout=60)
        answer = threads.run(lambda: wait_for([near.fileno()], 0.2))
        go_on = Event()
        threads.hold(go_on)
        assert answer.get(timeout=60) is True
        go_on.set()


@pytest.mark.parametrize("blocks", [True, False])
def test_a_leader_that_blocks_or_computes_for_long_loses_the_lead(blocks: bool) -> None:
    with Threads() as threads:
        go_on = Event()
        held = threads.hold(go_on, threads.pool.block if blocks else lambda: None)
        answer = threads.run(lambda: 1)
        until(lambda: (blocks or threads.pool.replace_stalled_leader()) and not answer.empty())
        assert held.empty()
        go_on.set()
        assert held.get(timeout=60)


def test_a_thread_outside_the_pool_waits_by_itself() -> None:
    with Threads() as threads:
        assert threads.pool.wait_for([0], 60.0) is False
        threads.pool.block()
        threads.pool.unblock()


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
