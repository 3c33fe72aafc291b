"""What a tool sees of PostgreSQL: a database that it may read.

One protocol; no I/O. `gate.database` implements it.
"""

from __future__ import annotations

from typing import Protocol

from pgmcp.catalog.catalogue import Catalogue
from pgmcp.catalog.tables import CatalogueTables
from pgmcp.postgres.rows import Params, Rows


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
        params: Params = (),
        *,
        max_rows: int,
        offset: int = 0,
        sent: bool = True,
    ) -> Rows:
        """Run a caller's SELECT, VALUES, TABLE or WITH: everything else is refused.

        `sent` False: its rows are looked at and not sent, and no budget counts them."""

    def show(self, text: str) -> Rows:
        """Run a caller's SHOW."""

    def explain(self, options: str, text: str, params: Params = ()) -> Rows:
        """EXPLAIN (`options`) a caller's SELECT, and without ANALYZE a caller's write as well;
        `options` is our text, `text` the caller's."""

    def fetch(self, text: str, params: Params = ()) -> Rows:
        """Run a statement of pgmcp's own, read-only, past no gate."""

    def catalogue(self) -> Catalogue:
        """The tables this principal may see, as they are now."""

    def tables(self) -> CatalogueTables:
        """The same tables by name, each described when it is looked at; kept until they change."""
