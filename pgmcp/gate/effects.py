"""What a statement would call, read from PostgreSQL's own analysis of it, and whether that may run.

A READ ONLY transaction does not stop every effect: functions read files, take locks, advance
sequences, run SQL given as text. What a statement calls is not decided by its spelling (quoting,
search_path, operators, casts and views hide it) but by the tree that PostgreSQL made of it, which
`debug_print_rewritten` shows, with every function by OID and every view expanded.

What this cannot see: the check of a domain, when a statement holds a literal of an array or a row
of it, since PostgreSQL runs it while it analyses (`-check` lists such domains);
what an extension's function, a trusted one or a foreign server does against its promise.

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
_RELATION = re.compile(r"relid$")


@dataclass(frozen=True, slots=True)
class Objects:
    """The OIDs that a tree names."""

    functions: frozenset[int] = frozenset()
    operators: frozenset[int] = frozenset()
    types: frozenset[int] = frozenset()
    relations: frozenset[int] = frozenset()

    def __or__(self, other: Objects) -> Objects:
        return Objects(
            self.functions | other.functions,
            self.operators | other.operators,
            self.types | other.types,
            self.relations | other.relations,
        )

    def of_users(self) -> Objects:
        """Those that are not PostgreSQL's own and name functions, which have to be looked up."""
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
    relations: set[int] = set()
    for field, numbers in _FIELD.findall(tree):
        if _FUNCTION.search(field):
            found = functions
        elif _OPERATOR.search(field):
            found = operators
        elif _TYPE.search(field):
            found = types
        elif _RELATION.match(field):
            found = relations
        else:
            continue
        found.update(int(number) for number in numbers.split())
    return Objects(*map(frozenset, (functions, operators, types, relations)))


@dataclass(frozen=True, slots=True)
class Function:
    """A row of pg_proc, as far as a judgement needs it. `extension` is "" outside of one.

    `of_superusers`: it and its extension belong to superusers. The owner of an extension who is
    none can add functions of his own to it.
    """

    oid: int
    schema: str
    name: str
    signature: str
    volatility: str  # 'i'mmutable, 's'table, 'v'olatile
    parallel: str  # 's'afe, 'r'estricted, 'u'nsafe
    language: str
    extension: str
    of_superusers: bool


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

# Built-in functions that are neither, and yet reach at run time what no tree names (SQL by the name
# of a table, the checks of a domain by the type's OID, a hash function by its table's), or show one
# caller what another is doing.
REFUSED = frozenset(
    """
    anycompatiblemultirange_in anycompatiblerange_in anymultirange_in anyrange_in array_in
    array_recv database_to_xml database_to_xml_and_xmlschema database_to_xmlschema domain_in
    domain_recv multirange_in multirange_recv pg_input_error_info pg_input_is_valid
    pg_stat_get_activity pg_stat_get_backend_activity pg_stat_get_backend_client_addr
    pg_stat_get_backend_client_port range_in range_recv record_in record_recv
    satisfies_hash_partition schema_to_xml schema_to_xml_and_xmlschema schema_to_xmlschema
    table_to_xml table_to_xml_and_xmlschema table_to_xmlschema
    """.split()
)

# Extensions whose functions run SQL or reach outside whatever they are declared as.
REFUSED_EXTENSIONS = frozenset(
    ["adminpack", "dblink", "file_fdw", "plperlu", "plpython3u", "tablefunc", "xml2"]
)

# Of contrib, gone through as PostgreSQL 15 and 18 have it: what is declared immutable and is not.
# isn_weak(true) sets state of the session, which survives DISCARD ALL before PostgreSQL 18.
REFUSED_OF_EXTENSIONS = frozenset({("isn", "isn_weak")})

# Those that take the product of two arguments' sizes in steps, and look for no time-out.
MULTIPLYING_OF_EXTENSIONS = frozenset(
    {
        *(("citext", name) for name in ("translate", "texticlike", "texticnlike")),
        *(("ltree", name) for name in ("index", "ltxtq_exec", "ltxtq_rexec")),
        *(
            ("pg_trgm", f"{strict}word_similarity{end}")
            for strict in ("", "strict_")
            for end in ("", "_op", "_commutator_op", "_dist_op", "_dist_commutator_op")
        ),
    }
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
operators AS (
  SELECT pg_catalog.unnest($2::pg_catalog.oid[]) AS oid
  UNION
  SELECT other.oid  -- the planner puts these in its place, for NOT and to swap the two sides
  FROM operators
  JOIN pg_catalog.pg_operator o USING (oid)
  CROSS JOIN LATERAL (VALUES (o.oprnegate), (o.oprcom)) other (oid)
  WHERE other.oid >= 16384
),
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
  SELECT o.oprcode::pg_catalog.oid FROM operators JOIN pg_catalog.pg_operator o USING (oid)
  UNION
  SELECT io.oid
  FROM types
  JOIN pg_catalog.pg_type t USING (oid)
  CROSS JOIN LATERAL (VALUES (t.typinput::pg_catalog.oid), (t.typoutput::pg_catalog.oid)) io (oid)
  WHERE io.oid >= 16384  -- record_in and its kin call what the parts of the type call
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
       l.lanname, e.extname, owner.rolsuper AND creator.rolsuper, NULL
FROM called
JOIN pg_catalog.pg_proc p USING (oid)
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
LEFT JOIN pg_catalog.pg_depend d
  ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid
  AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e'
LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
LEFT JOIN pg_catalog.pg_roles owner ON owner.oid = p.proowner
LEFT JOIN pg_catalog.pg_roles creator ON creator.oid = e.extowner
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, c.conbin::pg_catalog.text
FROM types
JOIN pg_catalog.pg_constraint c ON c.contypid = types.oid
WHERE c.conbin IS NOT NULL
"""
"""The functions behind `Objects` (parameters: their functions, operators and types as array
literals) and, in the last column of rows of their own, the trees of domains' checks."""


ODD_RELATIONS = """
(EXISTS (
  SELECT FROM pg_catalog.pg_opclass c
  WHERE c.oid OPERATOR(pg_catalog.>=) 16384 AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_opclass'::pg_catalog.regclass
      AND d.objid OPERATOR(pg_catalog.=) c.oid AND d.deptype OPERATOR(pg_catalog.=) 'e'))
 OR EXISTS (
  SELECT FROM pg_catalog.pg_foreign_table f CROSS JOIN pg_catalog.unnest(f.ftoptions) option
  WHERE option OPERATOR(pg_catalog.~~) 'program=%')
 OR EXISTS (
  SELECT FROM pg_catalog.pg_depend d
  WHERE d.refclassid OPERATOR(pg_catalog.=) ANY (ARRAY[
      'pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_operator'::pg_catalog.regclass])
    AND d.refobjid OPERATOR(pg_catalog.>=) 16384
    AND d.classid OPERATOR(pg_catalog.=) ANY (ARRAY[
      'pg_catalog.pg_class'::pg_catalog.regclass, 'pg_catalog.pg_constraint'::pg_catalog.regclass,
      'pg_catalog.pg_statistic_ext'::pg_catalog.regclass])))
"""
"""Whether the database has what BEHIND_RELATIONS_SQL looks for: an expression, seldom true."""

BEHIND_RELATIONS_SQL = """
WITH RECURSIVE
relations AS (
  SELECT pg_catalog.unnest($1::pg_catalog.oid[]) AS oid
  UNION
  SELECT i.inhrelid FROM relations JOIN pg_catalog.pg_inherits i ON i.inhparent = relations.oid
),
partitioned AS (
  SELECT oid FROM relations
  UNION
  SELECT i.inhparent
  FROM partitioned
  JOIN pg_catalog.pg_class c ON c.oid = partitioned.oid AND c.relispartition
  JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
),
classes AS (
  SELECT pg_catalog.unnest(x.indclass::pg_catalog.oid[]) AS oid
  FROM relations JOIN pg_catalog.pg_index x ON x.indrelid = relations.oid
  UNION
  SELECT pg_catalog.unnest(p.partclass::pg_catalog.oid[])
  FROM relations JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = relations.oid
  UNION
  SELECT c.oid FROM pg_catalog.pg_opclass c
  WHERE c.opcdefault AND c.opcintype = ANY ($2::pg_catalog.oid[])
  UNION
  SELECT r.rngsubopc FROM pg_catalog.pg_range r WHERE r.rngtypid = ANY ($2::pg_catalog.oid[])
),
families AS (
  SELECT c.opcfamily AS oid
  FROM classes JOIN pg_catalog.pg_opclass c USING (oid) WHERE c.oid >= 16384
)
SELECT p.amproc::pg_catalog.oid, NULL, NULL, NULL
FROM families JOIN pg_catalog.pg_amproc p ON p.amprocfamily = families.oid
WHERE p.amproc::pg_catalog.oid >= 16384
UNION
SELECT o.oprcode::pg_catalog.oid, NULL, NULL, NULL
FROM families
JOIN pg_catalog.pg_amop a ON a.amopfamily = families.oid
JOIN pg_catalog.pg_operator o ON o.oid = a.amopopr
WHERE o.oprcode::pg_catalog.oid >= 16384
UNION
SELECT NULL, f.ftrelid::pg_catalog.regclass::pg_catalog.text, NULL, NULL
FROM relations
JOIN pg_catalog.pg_foreign_table f ON f.ftrelid = relations.oid
CROSS JOIN pg_catalog.unnest(f.ftoptions) option
WHERE option LIKE 'program=%'
UNION
SELECT NULL, NULL, x.indexprs::pg_catalog.text, x.indpred::pg_catalog.text
FROM relations JOIN pg_catalog.pg_index x ON x.indrelid = relations.oid
WHERE x.indexprs IS NOT NULL OR x.indpred IS NOT NULL
UNION
SELECT NULL, NULL, s.stxexprs::pg_catalog.text, NULL
FROM relations JOIN pg_catalog.pg_statistic_ext s ON s.stxrelid = relations.oid
WHERE s.stxexprs IS NOT NULL
UNION
SELECT NULL, NULL, p.partexprs::pg_catalog.text, NULL
FROM partitioned JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = partitioned.oid
WHERE p.partexprs IS NOT NULL
UNION
SELECT NULL, NULL, c.conbin::pg_catalog.text, NULL
FROM relations JOIN pg_catalog.pg_constraint c ON c.conrelid = relations.oid
WHERE c.conrelid <> 0 AND c.conbin IS NOT NULL  -- a domain's has none
UNION
SELECT NULL, NULL, NULL, d.adbin::pg_catalog.text
FROM relations
JOIN pg_catalog.pg_attribute a ON a.attrelid = relations.oid AND a.attgenerated = 'v'
JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
"""
"""What is called, or run, to read tables, and named in no tree (parameters: relations and types).

A row is one of these: a function, of an operator class that is not PostgreSQL's own and that an
index, a partition key or a type's comparison uses; the name of a foreign table that runs a program;
the tree of an expression that the planner reads (of an index, statistics, a partition key or a
constraint); the tree of one that reading runs (an index's predicate, which a scan may check again,
or a column that is computed when it is read).
"""


def array_literal(items: Iterable[object]) -> str:
    """An array of names or numbers that need no quoting, as PostgreSQL reads it."""
    return "{" + ",".join(str(item) for item in items) + "}"


def objection(function: Function, trusted: Collection[str]) -> str | None:
    """Why a function that is not PostgreSQL's own may not run in a read, None when it may.

    `trusted` are `schema.function` names which the operator vouches for. Beyond these only an
    extension's functions pass, where both belong to superusers: immutable ones, and stable ones
    that are parallel safe, since these promises rule out effects. The body of any other function
    is out of sight.
    """
    if f"{function.schema}.{function.name}" in trusted:
        return None
    if not function.extension:
        return "what a user-defined function does cannot be seen from outside"
    if not function.of_superusers:
        return (
            f"it, or the extension {function.extension}, does not belong to a superuser, so what"
            " it does cannot be vouched for"
        )
    if (function.extension, function.name) in REFUSED_OF_EXTENSIONS:
        return "it changes the session, although it is declared immutable"
    if function.extension in REFUSED_EXTENSIONS:
        return f"the extension {function.extension} reaches beyond this read"
    if function.volatility == "i" or (function.volatility, function.parallel) == ("s", "s"):
        return None
    return "it is declared volatile or not parallel safe, so it may have effects"
