"""The threads that serve: who waits for whom, and what is reported how often."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from queue import Queue
from threading import Event
from typing import TypeVar

import pytest

from pgmcp.net.polling import READ, Ready, new_poll
from pgmcp.transport.connection import Wait
from pgmcp.transport.parking import Parking
from pgmcp.transport.readiness import Readiness, Selector, readiness
from pgmcp.transport.workers import HOLD_SECONDS, HOLDS_SKIPPED, WorkerPool
from tests.serving import until

T = TypeVar("T")


class Looks:
    """A poll that says how long each of its looks might take, in milliseconds."""

    def __init__(self, sock: socket.socket) -> None:
        self._poll = new_poll()
        self._poll.register(sock.fileno(), READ)
        self.looks: list[float] = []

    def register(self, descriptor: int, events: int) -> None:
        self._poll.register(descriptor, events)

    def poll(self, milliseconds: float) -> Ready:
        self.looks.append(milliseconds)
        return self._poll.poll(milliseconds)


class Threads:
    """A pool whose items are functions that it calls, and whoever watches it."""

    def __init__(self, *, size: int = 9, limit: int = 9) -> None:
        self.source = Parking[Callable[[], None]]()
        self.watched = 0
        self.pool = WorkerPool[Callable[[], None]](
            self.source,
            lambda item: item(),
            lambda _: "owner",
            name="test",
            size=size,
            limit=limit,
            idle_seconds=60.0,
            wake_watcher=self._watch,
        )

    def run(self, work: Callable[[], T]) -> Queue[T]:
        """Have a thread of the pool do this; what it says comes in the queue."""
        answer: Queue[T] = Queue()
        self.pool.put(lambda: answer.put(work()))
        return answer

    def wait(self, near: socket.socket, seconds: float = 60.0) -> tuple[bool, list[float]]:
        """Wait for a socket, in the thread that calls: whether it can be read, and the looks."""
        poll = Looks(near)
        return bool(self.pool.until_readable(poll, [near.fileno()], seconds)), poll.looks

    def read(self, near: socket.socket) -> Queue[bytes]:
        """Have a thread wait for a socket and read it."""

        def work() -> bytes:
            assert self.wait(near)[0]
            return near.recv(9)

        return self.run(work)

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

    def _watch(self) -> None:
        self.watched += 1

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.pool.stop(60.0)
        self.source.close()


def test_one_thread_works_on_all_that_blocks_nobody() -> None:
    with Threads() as threads:
        assert [threads.run(partial(int, n)).get(timeout=60) for n in range(50)] == list(range(50))
        assert len(threads.pool) == 1


def test_a_thread_that_waits_for_a_descriptor_leads_until_another_has_something_to_do() -> None:
    near, far = socket.socketpair()
    with Threads() as threads, near, far:
        far.send(b"early")
        assert threads.read(near).get(timeout=60) == b"early"
        assert len(threads.pool) == 1
        answer = threads.read(near)
        assert threads.run(lambda: 1).get(timeout=60) == 1  # by a second thread, which then leads
        assert len(threads.pool) == 2
        assert answer.empty()
        far.send(b"late")
        assert answer.get(timeout=60) == b"late"


def test_the_leader_waits_by_itself_first_unless_that_was_in_vain_lately() -> None:
    near, far = socket.socketpair()
    with Threads() as threads, near, far:
        hold = HOLD_SECONDS * 1000

        def looks(seconds: float) -> list[float]:
            return threads.run(lambda: threads.wait(near, seconds)[1]).get(timeout=60)

        assert looks(0.002) == [hold, 0]
        assert [looks(0.001) for _ in range(HOLDS_SKIPPED)] == [[0]] * HOLDS_SKIPPED
        far.send(b"x")
        assert looks(60) == [hold]  # again, and with success: nobody else was asked
        assert looks(60) == [hold]


def test_with_one_thread_in_all_a_wait_still_ends() -> None:
    near, far = socket.socketpair()
    with Threads(size=1, limit=1) as threads, near, far:
        answer, other = threads.read(near), threads.run(lambda: 1)
        until(lambda: threads.pool.taken)
        far.send(b"x")
        assert (answer.get(timeout=60), other.get(timeout=60)) == (b"x", 1)


def test_a_wait_ends_with_its_time_whether_its_thread_leads_or_not() -> None:
    near, far = socket.socketpair()
    with Threads() as threads, near, far:
        assert threads.run(lambda: threads.wait(near, 0.01)[0]).get(timeout=60) is False
        answer = threads.run(lambda: threads.wait(near, 0.2)[0])
        go_on = Event()
        threads.hold(go_on)
        assert answer.get(timeout=60) is False
        go_on.set()


def test_nobody_watches_a_leader_for_whom_nobody_waits() -> None:
    near, far = socket.socketpair()
    with Threads() as threads, near, far:

        def ask() -> None:
            """As one client does: park, be ready, be worked on, again and again."""
            done = Event()
            threads.source.park(near.fileno(), done.set, Wait(float("inf")))
            far.send(b"x")
            assert done.wait(60)
            near.recv(9)

        threads.run(lambda: None).get(timeout=60)
        until(lambda: not threads.pool.replace_stalled_leader())
        before = threads.watched
        for _ in range(20):
            ask()
        assert threads.watched == before
        other, silent = socket.socketpair()
        with other, silent:
            threads.source.park(other.fileno(), lambda: None, Wait(float("inf")))
            ask()
            until(lambda: threads.watched == before + 1)
            assert threads.source.take_all()


@pytest.mark.parametrize("blocks", [True, False])
def test_a_leader_that_blocks_or_computes_for_long_loses_the_lead(blocks: bool) -> None:
    near, far = socket.socketpair()
    with Threads() as threads, near, far:
        threads.source.park(near.fileno(), lambda: None, Wait(float("inf")))  # another client
        go_on = Event()
        held = threads.hold(go_on, threads.pool.block if blocks else lambda: None)
        answer = threads.run(lambda: 1)
        until(lambda: (blocks or threads.pool.replace_stalled_leader()) and not answer.empty())
        assert held.empty()
        go_on.set()
        assert held.get(timeout=60)
        assert threads.source.take_all()


def test_a_leader_that_blocks_keeps_the_lead_while_there_is_nobody_else() -> None:
    with Threads() as threads:
        go_on = Event()
        held = threads.hold(go_on, threads.pool.block)
        assert len(threads.pool) == 1
        answer = threads.run(lambda: 1)
        until(lambda: threads.pool.replace_stalled_leader() and not answer.empty())
        go_on.set()
        assert held.get(timeout=60)


def test_a_thread_outside_the_pool_waits_by_itself() -> None:
    with Threads() as threads:
        near, far = socket.socketpair()
        with near, far:
            assert threads.wait(near, 0.0) == (False, [0])
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
