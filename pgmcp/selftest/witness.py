"""The second connection: what the database looks like, before and after an attempt.

The rule: it only looks, as the same role, and never through the connection that makes the attempt.
"""

from __future__ import annotations

from collections.abc import Mapping

from pgmcp.calls.call import Call
from pgmcp.errors import DatabaseUnavailableError
from pgmcp.postgres.driver import Connection
from pgmcp.postgres.messages import Step

CHANNEL = "pgmcp_self_test"
_LOOK = "pgmcp_look"  # what costs most of a look is to plan it
_LIMIT_BYTES = 4 * 1024 * 1024
_MAX_TABLE_BYTES = 256 * 1024

PLACES_SQL = f"""
SELECT
  (SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)
   FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
     AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
     AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
     AND pg_catalog.pg_relation_size(c.oid) <= {_MAX_TABLE_BYTES}
     AND c.relname ~ '^[a-z_]+$'
     AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger g
                     WHERE g.tgrelid = c.oid AND NOT g.tgisinternal)
     AND EXISTS (SELECT FROM pg_catalog.pg_attribute a
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                   AND a.attgenerated = '' AND a.attname ~ '^[a-z_]+$')
   ORDER BY c.relname LIKE 'self\\_test\\_table' DESC, c.relname LIMIT 1),
  (SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)
   FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind = 'S' AND n.nspname !~ '^pg_' AND c.relname ~ '^[a-z0-9_]+$'
     AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
     AND CASE WHEN c.relkind = 'S' THEN pg_catalog.has_table_privilege(c.oid, 'SELECT') END
   ORDER BY c.relname LIMIT 1),
  pg_catalog.pg_backend_pid()
"""
_COLUMN_SQL = """
SELECT attname FROM pg_catalog.pg_attribute
WHERE attrelid = $1::pg_catalog.regclass AND attnum > 0 AND NOT attisdropped
  AND attgenerated = '' AND attname ~ '^[a-z_]+$'
ORDER BY attnum LIMIT 1
"""
_COUNTED = (
    "pg_class pg_attribute pg_proc pg_type pg_namespace pg_operator pg_extension pg_constraint "
    "pg_index pg_trigger pg_rewrite pg_description pg_roles pg_database pg_db_role_setting "
    "pg_largeobject_metadata pg_publication pg_prepared_xacts pg_replication_slots "
    "pg_replication_origin pg_default_acl pg_seclabel pg_cast pg_opclass pg_event_trigger"
).split()
_FACTS = {
    **{name: f"SELECT count(*) FROM pg_catalog.{name}" for name in _COUNTED},
    "grants on relations": (
        "SELECT pg_catalog.md5(pg_catalog.string_agg(relacl::text, ',' ORDER BY oid))"
        " FROM pg_catalog.pg_class"
    ),
    "configuration read at": "SELECT pg_catalog.pg_conf_load_time()",
    "advisory locks of pgmcp": (
        "SELECT count(*) FROM pg_catalog.pg_locks WHERE locktype = 'advisory'"
        " AND (classid = 70654 OR objid = 2770519420)"
    ),
    "table locks of pgmcp": (
        "SELECT count(*) FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a USING (pid)"
        " WHERE a.application_name = 'pgmcp' AND pid <> pg_catalog.pg_backend_pid()"
        " AND l.mode ~ 'Exclusive' AND l.locktype = 'relation'"
    ),
    "statistics reset": (
        "SELECT stats_reset FROM pg_catalog.pg_stat_database"
        " WHERE datname = pg_catalog.current_database()"
    ),
    "objects of the self-test": (
        "SELECT count(*) FROM pg_catalog.pg_class WHERE relname LIKE 'pgmcp\\_self\\_test%'"
    ),
    "server started": "SELECT pg_catalog.pg_postmaster_start_time()",
}
_FILES = (
    "SELECT pg_catalog.concat_ws(' ',"
    " (pg_catalog.pg_stat_file('/tmp/pgmcp_self_test', true)).size,"
    " (pg_catalog.pg_stat_file('pgmcp_self_test', true)).size)"
)
_KIND_SQL = (
    "SELECT rolsuper, pg_catalog.pg_is_in_recovery() FROM pg_catalog.pg_roles"
    " WHERE rolname = current_user"
)
_ROWS = (
    "SELECT pg_catalog.md5(pg_catalog.string_agg(r::pg_catalog.text, ','"
    " ORDER BY r::pg_catalog.text)) FROM {table} r"
)

OURS = frozenset(
    ["advisory locks of pgmcp", "table locks of pgmcp", "objects of the self-test", "files",
     "notifications", "the session"]
)  # fmt: skip
"""The facts that nobody else changes."""

SESSION_SQL = """
SELECT pg_catalog.concat_ws(' ', current_user, session_user,
  pg_catalog.pg_my_temp_schema(),
  (SELECT count(*) FROM pg_catalog.pg_prepared_statements WHERE from_sql),
  (SELECT count(*) FROM pg_catalog.pg_cursors WHERE name <> ''),
  (SELECT count(*) FROM pg_catalog.pg_listening_channels()),
  (SELECT count(*) FROM pg_catalog.pg_locks
   WHERE pid = pg_catalog.pg_backend_pid() AND locktype = 'advisory'),
  (SELECT pg_catalog.md5(pg_catalog.string_agg(name || setting, ',' ORDER BY name))
   FROM pg_catalog.pg_settings
   WHERE source = 'session'
     AND name NOT IN ('statement_timeout', 'lock_timeout', 'cursor_tuple_fraction')))
"""
"""For the connection that makes the attempts: the session as the next call finds it. What pgmcp
prepares, which is over the protocol and not in SQL, may stay."""


class Witness:
    """An open connection that looks on. `places` are what attempts may name."""

    def __init__(self, connection: Connection, call: Call) -> None:
        self._connection = connection
        self._call = call
        table, sequence, pid = self._ask(PLACES_SQL)[0]
        places = {"table": table, "sequence": sequence, "witness": pid}
        if table:
            places["column"] = self._ask(_COLUMN_SQL, table)[0][0]
        self.places: Mapping[str, str] = {name: value for name, value in places.items() if value}
        self._facts = dict(_FACTS)
        superuser, in_recovery = (answer == "t" for answer in self._ask(_KIND_SQL)[0])
        if superuser:
            self._facts["files"] = _FILES
        if table:
            self._facts[f"rows of {table}"] = _ROWS.format(table=table)
        if sequence:
            self._facts[f"sequence {sequence}"] = f"SELECT (last_value, is_called) FROM {sequence}"
        self._query = "SELECT " + ", ".join(
            f"({sql})::pg_catalog.text" for sql in self._facts.values()
        )
        if not in_recovery:
            self._ask(f"LISTEN {CHANNEL}")

    def look(self) -> dict[str, str]:
        """What there is now, by name."""
        facts = dict(zip(self._facts, self._ask(self._query, name=_LOOK)[0], strict=True))
        return {**facts, "notifications": str(self._connection.notified)}

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _ask(self, text: str, *params: str, name: str = "") -> list[tuple[str, ...]]:
        """The rows of one statement outside any transaction block; kept prepared under a name."""
        outcome = self._connection.run(
            [Step(text, params, describe=True, name=name)],
            self._call,
            limit_bytes=_LIMIT_BYTES,
            last=False,
        )
        if outcome.failure is not None:
            raise DatabaseUnavailableError(
                f"the second connection could not look: {outcome.failure.server.message}",
                "Run the self-test again.",
            )
        return [
            tuple("" if value is None else value.decode(errors="replace") for value in row)
            for row in outcome.replies[0].rows
        ]
