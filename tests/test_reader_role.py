"""The SQL that -check prints: pasted into psql it makes a reader, and no application notices."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pgmcp.calls.call import Call
from pgmcp.cli.database_findings import database_findings
from pgmcp.cli.finding import Finding
from pgmcp.config.databases import DatabaseSettings
from pgmcp.config.values import Secret
from pgmcp.gate.roles import reader_role
from pgmcp.postgres.rows import Rows, Value
from tests.databases import open_databases, settings_for
from tools.postgres import Server

SETUP = """
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
CREATE ROLE "{app}" LOGIN PASSWORD 'x';
CREATE ROLE "{owner}" LOGIN PASSWORD 'x';
CREATE SCHEMA "Sales "" dept" AUTHORIZATION "{owner}";
CREATE SCHEMA hr AUTHORIZATION "{app}";
CREATE SCHEMA empty;
GRANT USAGE, CREATE ON SCHEMA hr TO "{owner}";
CREATE TABLE public.p AS SELECT 1 AS a;
CREATE EXTENSION pg_stat_statements;
SET ROLE "{owner}";
CREATE TABLE "Sales "" dept"."Orders; --" AS SELECT 1 AS a;
CREATE VIEW "Sales "" dept".v AS SELECT 2 AS a;
CREATE TABLE hr.audited AS SELECT 1 AS a;
SET ROLE "{app}";
CREATE TABLE hr.salaries AS SELECT 1 AS a;
CREATE TABLE hr.parts (a int) PARTITION BY LIST (a);
CREATE TABLE hr.part PARTITION OF hr.parts FOR VALUES IN (1);
"""
TABLES = (
    "public.p",
    '"Sales "" dept"."Orders; --"',
    '"Sales "" dept".v',
    "hr.audited",
    "hr.salaries",
    "hr.parts",
)
APPLICATION = """
CREATE TEMPORARY TABLE scratch AS SELECT 1 AS a;
INSERT INTO hr.salaries SELECT a + 1 FROM scratch;
CREATE TABLE IF NOT EXISTS hr.later (a int);
DROP TABLE hr.later;
SELECT count(*) > 0 FROM hr.salaries;
"""


class World:
    """A database with an application beside pgmcp."""

    def __init__(self, server: Server, database: str) -> None:
        self.server = server
        self.database = database
        self.app, self.owner = f"app's {database}", f"Owner {database}"
        server.psql(SETUP.format(app=self.app, owner=self.owner), database)

    def settings(self, user: str = "") -> DatabaseSettings:
        """What pgmcp is configured with: the superuser, or a role with the password x."""
        if not user:
            return settings_for(self.server, self.database)
        return settings_for(self.server, self.database, user=user, passwords=(Secret("x"),))

    def application(self) -> str:
        """Let the application do its work; PostgresError when it cannot."""
        return self.server.psql(APPLICATION, self.database, self.app, "x").splitlines()[-1]

    def suggested(self) -> list[str]:
        """The lines of SQL that -check suggests."""
        (step,) = [
            each.next_step
            for each in database_findings(self.settings())
            if "\\password" in each.next_step
        ]
        lines = step.splitlines()
        return lines[1:]

    def paste(self) -> str:
        """Paste the suggestion as it stands; the role that it made, with the password x."""
        *lines, password = self.suggested()
        assert password.startswith("\\password "), "what stands behind it would be the password"
        self.server.psql("\n".join(lines), self.database)
        role = password.removeprefix("\\password ")
        self.server.psql(f"ALTER ROLE {role} PASSWORD 'x'", self.database)
        return role.strip('"')

    def drop(self) -> None:
        """Take away the roles."""
        made = f"rolname ~ '^pgmcp_reader' OR rolname ~ ' {self.database}$'"
        for name in self.server.psql(f"SELECT rolname FROM pg_roles WHERE {made}").splitlines():
            quoted = name.replace('"', '""')
            self.server.psql(
                f'DROP OWNED BY "{quoted}" CASCADE; DROP ROLE "{quoted}"', self.database
            )


@pytest.fixture
def world(postgres: Server, database: str) -> Iterator[World]:
    made = World(postgres, database)
    yield made
    made.drop()


def tables_of(settings: DatabaseSettings) -> Finding:
    (told,) = [each for each in database_findings(settings) if each.subject.endswith(": tables")]
    return told


def test_pasted_it_makes_a_role_that_reads_every_schema_and_can_do_no_more(world: World) -> None:
    before = world.application()
    reader = world.settings(world.paste())
    findings = list(database_findings(reader))
    assert [each.message for each in findings if each.status != "ok"] == []
    assert any("can only read" in each.message for each in findings)
    assert tables_of(reader).message == f"reads all {len(TABLES)} tables"
    databases = open_databases([reader])
    try:
        for table in TABLES:
            databases.database("o", "main", Call(30)).query(f"TABLE {table}", max_rows=9)
    finally:
        databases.pools.close(5)
    assert world.application() == before, "the application works as it did"


def test_tables_that_the_owners_make_later_are_read_too(world: World) -> None:
    reader = world.settings(world.paste())
    server, database = world.server, world.database
    server.psql('CREATE TABLE "Sales "" dept".later (a int)', database, world.owner, "x")
    server.psql("CREATE TABLE hr.by_app (a int)", database, world.app, "x")
    server.psql("CREATE TABLE hr.by_owner (a int)", database, world.owner, "x")
    server.psql("CREATE TABLE public.by_admin (a int)", database)
    assert tables_of(reader).message == f"reads all {len(TABLES) + 4} tables"


def test_nothing_is_taken_from_anybody(world: World) -> None:
    sql = [line for line in world.suggested() if not line.startswith("--")]
    assert [line for line in sql if "REVOKE" in line or "PUBLIC" in line] == []
    ask = "SELECT has_database_privilege('public', current_database(), 'TEMPORARY')"
    world.paste()
    assert world.server.psql(ask, world.database) == "t"


def test_a_role_that_is_there_is_not_changed(world: World) -> None:
    first = world.paste()
    second = world.paste()
    assert first == "pgmcp_reader"
    assert second == "pgmcp_reader_2"


def test_a_schema_that_is_left_out_is_not_read(world: World) -> None:
    *lines, _ = world.suggested()
    world.server.psql(
        "\n".join(line for line in lines if '"hr"' not in line)
        + "\nALTER ROLE pgmcp_reader PASSWORD 'x'",
        world.database,
    )
    told = tables_of(world.settings("pgmcp_reader"))
    assert told.status == "ok"
    assert told.message == "reads 3 of 6 tables; not hr.audited, hr.parts, hr.salaries"


def test_a_role_that_reads_nothing_is_told_what_lets_it(world: World) -> None:
    world.server.psql("CREATE ROLE pgmcp_reader LOGIN PASSWORD 'x'")
    reader = world.settings("pgmcp_reader")
    told = tables_of(reader)
    assert told.status == "warning"
    assert told.message.startswith("reads 0 of 6 tables; not ")
    assert told.message.endswith(" and 1 more")
    world.server.psql(told.next_step.partition("\n")[2], world.database)
    assert tables_of(reader).message == "reads all 6 tables"
    assert world.application() == "t"


def test_where_everybody_may_create_that_is_said_and_left_alone(world: World) -> None:
    world.server.psql("GRANT CREATE ON SCHEMA public TO PUBLIC", world.database)
    said = [line for line in world.suggested() if "PUBLIC" in line]
    assert said == ['--   REVOKE CREATE ON SCHEMA "public" FROM PUBLIC;']
    world.paste()
    world.server.psql("CREATE TABLE public.mine (a int)", world.database, world.app, "x")


@pytest.mark.parametrize(("major", "grants"), [(14, False), (15, True), (19, True)])
def test_only_what_the_version_knows_is_suggested(major: int, grants: bool) -> None:
    def fetch(text: str, _params: tuple[str | None, ...]) -> Rows:
        server: list[tuple[Value, ...]] = [(str(major).encode(), b"t", b"pgmcp_reader")]
        return Rows((), server if "server_version_num" in text else [])

    sql = reader_role.reader_role_sql(fetch, "shop", [])
    assert ("ON PARAMETER" in sql) is grants
    assert "on the primary" in sql.splitlines()[0]


def test_an_empty_database_gets_its_public_schema(postgres: Server, database: str) -> None:
    steps = [each.next_step for each in database_findings(settings_for(postgres, database))]
    assert any('GRANT SELECT ON ALL TABLES IN SCHEMA "public"' in step for step in steps)
