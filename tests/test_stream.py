"""A held answer as values: what waits, what ends it, and who is told."""

from __future__ import annotations

from pgmcp.calls.stream import WAITING_BYTES, Stream


def test_as_much_as_the_limit_waits_each_time_that_the_client_has_taken_all() -> None:
    stream = Stream()
    for _ in range(2):
        assert stream.send(b"x" * (WAITING_BYTES - 1))
        assert stream.send(b"y")
        waiting, last = stream.take()
        assert (sum(map(len, waiting)), last) == (WAITING_BYTES, None)
        assert not stream.ready


def test_a_byte_more_than_the_limit_ends_it_and_tells_its_feature_once() -> None:
    told: list[bool] = []
    stream = Stream(lambda: told.append(stream.closed))
    assert stream.send(b"x" * WAITING_BYTES)
    assert not stream.send(b"y")
    assert not stream.send(b"")
    stream.close()
    assert told == [True]
    assert stream.ready
    assert stream.take() == ([], None)


def test_the_first_result_ends_it_after_what_waits() -> None:
    stream = Stream()
    stream.send(b"a")
    stream.end("first")
    stream.end("second")
    assert not stream.send(b"b")
    assert stream.ready
    assert stream.take() == ([b"a"], ("first",))
    assert not stream.closed


def test_no_result_comes_after_its_client_is_gone() -> None:
    stream = Stream()
    stream.close()
    stream.end("late")
    assert stream.take() == ([], None)


def test_each_message_the_end_and_a_lag_wake_the_transport() -> None:
    woken: list[bool] = []
    stream = Stream()
    stream.send(b"before")
    stream.attach(lambda: woken.append(stream.ready))
    stream.send(b"x")
    stream.send(b"y" * WAITING_BYTES)
    assert woken == [True, True]
    other = Stream()
    other.attach(lambda: woken.append(other.ready))
    other.end(None)
    assert woken == [True, True, True]
