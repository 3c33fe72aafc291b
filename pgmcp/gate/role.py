"""What a role could do beyond reading.

Only a role without write privileges is a wall; every other protection is depth. So the operator is
told, at start and by `-check`, what stands behind each configured database.

The rule: a role could do what any role could that it inherits from, may SET ROLE to, or may grant
to itself. SQL text and values; what asks the database is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from pgmcp.postgres.rows import Rows, Value
from pgmcp.sql.text import quote_identifier

Fetch = Callable[[str, tuple[str | None, ...]], Rows]

_MEMBERSHIP_OPTIONS_SINCE = 16
PARAMETER_PRIVILEGES_SINCE = 15
_MAINTAIN_SINCE = 17
# Predefined roles that only read. Any other counts, so that those to come do as well.
_READ = (
    "('pg_read_all_data', 'pg_read_all_settings', 'pg_read_all_stats', 'pg_monitor',"
    " 'pg_stat_scan_tables', 'pg_use_reserved_connections', 'pg_database_owner')"
)
_WRITES = "INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER"
_SHOWN = 5


def _names(expression: str) -> str:
    """The first few of the names in a group, and how many more there are."""
    return (
        f"pg_catalog.array_to_string((pg_catalog.array_agg(DISTINCT ({expression})::text"
        f" ORDER BY ({expression})::text))[1:{_SHOWN}], ', ')"
        f" || CASE WHEN pg_catalog.count(DISTINCT ({expression})::text) > {_SHOWN} THEN"
        f" pg_catalog.format(' and %s more', pg_catalog.count(DISTINCT ({expression})::text)"
        f" - {_SHOWN}) ELSE '' END"
    )


def _can_write(role: str, writes: str) -> str:
    """Whether the role of this OID can change anything that is not its own."""
    return f"""
  (EXISTS (SELECT FROM pg_catalog.pg_roles o
           WHERE o.oid = {role} AND (o.rolsuper OR o.rolcreaterole OR o.rolcreatedb
                                     OR o.rolreplication))
   OR EXISTS (SELECT FROM pg_catalog.pg_roles o
              WHERE o.rolname ~ '^pg_' AND o.rolname NOT IN {_READ}
                AND pg_catalog.pg_has_role({role}, o.oid, 'USAGE'))
   OR pg_catalog.has_database_privilege({role}, pg_catalog.current_database(), 'CREATE')
   OR EXISTS (SELECT FROM pg_catalog.pg_namespace o
              WHERE o.nspname !~ '^pg_(temp|toast)'
                AND pg_catalog.has_schema_privilege({role}, o.oid, 'CREATE'))
   OR EXISTS (SELECT FROM pg_catalog.pg_class o
              WHERE CASE WHEN o.relkind = 'S'
                    THEN pg_catalog.has_sequence_privilege({role}, o.oid, 'USAGE, UPDATE')
                    ELSE {_writable("o", role, writes)} END))"""


def _writable(relation: str, role: str, writes: str) -> str:
    return (
        f"{relation}.relkind IN ('r', 'p', 'v', 'm', 'f')"
        f" AND {relation}.oid <> 'pg_catalog.pg_settings'::pg_catalog.regclass"
        f" AND (pg_catalog.has_table_privilege({role}, {relation}.oid, '{writes}')"
        f" OR pg_catalog.has_any_column_privilege({role}, {relation}.oid, 'INSERT, UPDATE'))"
    )


def powers_sql(server_major: int) -> str:
    """What `powers` reads; its parameter is an array of functions that the operator trusts.

    A member of a role without INHERIT, SET and ADMIN OPTION (PostgreSQL 16) can do nothing with it.
    """
    options = writes = parameters = ""
    if server_major >= _MEMBERSHIP_OPTIONS_SINCE:
        options = " AND (m.inherit_option OR m.set_option OR m.admin_option)"
    writes = f"{_WRITES}, MAINTAIN" if server_major >= _MAINTAIN_SINCE else _WRITES
    if server_major >= PARAMETER_PRIVILEGES_SINCE:
        parameters = f"""
  UNION ALL
  SELECT 13, 'may change parameters', {_names("p.parname")}
  FROM pg_catalog.pg_parameter_acl p CROSS JOIN LATERAL pg_catalog.aclexplode(p.paracl) a
  WHERE (a.grantee = 0 OR a.grantee IN (SELECT oid FROM roles))
    AND (p.parname <> 'log_min_messages' OR a.privilege_type <> 'SET')
    AND EXISTS (SELECT FROM roles)
  HAVING pg_catalog.count(*) > 0"""
    return f"""
WITH RECURSIVE
me AS (SELECT * FROM pg_catalog.pg_roles WHERE rolname = current_user),
reached AS (
  SELECT oid FROM me
  UNION
  SELECT m.roleid
  FROM reached JOIN pg_catalog.pg_auth_members m ON m.member = reached.oid{options}
),
-- A superuser has one power, and nothing else is asked of it.
roles AS (
  SELECT r.* FROM reached JOIN pg_catalog.pg_roles r USING (oid)
  WHERE NOT (SELECT rolsuper FROM me)
)
SELECT power, detail, rank < 100 FROM (
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
  SELECT 6, 'member of ' || r.rolname, 'inherited, by SET ROLE, or by ADMIN OPTION'
  FROM roles r
  WHERE r.rolname <> current_user
    AND (r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls
         OR r.rolname ~ '^pg_' AND r.rolname NOT IN {_READ})
  UNION ALL
  SELECT 7, 'may grant roles', {_names("m.roleid::pg_catalog.regrole")}
  FROM roles JOIN pg_catalog.pg_auth_members m ON m.member = roles.oid AND m.admin_option
  HAVING pg_catalog.count(*) > 0
  UNION ALL
  SELECT 8, 'may create schemas', pg_catalog.current_database()
  FROM roles
  WHERE pg_catalog.has_database_privilege(roles.oid, pg_catalog.current_database(), 'CREATE')
  HAVING pg_catalog.count(*) > 0
  UNION ALL
  SELECT 9, 'may create in a schema', {_names("n.nspname")}
  FROM roles CROSS JOIN pg_catalog.pg_namespace n
  WHERE n.nspname !~ '^pg_(temp|toast)'
    AND pg_catalog.has_schema_privilege(roles.oid, n.oid, 'CREATE')
  HAVING pg_catalog.count(*) > 0
  UNION ALL
  SELECT 10, 'owns objects', pg_catalog.count(*) || ' in '
         || {_names("COALESCE('the database ' || d.datname, 'the whole cluster')")}
  FROM roles
  JOIN pg_catalog.pg_shdepend s
    ON s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND s.refobjid = roles.oid
    AND s.deptype = 'o' AND s.classid <> 'pg_catalog.pg_user_mapping'::pg_catalog.regclass
  LEFT JOIN pg_catalog.pg_database d ON d.oid = s.dbid
  HAVING pg_catalog.count(*) > 0
  UNION ALL
  SELECT 11, 'may write to tables', {_names("c.oid::pg_catalog.regclass")}
  FROM roles CROSS JOIN pg_catalog.pg_class c
  WHERE {_writable("c", "roles.oid", writes)}
  HAVING pg_catalog.count(*) > 0
  UNION ALL
  SELECT 12, 'may advance sequences', {_names("c.oid::pg_catalog.regclass")}
  FROM roles CROSS JOIN pg_catalog.pg_class c
  WHERE CASE WHEN c.relkind = 'S'
             THEN pg_catalog.has_sequence_privilege(roles.oid, c.oid, 'USAGE, UPDATE') END
  HAVING pg_catalog.count(*) > 0{parameters}
  UNION ALL
  SELECT 14, 'may run functions as a role that can write',
         {_names("p.oid::pg_catalog.regprocedure")}
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  WHERE p.prosecdef AND p.proowner NOT IN (SELECT oid FROM roles)
    AND p.prorettype NOT IN ('pg_catalog.trigger'::pg_catalog.regtype,
                             'pg_catalog.event_trigger'::pg_catalog.regtype)
    AND n.nspname || '.' || p.proname <> ALL ($1::pg_catalog.text[])
    AND EXISTS (SELECT FROM roles
                WHERE pg_catalog.has_function_privilege(roles.oid, p.oid, 'EXECUTE')
                  AND pg_catalog.has_schema_privilege(roles.oid, n.oid, 'USAGE'))
    AND {_can_write("p.proowner", writes)}
  HAVING pg_catalog.count(*) > 0
  UNION ALL
  SELECT 15, 'may grant what it may read', {_names("c.oid::pg_catalog.regclass")}
  FROM pg_catalog.pg_class c CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a
  WHERE a.is_grantable AND a.grantee IN (SELECT oid FROM roles) AND a.grantee <> c.relowner
  HAVING pg_catalog.count(*) > 0
  UNION ALL
  SELECT 16, 'may write large objects', {_names("l.oid")}
  FROM pg_catalog.pg_largeobject_metadata l CROSS JOIN LATERAL pg_catalog.aclexplode(l.lomacl) a
  WHERE a.privilege_type = 'UPDATE' AND EXISTS (SELECT FROM roles)
    AND (a.grantee = 0 OR a.grantee IN (SELECT oid FROM roles))
  HAVING pg_catalog.count(*) > 0
  UNION ALL
  SELECT 17, 'may make user mappings', {_names("s.srvname")}
  FROM roles CROSS JOIN pg_catalog.pg_foreign_server s
  WHERE pg_catalog.has_server_privilege(roles.oid, s.oid, 'USAGE')
  HAVING pg_catalog.count(*) > 0
  UNION ALL
  SELECT 100, 'reads credentials', {_names("a.attrelid::pg_catalog.regclass || '.' || a.attname")}
  FROM roles CROSS JOIN pg_catalog.pg_attribute a
  WHERE (a.attrelid, a.attname) IN (
      ('pg_catalog.pg_authid'::pg_catalog.regclass, 'rolpassword'),
      ('pg_catalog.pg_user_mapping'::pg_catalog.regclass, 'umoptions'),
      ('pg_catalog.pg_subscription'::pg_catalog.regclass, 'subconninfo'))
    AND pg_catalog.has_column_privilege(roles.oid, a.attrelid, a.attnum, 'SELECT')
  HAVING pg_catalog.count(*) > 0
) powers
ORDER BY rank, power, detail
"""


@dataclass(frozen=True, slots=True)
class Power:
    """Something that the role could do beyond reading tables, and to what.

    `writes` False: it can only read more than is good, which pgmcp refuses to do for it.
    """

    name: str
    detail: str
    writes: bool = True


def trusted_parameter(functions: Collection[str]) -> str:
    """The parameter of `powers_sql`: `schema.function` names as an array that PostgreSQL reads."""
    quoted = (name.replace("\\", "\\\\").replace('"', '\\"') for name in sorted(functions))
    return "{" + ",".join(f'"{name}"' for name in quoted) + "}"


def powers(rows: Sequence[tuple[Value, ...]]) -> tuple[Power, ...]:
    """The answer to `powers_sql` as values; empty for a role that can only read."""
    return tuple(
        Power((name or b"").decode(), (detail or b"").decode(), writes == b"t")
        for name, detail, writes in rows
    )


def read_powers(fetch: Fetch, trusted: Collection[str] = ()) -> tuple[Power, ...]:
    """What the role could do, asked of its database by `fetch`; errors are those of `fetch`."""
    major = int(fetch(_MAJOR_SQL, ()).rows[0][0] or b"0")
    return powers(fetch(powers_sql(major), (trusted_parameter(trusted),)).rows)


_MAJOR_SQL = "SELECT pg_catalog.current_setting('server_version_num')::int / 10000"


@dataclass(frozen=True, slots=True)
class LogProblem:
    """That each new statement's tree goes to the server's log, and what to do about it."""

    message: str
    mend: str


def read_log_problem(fetch: Fetch, role: str) -> LogProblem | None:
    """Whether the trees that pgmcp asks for reach the log of the role's server, None if not."""
    major = int(fetch(_MAJOR_SQL, ()).rows[0][0] or b"0")
    has_grant = major >= PARAMETER_PRIVILEGES_SINCE
    if fetch(_LOG_SQL[has_grant], ()).rows[0][0] == b"t":
        return None
    name = quote_identifier(role)
    message = (
        f"{role} cannot keep the trees of statements out of the server's log: each new statement"
        " leaves an entry there, of 2 kB and more, and of 200 kB for one large view"
    )
    if has_grant:
        return LogProblem(message, f"GRANT SET ON PARAMETER log_min_messages TO {name};")
    return LogProblem(
        message,
        "PostgreSQL has a grant for this from version 15 on. Until then, watch the log's size, or"
        " have a superuser keep the errors of this role out of the log as well:\n"
        f"ALTER ROLE {name} SET log_min_messages = fatal;",
    )


_KEEPS_OUT = (
    "SELECT pg_catalog.current_setting('is_superuser') = 'on'"
    " OR pg_catalog.current_setting('log_min_messages') IN ('fatal', 'panic')"
)
_LOG_SQL = {
    True: f"{_KEEPS_OUT} OR pg_catalog.has_parameter_privilege('log_min_messages', 'SET')",
    False: _KEEPS_OUT,
}
