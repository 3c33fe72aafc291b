"""Rows as text: every value can be told apart from every other."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from pgmcp.postgres.rows import ResultColumn, Rows, Value
from pgmcp.render import tsv

_VALUES = st.none() | st.binary(max_size=12).map(lambda value: value.replace(b"\0", b""))
_UNESCAPED = {b"t": b"\t", b"n": b"\n", b"r": b"\r", b"\\": b"\\"}


def rows(*values: tuple[Value, ...], names: tuple[str, ...] = ()) -> Rows:
    width = len(values[0]) if values else len(names)
    return Rows(tuple(ResultColumn(name, 25) for name in names or ["c"] * width), list(values))


def read(cell: str) -> Value:
    """The value that a cell stands for, by the rules of COPY's text format."""
    if cell == "\\N":
        return None
    escape = re.compile(rb"\\(x[0-9a-f]{2}|.)")
    return escape.sub(
        lambda match: _UNESCAPED.get(match[1]) or bytes([int(match[1][1:], 16)]), cell.encode()
    )


def test_a_header_line_and_one_line_a_row() -> None:
    text = tsv.render(rows((b"1", b"Ada"), (b"2", "Zoë".encode()), names=("id", "name")))
    assert text == "id\tname\n1\tAda\n2\tZoë"


def test_null_an_empty_string_and_a_backslash_n_are_three_things() -> None:
    assert tsv.render(rows((None, b"", rb"\N"))) == "c\tc\tc\n\\N\t\t\\\\N"


def test_tabs_and_line_ends_in_values_and_names_are_escaped() -> None:
    text = tsv.render(rows((b"a\tb\nc\rd\\e",), names=("x\ty\nz",)))
    assert text == "x\\ty\\nz\na\\tb\\nc\\rd\\\\e"


def test_bytes_that_are_no_utf8_are_shown_as_hex() -> None:
    assert tsv.render(rows((b"caf\xe9",), (rb"caf\xe9",))) == "c\ncaf\\xe9\ncaf\\\\xe9"


def test_no_rows_leave_the_header() -> None:
    assert tsv.render(rows(names=("a", "a"))) == "a\ta"


def test_no_columns_are_an_empty_header_and_an_empty_line_a_row() -> None:
    assert tsv.render(rows((), ())) == "\n\n"
    assert tsv.render(rows()) == ""


@given(st.integers(1, 4).flatmap(lambda width: st.lists(st.tuples(*[_VALUES] * width), min_size=1)))
def test_any_values_read_back(values: list[tuple[Value, ...]]) -> None:
    _, *lines = tsv.render(rows(*values)).split("\n")
    assert [tuple(read(cell) for cell in line.split("\t")) for line in lines] == values
