"""The server's messages: any bytes are messages or the one error, and rows are what was sent."""

from __future__ import annotations

import struct

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
    data = b"D" + struct.pack("!i", len(body) + 4) + body + b"Z" * 100
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
