"""The SQL that asks what a role could do beyond reading: a SELECT for each power, in one table.

The rule: a role could do what any role could that it inherits from, may SET ROLE to, or may grant
to itself. Every name of the catalogue is qualified. Text only.
"""

from __future__ import annotations

from dataclasses import dataclass

PARAMETER_PRIVILEGES_SINCE = 15
_MEMBERSHIP_OPTIONS_SINCE = 16
_MAINTAIN_SINCE = 17
# Predefined roles that only read. Any other counts, so that those to come do as well.
_READ = (
    "('pg_read_all_data', 'pg_read_all_settings', 'pg_read_all_stats', 'pg_monitor',"
    " 'pg_stat_scan_tables', 'pg_use_reserved_connections', 'pg_database_owner')"
)
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class _PowerQuery:
    """Where a power comes from, over `me` and `roles`, which is empty for a superuser.

    `detail` and `of` are SQL expressions, `source` begins behind FROM. All rows of `source` are one
    power, and `detail` is constant or an aggregate of them; where `of` is given, each row is a
    power by itself, with `of` behind its name. `writes` False: it can only read more than is good.
    `since`: the first major version that has it.
    """

    name: str
    detail: str
    source: str
    of: str = ""
    writes: bool = True
    since: int = 0

    def sql(self, rank: int) -> str:
        """Rows of rank, power, detail and `writes`."""
        power, having = f"'{self.name}'", "\n  HAVING pg_catalog.count(*) > 0"
        if self.of:
            power, having = f"{power} || {self.of}", ""
        return (
            f"  SELECT {rank}, {power}, {self.detail}, {self.writes}\n  FROM {self.source}{having}"
        )


def powers_sql(server_major: int) -> str:
    """Rows of a power, what of, and whether it writes.

    Its parameter is an array of functions that the operator trusts: `schema.function`.
    A member of a role without INHERIT, SET and ADMIN OPTION (PostgreSQL 16) can do nothing with it.
    """
    options = ""
    if server_major >= _MEMBERSHIP_OPTIONS_SINCE:
        options = " AND (m.inherit_option OR m.set_option OR m.admin_option)"
    privileges = "INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER"
    if server_major >= _MAINTAIN_SINCE:
        privileges += ", MAINTAIN"
    queries = (query for query in _POWERS if query.since <= server_major)
    selects = "\n  UNION ALL\n".join(query.sql(rank) for rank, query in enumerate(queries))
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
SELECT power, detail, writes FROM (
{selects.replace(_TABLE_PRIVILEGES, privileges)}
) powers (rank, power, detail, writes)
ORDER BY rank, power, detail
"""


def _names(expression: str) -> str:
    """The first few of the names in a group, and how many more there are."""
    return (
        f"pg_catalog.array_to_string((pg_catalog.array_agg(DISTINCT ({expression})::text"
        f" ORDER BY ({expression})::text))[1:{_SHOWN}], ', ')"
        f" || CASE WHEN pg_catalog.count(DISTINCT ({expression})::text) > {_SHOWN} THEN"
        f" pg_catalog.format(' and %s more', pg_catalog.count(DISTINCT ({expression})::text)"
        f" - {_SHOWN}) ELSE '' END"
    )


_TABLE_PRIVILEGES = "{table privileges}"
"""Stands in the table for those that write, which differ between versions."""


def _writable(relation: str, role: str) -> str:
    return (
        f"{relation}.relkind IN ('r', 'p', 'v', 'm', 'f')"
        f" AND {relation}.oid <> 'pg_catalog.pg_settings'::pg_catalog.regclass"
        f" AND (pg_catalog.has_table_privilege({role}, {relation}.oid, '{_TABLE_PRIVILEGES}')"
        f" OR pg_catalog.has_any_column_privilege({role}, {relation}.oid, 'INSERT, UPDATE'))"
    )


def _can_write(role: str) -> str:
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
                    ELSE {_writable("o", role)} END))"""


def _attribute(name: str, about: str, column: str) -> _PowerQuery:
    """An attribute of the role itself, which no other role inherits."""
    return _PowerQuery(name, f"'{about}'", f"me WHERE {column}")


_POWERS = (
    _attribute("superuser", "may do everything", "rolsuper"),
    _attribute("BYPASSRLS", "row security does not apply to it", "rolbypassrls"),
    _attribute("CREATEROLE", "may make and grant roles", "rolcreaterole"),
    _attribute("CREATEDB", "may make databases", "rolcreatedb"),
    _attribute("REPLICATION", "may copy the whole cluster and hold back its log", "rolreplication"),
    _PowerQuery(
        "member of ",
        "'inherited, by SET ROLE, or by ADMIN OPTION'",
        f"""roles r
  WHERE r.rolname <> current_user
    AND (r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls
         OR r.rolname ~ '^pg_' AND r.rolname NOT IN {_READ})""",
        of="r.rolname",
    ),
    _PowerQuery(
        "may grant roles",
        _names("m.roleid::pg_catalog.regrole"),
        "roles JOIN pg_catalog.pg_auth_members m ON m.member = roles.oid AND m.admin_option",
    ),
    _PowerQuery(
        "may create schemas",
        "pg_catalog.current_database()",
        """roles
  WHERE pg_catalog.has_database_privilege(roles.oid, pg_catalog.current_database(), 'CREATE')""",
    ),
    _PowerQuery(
        "may create in a schema",
        _names("n.nspname"),
        """roles CROSS JOIN pg_catalog.pg_namespace n
  WHERE n.nspname !~ '^pg_(temp|toast)'
    AND pg_catalog.has_schema_privilege(roles.oid, n.oid, 'CREATE')""",
    ),
    _PowerQuery(
        "owns objects",
        "pg_catalog.count(*) || ' in ' || "
        + _names("COALESCE('the database ' || d.datname, 'the whole cluster')"),
        """roles
  JOIN pg_catalog.pg_shdepend s
    ON s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND s.refobjid = roles.oid
    AND s.deptype = 'o' AND s.classid <> 'pg_catalog.pg_user_mapping'::pg_catalog.regclass
  LEFT JOIN pg_catalog.pg_database d ON d.oid = s.dbid""",
    ),
    _PowerQuery(
        "may write to tables",
        _names("c.oid::pg_catalog.regclass"),
        f"""roles CROSS JOIN pg_catalog.pg_class c
  WHERE {_writable("c", "roles.oid")}""",
    ),
    _PowerQuery(
        "may advance sequences",
        _names("c.oid::pg_catalog.regclass"),
        """roles CROSS JOIN pg_catalog.pg_class c
  WHERE CASE WHEN c.relkind = 'S'
             THEN pg_catalog.has_sequence_privilege(roles.oid, c.oid, 'USAGE, UPDATE') END""",
    ),
    _PowerQuery(
        "may change parameters",
        _names("p.parname"),
        """pg_catalog.pg_parameter_acl p CROSS JOIN LATERAL pg_catalog.aclexplode(p.paracl) a
  WHERE (a.grantee = 0 OR a.grantee IN (SELECT oid FROM roles))
    AND (p.parname <> 'log_min_messages' OR a.privilege_type <> 'SET')
    AND EXISTS (SELECT FROM roles)""",
        since=PARAMETER_PRIVILEGES_SINCE,
    ),
    _PowerQuery(
        "may run functions as a role that can write",
        _names("p.oid::pg_catalog.regprocedure"),
        f"""pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  WHERE p.prosecdef AND p.proowner NOT IN (SELECT oid FROM roles)
    AND p.prorettype NOT IN ('pg_catalog.trigger'::pg_catalog.regtype,
                             'pg_catalog.event_trigger'::pg_catalog.regtype)
    AND n.nspname || '.' || p.proname <> ALL ($1::pg_catalog.text[])
    AND EXISTS (SELECT FROM roles
                WHERE pg_catalog.has_function_privilege(roles.oid, p.oid, 'EXECUTE')
                  AND pg_catalog.has_schema_privilege(roles.oid, n.oid, 'USAGE'))
    AND {_can_write("p.proowner")}""",
    ),
    _PowerQuery(
        "may grant what it may read",
        _names("c.oid::pg_catalog.regclass"),
        """pg_catalog.pg_class c CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a
  WHERE a.is_grantable AND a.grantee IN (SELECT oid FROM roles) AND a.grantee <> c.relowner""",
    ),
    _PowerQuery(
        "may write large objects",
        _names("l.oid"),
        """pg_catalog.pg_largeobject_metadata l CROSS JOIN LATERAL pg_catalog.aclexplode(l.lomacl) a
  WHERE a.privilege_type = 'UPDATE' AND EXISTS (SELECT FROM roles)
    AND (a.grantee = 0 OR a.grantee IN (SELECT oid FROM roles))""",
    ),
    _PowerQuery(
        "may make user mappings",
        _names("s.srvname"),
        """roles CROSS JOIN pg_catalog.pg_foreign_server s
  WHERE pg_catalog.has_server_privilege(roles.oid, s.oid, 'USAGE')""",
    ),
    _PowerQuery(
        "reads credentials",
        _names("a.attrelid::pg_catalog.regclass || '.' || a.attname"),
        """roles CROSS JOIN pg_catalog.pg_attribute a
  WHERE (a.attrelid, a.attname) IN (
      ('pg_catalog.pg_authid'::pg_catalog.regclass, 'rolpassword'),
      ('pg_catalog.pg_user_mapping'::pg_catalog.regclass, 'umoptions'),
      ('pg_catalog.pg_subscription'::pg_catalog.regclass, 'subconninfo'))
    AND pg_catalog.has_column_privilege(roles.oid, a.attrelid, a.attnum, 'SELECT')""",
        writes=False,
    ),
)
