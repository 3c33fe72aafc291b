"""Rows as the server wrote them, and the parameters of a statement. Values; no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

Value = bytes | None
"""A value as PostgreSQL sends it in text format (UTF-8 but for an SQL_ASCII database), or NULL."""

Params = tuple[str | None, ...]
"""The parameters of a statement, $1 first, as text; None for NULL."""


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """A result column: its name, which need not be unique, and its type's OID."""

    name: str
    type_oid: int


@dataclass(frozen=True, slots=True)
class Rows:
    """The answer to a statement.

    `more`: the row maximum was reached and rows are left.
    `cut_bytes`: not None when reading stopped at this many bytes instead.
    `withheld`: why rows that were read are left out at the end, "" when none are.
    """

    columns: tuple[ResultColumn, ...]
    rows: list[tuple[Value, ...]]
    more: bool = False
    cut_bytes: int | None = None
    withheld: str = ""


Fetch = Callable[[str, Params], Rows]
"""Runs a statement of pgmcp's own, with these parameters."""


def texts(rows: Iterable[Sequence[Value]]) -> list[tuple[str, ...]]:
    """Rows as text: NULL is "", and bytes that are not UTF-8 are replaced."""
    return [tuple((value or b"").decode(errors="replace") for value in row) for row in rows]
