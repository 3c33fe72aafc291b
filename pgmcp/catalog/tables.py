"""The tables of a database as plain language sees them: all names at once, the rest when asked for.

The rule: nothing kept is used without asking the server whether it still holds. A snapshot that has
not moved answers for everything; else a fingerprint does: of what the list is made of, and of what
the described relations are made of. DDL, comments and grants change it, ordinary writes do not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pgmcp.catalog import read as catalog_read
from pgmcp.catalog.catalogue import Catalogue, ForeignKey, Listed, QualifiedName, Relation
from pgmcp.catalog.fingerprint import FINGERPRINT, RELATION_FINGERPRINT, SNAPSHOT
from pgmcp.errors import ToolError
from pgmcp.postgres.rows import Fetch, Value
from pgmcp.sql.names import array_literal

T = TypeVar("T")

READ_AT_ONCE = 300
"""As many relations are described in one go, and all where there are no more."""
_MAX_DESCRIBED = 2_000


@dataclass(frozen=True, slots=True)
class TableList:
    """Every relation that the role may read, in the order of schema and name, and which refer to
    which: pairs of the referring table and its key."""

    listed: Mapping[QualifiedName, Listed | Relation]
    references: tuple[tuple[QualifiedName, ForeignKey], ...]
    schema_comments: Mapping[str, str] = field(default_factory=dict)


class CatalogueTables:
    """What `language` needs of a catalogue that is there as a whole."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._relations = {(each.schema, each.name): each for each in catalogue.relations}
        self.list = TableList(
            self._relations,
            tuple(
                (name, key)
                for name, relation in self._relations.items()
                for key in relation.foreign_keys
            ),
            catalogue.schema_comments,
        )
        self.memo: dict[Any, Any] = {}  # what was made of the relations

    def __getitem__(self, name: QualifiedName) -> Relation:
        return self._relations[name]

    def expect(self, names: Iterable[QualifiedName]) -> None:
        """These will be looked at: read them together."""

    def derived(self, make: Callable[[TableList], T]) -> T:
        """What `make` makes of the list, kept as long as the list."""
        return make(self.list)


class _CachedTables:
    """What is cached of one database: the list of its tables, what was made of the list, and the
    relations that were described so far, with their fingerprints."""

    def __init__(self, snapshot: object, fingerprint: object, tables: TableList) -> None:
        self.snapshot = snapshot
        self.fingerprint = fingerprint
        self.list = tables
        self.made: dict[Callable[[TableList], Any], Any] = {}
        self.relations: dict[QualifiedName, Relation] = {}
        self.memo: dict[Any, Any] = {}
        self.fingerprints: dict[Value, Value] = {}


class LazyTables(CatalogueTables):
    """`CatalogueTables` that describes a relation when it is first looked at; for one call."""

    def __init__(self, cached: _CachedTables, cache_lock: threading.Lock, fetch: Fetch) -> None:
        self.list = cached.list
        self._cached = cached
        self._cache_lock = cache_lock
        self._fetch = fetch
        # The call's own: what another call drops stays here until this one is over.
        with cache_lock:
            self._relations = dict(cached.relations)
            self.memo = cached.memo

    def __getitem__(self, name: QualifiedName) -> Relation:
        if name not in self._relations:
            if name not in self.list.listed:
                raise KeyError(name)
            self.expect([name])
        return self._relations[name]

    def expect(self, names: Iterable[QualifiedName]) -> None:
        """Describe those that are not described yet, in as few statements as one takes."""
        listed = self.list.listed
        wanted = list(listed) if len(listed) <= READ_AT_ONCE else dict.fromkeys(names)
        missing = [listed[name] for name in wanted if name not in self._relations]
        new = [each for each in missing if isinstance(each, Listed)]
        if not new:
            return
        # Asked before they are read: what changes in between is seen the next time.
        rows = self._fetch(RELATION_FINGERPRINT, (array_literal(each.oid for each in new),)).rows
        relations = catalog_read.relations_of(self._fetch, new)
        pairs = zip(new, relations, strict=True)
        if any(not relation.columns and each.column_count for each, relation in pairs):
            raise ToolError(
                "The tables were changed while the question was read.", "Ask the question again."
            )
        described = {(each.schema, each.name): each for each in relations}
        self._relations.update(described)
        with self._cache_lock:
            if len(self._cached.relations) + len(described) > _MAX_DESCRIBED:
                self._cached.relations, self._cached.fingerprints, self._cached.memo = {}, {}, {}
            self._cached.relations |= described
            self._cached.fingerprints |= _by_oid(rows)

    def derived(self, make: Callable[[TableList], T]) -> T:
        """What `make` makes of the list, kept as long as the list."""
        made: T | None = self._cached.made.get(make)
        if made is None:
            made = self._cached.made[make] = make(self.list)
        return made


class TablesCache:
    """What one role sees of one database; for any number of threads."""

    def __init__(self) -> None:
        self._cached: _CachedTables | None = None
        self._cache_lock = threading.Lock()

    def get(self, fetch: Fetch) -> LazyTables:
        """The tables as they are now; `fetch` asks the server, now and when one is looked at."""
        with self._cache_lock:
            cached = self._cached
        snapshot = fetch(SNAPSHOT, ()).rows
        if cached is None or cached.snapshot != snapshot:
            # Asked before the list is read: what changes in between is seen the next time.
            fingerprint = fetch(FINGERPRINT, ()).rows
            if cached is None or cached.fingerprint != fingerprint or self._altered(cached, fetch):
                cached = _CachedTables(snapshot, fingerprint, read_list(fetch))
            else:
                cached.snapshot = snapshot
            with self._cache_lock:
                self._cached = cached
        return LazyTables(cached, self._cache_lock, fetch)

    def _altered(self, cached: _CachedTables, fetch: Fetch) -> bool:
        """Whether one of the relations that were described is not as it was."""
        with self._cache_lock:
            known = dict(cached.fingerprints)
        if not known:
            return False
        oids = array_literal((oid or b"").decode() for oid in known)
        return _by_oid(fetch(RELATION_FINGERPRINT, (oids,)).rows) != known


def _by_oid(rows: Iterable[tuple[Value, ...]]) -> dict[Value, Value]:
    return {row[0]: row[1] for row in rows}


def read_list(fetch: Fetch) -> TableList:
    """The list as it is now."""
    listed = catalog_read.everything(fetch)
    if not listed:
        return TableList({}, ())
    _, comments = catalog_read.schemas(fetch, listed)
    return TableList(
        {(each.schema, each.name): each for each in listed},
        catalog_read.references(fetch, listed),
        comments,
    )
