"""The threads that serve: who waits for whom, and what is reported how often."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from pgmcp.transport.readiness import Readiness, Selector, readiness
from pgmcp.transport.workers import LINGER_SECONDS, WorkerPool


def test_one_thread_waits_for_its_client_and_none_while_others_wait() -> None:
    pool = WorkerPool[str](
        lambda _: None, lambda item: item, name="test", size=0, limit=0, idle_seconds=1.0
    )
    asked: list[float] = []

    def comes_soon(seconds: float) -> bool:
        asked.append(seconds)
        return not pool.linger(comes_soon)  # another thread may not, meanwhile

    assert pool.linger(comes_soon)
    assert pool.linger(comes_soon)
    assert asked == [LINGER_SECONDS] * 2
    pool.put("somebody else")
    assert not pool.linger(comes_soon)
    assert len(asked) == 2


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
