"""What the catalogue says of the relations, functions and types that a statement uses.

The rule: SQL text, and what its answers say; nothing is decided here. It is asked in the
transaction in which the statement was analysed, so that the names are those of that moment.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pgmcp.policy.uses import WHOLE_ROW, ColumnUse, RelationUse, TreeUses
from pgmcp.postgres.messages import Step
from pgmcp.sql.names import array_literal
from pgmcp.sql.oids import FIRST_USER_OID

# regproc, regprocedure, regoper, regoperator, regclass, regtype, regnamespace, regrole,
# regcollation and their arrays (pg_type.dat): their input looks a name up. Those of text search
# (regconfig, regdictionary) name nothing that a policy could hide.
LOOKING_UP = {
    24: "regproc", 2202: "regprocedure", 2203: "regoper", 2204: "regoperator", 2205: "regclass",
    2206: "regtype", 4089: "regnamespace", 4096: "regrole", 4191: "regcollation",
    1008: "regproc[]", 2207: "regprocedure[]", 2208: "regoper[]", 2209: "regoperator[]",
    2210: "regclass[]", 2211: "regtype[]", 4090: "regnamespace[]", 4097: "regrole[]",
    4192: "regcollation[]",
}  # fmt: skip

# Functions of PostgreSQL's own that look at no object, though their name or arguments suggest it.
_HARMLESS = (
    "pg_backend_pid pg_client_encoding pg_collation_for pg_column_compression pg_column_size"
    " pg_conf_load_time pg_is_in_recovery pg_postmaster_start_time pg_size_bytes pg_size_pretty"
    " pg_sleep pg_sleep_for pg_sleep_until pg_typeof to_tsquery to_tsvector"
).split()
_BY_NAME = (
    "^(pg_|has_|to_reg|query_to_|cursor_to_|table_to_|schema_to_|database_to_|obj_description"
    "|col_description|shobj_description|row_security_active|nextval|currval|lastval|setval|ts_stat"
    "|ts_rewrite|lo_|loread|format_type|current_schemas|current_query)"
)
_LOOKS_UP = re.compile(_BY_NAME)
# oid, name, oidvector, reg…
_ARGUMENTS = "{26,19,30,24,2202,2203,2204,2205,2206,4089,4096,4191,1028,1003,2210}"

RELATIONS_SQL = """
WITH RECURSIVE up(relation, other) AS (
  SELECT i.inhrelid, i.inhparent FROM pg_catalog.pg_inherits i
  WHERE i.inhrelid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])
  UNION
  SELECT up.relation, i.inhparent
  FROM up JOIN pg_catalog.pg_inherits i ON i.inhrelid OPERATOR(pg_catalog.=) up.other
), down(relation, other) AS (
  SELECT i.inhparent, i.inhrelid FROM pg_catalog.pg_inherits i
  WHERE i.inhparent OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])
  UNION
  SELECT down.relation, i.inhrelid
  FROM down JOIN pg_catalog.pg_inherits i ON i.inhparent OPERATOR(pg_catalog.=) down.other
), named(oid, name) AS NOT MATERIALIZED (
  SELECT c.oid, pg_catalog.json_build_array(n.nspname, c.relname)
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
)
SELECT c.oid, n.nspname, c.relname, c.relrowsecurity,
  (SELECT pg_catalog.json_agg(
     pg_catalog.json_build_array(a.attnum, a.attname, t.typcategory) ORDER BY a.attnum)
   FROM pg_catalog.pg_attribute a
   JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) a.atttypid
   WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attnum OPERATOR(pg_catalog.>) 0
   AND NOT a.attisdropped),
  (SELECT pg_catalog.json_agg(named.name)
   FROM up JOIN named ON named.oid OPERATOR(pg_catalog.=) up.other
   WHERE up.relation OPERATOR(pg_catalog.=) c.oid),
  (SELECT pg_catalog.json_agg(named.name)
   FROM down JOIN named ON named.oid OPERATOR(pg_catalog.=) down.other
   WHERE down.relation OPERATOR(pg_catalog.=) c.oid),
  (SELECT named.name
   FROM pg_catalog.pg_depend d JOIN named ON named.oid OPERATOR(pg_catalog.=) d.refobjid
   WHERE c.relkind OPERATOR(pg_catalog.=) 'S'
   AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
   AND d.objid OPERATOR(pg_catalog.=) c.oid
   AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
   AND d.deptype OPERATOR(pg_catalog.=) ANY ('{a,i}'::pg_catalog."char"[]) LIMIT 1)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE c.oid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])"""
"""Relations ($1, OIDs) with their columns, those above and below them, and a sequence's table."""

_NAMED_RELATIONS = Step(
    """
SELECT c.oid, n.nspname, c.relname, false,
  (SELECT pg_catalog.json_agg(
     pg_catalog.json_build_array(a.attnum, a.attname, NULL) ORDER BY a.attnum)
   FROM pg_catalog.pg_attribute a WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid
   AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped),
  NULL, NULL, NULL
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE c.oid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])""",
    name="pgmcp_named_relations",
)

FUNCTIONS_SQL = f"""
SELECT p.oid, n.nspname OPERATOR(pg_catalog.||) '.' OPERATOR(pg_catalog.||) p.proname
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
WHERE p.oid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])
AND CASE WHEN p.oid OPERATOR(pg_catalog.<) {FIRST_USER_OID} THEN
    p.proname OPERATOR(pg_catalog.<>) ALL ($2::pg_catalog.name[])
    AND (p.proname OPERATOR(pg_catalog.~) '{_BY_NAME}'
         OR p.proname OPERATOR(pg_catalog.=) 'set_config'
         OR (p.provolatile OPERATOR(pg_catalog.<>) 'i' AND p.proargtypes::pg_catalog.oid[]
             OPERATOR(pg_catalog.&&) '{_ARGUMENTS}'::pg_catalog.oid[]))
  ELSE NOT (p.provolatile OPERATOR(pg_catalog.=) 'i' AND EXISTS (
    SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
    AND d.objid OPERATOR(pg_catalog.=) p.oid
    AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
    AND d.deptype OPERATOR(pg_catalog.=) 'e'))
  END
ORDER BY 2"""
"""Those of the functions $1 (OIDs) that a policy has to allow: what looks objects up by name or
OID, what neither PostgreSQL nor an extension as an immutable function brings, and set_config, which
the judge lets pass only where it is trusted. $2: harmless."""
SET_CONFIG = "pg_catalog.set_config"
"""Could take another role on, and other settings."""

_RELATIONS = Step(RELATIONS_SQL, name="pgmcp_used_relations")
_FUNCTIONS = Step(FUNCTIONS_SQL, name="pgmcp_used_functions")

ROW_TYPES_SQL = """
SELECT DISTINCT r.typrelid
FROM pg_catalog.pg_type t
LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem
LEFT JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype
LEFT JOIN pg_catalog.pg_type be ON be.oid = b.typelem
JOIN pg_catalog.pg_type r ON r.oid IN (t.oid, e.oid, b.oid, be.oid)
JOIN pg_catalog.pg_class c ON c.oid = r.typrelid AND c.relkind <> 'c'
WHERE t.oid = ANY ($1::oid[])"""
"""The relations whose rows are the values of these types ($1, OIDs), by themselves, in an array or
as a domain."""


@dataclass(frozen=True, slots=True)
class UsedRelation:
    """A relation. `columns`, and the `categories` of their types (pg_type.typcategory), by
    pg_attribute.attnum; the others are pairs of schema and name.

    `ancestors` and `descendants`: by inheritance or as partitions. `owner_table`: of a sequence.
    """

    schema: str
    name: str
    columns: Mapping[int, str]
    categories: Mapping[int, str] = field(default_factory=dict)
    ancestors: tuple[tuple[str, str], ...] = ()
    descendants: tuple[tuple[str, str], ...] = ()
    row_security: bool = False
    owner_table: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What a statement uses, and what the catalogue says of it.

    `functions`: those that a policy has to allow, `schema.name` by OID. `bodies`: the OIDs of those
    whose own statements are in `uses`, with the negative OID as their view. `look_ups`: the types
    it names whose values are looked up by name.
    """

    uses: TreeUses
    relations: Mapping[int, UsedRelation]
    functions: Mapping[int, str]
    bodies: frozenset[int] = frozenset()
    look_ups: tuple[str, ...] = ()
    decisions: dict[object, object] = field(default_factory=dict, compare=False)
    """What was decided of it, by `policy.decided`."""


def looks_up(function: str) -> bool:
    """Whether a function of PostgreSQL's own with this name looks objects up."""
    return _LOOKS_UP.match(function) is not None and function not in _HARMLESS


def questions(uses: TreeUses, row_types: Iterable[int]) -> list[Step]:
    """The questions whose answers `read` takes."""
    columns = uses.columns | uses.named
    oids = {use.relation for use in uses.relations} | {use.relation for use in columns}
    oids |= {use.view for use in uses.relations} | {use.view for use in columns}
    oids |= set(row_types)
    return [
        _RELATIONS._replace(params=(array_literal(sorted(oid for oid in oids if oid > 0)),)),
        functions_question(uses.functions - {0}),
    ]


def functions_question(functions: Iterable[int]) -> Step:
    """The question for those of these functions that a policy has to allow."""
    params = (array_literal(sorted(functions)), array_literal(_HARMLESS))
    return _FUNCTIONS._replace(params=params)


def named_relations(oids: Iterable[int]) -> Step:
    """The question for the names of relations and of their columns, for `read_relations`."""
    return _NAMED_RELATIONS._replace(params=(array_literal(sorted(oids)),))


def user_types(uses: TreeUses) -> tuple[str, ...]:
    """The parameters of ROW_TYPES_SQL, () where it need not be asked."""
    types = sorted(oid for oid in uses.types if oid >= FIRST_USER_OID)
    return (array_literal(types),) if types else ()


def read(
    uses: TreeUses,
    row_types: Iterable[int],
    relations: Sequence[Sequence[str]],
    functions: Sequence[Sequence[str]],
    bodies: frozenset[int],
) -> Facts:
    """The facts, from the answers to `questions`. Who names the type of a table's rows uses all of
    its columns, by their names."""
    known = read_relations(relations)
    rows = frozenset(ColumnUse(relation, WHOLE_ROW) for relation in row_types)
    named = frozenset(RelationUse(relation) for relation in row_types)
    return Facts(
        replace(uses, columns=uses.columns | rows, relations=uses.relations | named),
        known,
        {int(oid): name for oid, name in functions},
        bodies,
        tuple(name for oid, name in LOOKING_UP.items() if oid in uses.types),
    )


def read_relations(rows: Sequence[Sequence[str]]) -> dict[int, UsedRelation]:
    """The answer to RELATIONS_SQL, by OID."""
    return {int(oid): _relation(more) for oid, *more in rows}


def _relation(row: Sequence[str]) -> UsedRelation:
    schema, name, row_security, columns, ancestors, descendants, table = row
    listed = json.loads(columns or "[]")
    return UsedRelation(
        schema,
        name,
        {number: column for number, column, _ in listed},
        {number: category for number, _, category in listed},
        _pairs(ancestors),
        _pairs(descendants),
        row_security == "t",
        tuple(json.loads(table)) if table else None,
    )


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((schema, name) for schema, name in json.loads(text or "[]"))
