"""What a role could do beyond reading, and the SQL that makes a role which could not.

Only a role without write privileges is a wall; every other protection is depth. So the operator is
told, at start and by `-check`, what stands behind each configured database. Pure: SQL text and
values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pgmcp.db.port import Value
from pgmcp.db.sql import quote_identifier

POWERS_SQL = """
WITH me AS (SELECT * FROM pg_catalog.pg_roles WHERE rolname = current_user)
SELECT power, detail FROM (
  SELECT 1 AS rank, 'superuser' AS power, 'may do everything' AS detail FROM me WHERE rolsuper
  UNION ALL
  SELECT 2, 'BYPASSRLS', 'row security does not apply to it' FROM me WHERE rolbypassrls
  UNION ALL
  SELECT 3, 'CREATEROLE', 'may make and grant roles' FROM me WHERE rolcreaterole
  UNION ALL
  SELECT 4, 'CREATEDB', 'may make databases' FROM me WHERE rolcreatedb
  UNION ALL
  SELECT 5, 'REPLICATION', 'may copy the whole cluster and hold back its log'
  FROM me WHERE rolreplication
  UNION ALL
  SELECT 6, 'member of ' || r.rolname, 'inherited or by SET ROLE'
  FROM me CROSS JOIN pg_catalog.pg_roles r
  WHERE NOT me.rolsuper
    AND (r.rolsuper OR r.rolcreaterole OR r.rolreplication OR r.rolbypassrls
         OR r.rolname IN ('pg_execute_server_program', 'pg_read_server_files',
                          'pg_write_server_files', 'pg_write_all_data', 'pg_signal_backend',
                          'pg_checkpoint', 'pg_create_subscription', 'pg_maintain',
                          'pg_signal_autovacuum_worker', 'pg_database_owner'))
    AND r.rolname <> me.rolname
    AND pg_catalog.pg_has_role(me.oid, r.oid, 'MEMBER')
  UNION ALL
  SELECT 7, 'owns the database', pg_catalog.current_database()
  FROM me JOIN pg_catalog.pg_database d ON d.datname = pg_catalog.current_database()
  WHERE NOT me.rolsuper AND pg_catalog.pg_has_role(me.oid, d.datdba, 'USAGE')
  UNION ALL
  SELECT 8, 'may create schemas', pg_catalog.current_database()
  FROM me
  WHERE NOT me.rolsuper
    AND pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')
  UNION ALL
  SELECT 9, 'may create in a schema', pg_catalog.string_agg(n.nspname, ', ' ORDER BY n.nspname)
  FROM me CROSS JOIN pg_catalog.pg_namespace n
  WHERE NOT me.rolsuper AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND pg_catalog.has_schema_privilege(n.oid, 'CREATE')
  HAVING pg_catalog.count(*) > 0
  UNION ALL
  SELECT 10, 'owns tables', pg_catalog.count(*)::text
  FROM me CROSS JOIN pg_catalog.pg_class c
  WHERE NOT me.rolsuper AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    AND pg_catalog.pg_has_role(me.oid, c.relowner, 'USAGE')
  HAVING pg_catalog.count(*) > 0
  UNION ALL
  SELECT 11, 'may write to tables', pg_catalog.count(*)::text
  FROM me CROSS JOIN pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE NOT me.rolsuper AND c.relkind IN ('r', 'p', 'v', 'f')
    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND (pg_catalog.has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
         OR pg_catalog.has_any_column_privilege(c.oid, 'INSERT, UPDATE'))
  HAVING pg_catalog.count(*) > 0
  UNION ALL
  SELECT 12, 'may advance sequences', pg_catalog.count(*)::text
  FROM me CROSS JOIN pg_catalog.pg_class c
  WHERE NOT me.rolsuper
    AND CASE WHEN c.relkind = 'S'
             THEN pg_catalog.has_sequence_privilege(c.oid, 'USAGE, UPDATE') END
  HAVING pg_catalog.count(*) > 0
) powers
ORDER BY rank, power, detail
"""


@dataclass(frozen=True, slots=True)
class Power:
    """Something that the role could do beyond reading, and to what."""

    name: str
    detail: str


def powers(rows: Sequence[tuple[Value, ...]]) -> tuple[Power, ...]:
    """The answer to POWERS_SQL as values; empty for a role that can only read."""
    return tuple(Power((name or b"").decode(), (detail or b"").decode()) for name, detail in rows)


def least_privilege_sql(database: str, role: str = "pgmcp_reader") -> str:
    """The SQL, for an administrator to run, that makes a role which can only read `database`.

    The password is left to psql's `\\password`, which sends it as a digest. `log_min_messages` is
    what keeps the trees that pgmcp asks for out of the server's log (PostgreSQL 15 and later).
    """
    name, where = quote_identifier(role), quote_identifier(database)
    return f"""\
CREATE ROLE {name} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
\\password {name}
GRANT CONNECT ON DATABASE {where} TO {name};
REVOKE TEMPORARY ON DATABASE {where} FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO {name};
GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name};
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {name};
GRANT SET ON PARAMETER log_min_messages TO {name};
ALTER ROLE {name} SET default_transaction_read_only = on;
"""
