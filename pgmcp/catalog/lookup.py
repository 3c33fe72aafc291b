"""Finding a table, a schema or a column by the name that a caller gave.

The rule: a name is looked up, never trusted. The exact name wins, then what it means as SQL, then
the fold of `sql.names`. What reaches SQL is the catalogue's own spelling, quoted; what is not there
is answered with the names that come closest, spelt so that they can be given back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from pgmcp.catalog import read as catalog_read
from pgmcp.catalog.catalogue import Column, Listed, Relation
from pgmcp.catalog.read import Candidate
from pgmcp.errors import ToolError
from pgmcp.postgres.rows import Fetch
from pgmcp.sql.names import clipped, fold, parts, qualified, quoted, unquoted
from pgmcp.sql.text import encode, quote_identifier

_SHOWN_NAMES = 10
_COMPARED_NAMES = 3_000  # comparing takes 20 µs each

NameReading = tuple[str | None, str]
"""A schema, None for any, and a name in it: one thing that a caller's text can mean."""


def quoted_name(relation: Relation | Listed) -> str:
    """`"schema"."table"`, as SQL."""
    return f"{quote_identifier(relation.schema)}.{quote_identifier(relation.name)}"


def plain_name(relation: Relation | Listed) -> str:
    """`schema.table`, for people: each name in quotes only where PostgreSQL needs them."""
    return qualified(relation.schema, relation.name)


def listed(fetch: Fetch, table: str, schema: str | None = None) -> list[Listed]:
    """The relations of that name, at least one; several when schemas share it.

    ToolError when there is none that the role may read, which says whether there is one that it may
    not, or one of PostgreSQL's own.
    """
    readings = _readings(table, schema)
    exact = list(dict.fromkeys(name for _, name in readings))
    candidates = catalog_read.named(fetch, exact)
    matches = _pick(readings, [each for each in candidates if each.readable and not each.system])
    if matches:
        return matches
    # Another case, or another composition of the same letters: compared here, with all names.
    alike = {fold(name) for name in exact}
    everything = catalog_read.names(fetch)
    spelt = {name for _, name, _ in everything if fold(name) in alike}
    candidates += catalog_read.named(fetch, spelt - set(exact)) if spelt - set(exact) else []
    ours = [each for each in candidates if not each.system]
    matches = _pick(readings, [each for each in ours if each.readable], fold)
    if matches:
        return matches
    unreadable = _pick(readings, ours, fold)
    if unreadable:
        raise _unreadable(unreadable[0])
    raise _no_relation(fetch, everything, table, schema, candidates, exact)


def relation(fetch: Fetch, table: str, schema: str | None = None) -> Relation:
    """The relation that is meant: the only one, or the only one on the search path.

    ToolError when there is none, or when several schemas have one and none is on the path.
    """
    candidates = listed(fetch, table, schema)
    visible = [candidate for candidate in candidates if candidate.on_search_path]
    if len(candidates) > 1 and len(visible) != 1:
        names = ", ".join(plain_name(candidate) for candidate in candidates)
        raise ToolError(
            f'several tables are called "{table}": {names}',
            "Give one of these names, with its schema and as it is spelt here.",
        )
    (chosen,) = catalog_read.relations_of(fetch, (visible or candidates)[:1], values=False)
    return chosen


def schema(fetch: Fetch, wanted: str) -> str:
    """The schema that is meant by this name. ToolError when there is none that the role may use."""
    everything = dict(catalog_read.schema_names(fetch))
    for alike in ({wanted}, {unquoted(wanted)}, _folded(unquoted(wanted), everything)):
        matches = sorted(alike & everything.keys())
        usable = [name for name in matches if everything[name]]
        if len(usable) > 1:
            raise ToolError(
                f'several schemas are called "{wanted}": {", ".join(usable)}',
                "Spell the schema as it is listed here.",
            )
        if usable:
            return usable[0]
        if matches:
            raise ToolError(
                f'schema "{matches[0]}" exists, and the role may not use it',
                f"Its owner can GRANT USAGE ON SCHEMA {quote_identifier(matches[0])} to the role.",
            )
    raise _no_schema(fetch, wanted)


def column(relation: Relation, name: str) -> Column:
    """A column by its exact name, or the only one with the same fold. ToolError without one."""
    for wanted in (name, unquoted(name)):
        for candidate in relation.columns:
            if candidate.name == wanted:
                return candidate
    alike = [each for each in relation.columns if fold(each.name) == fold(unquoted(name))]
    if len(alike) == 1:
        return alike[0]
    nearest = closest(name, [candidate.name for candidate in relation.columns])
    raise ToolError(
        f'{plain_name(relation)} has no column "{name}" that you may read',
        _suggestion("Its columns", map(quoted, nearest)),
    )


def closest(name: str, names: Iterable[str]) -> list[str]:
    """The names most like this one, best first; the first ones in order when none is."""
    by_fold: dict[str, str] = {}
    for candidate in names:
        by_fold.setdefault(fold(candidate), candidate)
    wanted = fold(name)
    alike = sorted(by_fold, key=lambda candidate: abs(len(candidate) - len(wanted)))
    from difflib import get_close_matches  # here: no start needs it

    near = get_close_matches(wanted, alike[:_COMPARED_NAMES], _SHOWN_NAMES, cutoff=0.5)
    near += [c for c in by_fold if (wanted in c or c in wanted) and c not in near]
    return [by_fold[folded] for folded in (near or list(by_fold))[:_SHOWN_NAMES]]


def _readings(table: str, schema: str | None) -> Sequence[NameReading]:
    """What the text can mean, the likeliest first: the name as it stands; as SQL, in quotes or
    behind its schema; without quotes in lower case, as PostgreSQL takes it; cut to 63 bytes."""
    encode(table, "the name")
    encode(schema or "", "the schema's name")
    readings: list[NameReading] = [(schema, table)]
    names = parts(table)
    within = None if schema is None else unquoted(schema)
    if len(names) == 1:
        readings.append((within, names[0]))
    for cut in range(1, len(names)):
        before, name = ".".join(names[:cut]), ".".join(names[cut:])
        if within is None or fold(before) == fold(within):
            readings.append((before, name))
    readings += [(in_schema, name.lower()) for in_schema, name in readings]
    readings += [(in_schema, clipped(name)) for in_schema, name in readings]
    return list(dict.fromkeys(readings))


def _pick(
    readings: Sequence[NameReading],
    candidates: Sequence[Candidate],
    same: Callable[[str], str] = str,
) -> list[Listed]:
    """The candidates of the first reading that has any. `same`: what equal names share."""
    for same_schema in (same, fold):
        for in_schema, name in readings:
            matches = [
                each.listed
                for each in candidates
                if same(each.listed.name) == same(name)
                and (in_schema is None or same_schema(each.listed.schema) == same_schema(in_schema))
            ]
            if matches:
                return matches
    return []


def _folded(wanted: str, names: Iterable[str]) -> set[str]:
    return {name for name in names if fold(name) == fold(wanted)}


def _unreadable(listed: Listed) -> ToolError:
    name = plain_name(listed)
    return ToolError(
        f"{name} exists, and the role may not read it",
        f"Its owner can GRANT SELECT ON {name} to the role, and USAGE on its schema.",
    )


def _no_schema(fetch: Fetch, wanted: str) -> ToolError:
    usable = sorted({name for name, _, readable in catalog_read.names(fetch) if readable})
    return ToolError(
        f'no schema "{wanted}" with tables that you may read',
        _suggestion("Schemas", map(quoted, closest(wanted, usable))),
    )


def _no_relation(
    fetch: Fetch,
    everything: Sequence[tuple[str, str, bool]],
    table: str,
    in_schema: str | None,
    candidates: Sequence[Candidate],
    exact: Sequence[str],
) -> ToolError:
    for candidate in candidates:
        if candidate.system and (in_schema or "." in table or table.startswith("pg_")):
            return ToolError(
                f"{plain_name(candidate.listed)} is one of PostgreSQL's own, which are left out",
                "SELECT from it, as far as the role may.",
            )
    for schema_name, name, kind in catalog_read.others(fetch, exact):
        if in_schema is None or fold(unquoted(in_schema)) == fold(schema_name):
            return ToolError(
                f"{qualified(schema_name, name)} is {'an' if kind == 'index' else 'a'} {kind}, "
                "and no table or view",
                "Name a table or a view: get_schema_info lists them.",
            )
    names = [(schema_name, name) for schema_name, name, readable in everything if readable]
    if not names:
        return ToolError(
            f'no table "{table}": there is no table at all that you may read',
            "Let the operator grant your role, or your policy, a table to read.",
        )
    if in_schema is not None:
        schema(fetch, in_schema)  # which raises when that is what is wrong
    bare = (parts(table) or (table,))[-1]
    near = closest(bare, [name for _, name in names])
    spelt = [qualified(*each) for like in near for each in names if each[1] == like]
    where = f' in schema "{in_schema}"' if in_schema is not None else ""
    return ToolError(
        f'no table "{table}"{where} that you may read', _suggestion("Closest", spelt[:_SHOWN_NAMES])
    )


def _suggestion(what: str, names: Iterable[str]) -> str:
    listed_names = ", ".join(names)
    return f"{what}: {listed_names}" if listed_names else ""
