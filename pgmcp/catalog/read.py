"""Reading the catalogue: which relations there are, and what is wanted of some of them.

The rule: what it returns is how the database is now. Nothing is kept between two reads.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from sys import intern
from typing import NamedTuple

from pgmcp.catalog import facts
from pgmcp.catalog import statements as catalog_sql
from pgmcp.catalog.catalogue import (
    Catalogue,
    Column,
    ForeignKey,
    Index,
    Listed,
    Property,
    Relation,
    RelationKind,
    UserType,
)
from pgmcp.postgres.rows import Fetch, Value
from pgmcp.sql.names import array_literal

_KINDS: dict[str, RelationKind] = {
    "r": "table",
    "p": "partitioned table",
    "f": "foreign table",
    "v": "view",
    "m": "materialized view",
}


class Candidate(NamedTuple):
    """A relation that has a certain name. `readable`: the role may select from it, or from some of
    its columns. `system`: it is PostgreSQL's own."""

    listed: Listed
    readable: bool
    system: bool


class Counts(NamedTuple):
    """How many relations each schema has that are listed, and how many are left out of the list:
    by the extension that they belong to, and by the table that they are partitions of."""

    schemas: dict[str, int]
    extensions: dict[str, int]
    partitions: dict[str, int]


def read(fetch: Fetch) -> Catalogue:
    """Every relation that the role may select from; raises what `fetch` raises."""
    relations = relations_of(fetch, everything(fetch))
    if not relations:
        return Catalogue(())
    return Catalogue(relations, *schemas(fetch, relations))


def everything(fetch: Fetch) -> list[Listed]:
    """Every relation that the role may select from, in the order of schema and name."""
    return [_listed(row) for row in fetch(catalog_sql.EVERYTHING, ()).rows]


def presentable(
    fetch: Fetch, schema: str | None, *, vectors: bool, at_most: int
) -> tuple[list[Listed], Counts]:
    """`everything` of one schema, or of all, less partitions and what extensions brought.

    `vectors`: only what has a column of a pgvector type.
    """
    narrow = (schema, "true" if vectors else "false")
    rows = fetch(catalog_sql.SHOWN, (*narrow, str(at_most))).rows
    counts: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for kind, name, count in fetch(catalog_sql.COUNTS, narrow).rows:
        counts[_text(kind)][_text(name)] = int(count or b"0")
    return [_listed(row) for row in rows], Counts(
        counts["schema"], counts["extension"], counts["partition"]
    )


def named(fetch: Fetch, names: Iterable[str]) -> list[Candidate]:
    """The relations that have exactly one of these names, in any schema."""
    return [
        Candidate(_listed(row[:-2]), row[-2] == b"t", row[-1] == b"t")
        for row in fetch(catalog_sql.NAMED, (array_literal(names),)).rows
    ]


def names(fetch: Fetch) -> list[tuple[str, str, bool]]:
    """Schema and name of every relation but the system's, and whether the role may read it."""
    return [
        (_text(schema), _text(name), readable == b"t")
        for schema, name, readable in fetch(catalog_sql.NAMES, ()).rows
    ]


def others(fetch: Fetch, names: Iterable[str]) -> list[tuple[str, str, str]]:
    """Schema, name and kind of sequences, indexes, functions and types of exactly these names."""
    rows = fetch(catalog_sql.OTHER_OBJECTS, (array_literal(names),)).rows
    return [(_text(schema), _text(name), _text(kind)) for schema, name, kind in rows]


def schema_names(fetch: Fetch) -> list[tuple[str, bool]]:
    """Every schema but the system's, and whether the role may use it."""
    rows = fetch(catalog_sql.SCHEMAS, ()).rows
    return [(_text(name), usable == b"t") for name, usable in rows]


def schemas(
    fetch: Fetch, relations: Iterable[Relation | Listed]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The search path, and the comments of those relations' schemas that have one."""
    (_, path), *rest = fetch(catalog_sql.SEARCH_PATH, ()).rows
    used = {relation.schema for relation in relations}
    comments = ((_text(name), _text(comment)) for name, comment in rest)
    return _list(path), {name: comment for name, comment in comments if name in used}


def references(
    fetch: Fetch, listed: Iterable[Listed]
) -> tuple[tuple[tuple[str, str], ForeignKey], ...]:
    """The foreign keys between these relations, each behind the name of the referring one, in the
    relations' order and then that of the keys' names."""
    names = {str(each.oid).encode(): (each.schema, each.name) for each in listed}
    order = {name: number for number, name in enumerate(names.values())}
    keys = []
    for source, target, name, column, ref_column, columns, ref_columns in fetch(
        catalog_sql.REFERENCES, ()
    ).rows:
        if source in names and target in names:
            key = ForeignKey(
                _text(name),
                _list(columns) or (intern(_text(column)),),
                *names[target],
                _list(ref_columns) or (intern(_text(ref_column)),),
            )
            keys.append((names[source], key))
    return tuple(sorted(keys, key=lambda pair: (order[pair[0]], pair[1].name)))


def column_counts(fetch: Fetch, listed: Sequence[Listed]) -> list[Listed]:
    """The same, with the number of the columns that the role may read."""
    rows = fetch(catalog_sql.COLUMN_COUNTS, (_oids(listed),)).rows
    counts = {int(oid or b"0"): int(count or b"0") for oid, count in rows}
    return [replace(each, column_count=counts.get(each.oid, 0)) for each in listed]


def relations_of(
    fetch: Fetch, listed: Sequence[Listed], *, values: bool = True
) -> tuple[Relation, ...]:
    """Columns, keys, checks and indexes of these; with `values`, the columns' common values."""
    if not listed:
        return ()
    wanted = _oids(listed)
    common: dict[tuple[Value, Value], tuple[str, ...]] = {}
    if values:
        named = array_literal(each.name for each in listed)
        common = {
            (oid, name): _list(some)
            for oid, name, some in fetch(catalog_sql.COMMON_VALUES, (wanted, named)).rows
        }
    columns: defaultdict[int, list[Column]] = defaultdict(list)
    for oid, *column in fetch(catalog_sql.COLUMNS, (wanted,)).rows:
        columns[int(oid or b"0")].append(_column(column, common.get((oid, column[0]), ())))
    keys: defaultdict[int, list[_Key]] = defaultdict(list)
    for oid, *key in fetch(catalog_sql.KEYS, (wanted,)).rows:
        keys[int(oid or b"0")].append(_Key(key))
    return tuple(_relation(each, columns[each.oid], keys[each.oid]) for each in listed)


def with_facts(
    fetch: Fetch,
    listed: Sequence[Listed],
    relations: Sequence[Relation],
    *,
    partitions: bool,
    definitions: bool,
) -> tuple[Relation, ...]:
    """`relations`, which are those of `listed`, with their properties and the types they use.

    `partitions`: each partition of a partitioned table is a property. `definitions`: of views.
    """
    wanted = _oids(listed)
    properties: defaultdict[int, list[Property]] = defaultdict(list)
    for oid, *texts in fetch(facts.PROPERTIES, (wanted, "true" if partitions else "false")).rows:
        properties[int(oid or b"0")].append(Property(*map(_text, texts)))
    types: defaultdict[int, list[UserType]] = defaultdict(list)
    for oid, name, kind, definition in fetch(facts.TYPES, (wanted,)).rows:
        types[int(oid or b"0")].append(UserType(_text(name), _text(kind), _text(definition)))
    views: dict[int, str | None] = {}
    if definitions:
        rows = fetch(facts.DEFINITIONS, (wanted,)).rows
        views = {int(oid or b"0"): _optional(definition) for oid, definition in rows}
    return tuple(
        replace(
            relation,
            properties=tuple(properties[each.oid]),
            types=tuple(types[each.oid]),
            definition=views.get(each.oid),
        )
        for each, relation in zip(listed, relations, strict=True)
    )


class _Key:
    """A constraint or an index, as a row of KEYS."""

    __slots__ = ("columns", "definition", "kind", "name", "ref_columns", "ref_schema", "ref_table")

    def __init__(self, row: list[Value]) -> None:
        kind, name, definition, columns, ref_schema, ref_table, ref_columns = row
        self.kind = _text(kind)
        self.name = _text(name)
        self.definition = _text(definition)
        self.columns = _list(columns)
        self.ref_schema = _text(ref_schema)
        self.ref_table = _text(ref_table)
        self.ref_columns = _list(ref_columns)

    def foreign(self) -> ForeignKey:
        return ForeignKey(
            self.name,
            self.columns,
            self.ref_schema,
            self.ref_table,
            self.ref_columns,
            self.definition,
        )


def _listed(row: Sequence[Value]) -> Listed:
    oid, schema, name, kind, estimated_rows, comment, partition_of, visible, count = row
    return Listed(
        int(oid or b"0"),
        intern(_text(schema)),
        _text(name),
        _KINDS[_text(kind)],
        None if estimated_rows is None else int(estimated_rows),
        _optional(comment),
        _optional(partition_of),
        visible == b"t",
        int(count or b"0"),
    )


def _relation(listed: Listed, columns: Sequence[Column], keys: list[_Key]) -> Relation:
    return Relation(
        schema=listed.schema,
        name=listed.name,
        kind=listed.kind,
        columns=tuple(columns),
        comment=listed.comment,
        primary_key=next((key.columns for key in keys if key.kind == "p"), ()),
        unique_keys=tuple(key.columns for key in keys if key.kind == "u" and key.columns),
        foreign_keys=tuple(key.foreign() for key in keys if key.kind == "f"),
        checks=tuple(key.definition for key in keys if key.kind == "c"),
        indexes=tuple(
            Index(key.name, key.definition, unique=key.kind != "i")
            for key in keys
            if key.kind in "pui"
        ),
        estimated_rows=listed.estimated_rows,
        partition_of=listed.partition_of,
        on_search_path=listed.on_search_path,
        is_whole=len(columns) == listed.column_count,
    )


def _column(row: list[Value], common_values: tuple[str, ...]) -> Column:
    name, kind, category, nullable, default, identity, generated, comment, labels, size = row
    return Column(
        name=intern(_text(name)),
        type=intern(_text(kind)),
        category=intern(_text(category)),
        nullable=nullable == b"t",
        default=_optional(default),
        identity=identity == b"t",
        generated=bool(generated),
        virtual=generated == b"v",
        comment=_optional(comment),
        labels=_list(labels),
        common_values=common_values,
        dimensions=None if size is None else int(size),
    )


def _oids(listed: Iterable[Listed]) -> str:
    return array_literal(each.oid for each in listed)


def _text(value: Value) -> str:
    return "" if value is None else value.decode("utf-8", "replace")


def _optional(value: Value) -> str | None:
    return None if value is None else _text(value)


def _list(value: Value) -> tuple[str, ...]:
    """A JSON list of strings; a NULL among them is left out."""
    if value is None:
        return ()
    return tuple(item for item in json.loads(_text(value)) if item is not None)
