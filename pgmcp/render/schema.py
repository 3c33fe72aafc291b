"""A catalogue as TSV, in as much detail as fits.

The rule: pure, always under the limit, and what had to be left out is said in the text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from pgmcp.catalog.catalogue import Column, Relation
from pgmcp.render import tsv
from pgmcp.sql.text import quote_literal

Relations = Sequence[Relation]

LIMIT_CHARS = 60_000
_FIELD_CHARS = 1_000
_SUMMARY_CHARS = 200
_QUOTED = frozenset(",'\"\\")


def describe(relations: Relations, *, compact: bool, limit_chars: int = LIMIT_CHARS) -> str:
    """The first of these that fits: everything, columns only, a list of tables, a part of it.

    `compact` begins with columns only. One relation alone is cut rather than summed up.
    """
    levels: list[Callable[[Relations], str]] = [_columns_only, _tables_only]
    if not compact:
        levels.insert(0, _everything)
    if len(relations) == 1:
        return _cut_lines(levels[0](relations), limit_chars)
    for number, level in enumerate(levels):
        text = level(relations)
        if len(text) <= limit_chars:
            return text if number == 0 else f"{_shortened(relations)}\n\n{text}"
    return _cut(relations, text, limit_chars)


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
    return "\n\n".join(sections)


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
    return "Tables:\n" + tsv.table(("schema", "table", "kind", "columns"), lines)


def _tables_only(relations: Relations) -> str:
    lines = [
        (
            relation.schema,
            relation.name,
            relation.kind,
            "" if relation.estimated_rows is None else str(relation.estimated_rows),
            str(len(relation.columns)),
            relation.partition_of or "",
            _short(relation.comment, _SUMMARY_CHARS),
        )
        for relation in relations
    ]
    header = "schema table kind estimated_rows columns partition_of comment".split()
    return "Tables:\n" + tsv.table(header, lines)


def _column(relation: Relation, column: Column) -> tuple[str, ...]:
    default = column.default or ""
    if column.identity:
        default = "identity"
    elif column.generated:
        default = f"generated: {default}"
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
        (
            "foreign key",
            key.name,
            f"({', '.join(key.columns)}) references {key.ref_schema}.{key.ref_table}"
            f" ({', '.join(key.ref_columns)})",
        )
        for key in relation.foreign_keys
        if len(key.columns) > 1
    ]
    return extras + [("check", "", _short(check)) for check in relation.checks]


_ADVICE = "For everything about one table give table_name; for a part, schema_name."


def _shortened(relations: Relations) -> str:
    return f"Too much for one answer ({len(relations):,} tables): a summary. {_ADVICE}"


def _cut(relations: Relations, text: str, limit_chars: int) -> str:
    """As many of the tables as fit, below the number of tables in each schema."""
    schemas = Counter(relation.schema for relation in relations)
    counts = tsv.table(("schema", "tables"), [(name, str(n)) for name, n in schemas.items()])
    start = f"{_shortened(relations)}\n\n" + _cut_lines(f"Schemas:\n{counts}", limit_chars // 2)
    return f"{start}\n\n" + _cut_lines(text, limit_chars - len(start) - 2)


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
