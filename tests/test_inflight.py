"""pgmcp.transport.inflight: a client cancels its own call, and no other."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

from pgmcp.calls.call import Call
from pgmcp.transport.inflight import InFlight


def test_a_call_is_cancelled_by_its_scope_and_id() -> None:
    inflight, call = InFlight(), Call(60.0)
    with inflight.track("alice", 1, call):
        assert inflight.count == 1
        assert not inflight.cancel("bob", 1, "not mine")
        for other in ("1", 2, True, None, [1]):
            assert not inflight.cancel("alice", other, "another id")
        assert "enough" not in repr(call)
        assert inflight.cancel("alice", 1, "enough")
    assert call.cancelled == "enough"
    assert inflight.count == 0
    assert not inflight.cancel("alice", 1, "too late")


def test_two_calls_of_one_id_are_not_told_apart_so_neither_is_cancelled() -> None:
    inflight, first, second = InFlight(), Call(60.0), Call(60.0)
    with inflight.track("alice", 1, first):
        with inflight.track("alice", 1, second):
            assert not inflight.cancel("alice", 1, "which?")
        assert inflight.cancel("alice", 1, "the one left")
    assert (first.cancelled, second.cancelled) == ("the one left", None)


def test_a_call_is_forgotten_when_its_block_fails() -> None:
    inflight = InFlight()
    try:
        with inflight.track("alice", 1, Call(60.0)):
            raise RuntimeError
    except RuntimeError:
        pass
    assert inflight.count == 0


def test_all_are_cancelled_and_waited_for() -> None:
    inflight, calls = InFlight(), [Call(60.0), Call(60.0)]
    ready = threading.Barrier(3)

    def run(call: Call) -> None:
        ended = threading.Event()
        with inflight.track("alice", 1, call), call.on_cancel(ended.set):
            ready.wait(30.0)
            ended.wait(30.0)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    ready.wait(30.0)
    assert not inflight.wait_empty(0.01)
    assert inflight.cancel_all("stopping") == 2
    started = time.monotonic()
    assert inflight.wait_empty(30.0)
    assert time.monotonic() - started < 15.0
    for thread in threads:
        thread.join()
    assert [call.cancelled for call in calls] == ["stopping", "stopping"]


def test_every_call_with_a_credential_that_ended_is_cancelled_and_no_other() -> None:
    inflight = InFlight()
    calls = [Call(60.0, key=f"token:{number}") for number in (1, 1, 2, 3)]
    for number, call in enumerate(calls):
        inflight.begin(call.key, number, call)
    inflight.cancel_keys({f"token:{number}": f"removed {number}" for number in range(3, 20_000)})
    assert [call.cancelled for call in calls] == [None, None, None, "removed 3"]
    inflight.cancel_keys({"token:1": "expired"})
    assert [call.cancelled for call in calls] == ["expired", "expired", None, "removed 3"]


def test_a_credential_that_ends_takes_along_the_calls_of_those_that_were_made_of_it() -> None:
    inflight = InFlight()
    calls = {
        key: Call(60.0, key=key, owner=owner)
        for key, owner in (
            ("token:a", "token:a"),
            ("narrowed:token:a:1", "token:a"),
            ("token:b", "token:b"),
            ("session:ann:1", "user:ann"),
        )
    }
    for number, (key, call) in enumerate(calls.items()):
        inflight.begin(key, number, call)
    inflight.cancel_keys({"token:a": "token removed"})
    inflight.cancel_keys({"session:ann:2": "logged out"})
    assert [call.cancelled for call in calls.values()] == ["token removed"] * 2 + [None] * 2


def test_calls_end_with_credentials_that_end_by_themselves() -> None:
    inflight, now = InFlight(), datetime(2026, 11, 28, tzinfo=UTC)
    calls = [Call(60.0, expires_at=moment) for moment in (None, now, now + timedelta(seconds=1))]
    for number, call in enumerate(calls):
        inflight.begin("alice", number, call)
    inflight.cancel_expired(now)
    assert [call.cancelled for call in calls] == [None, "token expired", None]
