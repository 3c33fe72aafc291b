"""Bodies, counted and chunked: complete, limited, and not a byte more than theirs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmcp.errors import HttpError, ParseError
from pgmcp.transport.body import Body
from pgmcp.transport.head import CHUNKED


def feed(data: bytes, length: int = CHUNKED, limit: int = 1000, step: int = 0) -> bytes | None:
    """The body in `data`, fed whole or `step` bytes at a time."""
    body, buffer = Body(length, limit), bytearray()
    for start in range(0, len(data), step or len(data) or 1):
        buffer += data[start : start + (step or len(data))]
        if body.feed(buffer):
            return bytes(body.take())
    return None


def test_a_counted_body_leaves_the_next_request() -> None:
    buffer = bytearray(b"{}POST")
    body = Body(2, 10)
    assert body.feed(buffer)
    assert body.take() == b"{}"
    assert buffer == b"POST"


def test_chunks_are_joined_and_the_next_request_is_left() -> None:
    buffer = bytearray(b"3\r\nabc\r\n0A;ext=1\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nPOST")
    body = Body(CHUNKED, 100)
    assert body.feed(buffer)
    assert body.take() == b"abc0123456789"
    assert buffer == b"POST"


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"x\r\n",
        b"-1\r\n",
        b"0x1\r\n",
        b" 1\r\n",
        b"11111111111111111\r\n",
        b"1\nab",
        b"1\r\nabc",
        b"1\r\r\n",
        b"1;\x00\r\n",
        b"1" * 5000,
        b"0\r\n" + b"a: b\r\n" * 200_000,
    ],
)
def test_broken_chunks_are_refused(data: bytes) -> None:
    with pytest.raises(HttpError) as caught:
        feed(data)
    assert caught.value.status == 400


def test_ten_megabytes_in_chunks_of_one_byte_are_refused_early() -> None:
    with pytest.raises(HttpError, match="small chunks"):
        feed(b"1\r\nx\r\n" * 2_000_000, limit=10_000_000)


def test_chunks_of_one_byte_take_few_steps_until_they_are_refused() -> None:
    body = Body(CHUNKED, 65_536)
    with pytest.raises(HttpError, match="small chunks"):
        body.feed(bytearray(b"1\r\nx\r\n" * 10_000))
    assert len(body) < 1500


def test_small_messages_may_come_in_chunks_of_one_byte() -> None:
    assert feed(b"1\r\nx\r\n" * 1000 + b"0\r\n\r\n") == b"x" * 1000


def test_the_limit_holds_before_the_bytes_are_there() -> None:
    for length, data in ((11, b""), (CHUNKED, b"b\r\n"), (CHUNKED, b"5\r\nabcde\r\n6\r\n")):
        with pytest.raises(HttpError) as caught:
            feed(data, length, limit=10)
        assert caught.value.status == 413
    assert feed(b"a\r\n0123456789\r\n0\r\n\r\n", limit=10) == b"0123456789"


TEXT = st.binary(min_size=1, max_size=40).filter(lambda data: b"]" not in data and b"}" not in data)


@given(st.lists(TEXT, max_size=10), st.integers(1, 7))
def test_chunks_may_be_cut_anywhere(chunks: list[bytes], step: int) -> None:
    data = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    assert feed(data, step=step) == b"".join(chunks)
    assert feed(data[:-1], step=step) is None


@given(st.binary(max_size=60))
def test_any_bytes_are_a_body_or_wait_or_are_refused(data: bytes) -> None:
    try:
        feed(data)
    except (HttpError, ParseError) as error:
        assert error.status in (400, 413)
