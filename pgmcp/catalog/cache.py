"""What is made of a catalogue, kept until the catalogue changes.

The rule: nothing is used without asking the server whether it still holds. A snapshot that has not
moved answers for everything; else a fingerprint of the system tables does, which DDL, comments and
grants change and ordinary writes do not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pgmcp.catalog import read as catalog_read
from pgmcp.catalog.catalogue import Catalogue

T = TypeVar("T")
Made = Callable[[Catalogue], Any]

SNAPSHOT_SQL = "SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text"
_TABLES = (
    "pg_class",
    "pg_attribute",
    "pg_constraint",
    "pg_index",
    "pg_enum",
    "pg_type",
    "pg_namespace",
    "pg_description",
)
# A row that is written anew has a new xmin. VACUUM and ANALYZE overwrite theirs in place.
FINGERPRINT_SQL = "SELECT pg_catalog.current_setting('search_path'), " + ", ".join(
    "(SELECT pg_catalog.count(*)::text || ':' || pg_catalog.sum(xmin::text::bigint)::text"
    f" FROM pg_catalog.{table})"
    for table in _TABLES
)


@dataclass(slots=True)
class _Kept:
    snapshot: object
    fingerprint: object
    made: Any


class CatalogueCache:
    """What one role sees of one database; for any number of threads."""

    def __init__(self) -> None:
        self._kept: dict[Made, _Kept] = {}
        self._kept_lock = threading.Lock()

    def get(self, make: Callable[[Catalogue], T], fetch: catalog_read.Fetch) -> T:
        """`make` of the catalogue as it is now; `fetch` asks the server."""
        with self._kept_lock:
            kept = self._kept.get(make)
        snapshot = fetch(SNAPSHOT_SQL, ()).rows
        if kept is not None and kept.snapshot == snapshot:
            unchanged: T = kept.made
            return unchanged
        # Asked before the catalogue is read: what changes in between is seen the next time.
        fingerprint = fetch(FINGERPRINT_SQL, ()).rows
        if kept is None or kept.fingerprint != fingerprint:
            made = make(catalog_read.read(fetch))
        else:
            made = kept.made
        with self._kept_lock:
            self._kept[make] = _Kept(snapshot, fingerprint, made)
        return made
