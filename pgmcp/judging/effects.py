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
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from pgmcp.sql.oids import FIRST_USER_OID

# Node fields that hold OIDs. The output of names is escaped (a blank becomes "\ "), so text that a
# caller chose can add a false field here but never hide a true one.
_FIELD = re.compile(r":(\w+)\s+(?:\(o\s+)?((?:\d+\s*)+)")
FUNCTION_FIELD = re.compile(r"(?:func|funcid|fnoid|handler|procid)$", re.IGNORECASE)
_OPERATOR = re.compile(r"(?:opno|opnos|eqop|neop|sortop|sortops)$", re.IGNORECASE)
_TYPE = re.compile(r"(?:type|types|typeid|typid)$", re.IGNORECASE)
_RELATION = re.compile(r"^relid$")
_KINDS = {  # the first that fits
    "functions": FUNCTION_FIELD,
    "operators": _OPERATOR,
    "types": _TYPE,
    "relations": _RELATION,
}


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
    named: dict[str, set[int]] = {kind: set() for kind in _KINDS}
    for field, numbers in _FIELD.findall(tree):
        kind = _kind(field)
        if kind:
            named[kind].update(map(int, numbers.split()))
    return Objects(**{kind: frozenset(oids) for kind, oids in named.items()})


@lru_cache(maxsize=1024)  # a tree has many fields of few names
def _kind(field: str) -> str:
    """Which of the OIDs of `Objects` a field holds, "" for none."""
    return next((kind for kind, pattern in _KINDS.items() if pattern.search(field)), "")


@dataclass(frozen=True, slots=True)
class Function:
    """A row of pg_proc, as far as a judgement needs it. `extension` is "" outside of one.

    `of_superusers`: it and its extension belong to superusers. The owner of an extension who is
    none can add functions of his own to it.
    `defaults`: the trees of its arguments' defaults, "" without any. `via`: what calls it where no
    tree does so, such as "the operator public.###(integer,integer)".
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
    kind: str  # 'a'ggregate, 'f'unction, 'p'rocedure, 'w'indow
    defaults: str
    via: str

    @classmethod
    def of(cls, row: tuple[str, ...]) -> Function:
        """A row of `lookups.LOOKUP_SQL`."""
        oid, schema, name, signature, volatility, parallel, language, extension, *others = row
        superusers, kind, defaults, via, *_ = others
        return cls(
            int(oid),
            schema,
            name,
            signature,
            volatility,
            parallel,
            language,
            extension,
            of_superusers=superusers == "t",
            kind=kind,
            defaults=defaults,
            via=via,
        )

    @property
    def in_sql(self) -> bool:
        """Whether its body is SQL, which can be judged as the statements that it holds."""
        return self.language == "sql" and self.oid >= FIRST_USER_OID


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a statement may not run, and what can be done about it, "" where there is nothing."""

    reason: str
    hint: str = ""


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

NEVER_PLANNED = frozenset({1574})
"""nextval, the default of a serial column: volatile, so that the planner does not call it where a
statement names it. An operator, or a function in SQL, could."""

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

# Declared volatile, since they draw random numbers or look at the server's state; no effect stays.
HARMLESS_OF_EXTENSIONS = frozenset(
    (extension, name)
    for extension, names in {
        "pgcrypto": "gen_random_bytes gen_random_uuid gen_salt pgp_pub_encrypt"
        " pgp_pub_encrypt_bytea pgp_sym_encrypt pgp_sym_encrypt_bytea",
        "uuid-ossp": "uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4",
        "tablefunc": "normal_rand",
        "tsm_system_rows": "system_rows",
        "tsm_system_time": "system_time",
        "pg_buffercache": "pg_buffercache_pages pg_buffercache_summary pg_buffercache_usage_counts",
        "pg_freespacemap": "pg_freespace",
        "pg_visibility": "pg_check_frozen pg_check_visible pg_visibility pg_visibility_map"
        " pg_visibility_map_summary",
        "pgrowlocks": "pgrowlocks",
        "pgstattuple": "pg_relpages pgstatginindex pgstathashindex pgstatindex pgstattuple"
        " pgstattuple_approx",
        "sslinfo": "ssl_cipher ssl_client_cert_present ssl_client_dn ssl_client_dn_field"
        " ssl_client_serial ssl_extension_info ssl_is_used ssl_issuer_dn ssl_issuer_field"
        " ssl_version",
        "postgres_fdw": "postgres_fdw_get_connections",
    }.items()
    for name in names.split()
)


def objection(function: Function) -> str | None:
    """Why a function that is not PostgreSQL's own, and not in SQL, may not run in a read, None when
    it may.

    Only an extension's functions pass, where both belong to superusers: immutable ones, and stable
    ones that are parallel safe, since these promises rule out effects, and those that are known to
    have none. An aggregate does what its functions do. The body of any other is out of sight.
    """
    if function.kind == "a":
        return None
    if not function.extension:
        return (
            f"what a user-defined function in {function.language} does cannot be seen from outside"
        )
    if not function.of_superusers:
        return (
            f"it, or the extension {function.extension}, does not belong to a superuser, so what"
            " it does cannot be vouched for"
        )
    name = (function.extension, function.name)
    if name in REFUSED_OF_EXTENSIONS:
        return "it changes the session, although it is declared immutable"
    if name in HARMLESS_OF_EXTENSIONS:
        return None
    if function.extension in REFUSED_EXTENSIONS:
        return f"the extension {function.extension} reaches beyond this read"
    if function.volatility == "i" or (function.volatility, function.parallel) == ("s", "s"):
        return None
    return "it is declared volatile or not parallel safe, so it may have effects"


def refused(names: Iterable[str], reason: str) -> Objection:
    """An objection to calls of functions, `schema.function` each, with the operator's way out."""
    listed = ", ".join(f'"{name}"' for name in names)
    return Objection(
        reason,
        "An administrator who knows that it does no harm can allow it for this database, in the"
        f" configuration: trusted_functions: [{listed}]",
    )
