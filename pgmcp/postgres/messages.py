"""PostgreSQL's wire protocol 3.0 as bytes in, values out; only the messages that pgmcp uses.

The rule: no I/O, and a value is never decoded: what the server wrote is what a caller gets.
(PostgreSQL manual, "Frontend/Backend Protocol", Message Formats.)
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from struct import Struct
from typing import Any, NamedTuple

from pgmcp.errors import ServerMessage
from pgmcp.postgres.rows import ResultColumn, Value
from pgmcp.sql.text import encode

_SHORT = Struct("!H")
_LONG = Struct("!i")
_HEAD = Struct("!ci")
HEAD = Struct("!Bi")
"""How a message begins: its kind, and the length of what follows the kind, at least 4."""
_FIELD = Struct("!ihihih")

SYNC = b"S\0\0\0\x04"
TERMINATE = b"X\0\0\0\x04"
SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"

PARSE_COMPLETE, BIND_COMPLETE, NO_DATA = ord("1"), ord("2"), ord("n")
ROW_DESCRIPTION, DATA_ROW = ord("T"), ord("D")
COMMAND_COMPLETE, EMPTY_QUERY, PORTAL_SUSPENDED = ord("C"), ord("I"), ord("s")
ERROR, NOTICE, READY = ord("E"), ord("N"), ord("Z")
PARAMETER_STATUS, NOTIFICATION = ord("S"), ord("A")
COPY_RESPONSES = frozenset(b"GHW")


class ProtocolError(Exception):
    """The server said something that cannot stand there: the connection is out of step."""


class Step(NamedTuple):
    """One statement of a pipeline.

    `prefix`: how many characters of `text` are not the caller's, to correct error positions by.
    `execute` False parses and analyses the statement and does not run it; with a `portal` it is
    bound to that name too, and what was bound is never analysed anew. `parse` False runs such a
    portal, or a cursor of that name, in the same transaction; `text` is not sent then.
    `max_rows` 0 means all of them.

    `name`: the session keeps the statement prepared under this name, which no other text may have:
    only for constant statements of pgmcp's own, whose names and operators are all qualified.
    """

    text: str
    params: Sequence[str | None] = ()
    prefix: int = 0
    max_rows: int = 0
    describe: bool = False
    execute: bool = True
    portal: str = ""
    parse: bool = True
    name: str = ""

    @property
    def ends(self) -> frozenset[int]:
        """The messages of which any ends the answer to this step."""
        if self.execute:
            return _ENDS_EXECUTION
        return _ENDS_BINDING if self.portal else _ENDS_PARSING


_ENDS_EXECUTION = frozenset((COMMAND_COMPLETE, EMPTY_QUERY, PORTAL_SUSPENDED))
_ENDS_BINDING = frozenset((BIND_COMPLETE,))
_ENDS_PARSING = frozenset((PARSE_COMPLETE,))

READ_ONLY = Step(
    "BEGIN ISOLATION LEVEL READ COMMITTED, READ ONLY, NOT DEFERRABLE", name="pgmcp_begin"
)
"""How every transaction of pgmcp's begins, whatever the role's defaults: a standby refuses
SERIALIZABLE, and DEFERRABLE waits. At READ COMMITTED each statement sees what is committed then,
which the check of the state relies on."""
ROLLBACK = Step("ROLLBACK", name="pgmcp_rollback")
"""How a transaction ends in the same group that it was run in."""
CATALOGUE_PATH = Step("SET LOCAL search_path = pg_catalog, pg_temp")
"""Before a statement of pgmcp's own: an operator of a user's schema, which may be the better match
or come first in the role's search_path, is not called in the place of PostgreSQL's own."""
SESSION_PATH = Step("SET LOCAL search_path = DEFAULT")
"""Back to the search_path that the session, and so each transaction, began with."""


@dataclass(slots=True)
class Reply:
    """What one step of a pipeline brought. `cut`: its rows went over the limit of bytes."""

    columns: tuple[ResultColumn, ...] = ()
    rows: list[tuple[Value, ...]] = field(default_factory=list)
    cut: bool = False
    notices: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Failure:
    """A step that the server refused: which, and whether while it was being parsed.

    `routine` is the server's function that said so: unlike the message it is in no language.
    """

    server: ServerMessage
    step: int
    parsing: bool
    routine: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a pipeline brought: a reply for each step that was done, and what ended it early."""

    replies: list[Reply]
    failure: Failure | None = None

    def behind(self, other: Outcome) -> Outcome:
        """This outcome as that of a pipeline whose beginning, which did not fail, had the other."""
        before, failure = other.replies, self.failure
        if failure is not None:
            failure = replace(failure, step=len(before) + failure.step)
        return Outcome([*before, *self.replies], failure)


def _message(kind: bytes, body: bytes) -> bytes:
    return _HEAD.pack(kind, len(body) + 4) + body


def simple(text: str) -> bytes:
    """A Query message, for constant statements of our own: it may hold several, so no caller's."""
    return _message(b"Q", text.encode() + b"\0")


def pipeline(step: Step, prepared: Container[str] = ()) -> bytes:
    """The messages of a step over the extended protocol, without the Sync that ends a group.

    `prepared`: the names of the statements that the session has already.
    """
    if step.name in prepared or not step.parse:
        if not step.params:
            return _constant(step)
        return _bind(step) + _executed(step)
    parse = _message(b"P", step.name.encode() + b"\0" + encode(step.text) + b"\0\0\0")
    bound = _bind(step) if step.execute or step.portal else b""
    return parse + bound + _executed(step)


@lru_cache(maxsize=256)
def _constant(step: Step) -> bytes:
    """The messages of a step that sends no text and no value."""
    return (_bind(step) if step.parse else b"") + _executed(step)


def _executed(step: Step) -> bytes:
    if not step.execute:
        return b""
    portal = step.portal.encode() + b"\0"
    described = _message(b"D", b"P" + portal) if step.describe else b""
    return described + _message(b"E", portal + _LONG.pack(step.max_rows))


def _bind(step: Step) -> bytes:
    names = f"{step.portal}\0{step.name}\0".encode()
    parts = [names, b"\0\0", _SHORT.pack(len(step.params))]
    for param in step.params:
        if param is None:
            parts.append(b"\xff\xff\xff\xff")
        else:
            data = encode(param, "a parameter")
            parts += (_LONG.pack(len(data)), data)
    parts.append(b"\0\0")
    return _message(b"B", b"".join(parts))


def cancel_request(key: bytes) -> bytes:
    """What a second connection sends to stop the first; `key` is BackendKeyData's body."""
    return _LONG.pack(len(key) + 8) + _LONG.pack(80877102) + key


def fields(body: bytes) -> dict[str, str]:
    """An ErrorResponse's or NoticeResponse's fields by their one-letter codes."""
    return {
        part[:1].decode("ascii", "replace"): part[1:].decode(errors="replace")
        for part in body.split(b"\0")
        if part
    }


def columns(body: bytes) -> tuple[ResultColumn, ...]:
    """A RowDescription's columns."""
    described = []
    at = 2
    for _ in range(_SHORT.unpack_from(body)[0]):
        end = body.find(b"\0", at)
        if end < 0:
            raise ProtocolError("a column's name that does not end")
        type_oid = _FIELD.unpack_from(body, end + 1)[2]
        described.append(ResultColumn(body[at:end].decode(errors="replace"), type_oid & 0xFFFFFFFF))
        at = end + 1 + _FIELD.size
    return tuple(described)


def rows(data: bytes, at: int, keep: list[tuple[Value, ...]], budget: int) -> tuple[int, int]:
    """Append to `keep` the DataRows that lie whole in `data` from `at` on, as far as `budget` goes.

    Returns where it stopped and what is left of the budget, in bytes; negative when the next row,
    by its length alone, does not fit. Rows often have values of the same lengths (numbers, dates,
    UUIDs): such a row is cut in one step by the layout of one before.
    """
    end = len(data)
    long = _LONG.unpack_from
    layouts: dict[bytes, _Layout] = {}  # by a row's size and number of values, as they are sent
    tries = _LAYOUT_TRIES
    while at + 5 <= end and data[at] == DATA_ROW:
        size = long(data, at + 1)[0] + 1
        if size > budget:
            return at, -1
        stop = at + size
        if stop > end:
            break
        budget -= size
        layout = layouts.get(data[at + 1 : at + 7]) if layouts and tries else None
        if layout is not None:
            pairs = layout.unpack(data, at)
            if pairs[::2] == layout.lengths:
                keep.append(pairs[1::2])
                at = stop
                tries = _LAYOUT_TRIES
                continue
        values = _values(data, at, stop)
        keep.append(tuple(values))
        if tries and stop < end and data[stop] == DATA_ROW and None not in values:
            tries -= 1
            layouts[data[at + 1 : at + 7]] = _layout(values)
        at = stop
    return at, budget


def _values(data: bytes, at: int, stop: int) -> list[Value]:
    """The values of the DataRow from `at` to `stop`, by the length before each."""
    long = _LONG.unpack_from
    place = at + 7
    values: list[Value] = []
    while place < stop:  # where most time goes for rows whose lengths keep changing
        (length,) = long(data, place)
        place += 4
        if length >= 0:
            values.append(data[place : (place := place + length)])
        elif length == -1:
            values.append(None)
        else:
            raise ProtocolError("a value of impossible length")
    if place != stop or len(values) != data[at + 5] << 8 | data[at + 6]:
        raise ProtocolError("a row that does not fill its message")
    return values


_LAYOUT_TRIES = 16
"""After so many rows in turn that had the lengths of no row before, layouts are not tried again."""


class _Layout(NamedTuple):
    """Where the values of a row lie. `unpack` a row of the same size and number of values: each
    length and what would be its value; it is laid out so when the lengths are `lengths`."""

    unpack: Callable[[bytes, int], tuple[Any, ...]]
    lengths: tuple[int, ...]


def _layout(values: Iterable[Value]) -> _Layout:
    lengths = tuple(len(value) for value in values if value is not None)
    pairs = "".join([f"i{length}s" for length in lengths])
    return _Layout(Struct(f"!7x{pairs}").unpack_from, lengths)
