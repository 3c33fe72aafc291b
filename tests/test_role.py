"""What a role could do beyond reading, on each version of PostgreSQL."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import pytest

from pgmcp.calls.call import Call
from pgmcp.cli.database_findings import database_findings
from pgmcp.config.databases import DatabaseSettings
from pgmcp.config.values import Secret
from pgmcp.errors import DatabaseUnavailableError
from pgmcp.gate.roles import powers as role
from pgmcp.gate.roles.power_queries import powers_sql
from pgmcp.postgres.rows import Rows
from tests.databases import open_databases, settings_for
from tools.postgres import Server

Made = Callable[..., DatabaseSettings]

OBJECTS = """
REVOKE CREATE ON SCHEMA public FROM public;
CREATE TABLE t (a int);
CREATE SEQUENCE s;
CREATE ROLE {writer};
GRANT INSERT ON t TO {writer};
CREATE ROLE {group};
GRANT SELECT ON t TO {group};
CREATE ROLE {me} LOGIN PASSWORD 'x' NOINHERIT;
GRANT SELECT ON t TO {me};
"""


@pytest.fixture
def reader(postgres: Server, database: str) -> Iterator[Made]:
    """Makes the settings of a role that may read `t`, after SQL with {me}, {writer}, {group}."""
    names = {name: f"{name}_{database}" for name in ("me", "writer", "group")}

    def make(sql: str = "", **changes: object) -> DatabaseSettings:
        postgres.psql((OBJECTS + sql).format(db=database, **names), database)
        return settings_for(
            postgres, database, user=names["me"], passwords=(Secret("x"),), **changes
        )

    yield make
    for name in names.values():
        postgres.psql(f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}", database)


def powers(settings: DatabaseSettings) -> dict[str, str]:
    databases = open_databases([settings])
    try:
        fetch = databases.database("owner", "main", Call(30)).fetch
        found = role.read_powers(fetch, settings.trusted_functions)
    finally:
        databases.pools.close(5)
    return {power.name: power.detail for power in found if power.writes}


def is_served(settings: DatabaseSettings) -> bool:
    """Whether `require_safe_role` lets the role in."""
    databases = open_databases([dataclasses.replace(settings, require_safe_role=True)])
    try:
        databases.database("owner", "main", Call(30)).query("select 1", max_rows=1)
    except DatabaseUnavailableError:
        return False
    finally:
        databases.pools.close(5)
    return True


DEFINER = (
    "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN 1; END';"
)


COULD_WRITE = [
    ("GRANT {writer} TO {me};", "may write to tables", "t"),
    ("GRANT {writer} TO {group}; GRANT {group} TO {me};", "may write to tables", "t"),
    ("GRANT {group} TO {me} WITH ADMIN OPTION;", "may grant roles", "group"),
    ("GRANT pg_write_all_data TO {me};", "member of pg_write_all_data", ""),
    ("GRANT pg_read_server_files TO {me};", "member of pg_read_server_files", ""),
    ("ALTER TABLE t OWNER TO {me};", "owns objects", "1 in the database"),
    ("CREATE TYPE e AS ENUM (); ALTER TYPE e OWNER TO {me};", "owns objects", "1 in"),
    ("CREATE SCHEMA n AUTHORIZATION {me};", "owns objects", "1 in the database"),
    ("CREATE SCHEMA n AUTHORIZATION {group}; GRANT {group} TO {me};", "owns objects", "1 in"),
    (DEFINER + "ALTER FUNCTION f() OWNER TO {me};", "owns objects", "1 in the database"),
    ("GRANT TRIGGER ON t TO {me};", "may write to tables", "t"),
    ("GRANT UPDATE (a) ON t TO {me};", "may write to tables", "t"),
    ("GRANT USAGE ON SEQUENCE s TO {me};", "may advance sequences", "s"),
    ("GRANT CREATE ON SCHEMA public TO {me};", "may create in a schema", "public"),
    ("GRANT CREATE ON DATABASE {db} TO {me};", "may create schemas", ""),
    ("GRANT SELECT ON t TO {me} WITH GRANT OPTION;", "may grant what it may read", "t"),
    ("SELECT lo_create(4711); GRANT UPDATE ON LARGE OBJECT 4711 TO {me};"
     , "may write large objects", "4711"),
    (DEFINER, "may run functions as a role that can write", "f()"),
    (DEFINER + "ALTER FUNCTION f() OWNER TO {writer};",
     "may run functions as a role that can write", "f()"),
]  # fmt: skip
ONLY_READS = [
    "",
    "GRANT {group} TO {me};",
    "GRANT pg_read_all_data, pg_monitor TO {me};",
    DEFINER + "REVOKE EXECUTE ON FUNCTION f() FROM public;",
    DEFINER + "ALTER FUNCTION f() OWNER TO {group};",
    "CREATE SCHEMA hidden; SET search_path = hidden;" + DEFINER,
    "CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
    " AS 'BEGIN RETURN NULL; END';",
]


def test_each_way_to_do_more_than_read_is_a_power(
    reader: Made, postgres: Server, database: str
) -> None:
    settings = reader()
    missing = []
    for sql, power, detail in COULD_WRITE:
        found = powers_after(postgres, database, settings.user, sql)
        if detail not in found.get(power, ""):
            missing.append(f"{sql}: {found}")
    assert missing == []


def test_what_only_reads_is_no_power(reader: Made, postgres: Server, database: str) -> None:
    settings = reader()
    found = {sql: powers_after(postgres, database, settings.user, sql) for sql in ONLY_READS}
    assert found == {sql: {} for sql in ONLY_READS}


def powers_after(postgres: Server, database: str, me: str, sql: str) -> dict[str, str]:
    """The powers of a role within a transaction that has run the SQL, and is rolled back."""
    names = {name: f"{name}_{database}" for name in ("me", "writer", "group")}
    ask = powers_sql(postgres.version // 10000).replace("$1", "'{}'")
    said = postgres.psql(
        f"BEGIN; {sql.format(db=database, **names)} SET LOCAL search_path = public;"
        f" SET LOCAL ROLE {me}; {ask}; ROLLBACK",
        database,
    )
    rows = [line.split("|") for line in said.splitlines() if line.count("|") == 2]
    return {name: detail for name, detail, writes in rows if writes == "t"}


@pytest.mark.parametrize(
    ("sql", "served"),
    [("", True), ("GRANT pg_read_all_data TO {me};", True), ("GRANT {writer} TO {me};", False)],
)
def test_only_a_role_that_cannot_write_is_served_where_that_is_required(
    reader: Made, sql: str, served: bool
) -> None:
    assert is_served(reader(sql)) is served


def test_a_function_that_the_operator_trusts_is_no_power(reader: Made) -> None:
    settings = reader(DEFINER, trusted_functions=("public.f",))
    assert powers(settings) == {}
    assert is_served(settings)


def test_membership_counts_by_its_options(reader: Made, postgres: Server) -> None:
    if postgres.version < 160000:
        settings = reader("GRANT {writer} TO {me};")
        assert "may write to tables" in powers(settings)
        return
    settings = reader("GRANT {writer} TO {me} WITH INHERIT FALSE, SET FALSE;")
    assert powers(settings) == {}
    me, writer = settings.user, settings.user.replace("me_", "writer_")
    for option in ("SET", "INHERIT", "ADMIN"):
        postgres.psql(f"GRANT {writer} TO {me} WITH {option} TRUE")
        assert "may write to tables" in powers(settings)
        postgres.psql(f"GRANT {writer} TO {me} WITH {option} FALSE")


@pytest.mark.parametrize("grantee", ["{me}", "public", "{group}"])
def test_privileges_on_parameters_are_powers_but_for_one(
    reader: Made, postgres: Server, grantee: str
) -> None:
    if postgres.version < 150000:
        return
    settings = reader("GRANT {group} TO {me}; GRANT SET ON PARAMETER log_min_messages TO {me};")
    assert powers(settings) == {}
    me, group = settings.user, settings.user.replace("me_", "group_")
    to = grantee.format(me=me, group=group)
    postgres.psql(f"GRANT SET ON PARAMETER session_replication_role TO {to}")
    try:
        assert powers(settings) == {"may change parameters": "session_replication_role"}
    finally:
        postgres.psql(f"REVOKE SET ON PARAMETER session_replication_role FROM {to}")
    postgres.psql(f"GRANT ALTER SYSTEM ON PARAMETER log_min_messages TO {me}")
    assert powers(settings) == {"may change parameters": "log_min_messages"}


def test_what_it_owns_in_another_database_counts(
    reader: Made, postgres: Server, database: str
) -> None:
    settings = reader()
    postgres.create_database(f"{database}_other")
    try:
        postgres.psql(f"CREATE SCHEMA n AUTHORIZATION {settings.user}", f"{database}_other")
        assert powers(settings) == {"owns objects": f"1 in the database {database}_other"}
    finally:
        postgres.drop_database(f"{database}_other")


def test_reading_credentials_is_told_and_served(reader: Made) -> None:
    settings = reader("GRANT pg_read_all_data TO {me};")
    told = [f for f in database_findings(settings) if "credentials" in f.message]
    assert [f.status for f in told] == ["warning"]
    assert "pg_authid.rolpassword" in told[0].message


def test_a_role_that_fills_the_servers_log_is_told_what_mends_it(
    reader: Made, postgres: Server
) -> None:
    settings = reader()
    told = [f for f in database_findings(settings) if f.subject == "main: log"]
    assert [f.status for f in told] == ["warning"]
    assert f'GRANT SET ON PARAMETER log_min_messages TO "{settings.user}"' in told[0].next_step
    postgres.psql(told[0].next_step)
    assert [f for f in database_findings(settings) if f.subject == "main: log"] == []


def test_a_role_whose_log_is_silenced_has_no_log_problem(reader: Made, postgres: Server) -> None:
    settings = reader("ALTER ROLE {me} SET log_min_messages = fatal;")
    before = postgres.log.stat().st_size
    assert [f for f in database_findings(settings) if f.subject == "main: log"] == []
    assert b"rewritten parse tree" not in postgres.log.read_bytes()[before:]


def test_no_grant_is_named_where_the_version_has_none() -> None:
    def fetch(text: str, _params: tuple[str | None, ...] = ()) -> Rows:
        return Rows((), [(b"14",)] if "server_version_num" in text else [(b"f",)])

    problem = role.read_log_problem(fetch, "reader")
    assert problem is not None
    assert "GRANT" not in problem.mend
    assert "ALTER ROLE" in problem.mend
