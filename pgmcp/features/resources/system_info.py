"""pg://system_info: which PostgreSQL this is, as whom, and how it is set up.

The rule: only what an ordinary role may read, and nothing that is a secret.
"""

from __future__ import annotations

import json

from pgmcp.catalog import statements
from pgmcp.mcp.feature import Context, Resource
from pgmcp.postgres.rows import Rows

_FACTS = """
SELECT pg_catalog.version() AS version,
       pg_catalog.current_setting('server_version_num')::int AS version_number,
       pg_catalog.pg_postmaster_start_time() AS started_at,
       pg_catalog.date_trunc('second',
           pg_catalog.now() - pg_catalog.pg_postmaster_start_time()) AS uptime,
       pg_catalog.pg_is_in_recovery() AS in_recovery,
       pg_catalog.current_database() AS database,
       pg_catalog.pg_encoding_to_char(d.encoding) AS encoding,
       d.datcollate AS collation,
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity a
        WHERE a.datid = d.oid) AS connections,
       current_user AS role,
       r.rolsuper AS superuser,
       pg_catalog.array_to_string(pg_catalog.current_schemas(false), ', ') AS search_path,
       coalesce(pg_catalog.host(pg_catalog.inet_server_addr()), 'local socket') AS server_address,
       pg_catalog.inet_server_port() AS server_port,
       (SELECT s.ssl FROM pg_catalog.pg_stat_ssl s
        WHERE s.pid = pg_catalog.pg_backend_pid()) AS tls
FROM pg_catalog.pg_database d, pg_catalog.pg_roles r
WHERE d.datname = pg_catalog.current_database() AND r.rolname = current_user"""

_SETTINGS = """
SELECT name, pg_catalog.current_setting(name) FROM pg_catalog.pg_settings
WHERE name IN (
    'DateStyle', 'IntervalStyle', 'TimeZone', 'default_transaction_isolation',
    'default_transaction_read_only', 'effective_cache_size', 'jit', 'lc_messages',
    'maintenance_work_mem', 'max_connections', 'max_parallel_workers_per_gather',
    'random_page_cost', 'shared_buffers', 'statement_timeout', 'temp_file_limit', 'work_mem')
ORDER BY name"""

_EXTENSIONS = """
SELECT e.extname, e.extversion, n.nspname FROM pg_catalog.pg_extension e
JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace ORDER BY e.extname"""

_SERVER = ("version", "version_number", "started_at", "uptime", "in_recovery")
_DATABASE = ("database", "size_bytes", "size", "encoding", "collation", "connections")
_CONNECTION = ("role", "superuser", "search_path", "server_address", "server_port", "tls")
_BOOLEANS = frozenset({"in_recovery", "superuser", "tls"})
_INTEGERS = frozenset({"version_number", "size_bytes", "connections", "server_port"})


def read(context: Context) -> str:
    """A JSON object: configured_as, server, database, connection, settings, extensions."""
    database = context.databases.get()
    facts = _facts(database.fetch(_FACTS)) | {"size_bytes": None, "size": None}
    facts |= _facts(database.fetch(statements.DATABASE_SIZE))
    settings = database.fetch(_SETTINGS).rows
    extensions = database.fetch(_EXTENSIONS).rows
    return json.dumps(
        {
            "configured_as": {"name": database.name, "label": database.label},
            "server": {name: facts[name] for name in _SERVER},
            "database": {name: facts[name] for name in _DATABASE},
            "connection": {name: facts[name] for name in _CONNECTION},
            "settings": {_text(name): _text(value) for name, value in settings},
            "extensions": [
                {"name": _text(name), "version": _text(version), "schema": _text(schema)}
                for name, version, schema in extensions
            ],
            "other_databases": list(context.databases.names()[1:]),
        },
        indent=2,
        ensure_ascii=False,
    )


def _facts(rows: Rows) -> dict[str, str | int | bool | None]:
    """The first row by the names of its columns; nothing without a row."""
    return {
        column.name: _fact(column.name, value)
        for row in rows.rows[:1]
        for column, value in zip(rows.columns, row, strict=True)
    }


def _fact(name: str, value: bytes | None) -> str | int | bool | None:
    if value is None:
        return None
    if name in _BOOLEANS:
        return value == b"t"
    return int(value) if name in _INTEGERS else _text(value)


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")


RESOURCE = Resource(
    uri="pg://system_info",
    name="system_info",
    title="PostgreSQL system information",
    description=(
        "The PostgreSQL server behind the default database: version, uptime, size, encoding, role "
        "and search path of the connection, settings that matter for queries, and the installed "
        "extensions, as JSON."
    ),
    mime_type="application/json",
    read=read,
    rank=10,
)
