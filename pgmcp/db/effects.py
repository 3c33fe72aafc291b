"""What a statement would call, read from PostgreSQL's own analysis of it, and whether that may run.

A READ ONLY transaction does not stop every effect: functions read files, take locks, advance
sequences, run SQL given as text. What a statement calls is not decided by its spelling (quoting,
search_path, operators, casts and views hide it) but by the tree that PostgreSQL made of it, which
`debug_print_rewritten` shows, with every function by OID and every view expanded.

The rule: nothing here guesses. A function is judged by its row in pg_proc; one that cannot be
judged is refused. Pure functions: text in, verdict out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

FIRST_USER_OID = 16384  # FirstNormalObjectId: everything below belongs to PostgreSQL itself

# Node fields that hold OIDs. The output of names is escaped (a blank becomes "\ "), so text that a
# caller chose can add a false field here but never hide a true one.
_FIELD = re.compile(r":(\w+)\s+(?:\(o\s+)?((?:\d+\s*)+)")
_FUNCTION = re.compile(r"(?:func|funcid|fnoid|handler|procid)$", re.IGNORECASE)
_OPERATOR = re.compile(r"(?:opno|opnos|eqop|neop|sortop|sortops)$", re.IGNORECASE)
_TYPE = re.compile(r"(?:type|types|typeid|typid)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Objects:
    """The OIDs that a tree names."""

    functions: frozenset[int] = frozenset()
    operators: frozenset[int] = frozenset()
    types: frozenset[int] = frozenset()

    def __or__(self, other: Objects) -> Objects:
        return Objects(
            self.functions | other.functions,
            self.operators | other.operators,
            self.types | other.types,
        )

    def of_users(self) -> Objects:
        """Those that are not PostgreSQL's own, so that their definition has to be looked up."""
        return Objects(
            frozenset(oid for oid in self.functions if oid >= FIRST_USER_OID),
            frozenset(oid for oid in self.operators if oid >= FIRST_USER_OID),
            frozenset(oid for oid in self.types if oid >= FIRST_USER_OID),
        )

    def __bool__(self) -> bool:
        return bool(self.functions or self.operators or self.types)


def objects_in(tree: str) -> Objects:
    """The objects named in a node tree, as PostgreSQL's nodeToString writes it (outfuncs.c)."""
    functions: set[int] = set()
    operators: set[int] = set()
    types: set[int] = set()
    for field, numbers in _FIELD.findall(tree):
        if _FUNCTION.search(field):
            found = functions
        elif _OPERATOR.search(field):
            found = operators
        elif _TYPE.search(field):
            found = types
        else:
            continue
        found.update(int(number) for number in numbers.split())
    return Objects(frozenset(functions), frozenset(operators), frozenset(types))


@dataclass(frozen=True, slots=True)
class Function:
    """A row of pg_proc, as far as a judgement needs it. `extension` is "" outside of one."""

    oid: int
    schema: str
    name: str
    signature: str
    volatility: str  # 'i'mmutable, 's'table, 'v'olatile
    parallel: str  # 's'afe, 'r'estricted, 'u'nsafe
    language: str
    extension: str


# Built-in functions that are marked volatile or parallel unsafe and yet only look, or only wait.
HARMLESS = frozenset(
    """
    _pg_index_position amvalidate array_sample array_shuffle bernoulli clock_timestamp
    current_query current_schema current_schemas gen_random_uuid pg_blocking_pids
    pg_collation_actual_version pg_control_checkpoint pg_control_init pg_control_recovery
    pg_control_system pg_current_wal_flush_lsn pg_current_wal_insert_lsn pg_current_wal_lsn
    pg_current_xact_id_if_assigned pg_database_collation_actual_version pg_database_size
    pg_get_multixact_members pg_get_sequence_data pg_get_wait_events
    pg_get_wal_replay_pause_state pg_get_wal_resource_managers pg_indexes_size pg_is_in_recovery
    pg_is_wal_replay_paused pg_jit_available pg_last_committed_xact pg_last_wal_receive_lsn
    pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_lock_status
    pg_notification_queue_usage pg_partition_ancestors pg_partition_tree pg_prepared_xact
    pg_relation_size pg_safe_snapshot_blocking_pids pg_sequence_last_value pg_sleep pg_sleep_for
    pg_sleep_until pg_stat_get_io pg_stat_get_recovery_prefetch pg_stat_get_xact_blocks_fetched
    pg_stat_get_xact_blocks_hit pg_stat_get_xact_function_calls
    pg_stat_get_xact_function_self_time pg_stat_get_xact_function_total_time
    pg_stat_get_xact_numscans pg_stat_get_xact_tuples_deleted pg_stat_get_xact_tuples_fetched
    pg_stat_get_xact_tuples_hot_updated pg_stat_get_xact_tuples_inserted
    pg_stat_get_xact_tuples_newpage_updated pg_stat_get_xact_tuples_returned
    pg_stat_get_xact_tuples_updated pg_stat_have_stats pg_table_size pg_tablespace_size
    pg_total_relation_size pg_xact_commit_timestamp pg_xact_commit_timestamp_origin
    pg_xact_status random random_normal system timeofday txid_current_if_assigned txid_status
    uuidv4 uuidv7
    """.split()
)

# Built-in functions that are neither, and yet run SQL by name at run time, past this judgement, or
# show one caller what another is doing.
REFUSED = frozenset(
    """
    database_to_xml database_to_xml_and_xmlschema database_to_xmlschema pg_input_error_info
    pg_input_is_valid pg_stat_get_activity pg_stat_get_backend_activity schema_to_xml
    schema_to_xml_and_xmlschema schema_to_xmlschema table_to_xml table_to_xml_and_xmlschema
    table_to_xmlschema
    """.split()
)

# Extensions whose functions run SQL or reach outside whatever they are declared as.
REFUSED_EXTENSIONS = frozenset(
    ["adminpack", "dblink", "file_fdw", "plperlu", "plpython3u", "tablefunc", "xml2"]
)

BUILTINS_SQL = """
SELECT p.oid, 'pg_catalog.' || p.proname, p.oid::pg_catalog.regprocedure
FROM pg_catalog.pg_proc p
WHERE p.oid OPERATOR(pg_catalog.<) 16384
  AND (p.proname OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.name[])
       OR (p.provolatile OPERATOR(pg_catalog.=) 'v' OR p.proparallel OPERATOR(pg_catalog.=) 'u')
          AND NOT (p.proname OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.name[])))
"""
"""The built-in functions that are refused; parameters `array_literal(HARMLESS)` and `(REFUSED)`."""

LOOKUP_SQL = """
WITH RECURSIVE
types AS (
  SELECT pg_catalog.unnest($3::pg_catalog.oid[]) AS oid
  UNION
  SELECT part.oid
  FROM types
  CROSS JOIN LATERAL (
    SELECT t.typbasetype AS oid FROM pg_catalog.pg_type t WHERE t.oid = types.oid
    UNION ALL
    SELECT t.typelem FROM pg_catalog.pg_type t WHERE t.oid = types.oid
    UNION ALL
    SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngtypid = types.oid
    UNION ALL
    SELECT a.atttypid
    FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0
    WHERE t.oid = types.oid AND NOT a.attisdropped
  ) part
  WHERE part.oid >= 16384
),
named AS (
  SELECT pg_catalog.unnest($1::pg_catalog.oid[]) AS oid
  UNION
  SELECT o.oprcode::pg_catalog.oid FROM pg_catalog.pg_operator o
  WHERE o.oid = ANY ($2::pg_catalog.oid[])
  UNION
  SELECT io.oid
  FROM types
  JOIN pg_catalog.pg_type t USING (oid)
  CROSS JOIN LATERAL (VALUES (t.typinput::pg_catalog.oid), (t.typoutput::pg_catalog.oid)) io (oid)
  UNION
  SELECT r.rngcanonical::pg_catalog.oid
  FROM types JOIN pg_catalog.pg_range r ON r.rngtypid = types.oid
  UNION
  SELECT c.castfunc  -- to_json and its kin call it by themselves
  FROM types JOIN pg_catalog.pg_cast c ON c.castsource = types.oid
  WHERE c.casttarget IN (114, 3802) AND c.castfunc <> 0
),
called AS (
  SELECT oid FROM named
  UNION
  SELECT step.oid
  FROM named
  JOIN pg_catalog.pg_aggregate a ON a.aggfnoid::pg_catalog.oid = named.oid
  CROSS JOIN LATERAL (VALUES
    (a.aggtransfn::pg_catalog.oid), (a.aggfinalfn::pg_catalog.oid),
    (a.aggcombinefn::pg_catalog.oid), (a.aggserialfn::pg_catalog.oid),
    (a.aggdeserialfn::pg_catalog.oid), (a.aggmtransfn::pg_catalog.oid),
    (a.aggminvtransfn::pg_catalog.oid), (a.aggmfinalfn::pg_catalog.oid)) step (oid)
)
SELECT p.oid, n.nspname, p.proname, p.oid::pg_catalog.regprocedure, p.provolatile, p.proparallel,
       l.lanname, e.extname, NULL
FROM called
JOIN pg_catalog.pg_proc p USING (oid)
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
LEFT JOIN pg_catalog.pg_depend d
  ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid
  AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e'
LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, c.conbin::pg_catalog.text
FROM types
JOIN pg_catalog.pg_constraint c ON c.contypid = types.oid
WHERE c.conbin IS NOT NULL
"""
"""The functions behind `Objects` (parameters: their functions, operators and types as array
literals) and, in the last column of rows of their own, the trees of domains' checks."""


def array_literal(items: Iterable[object]) -> str:
    """An array of names or numbers that need no quoting, as PostgreSQL reads it."""
    return "{" + ",".join(str(item) for item in items) + "}"


def objection(function: Function, trusted: Collection[str]) -> str | None:
    """Why a function that is not PostgreSQL's own may not run in a read, None when it may.

    `trusted` are `schema.function` names which the operator vouches for. Beyond these only an
    extension's functions pass: immutable ones, and stable ones that are parallel safe, since
    these promises rule out effects. The body of any other function is out of sight.
    """
    if f"{function.schema}.{function.name}" in trusted:
        return None
    if not function.extension:
        return "what a user-defined function does cannot be seen from outside"
    if function.extension in REFUSED_EXTENSIONS:
        return f"the extension {function.extension} reaches beyond this read"
    if function.volatility == "i" or (function.volatility, function.parallel) == ("s", "s"):
        return None
    return "it is declared volatile or not parallel safe, so it may have effects"
