"""Finding a table or a column by the name that a caller gave.

The rule: a name is looked up, never trusted. What reaches SQL is the catalogue's own spelling,
quoted; what is not there is answered with the names that come closest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pgmcp.catalog import read as catalog_read
from pgmcp.catalog.catalogue import Column, Relation
from pgmcp.catalog.read import Fetch
from pgmcp.errors import ToolError
from pgmcp.sql.text import quote_identifier

_SHOWN_NAMES = 10
_COMPARED_NAMES = 3_000  # comparing takes 20 µs each
_PART = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')


def quoted_name(relation: Relation) -> str:
    """`"schema"."table"`, as SQL."""
    return f"{quote_identifier(relation.schema)}.{quote_identifier(relation.name)}"


def plain_name(relation: Relation) -> str:
    """`schema.table`, for people."""
    return f"{relation.schema}.{relation.name}"


def relations(fetch: Fetch, table: str, schema: str | None = None) -> tuple[Relation, ...]:
    """The relations of that name, at least one; several when schemas share it.

    The name as it stands comes first, then what it means as SQL (`schema.table`, `"quoted"`); the
    exact spelling before another case. ToolError when there is none.
    """
    for in_schema, name in _readings(table, schema):
        candidates = catalog_read.read(fetch, in_schema, name).relations
        exact = tuple(
            relation
            for relation in candidates
            if relation.name == name and in_schema in (None, relation.schema)
        )
        if exact or candidates:
            return exact or candidates
    raise _no_relation(fetch, table, schema)


def relation(fetch: Fetch, table: str, schema: str | None = None) -> Relation:
    """The relation that is meant: the only one, or the only one on the search path.

    ToolError when there is none, or when several schemas have one and none is on the path.
    """
    candidates = relations(fetch, table, schema)
    visible = [candidate for candidate in candidates if candidate.on_search_path]
    if len(candidates) > 1 and len(visible) != 1:
        names = ", ".join(plain_name(candidate) for candidate in candidates)
        raise ToolError(
            f'several tables are called "{table}": {names}',
            "Say which schema is meant.",
        )
    return (visible or list(candidates))[0]


def column(relation: Relation, name: str) -> Column:
    """A column by its exact name, or the only one that differs in case. ToolError without one."""
    wanted = name[1:-1].replace('""', '"') if re.fullmatch('"(?:[^"]|"")+"', name) else name
    alike = [
        candidate for candidate in relation.columns if candidate.name.lower() == wanted.lower()
    ]
    exact = [candidate for candidate in alike if candidate.name == wanted]
    if exact or len(alike) == 1:
        return (exact or alike)[0]
    nearest = closest(name, [candidate.name for candidate in relation.columns])
    raise ToolError(
        f'{plain_name(relation)} has no column "{name}" that you may read',
        _suggestion("Its columns", nearest),
    )


def closest(name: str, names: Iterable[str]) -> list[str]:
    """The names most like this one, best first; the first ones in order when none is."""
    by_lower: dict[str, str] = {}
    for candidate in names:
        by_lower.setdefault(candidate.lower(), candidate)
    wanted = name.lower()
    alike = sorted(by_lower, key=lambda candidate: abs(len(candidate) - len(wanted)))
    from difflib import get_close_matches  # here: no start needs it

    near = get_close_matches(wanted, alike[:_COMPARED_NAMES], _SHOWN_NAMES, cutoff=0.5)
    near += [c for c in by_lower if (wanted in c or c in wanted) and c not in near]
    return [by_lower[lower] for lower in (near or list(by_lower))[:_SHOWN_NAMES]]


def no_schema(fetch: Fetch, schema: str) -> ToolError:
    """The error for a schema in which nothing is readable, with those that there are."""
    schemas = sorted({in_schema for in_schema, _ in catalog_read.names(fetch)})
    return ToolError(
        f'no schema "{schema}" with tables that you may read',
        _suggestion("Schemas", closest(schema, schemas)),
    )


def _readings(table: str, schema: str | None) -> Sequence[tuple[str | None, str]]:
    readings: list[tuple[str | None, str]] = [(schema, table)]
    parts = [
        match[1].replace('""', '"') if match[1] else match[2] for match in _PART.finditer(table)
    ]
    if len(parts) == 1 and parts[0] != table:
        readings.append((schema, parts[0]))
    if len(parts) == 2 and schema in (None, parts[0]):
        readings.append((parts[0], parts[1]))
    return readings


def _no_relation(fetch: Fetch, table: str, schema: str | None) -> ToolError:
    everything = catalog_read.names(fetch)
    if not everything:
        return ToolError(f'no table "{table}": there is no table at all that you may read')
    if schema is not None and all(
        in_schema.lower() != schema.lower() for in_schema, _ in everything
    ):
        return no_schema(fetch, schema)
    bare = table.rpartition(".")[2].strip('"')
    near = closest(bare, [name for _, name in everything])
    names = [
        f"{in_schema}.{name}" for like in near for in_schema, name in everything if name == like
    ]
    where = f' in schema "{schema}"' if schema is not None else ""
    return ToolError(
        f'no table "{table}"{where} that you may read', _suggestion("Closest", names[:_SHOWN_NAMES])
    )


def _suggestion(what: str, names: Sequence[str]) -> str:
    return f"{what}: {', '.join(names)}" if names else ""
