"""What a role may read of a database, and the SQL that makes a role which can read and no more.

The rule: the SQL can be pasted into psql. It takes nothing from anybody else, so that applications
beside it keep working, and changes no role that is there already. SQL text and values; what asks
the database is handed in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pgmcp.gate.roles.power_queries import PARAMETER_PRIVILEGES_SINCE
from pgmcp.postgres.rows import Fetch, texts
from pgmcp.sql.text import quote_identifier

_NAME = "pgmcp_reader"
MOST_NAMES = 5

_TABLES_SQL = f"""
SELECT schema, owner, pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE readable),
  COALESCE(pg_catalog.array_to_json(
    (pg_catalog.array_agg(name ORDER BY name) FILTER (WHERE NOT readable))[1:{MOST_NAMES}]), '[]')
FROM (
  SELECT n.nspname AS schema, pg_catalog.pg_get_userbyid(c.relowner) AS owner,
    pg_catalog.format('%I.%I', n.nspname, c.relname) AS name,
    COALESCE(pg_catalog.has_schema_privilege(n.oid, 'USAGE')
      AND (pg_catalog.has_table_privilege(c.oid, 'SELECT')
           OR pg_catalog.has_any_column_privilege(c.oid, 'SELECT')), false) AS readable
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                      AND d.objid = c.oid AND d.deptype = 'e')
) relations
GROUP BY schema, owner
ORDER BY schema, owner
"""

_SERVER_SQL = f"""
SELECT pg_catalog.current_setting('server_version_num')::int / 10000,
  pg_catalog.pg_is_in_recovery(),
  (SELECT name FROM (
     SELECT i, '{_NAME}' || CASE i WHEN 1 THEN '' ELSE '_' || i END AS name
     FROM pg_catalog.generate_series(1, 1000) i) names
   WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = names.name)
   ORDER BY i LIMIT 1)
"""

_OPEN_SCHEMAS_SQL = """
SELECT n.nspname
FROM pg_catalog.pg_namespace n CROSS JOIN LATERAL pg_catalog.aclexplode(
  COALESCE(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) a
WHERE a.grantee = 0 AND a.privilege_type = 'CREATE' AND n.nspname !~ '^pg_'
ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables, views and foreign tables of one owner in one schema, but for extensions' own.

    `unreadable` are the first few that the role may not read, as `schema.table` in SQL.
    """

    schema: str
    owner: str
    count: int
    readable: int
    unreadable: Sequence[str]


def read_tables(fetch: Fetch) -> Sequence[Tables]:
    """The tables of a database, by schema and owner, as the role that asks may read them."""
    return [
        Tables(schema, owner, int(count), int(readable), json.loads(unreadable))
        for schema, owner, count, readable, unreadable in _texts(fetch, _TABLES_SQL)
    ]


def reader_role_sql(fetch: Fetch, database: str, tables: Sequence[Tables]) -> str:
    """The SQL, for an administrator to run, that makes a role which can only read these tables.

    It works on the version of the server that is asked. The password is left to psql's
    `\\password`, which sends it as a digest; this stands last, because it takes the lines behind it
    for answers. `log_min_messages` is what keeps the trees that pgmcp asks for out of the server's
    log.
    """
    ((major, standby, free_name),) = _texts(fetch, _SERVER_SQL)
    role = quote_identifier(free_name)
    where = quote_identifier(database)
    lines = [
        f"-- In psql, as an administrator, connected to {where}"
        + (" on the primary" if standby == "t" else ""),
        f"CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;",
        f"ALTER ROLE {role} SET default_transaction_read_only = on;",
        f"GRANT CONNECT ON DATABASE {where} TO {role};",
    ]
    if int(major) >= PARAMETER_PRIVILEGES_SINCE:
        lines.append(f"GRANT SET ON PARAMETER log_min_messages TO {role};")
    lines += grants_sql(free_name, tables)
    for (schema,) in _texts(fetch, _OPEN_SCHEMAS_SQL):
        lines += [
            f"-- Everybody may create in {quote_identifier(schema)}, this role too. If no"
            " application needs that:",
            f"--   REVOKE CREATE ON SCHEMA {quote_identifier(schema)} FROM PUBLIC;",
        ]
    return "\n".join([*lines, f"\\password {role}"])


def grants_sql(role: str, tables: Sequence[Tables]) -> Iterator[str]:
    """What lets a role read these tables, and those that their owners will make beside them."""
    name = quote_identifier(role)
    schemas = dict.fromkeys(each.schema for each in tables) or {"public": None}
    if len(schemas) > 1:
        yield "-- Leave out the schemas that it should not read."
    for schema in schemas:
        quoted = quote_identifier(schema)
        yield f"GRANT USAGE ON SCHEMA {quoted} TO {name};"
        yield f"GRANT SELECT ON ALL TABLES IN SCHEMA {quoted} TO {name};"
        for owner in (quote_identifier(each.owner) for each in tables if each.schema == schema):
            yield (
                f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {quoted}"
                f" GRANT SELECT ON TABLES TO {name};"
            )


def _texts(fetch: Fetch, sql: str) -> list[tuple[str, ...]]:
    return texts(fetch(sql, ()).rows)
