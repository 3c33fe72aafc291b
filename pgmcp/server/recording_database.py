"""A database that notes on the call's trail what was asked of it, and passes everything on.

The rule: only what a caller's text or a tool's query asks is noted; pgmcp's own look-ups in the
catalogue are not, nor is any parameter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pgmcp.calls.trail import Trail
from pgmcp.catalog.catalogue import Catalogue
from pgmcp.gate.port import Database
from pgmcp.postgres.rows import Rows

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RecordingDatabase:
    """`gate.port.Database`, which notes on `trail` the SQL that is run and the rows returned."""

    database: Database
    trail: Trail

    @property
    def name(self) -> str:
        """The name in the configuration."""
        return self.database.name

    @property
    def label(self) -> str:
        """`user@host:port/database`, for people; never the password."""
        return self.database.label

    def query(
        self,
        text: str,
        params: tuple[str | None, ...] = (),
        *,
        max_rows: int,
        offset: int = 0,
    ) -> Rows:
        """Run a caller's SELECT, VALUES, TABLE or WITH."""
        self.trail.ran(text)
        return self._noted(self.database.query(text, params, max_rows=max_rows, offset=offset))

    def show(self, text: str) -> Rows:
        """Run a caller's SHOW."""
        self.trail.ran(text)
        return self._noted(self.database.show(text))

    def explain(self, options: str, text: str, params: tuple[str | None, ...] = ()) -> Rows:
        """EXPLAIN a caller's SELECT."""
        self.trail.ran(text)
        return self._noted(self.database.explain(options, text, params))

    def fetch(self, text: str, params: tuple[str | None, ...] = ()) -> Rows:
        """Run a statement of pgmcp's own."""
        return self.database.fetch(text, params)

    def catalogue(self) -> Catalogue:
        """The tables this principal may see."""
        return self.database.catalogue()

    def of_catalogue(self, make: Callable[[Catalogue], T]) -> T:
        """What `make` makes of the catalogue."""
        return self.database.of_catalogue(make)

    def _noted(self, rows: Rows) -> Rows:
        self.trail.answered(len(rows.rows))
        return rows
