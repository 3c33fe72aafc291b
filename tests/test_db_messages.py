"""The server's messages: any bytes are messages or the one error, and rows are what was sent."""

from __future__ import annotations

import struct
import sys
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmcp.postgres import messages
from pgmcp.postgres.inbox import Inbox
from pgmcp.postgres.messages import ProtocolError
from pgmcp.postgres.rows import Value

VALUES = st.none() | st.binary(max_size=300)
ROWS = st.lists(st.lists(VALUES, max_size=8).map(tuple), max_size=8)
PLENTY = 1_000_000


def row(values: tuple[Value, ...]) -> bytes:
    body = struct.pack("!h", len(values))
    for value in values:
        body += struct.pack("!i", -1 if value is None else len(value)) + (value or b"")
    return b"D" + struct.pack("!i", len(body) + 4) + body


@given(ROWS, st.integers(0, 40))
def test_rows_are_read_as_they_were_sent_and_a_part_of_one_is_left(
    sent: list[tuple[Value, ...]], cut: int
) -> None:
    data = b"".join(map(row, sent)) + row((b"x" * 40,))[:cut]
    kept: list[tuple[Value, ...]] = []
    assert messages.rows(data, 0, kept, PLENTY) == (len(data) - cut, PLENTY - len(data) + cut)
    assert kept == sent


@pytest.mark.parametrize(
    "sent",
    [
        [(b"12", b"x" * 36, b"t")] * 3 + [(b"1", b"x" * 36, b"t")] * 3,
        [(b"a", b"bcd"), (b"ab", b"cd"), (b"abc", b"d"), (b"a", b"bcd")],  # of one size
        [(b"a", None), (b"", b"a"), (None, b"a"), (b"a", b""), (b"", b"a")] * 2,
        [(b"\0\0\0\1a", b""), (b"", b"\0\0\0\1a")] * 2,
        [(b"\0\0\0\1",), (b"", b""), (b"\0\0\0\0",), (b"", b"")],  # one size, other numbers
        [()] * 3,
        [(b"x" * 70_000, b"y")] * 3,
        [(b"x" * length, b"y") for length in range(60)] * 2,  # more than are tried
    ],
)
def test_rows_of_one_size_are_read_as_they_were_sent(sent: list[tuple[Value, ...]]) -> None:
    kept: list[tuple[Value, ...]] = []
    data = b"".join(map(row, sent))
    assert messages.rows(data, 0, kept, PLENTY) == (len(data), PLENTY - len(data))
    assert kept == sent


def layouts_made(data: bytes) -> int:
    """How many layouts reading the rows makes."""
    made = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal made
        made += event == "call" and frame.f_code is messages._layout.__code__

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        messages.rows(data, 0, [], PLENTY)
    finally:
        sys.setprofile(before)
    return made


def test_rows_of_the_same_lengths_are_laid_out_once() -> None:
    assert layouts_made(row((b"12", b"t")) * 1000) == 1


def test_rows_that_never_have_the_lengths_of_another_are_soon_not_laid_out() -> None:
    data = b"".join(row((b"x" * length,)) for length in range(500))
    assert layouts_made(data) == messages._LAYOUT_TRIES


def test_the_only_row_is_not_laid_out() -> None:
    assert layouts_made(row((b"1",)) + b"s\0\0\0\4") == 0


def test_a_row_over_the_budget_is_not_read() -> None:
    data = row((b"a",)) + row((b"b" * 100,))
    kept: list[tuple[Value, ...]] = []
    assert messages.rows(data, 0, kept, 50) == (12, -1)
    assert kept == [(b"a",)]


@pytest.mark.parametrize(
    "body",
    [
        b"\0\1\0\0\0\2a",  # a value that is longer than the row
        b"\0\1\0\0\0\1ab",  # and one that is shorter
        b"\0\2\0\0\0\1a",  # fewer values than announced
        b"\0\1\0\0\0\1a\xff\xff\xff\xff",  # and more
        b"\0\1\xff\xff\xff\xfe",  # a length below that of NULL
    ],
)
def test_a_row_that_is_not_well_formed_is_an_error(body: bytes) -> None:
    before = row((b"a",)) * 2 + row((b"ab",)) * 2 + row((b"a", b"")) * 2  # of the same sizes
    data = before + b"D" + struct.pack("!i", len(body) + 4) + body + b"Z" * 100
    with pytest.raises(ProtocolError):
        messages.rows(data, 0, [], PLENTY)


@given(st.binary(max_size=200), st.integers(1, 30))
def test_any_bytes_are_messages_or_the_one_error(data: bytes, size: int) -> None:
    """What the driver turns into a lost connection, and no other exception."""
    chunks = [data[at : at + size] for at in range(0, len(data), size)]

    def chunk() -> bytes:
        if not chunks:
            raise EOFError
        return chunks.pop(0)

    inbox = Inbox(chunk)
    try:
        while True:
            kind, body = inbox.next(PLENTY)
            if kind == messages.DATA_ROW and inbox.rows([], PLENTY) < 0:
                break  # a row over the budget, at which the driver stops too
            if kind == messages.ROW_DESCRIPTION:
                messages.columns(body)
            if kind == messages.ERROR:
                messages.fields(body)
    except (EOFError, ProtocolError, struct.error, LookupError):
        pass
