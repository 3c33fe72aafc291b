"""Reading the catalogue: four statements, then values.

The rule: what it returns is how the database is now. Nothing is kept between two reads.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from sys import intern

from pgmcp.catalog import statements as catalog_sql
from pgmcp.catalog.catalogue import Catalogue, Column, ForeignKey, Index, Kind, Relation
from pgmcp.postgres.rows import Rows, Value

Fetch = Callable[[str, tuple[str | None, ...]], Rows]

_KINDS: dict[str, Kind] = {
    "r": "table",
    "p": "partitioned table",
    "f": "foreign table",
    "v": "view",
    "m": "materialized view",
}


def read(fetch: Fetch, schema: str | None = None, table: str | None = None) -> Catalogue:
    """The relations that the role may select from, by schema and name.

    `schema` and `table` narrow it down; they match without regard to case. Raises what `fetch`
    raises.
    """
    narrow = (schema, table)
    relations = fetch(catalog_sql.RELATIONS, narrow).rows
    if not relations:
        return Catalogue(())
    common = {
        (oid, name): _list(values)
        for oid, name, values in fetch(catalog_sql.COMMON_VALUES, narrow).rows
    }
    columns: defaultdict[Value, list[Column]] = defaultdict(list)
    for oid, *column in fetch(catalog_sql.COLUMNS, narrow).rows:
        columns[oid].append(_column(column, common.get((oid, column[0]), ())))
    keys: defaultdict[Value, list[_Key]] = defaultdict(list)
    for oid, *key in fetch(catalog_sql.KEYS, narrow).rows:
        keys[oid].append(_Key(key))
    values = [_relation(row, columns[row[0]], keys[row[0]]) for row in relations]
    return Catalogue(
        tuple(sorted(values, key=lambda relation: (relation.schema, relation.name))),
        search_path=_list(relations[0][9]),
        schema_comments={_text(row[1]): _text(row[8]) for row in relations if row[8] is not None},
    )


def names(fetch: Fetch) -> list[tuple[str, str]]:
    """Schema and name of every relation that the role may select from."""
    rows = fetch(catalog_sql.NAMES, (None, None)).rows
    return [(_text(schema), _text(name)) for schema, name in rows]


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


def _relation(row: tuple[Value, ...], columns: Iterable[Column], keys: list[_Key]) -> Relation:
    _, schema, name, kind, estimated_rows, comment, partition_of, visible, _, _ = row
    return Relation(
        schema=intern(_text(schema)),
        name=_text(name),
        kind=_KINDS[_text(kind)],
        columns=tuple(columns),
        comment=_optional(comment),
        primary_key=next((key.columns for key in keys if key.kind == "p"), ()),
        unique_keys=tuple(key.columns for key in keys if key.kind == "u" and key.columns),
        foreign_keys=tuple(
            ForeignKey(key.name, key.columns, key.ref_schema, key.ref_table, key.ref_columns)
            for key in keys
            if key.kind == "f"
        ),
        checks=tuple(key.definition for key in keys if key.kind == "c"),
        indexes=tuple(
            Index(key.name, key.definition, unique=key.kind != "i")
            for key in keys
            if key.kind in "pui"
        ),
        estimated_rows=None if estimated_rows is None else int(estimated_rows),
        partition_of=_optional(partition_of),
        on_search_path=visible == b"t",
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
        generated=generated == b"t",
        comment=_optional(comment),
        labels=_list(labels),
        common_values=common_values,
        dimensions=None if size is None else int(size),
    )


def _text(value: Value) -> str:
    return "" if value is None else value.decode("utf-8", "replace")


def _optional(value: Value) -> str | None:
    return None if value is None else _text(value)


def _list(value: Value) -> tuple[str, ...]:
    """A JSON list of strings; a NULL among them is left out."""
    if value is None:
        return ()
    return tuple(item for item in json.loads(_text(value)) if item is not None)
