"""How a policy fits a database: lines that match nothing, masks that do not suit a column's type,
and copies of what it keeps back.

The rule: SQL text, and what its answers say. A copy is a warning, since what is in it is the
operator's to know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pgmcp.config.patterns import Pattern, is_system
from pgmcp.config.policies import Policy
from pgmcp.policy.decision import mask_of, may_read, may_use
from pgmcp.policy.facts import RELATIONS_SQL, UsedRelation, read_relations
from pgmcp.policy.masking import fits
from pgmcp.postgres.rows import Fetch, texts
from pgmcp.sql.names import array_literal, qualified, quoted

_ALL_SQL = r"""
SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
  AND ($1::bool OR n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%')"""
_READ_BY = """
  FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_depend d ON d.objid = r.oid
  AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
  AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> r.ev_class"""
_COPIES_SQL = f"""
WITH RECURSIVE reads(copy, relation, attribute) AS (
  SELECT r.ev_class, d.refobjid, d.refobjsubid {_READ_BY}
  JOIN pg_catalog.pg_class m ON m.oid = r.ev_class AND m.relkind = 'm'
  UNION
  SELECT reads.copy, d.refobjid, d.refobjsubid {_READ_BY}
  JOIN pg_catalog.pg_class v ON v.oid = r.ev_class AND v.relkind = 'v'
  JOIN reads ON reads.relation = v.oid
)
SELECT copy, relation, attribute FROM reads WHERE attribute > 0"""
"""Of materialised views the columns that their definitions read, through views too."""
_GENERATED_SQL = """
SELECT a.attrelid, a.attnum, d.refobjsubid FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
  AND d.objid = f.oid AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.refobjid = a.attrelid AND d.refobjsubid NOT IN (0, a.attnum)
WHERE a.attgenerated <> ''"""
"""Generated columns, with the columns that they are computed of."""
_FOREIGN_SQL = """
SELECT f.ftrelid, o.schema_name, o.table_name
FROM pg_catalog.pg_foreign_table f, LATERAL (
  SELECT max(option_value) FILTER (WHERE option_name = 'schema_name') AS schema_name,
    max(option_value) FILTER (WHERE option_name = 'table_name') AS table_name
  FROM pg_catalog.pg_options_to_table(f.ftoptions)) o
WHERE o.schema_name IS NOT NULL AND o.table_name IS NOT NULL"""
"""Foreign tables that name a table of the other server."""


@dataclass(frozen=True, slots=True)
class PolicyFit:
    """`unmatched`: the lines of `read` and `mask` that match nothing. `misfits`: masks on columns
    whose types they do not suit, which are refused. `copies`: what copies a hidden thing."""

    unmatched: frozenset[str] = frozenset()
    misfits: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()


def fit(policy: Policy, fetch: Fetch) -> PolicyFit:
    """How it fits a database; `fetch` runs a statement of pgmcp's own. ToolError."""
    patterns = [*policy.read.patterns, *(pattern for pattern, _ in policy.mask.rules)]
    system = any(is_system(pattern.schema or "") for pattern in patterns)
    oids = array_literal(oid for (oid,) in texts(fetch(_ALL_SQL, (str(system),)).rows))
    relations = read_relations(texts(fetch(RELATIONS_SQL, (oids,)).rows))
    unmatched = {
        pattern.text
        for pattern in patterns
        if not any(_matches(pattern, relation) for relation in relations.values())
    }
    copies = {
        *_copies(policy, relations, texts(fetch(_COPIES_SQL, ()).rows)),
        *_generated(policy, relations, texts(fetch(_GENERATED_SQL, ()).rows)),
        *_foreign(policy, relations, texts(fetch(_FOREIGN_SQL, ()).rows)),
    }
    misfits = {misfit for relation in relations.values() for misfit in _misfits(policy, relation)}
    return PolicyFit(frozenset(unmatched), tuple(sorted(misfits)), tuple(sorted(copies)))


def _matches(pattern: Pattern, relation: UsedRelation) -> bool:
    return pattern.covers(relation.schema, relation.name) and (
        pattern.column is None or pattern.column in relation.columns.values()
    )


def _misfits(policy: Policy, relation: UsedRelation) -> Iterator[str]:
    for number, column in relation.columns.items():
        mask = mask_of(policy, relation, column) if policy.mask.rules else None
        if mask is not None and not fits(mask, relation.categories[number]):
            yield f"the mask {mask} does not suit the type of {_full(relation, column)}"


def _copies(
    policy: Policy, relations: Mapping[int, UsedRelation], rows: list[tuple[str, ...]]
) -> Iterator[str]:
    for copy_oid, oid, attribute in rows:
        copy, source = relations.get(int(copy_oid)), relations.get(int(oid))
        if copy is None or source is None or not may_use(policy, copy):
            continue
        column = source.columns.get(int(attribute), "")
        if kept := _kept_back(policy, source, column):
            yield (
                f"the materialised view {qualified(copy.schema, copy.name)}, which may be read,"
                f" holds what was read of {_full(source, column)}, which {kept}"
            )


def _generated(
    policy: Policy, relations: Mapping[int, UsedRelation], rows: list[tuple[str, ...]]
) -> Iterator[str]:
    for oid, attribute, source in rows:
        table = relations.get(int(oid))
        if table is None or not may_use(policy, table):
            continue
        column, of = (table.columns.get(int(number), "") for number in (attribute, source))
        kept = _kept_back(policy, table, of)
        if kept and not _kept_back(policy, table, column):
            yield (
                f"the column {_full(table, column)}, which may be read, is computed of"
                f" {_full(table, of)}, which {kept}"
            )


def _foreign(
    policy: Policy, relations: Mapping[int, UsedRelation], rows: list[tuple[str, ...]]
) -> Iterator[str]:
    for oid, schema, name in rows:
        table = relations.get(int(oid))
        if table is None or (schema, name) == (table.schema, table.name):
            continue
        other = UsedRelation(schema, name, table.columns)
        for column in table.columns.values() if may_use(policy, table) else ():
            shown = may_read(policy, table, column) and mask_of(policy, table, column) is None
            if shown and (kept := _kept_back(policy, other, column)):
                yield (
                    f"the foreign table {qualified(table.schema, table.name)}, which may be read,"
                    f" is one of a table {_full(other, column)}, which here {kept}"
                )


def _kept_back(policy: Policy, relation: UsedRelation, column: str) -> str:
    """How a policy keeps a column, "" where it does not."""
    if not (may_use(policy, relation) and may_read(policy, relation, column)):
        return "may not be read"
    return "is masked" if mask_of(policy, relation, column) is not None else ""


def _full(relation: UsedRelation, column: str) -> str:
    return f"{qualified(relation.schema, relation.name)}.{quoted(column)}"
