"""Rows as tab-separated text, in the text format of COPY.

The rule: every result reads back to exactly one set of values. NULL is `\\N`, a tab, newline,
carriage return or backslash inside a value is `\\t`, `\\n`, `\\r` or `\\\\`, and a byte that is not
UTF-8 (an SQL_ASCII database has them) is `\\xNN`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pgmcp.postgres.rows import Rows, Value

# PostgreSQL's text never holds a NUL, so these marks stand for structure until values are escaped,
# and a whole result is escaped in a few passes instead of field by field.
_FIELD, _ROW, _NULL = b"\0\1", b"\0\2", b"\0\3"
_ESCAPES = (
    (b"\\", rb"\\"),
    (b"\t", rb"\t"),
    (b"\n", rb"\n"),
    (b"\r", rb"\r"),
    (_FIELD, b"\t"),
    (_ROW, b"\n"),
    (_NULL, rb"\N"),
)


def render(rows: Rows) -> str:
    """The header line and one line a row, without a newline at the end.

    Without columns the header line is empty, which no column's name can be, and so is each row.
    """
    names = [column.name for column in rows.columns]
    joined = "".join(names)
    plain = joined.isprintable() and "\\" not in joined  # which leaves nothing to escape
    header = "\t".join(names) if plain else line(names)
    return header + "\n" + _text(rows.rows) if rows.rows else header


def line(values: Iterable[str | None]) -> str:
    """One line from Python strings; None becomes NULL."""
    return _text([tuple(None if value is None else _encoded(value) for value in values)])


def table(header: Sequence[str], lines: Iterable[Sequence[str | None]]) -> str:
    """A header line and lines of Python strings."""
    return "\n".join([line(header), *map(line, lines)])


def _encoded(value: str) -> bytes:
    return value.replace("\0", "").encode("utf-8", "replace")


def _text(rows: Sequence[tuple[Value, ...]]) -> str:
    body = b"\n".join(_joined(rows, b"\t"))
    if _is_plain(body, len(rows), len(rows[0])):
        body = body.replace(_NULL, rb"\N")
    else:
        body = _ROW.join(_joined(rows, _FIELD))
        for special, escape in _ESCAPES:
            body = body.replace(special, escape)
    return body.decode("utf-8", "backslashreplace")


def _joined(rows: Sequence[tuple[Value, ...]], separator: bytes) -> list[bytes]:
    try:
        return list(map(separator.join, rows))  # type: ignore[arg-type]
    except TypeError:  # a NULL: join() takes no None
        return [separator.join([_NULL if v is None else v for v in row]) for row in rows]


def _is_plain(body: bytes, height: int, width: int) -> bool:
    """Whether the tabs and newlines are only those between fields and rows: nothing to escape."""
    return (
        b"\\" not in body
        and b"\r" not in body
        and body.count(b"\n") == height - 1
        and body.count(b"\t") == height * max(0, width - 1)
    )
