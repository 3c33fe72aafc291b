"""What a tool sees of PostgreSQL: a database it may read, and rows as the server wrote them.

Values and one protocol; no I/O. `db.database` is what implements it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from pgmcp.catalog.catalogue import Catalogue

T = TypeVar("T")
Value = bytes | None
"""A value as PostgreSQL sends it in text format (UTF-8 but for an SQL_ASCII database), or NULL."""


@dataclass(frozen=True, slots=True)
class Column:
    """A result column: its name, which need not be unique, and its type's OID."""

    name: str
    type_oid: int


@dataclass(frozen=True, slots=True)
class Rows:
    """The answer to a statement.

    `more`: the row maximum was reached and rows are left.
    `cut_bytes`: not None when reading stopped at this many bytes instead.
    """

    columns: tuple[Column, ...]
    rows: list[tuple[Value, ...]]
    more: bool = False
    cut_bytes: int | None = None


class Database(Protocol):
    """One database, as one principal reaches it within one call.

    Every method raises a ToolError: StatementError for what PostgreSQL refuses,
    StatementRefusedError for what may not run, DatabaseUnavailableError, PoolTimeoutError or
    CallEndedError for the rest.
    """

    @property
    def name(self) -> str:
        """The name in the configuration."""

    @property
    def label(self) -> str:
        """`user@host:port/database`, for people; never the password."""

    def query(
        self,
        text: str,
        params: tuple[str | None, ...] = (),
        *,
        max_rows: int,
        offset: int = 0,
    ) -> Rows:
        """Run a caller's SELECT, VALUES, TABLE or WITH: everything else is refused."""

    def show(self, text: str) -> Rows:
        """Run a caller's SHOW."""

    def explain(self, options: str, text: str, params: tuple[str | None, ...] = ()) -> Rows:
        """EXPLAIN (`options`) a caller's SELECT; `options` is our text, `text` the caller's."""

    def fetch(self, text: str, params: tuple[str | None, ...] = ()) -> Rows:
        """Run a statement of pgmcp's own, read-only, past no gate."""

    def catalogue(self) -> Catalogue:
        """The tables this principal may see, as they are now."""

    def of_catalogue(self, make: Callable[[Catalogue], T]) -> T:
        """What `make` makes of the catalogue, kept until the catalogue changes."""
