"""A catalogue as TSV, in as much detail as fits.

The rule: pure, always under the limit, and what had to be left out is said in the text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from pgmcp.catalog.catalogue import Column, ForeignKey, Listed, Relation
from pgmcp.render import tsv
from pgmcp.sql.text import quote_literal

Relations = Sequence[Relation]
Detail = Literal["everything", "columns"]
ReadRelations = Callable[[Detail], Relations]
"""Reads the listed relations in that detail, in their order."""
CountColumns = Callable[[Sequence[Listed]], Sequence[Listed]]
"""The same with exact `column_count`s, which are never more than those that were listed."""

LIMIT_CHARS = 60_000
MAX_LISTED = LIMIT_CHARS // 20
"""More tables than this never fit, with a line for each."""
_FIELD_CHARS = 1_000
_SUMMARY_CHARS = 200
_QUOTED = frozenset(",'\"\\")
_LEAST_CHARS: dict[Detail, int] = {"everything": 16, "columns": 7}
"""No column takes less than this: what is surely too long is not read."""


def describe(
    listed: Sequence[Listed],
    read: ReadRelations,
    count_columns: CountColumns,
    *,
    compact: bool,
    schemas: Mapping[str, int],
    limit_chars: int = LIMIT_CHARS,
) -> str:
    """The first of these that fits: everything, columns only, a list of tables, a part of it.

    `compact` begins with columns only. One relation alone is cut rather than summed up. `schemas`
    says how many relations each schema has, of which `listed` may be the first `MAX_LISTED`.
    """
    count = sum(schemas.values())
    details: tuple[Detail, ...] = ("columns",) if compact else ("everything", "columns")
    if count == 1:
        return _cut_lines(_detailed(details[0], read(details[0])), limit_chars)
    for detail in details:
        if count > len(listed) or not _could_fit(listed, detail, limit_chars):
            continue
        text = _detailed(detail, read(detail))
        if len(text) <= limit_chars:
            return text if detail == details[0] else f"{_shortened(count)}\n\n{text}"
    if count == len(listed) and len(_tables_only(listed)) <= limit_chars:
        return f"{_shortened(count)}\n\n{_tables_only(count_columns(listed))}"
    return _cut(listed, count_columns, schemas, limit_chars)


def _could_fit(listed: Sequence[Listed], detail: Detail, limit_chars: int) -> bool:
    columns = sum(each.column_count for each in listed)
    return columns * _LEAST_CHARS[detail] + len(listed) * 10 <= limit_chars


def _detailed(detail: Detail, relations: Relations) -> str:
    return _everything(relations) if detail == "everything" else _columns_only(relations)


def is_vector(column: Column) -> bool:
    """Whether it is one of pgvector's types."""
    name = column.type.partition("(")[0].rpartition(".")[2].strip('"')
    return name in ("vector", "halfvec", "sparsevec")


def _everything(relations: Relations) -> str:
    columns = [
        (relation.schema, relation.name, *_column(relation, column))
        for relation in relations
        for column in relation.columns
    ]
    extras = [
        (relation.schema, relation.name, *extra)
        for relation in relations
        for extra in _extras(relation)
    ]
    header = "schema table column type nullable default key references values comment".split()
    sections = [_tables_only(relations), "Columns:\n" + tsv.table(header, columns)]
    if extras:
        header = ["schema", "table", "kind", "name", "definition"]
        sections.append("Indexes and constraints:\n" + tsv.table(header, extras))
    return "\n\n".join([*sections, *_more(relations)])


def _more(relations: Relations) -> list[str]:
    """The sections that only some databases have."""
    sections = []
    properties = [
        (relation.schema, relation.name, each.kind, each.name, _short(each.definition))
        for relation in relations
        for each in relation.properties
    ]
    if properties:
        header = ["schema", "table", "kind", "name", "definition"]
        sections.append(
            "Partitions, inheritance and row security:\n" + tsv.table(header, properties)
        )
    types = sorted(
        {
            (each.name, each.kind, _short(each.definition))
            for relation in relations
            for each in relation.types
        }
    )
    if types:
        sections.append("Types:\n" + tsv.table(("type", "kind", "definition"), types))
    return sections + _definitions(relations)


def _definitions(relations: Relations) -> list[str]:
    views = [
        (relation.schema, relation.name, relation.definition)
        for relation in relations
        if relation.definition is not None
    ]
    return ["Definitions:\n" + tsv.table(("schema", "view", "definition"), views)] if views else []


def _columns_only(relations: Relations) -> str:
    lines = [
        (
            relation.schema,
            relation.name,
            relation.kind,
            ", ".join(_brief(relation, column) for column in relation.columns),
        )
        for relation in relations
    ]
    tables = "Tables:\n" + tsv.table(("schema", "table", "kind", "columns"), lines)
    return "\n\n".join([tables, *_definitions(relations)])


def _tables_only(relations: Sequence[Relation | Listed]) -> str:
    lines = [
        (
            relation.schema,
            relation.name,
            relation.kind,
            "" if relation.estimated_rows is None else str(relation.estimated_rows),
            str(_column_count(relation)),
            relation.partition_of or "",
            _short(relation.comment, _SUMMARY_CHARS),
        )
        for relation in relations
    ]
    header = "schema table kind estimated_rows columns partition_of comment".split()
    return "Tables:\n" + tsv.table(header, lines)


def _column_count(relation: Relation | Listed) -> int:
    return relation.column_count if isinstance(relation, Listed) else len(relation.columns)


def _column(relation: Relation, column: Column) -> tuple[str, ...]:
    default = column.default or ""
    if column.identity:
        default = "identity"
    elif column.generated:
        default = f"{'virtual' if column.virtual else 'generated'}: {default}"
    return (
        column.name,
        column.type,
        "yes" if column.nullable else "no",
        _short(default),
        _key(relation, column.name),
        ", ".join(_references(relation, column.name)),
        _short(", ".join(map(_label, column.labels))),
        _short(column.comment),
    )


def _label(label: str) -> str:
    """An enum's label; as SQL where it could be taken for two, or for none."""
    plain = label == label.strip() != "" and _QUOTED.isdisjoint(label)
    return label if plain else quote_literal(label).strip()


def _brief(relation: Relation, column: Column) -> str:
    words = [column.name, column.type]
    if column.name in relation.primary_key:
        words.append("PK")
    words += [f"-> {reference}" for reference in _references(relation, column.name)]
    return " ".join(words)


def _key(relation: Relation, column: str) -> str:
    """`primary` or `unique`, with the columns of a key that has several."""
    keys = [("primary", relation.primary_key)]
    keys += [("unique", key) for key in relation.unique_keys]
    return ", ".join(
        kind if len(key) == 1 else f"{kind} ({', '.join(key)})"
        for kind, key in keys
        if column in key
    )


def _references(relation: Relation, column: str) -> list[str]:
    """`schema.table(column)` for each foreign key that the column is part of."""
    return [
        f"{key.ref_schema}.{key.ref_table}({target})"
        for key in relation.foreign_keys
        for source, target in zip(key.columns, key.ref_columns, strict=False)
        if source == column
    ]


def _extras(relation: Relation) -> list[tuple[str, str, str]]:
    extras = [
        ("unique index" if index.unique else "index", index.name, _short(index.definition))
        for index in relation.indexes
    ]
    extras += [
        ("foreign key", key.name, _short(key.definition))
        for key in relation.foreign_keys
        if not _is_plain(key)
    ]
    return extras + [("check", "", _short(check)) for check in relation.checks]


def _is_plain(key: ForeignKey) -> bool:
    """Whether `references` in the column's line says it all: no action, not deferrable, checked."""
    definition = key.definition
    return len(key.columns) == 1 and definition.endswith(")") and " ON " not in definition


_ADVICE = "For everything about one table give table_name; for a part, schema_name."


def _shortened(count: int) -> str:
    return f"Too much for one answer ({count:,} tables): a summary. {_ADVICE}"


def _cut(
    listed: Sequence[Listed],
    count_columns: CountColumns,
    schemas: Mapping[str, int],
    limit_chars: int,
) -> str:
    """As many of the tables as fit, below the number of tables in each schema."""
    count = sum(schemas.values())
    lines = [(name, str(number)) for name, number in schemas.items()]
    start = f"{_shortened(count)}\n\n" + _cut_lines(
        "Schemas:\n" + tsv.table(("schema", "tables"), lines), limit_chars // 2
    )
    kept = _tables_only(listed)[: limit_chars - len(start) - 60].count("\n") - 2
    text = _tables_only(count_columns(listed[:kept]))
    return f"{start}\n\n{text}\n\n({count - kept:,} more tables are left out.)"


def _cut_lines(text: str, limit_chars: int) -> str:
    if len(text) <= limit_chars:
        return text
    kept = text[: limit_chars - 60].rpartition("\n")[0]
    left_out = text.count("\n") - kept.count("\n")
    return f"{kept}\n\n({left_out:,} more lines are left out.)"


def _short(text: str | None, limit_chars: int = _FIELD_CHARS) -> str:
    if text is None or len(text) <= limit_chars:
        return text or ""
    return text[:limit_chars] + "…"
