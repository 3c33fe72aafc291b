"""The smallest policy, and the smallest GRANTs, with which recorded calls could be made again.

The rule: nothing is named that no record names. Values in, values out. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pgmcp.audit.recorded import DatabaseUse, RecordedUse
from pgmcp.sql.names import parts, qualified, quoted

POLICY = "suggested"
_OWN_SCHEMAS = ("pg_catalog", "information_schema")


def policy_of(use: RecordedUse) -> Mapping[str, object]:
    """The section `policies` with one policy, as a configuration has it."""
    functions = sorted(set().union(*(each.functions for each in use.databases.values())))
    policy: dict[str, object] = {
        "databases": sorted(use.databases),
        "tools": sorted(use.tools),
        "read": _patterns(use),
        "functions": functions,
    }
    return {"policies": {POLICY: {key: value for key, value in policy.items() if value}}}


def _patterns(use: RecordedUse) -> list[str]:
    """`read` is for all databases of a policy together."""
    patterns = set()
    for each in use.databases.values():
        for relation in {*each.relations, *each.behind_views}:
            columns = each.columns(relation, each.relations, each.behind_views)
            patterns |= {f"{relation}.{quoted(column)}" for column in columns} or {relation}
    return sorted(patterns)


def grants_of(use: RecordedUse, role: str) -> Iterator[str]:
    """SQL that makes the role where it is not there, and gives it its rights, a statement or a
    comment each."""
    name = quoted(role)
    literal = "'" + name.replace("'", "''") + "'"
    for database, each in sorted(use.databases.items()):
        yield f"-- In the database {_in_comment(database)}, as the owner of the objects:"
        yield (
            f"DO $pgmcp$ BEGIN CREATE ROLE {name}; EXCEPTION WHEN duplicate_object THEN NULL; END"
            " $pgmcp$;"
        )
        yield (
            "DO $pgmcp$ BEGIN EXECUTE pg_catalog.format('GRANT CONNECT ON DATABASE %I TO %s',"
            f" pg_catalog.current_database(), {literal}); END $pgmcp$;"
        )
        yield from _grants(each, name)


def _grants(use: DatabaseUse, role: str) -> Iterator[str]:
    relations = {name: parts(name) for name in sorted(use.relations)}
    theirs = {name: named for name, named in relations.items() if named[0] not in _OWN_SCHEMAS}
    functions = [name.partition(".") for name in sorted(use.functions)]
    functions = [each for each in functions if each[0] not in _OWN_SCHEMAS]
    for schema in sorted({named[0] for named in theirs.values()} | {each[0] for each in functions}):
        yield f"GRANT USAGE ON SCHEMA {quoted(schema)} TO {role};"
    for relation in theirs:
        columns = ", ".join(map(quoted, use.columns(relation, use.relations)))
        yield f"GRANT SELECT{f' ({columns})' if columns else ''} ON {relation} TO {role};"
    for schema, _, function in functions:
        yield f"GRANT EXECUTE ON FUNCTION {qualified(schema, function)} TO {role};"


def _in_comment(name: str) -> str:
    return " ".join(name.split())
