"""The statistics views show what PostgreSQL shows, without the text of other callers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from pgmcp.calls.call import Call
from pgmcp.errors import StatementError, StatementRefusedError
from pgmcp.features.prompts import diagnose_query_issue
from pgmcp.gate.databases import DatabaseSet
from pgmcp.gate.port import Database
from pgmcp.judging.statistics import StatisticsView, parts_in_front, withhold
from tests.conftest import StartPostgres
from tests.databases import eventually, open_databases, settings_for
from tests.sample_features import context_for
from tools.binaries import Binaries
from tools.postgres import Server

Open = Callable[..., Database]

ACTIVITY = StatisticsView("pg_catalog", "pg_stat_activity", 1, ("pid", "query"), 2)
STATEMENTS = StatisticsView("s t", "pg_stat_statements", 2, ("query", "calls"), 1)
VIEWS = (ACTIVITY, STATEMENTS)

WITHHELD = b"withheld"
MARK = b"41.5000007"  # in the other call's text; no time of day has so many digits
SHOWN_WITHOUT_TEXT = [
    "select query from pg_stat_activity",
    "select * from pg_stat_activity",
    "table pg_stat_activity",
    "select query from pg_catalog.pg_stat_activity",
    'select query from "pg_catalog" . "pg_stat_activity"',
    "with a as (select * from pg_stat_activity) select query from a",
    "with recursive a(n) as (select 1 union all select n + 1 from a where n < 2)"
    " select query from a, pg_stat_activity",
    "(select query from pg_stat_activity) union all select 'x'",
    "select (a).query from (select pg_stat_activity from pg_stat_activity) t (a)",
    "select a from pg_stat_activity a",
    "select query from pg_locks right join PG_STAT_ACTIVITY using (pid)",
    "select (select string_agg(query, ',') from pg_stat_activity)",
    "/* pg_stat_activity */ select query from pg_stat_activity -- pg_stat_activity",
    "select query from pg_stat_activity where query ~ 'withheld'",
]
REFUSED = [
    "select query from activity",
    "select pid from activity",
    "select in_a_body()",
    "select * from pg_stat_get_activity(null)",
    "select query from pg_stat_get_activity(null)",
    "select pg_stat_get_backend_activity(1)",
    "select * from calls_the_function",
]
SHOWN = [
    "select count(*) from pg_catalog.pg_stat_activity",
    "select usename, state, wait_event from pg_stat_activity",
    "select * from pg_stat_ssl",
    "select * from pg_stat_gssapi",
    "select * from pg_stat_replication",
    "select pid, state from without_text",
]
OF_THE_CALLERS_OWN = [
    "with pg_stat_activity as (select 1 x) select x from pg_stat_activity",
    "with pg_stat_activity (x, y) as not materialized (select 1, 2) select y from pg_stat_activity",
    "with recursive a as (select 1), pg_stat_activity as (select 1 x) select x from"
    " pg_stat_activity",
    'select * from (with "pg_stat_activity" as (values (1)) table pg_stat_activity) t',
]
SCHEMA = """
CREATE VIEW activity AS SELECT * FROM pg_stat_activity;
CREATE VIEW without_text AS SELECT pid, state FROM pg_stat_activity;
CREATE VIEW calls_the_function AS SELECT * FROM pg_stat_get_activity(NULL);
CREATE FUNCTION in_a_body() RETURNS text LANGUAGE sql
  BEGIN ATOMIC SELECT max(query) FROM pg_stat_activity; END;
"""


@pytest.fixture
def open_database(postgres: Server, database: str) -> Iterator[Open]:
    """Makes databases as pgmcp sees them, each with settings of its own."""
    postgres.psql(SCHEMA, database)
    opened: list[DatabaseSet] = []

    def make(**changes: object) -> Database:
        opened.append(open_databases([settings_for(postgres, database, **changes)]))
        return opened[-1].database("owner", "main", Call(60))

    yield make
    for databases in opened:
        databases.pools.close(5)


@pytest.fixture
def other_call(open_database: Open, postgres: Server, database: str) -> Iterator[None]:
    """A call of another caller, which runs as long as the test does."""
    caller = open_database(statement_timeout_seconds=50.0)
    sleeps = f"from pg_stat_activity where wait_event = 'PgSleep' and datname = '{database}'"
    with ThreadPoolExecutor(1) as executor:
        sleeping = executor.submit(
            lambda: caller.query(f"select pg_sleep({MARK.decode()})", max_rows=1)
        )
        assert eventually(lambda: postgres.psql(f"select count(*) {sleeps}") == "1", 20)
        yield
        postgres.psql(f"select pg_terminate_backend(pid) {sleeps}")
        sleeping.exception(30)


def shown(database: Database, text: str) -> bytes:
    """All values of a statement's rows."""
    rows = database.query(text, max_rows=1000).rows
    return b"\n".join(value for row in rows for value in row if value is not None)


@pytest.mark.usefixtures("other_call")
def test_the_text_of_other_callers_is_withheld(open_database: Open, database: str) -> None:
    own = open_database()
    for _ in range(2):
        for text in SHOWN_WITHOUT_TEXT:
            values = shown(own, text)
            assert MARK not in values, text
            assert WITHHELD in values, text
    for text in REFUSED:
        for _ in range(2):
            with pytest.raises(StatementRefusedError, match="other callers"):
                own.query(text, max_rows=5)
    whole = f"{database}.pg_catalog.pg_stat_activity"
    own.query(f"select pid from {whole}", max_rows=5)
    for text in (
        f"select query from {whole}",
        "with pg_stat_activity as (select query from pg_catalog.pg_stat_activity)"
        " select * from pg_stat_activity",
    ):
        with pytest.raises(StatementRefusedError, match="other callers"):
            own.query(text, max_rows=5)
    for text in [*SHOWN, *OF_THE_CALLERS_OWN]:
        own.query(text, max_rows=5)
    assert MARK in shown(open_database(statistics="all"), "select query from pg_stat_activity")


@pytest.mark.usefixtures("other_call")
def test_explain_analyze_shows_no_text_of_other_callers(open_database: Open) -> None:
    own = open_database()
    rows = own.explain("ANALYZE, VERBOSE", "select query from pg_stat_activity").rows
    assert rows
    assert MARK not in b"".join(row[0] or b"" for row in rows)


def test_the_views_of_other_sessions_are_shown(open_database: Open, postgres: Server) -> None:
    """What is no call of pgmcp's is shown as PostgreSQL shows it."""
    text = "select query from pg_stat_activity where backend_type <> 'client backend'"
    assert WITHHELD not in shown(open_database(), text)
    mine = "select query from pg_stat_activity where pid = pg_backend_pid()"
    assert b"pg_backend_pid()" in shown(open_database(), mine)


@pytest.mark.parametrize("text", [SHOWN_WITHOUT_TEXT[0], *REFUSED[3:6], *SHOWN[:5]])
def test_none_shows_nothing_of_others(open_database: Open, text: str) -> None:
    with pytest.raises(StatementRefusedError, match="other callers") as refused:
        open_database(statistics="none").query(text, max_rows=5)
    assert "statistics: own" in refused.value.hint


def test_an_error_keeps_its_position_in_the_callers_text(open_database: Open) -> None:
    own = open_database()
    for text, position in (
        ("select nothing from pg_stat_activity", 8),
        ("with a as (select * from pg_stat_activity) select nothing from a", 51),
        ("select pid from pg_stat_activity where", 39),
    ):
        with pytest.raises(StatementError) as refused:
            own.query(text, max_rows=5)
        assert refused.value.server.position == position
        with pytest.raises(StatementError) as refused:
            own.explain("", text)
        assert refused.value.server.position == position


def test_what_the_prompt_tells_a_model_to_read_can_be_read(open_database: Open) -> None:
    told = str(
        diagnose_query_issue.PROMPT.render(
            diagnose_query_issue.Args("slow"), context_for(Call(1.0))
        )
    )
    views = [word.strip(".,)") for word in told.split() if word.startswith("pg_")]
    assert "pg_stat_activity" in views
    for view in views:
        open_database().query(f"select * from {view}", max_rows=5)


def test_statements_are_shown_without_the_text_of_callers(
    start_postgres: StartPostgres, programs: Mapping[str, Binaries]
) -> None:
    settings = {
        "shared_preload_libraries": "pg_stat_statements",
        "pg_stat_statements.track": "all",
    }
    for binaries in programs.values():
        server = start_postgres(binaries=binaries, settings=settings)
        server.psql(
            "create schema odd; create extension pg_stat_statements schema odd;"
            " create table t (a int); select a as of_the_application from t"
        )
        databases = open_databases([settings_for(server), settings_for(server, name="other")])
        other, own = (databases.database(name, "main", Call(60)) for name in ("other", "owner"))
        other.query("select count(*) as secret_name from t", max_rows=1)
        other.explain("ANALYZE", "select a as secret_name from t")
        for text in (
            "select query, calls from odd.pg_stat_statements",
            "select * from odd.pg_stat_statements order by calls",
        ):
            values = shown(own, text)
            assert b"secret_name" not in values
            assert WITHHELD in values
            assert b"of_the_application" in values
        own.query("select * from odd.pg_stat_statements_info", max_rows=1)
        with pytest.raises(StatementRefusedError, match="other callers"):
            own.query("select * from odd.pg_stat_statements(true)", max_rows=1)
        databases.pools.close(5)


@pytest.mark.parametrize(
    ("text", "begins", "ends"),
    [
        (
            "select query from pg_stat_activity",
            "WITH pg_stat_activity AS (",
            "\nselect query from ",
        ),
        ("select 1 from pg_catalog.pg_stat_activity", "WITH pg_stat_activity", "from            "),
        ("With a as (table pg_stat_activity) table a", "WITH pg_stat_activity", ",\n a as (table "),
        ("with recursive a as (table pg_stat_activity)", "WITH RECURSIVE pg_stat", ",\n a as ("),
        ('table "s t".pg_stat_statements', "WITH pg_stat_statements AS (", "\ntable       "),
        ("select 'pg_stat_activity'", "select", "select"),
        ("select a.pg_stat_activity", "select", "select"),
        ("delete from pg_stat_activity", "delete", "delete"),
        ("", "", ""),
    ],
)
def test_a_part_of_with_stands_in_front_of_a_read(text: str, begins: str, ends: str) -> None:
    withheld = withhold(text, VIEWS)
    assert withheld.text.startswith(begins)
    assert ends in withheld.text
    assert len(withheld.text) == len(text) + withheld.shift
    assert parts_in_front(withheld.text, VIEWS) == (withheld.shift > 0)


def test_a_long_text_is_not_looked_through() -> None:
    text = "select query from pg_stat_activity where " + "1 = 1 and " * 50_000 + "true"
    assert withhold(text, VIEWS) == (text, 0)


def test_only_the_very_parts_count_as_such() -> None:
    both = withhold("table pg_stat_activity, pg_stat_statements", VIEWS).text
    assert parts_in_front(both, VIEWS) == 2
    assert parts_in_front(both.replace("ELSE", "else", 1), VIEWS) == 0
    assert parts_in_front("WITH pg_stat_activity AS (SELECT 1) " + both, VIEWS) == 0
    assert parts_in_front(both, (ACTIVITY,)) == 1
