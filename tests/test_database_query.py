"""What a caller's SELECT, SHOW and EXPLAIN give, on a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pgmcp.calls.call import Call
from pgmcp.calls.trail import Trail
from pgmcp.errors import (
    CallEndedError,
    StatementError,
    StatementRefusedError,
    ToolError,
)
from pgmcp.gate.database import ReadOnlyDatabase
from pgmcp.gate.databases import DatabaseSet
from tests.databases import eventually, open_databases, settings_for
from tools.postgres import Server

Open = Callable[..., ReadOnlyDatabase]


@pytest.fixture
def open_database(postgres: Server, database: str) -> Iterator[Open]:
    """The test's database for one call; keywords change its settings."""
    made: list[DatabaseSet] = []

    def make(
        seconds: float = 30.0, trail: Trail | None = None, **changes: object
    ) -> ReadOnlyDatabase:
        if changes or not made:
            made.append(open_databases([settings_for(postgres, database, **changes)]))
        return made[-1].database("owner", "main", Call(seconds), trail)

    yield make
    for databases in made:
        databases.pools.close(2.0)


def test_values_are_the_bytes_that_postgresql_writes(open_database: Open) -> None:
    rows = open_database().query(
        r"select 1.50::numeric, '24:00:00'::time, '[0:1]={1,2}'::int[], '-1 day -02:00'::interval,"
        r" E'\\x00ff'::bytea, row(null, 'a'), null::text, '', E'a\tb\nc', '1 sec'::interval",
        max_rows=10,
    )
    assert rows.rows == [
        (
            *(b"1.50", b"24:00:00", b"[0:1]={1,2}", b"-1 days -02:00:00"),
            *(b"\\x00ff", b"(,a)", None, b"", b"a\tb\nc", b"00:00:01"),
        )
    ]


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ("select 1 as a, 2 as a", ["a", "a"], [(b"1", b"2")]),
        ("select", [], [()]),
        ("select 1 where false", ["?column?"], []),
        ("values (1), (2);", ["column1"], [(b"1",), (b"2",)]),
        ("(select 3)", ["?column?"], [(b"3",)]),
        ("with w as (select 4 as n) table w", ["n"], [(b"4",)]),
        ("select 1 as limit -- limit 5", ["limit"], [(b"1",)]),
        ("/* one /* nested */ comment */ select 5;;  -- end", ["?column?"], [(b"5",)]),
        ("select $$;$$ || 'é€😀'", ["?column?"], [(";é€😀".encode(),)]),
    ],
)
def test_one_select_in_any_dress_runs(
    open_database: Open, text: str, columns: list[str], rows: list[tuple[bytes, ...]]
) -> None:
    answer = open_database().query(text, max_rows=10)
    assert [column.name for column in answer.columns] == columns
    assert answer.rows == rows
    assert not answer.more


def test_the_row_maximum_and_the_offset_page_through_a_result(open_database: Open) -> None:
    text = "select g from generate_series(1, 5) g"
    first = open_database().query(text, max_rows=3)
    assert ([row[0] for row in first.rows], first.more) == ([b"1", b"2", b"3"], True)
    rest = open_database().query(text, max_rows=3, offset=3)
    assert ([row[0] for row in rest.rows], rest.more) == ([b"4", b"5"], False)
    exact = open_database().query(text, max_rows=5)
    assert (len(exact.rows), exact.more) == (5, False)
    assert open_database().query(text, max_rows=5, offset=50).rows == []


def test_parameters_bind_where_the_caller_put_them(open_database: Open) -> None:
    rows = open_database().query(
        "select $1::int + 1, $2::text, $3::text is null", ("41", "o'x;--", None), max_rows=1
    )
    assert rows.rows == [(b"42", b"o'x;--", b"t")]


def test_a_result_stops_at_its_limit_of_bytes_and_leaves_the_next_call_well(
    open_database: Open,
) -> None:
    database = open_database(max_result_bytes=50_000)
    rows = database.query("select repeat('x', 993) from generate_series(1, 9000)", max_rows=9000)
    assert rows.cut_bytes == 50_000
    assert 40 <= len(rows.rows) <= 50
    huge = database.query("select 1, repeat('x', 50000000)", max_rows=5)
    assert (huge.rows, huge.cut_bytes) == ([], 50_000)
    assert open_database().query("select 1", max_rows=1).rows == [(b"1",)]


@pytest.mark.parametrize(
    ("text", "sqlstate", "position"),
    [
        ("selec 1", "42601", 1),
        ("select 1 +", "42601", 11),
        ("select 'é', nope", "42703", 13),
        ("select * from nosuch", "42P01", 15),
        ("select 'unended", "42601", 8),
        ("select 1 /* unended", "42601", 10),
        ("select 1/0", "22012", None),
        ("select 1 union select 1, 2", "42601", 23),
    ],
)
def test_postgresqls_own_errors_point_into_the_callers_text(
    open_database: Open, text: str, sqlstate: str, position: int | None
) -> None:
    with pytest.raises(StatementError) as caught:
        open_database().query(text, max_rows=1)
    assert (caught.value.server.sqlstate, caught.value.server.position) == (sqlstate, position)


@pytest.mark.parametrize("text", ["select 1\0", "select '\ud800'", "x" * 1_000_001])
def test_text_that_the_protocol_cannot_carry_is_refused_before_it_is_sent(
    open_database: Open, text: str
) -> None:
    with pytest.raises(ToolError):
        open_database().query(text, max_rows=1)
    with pytest.raises(ToolError):
        open_database().query("select $1::text", (text,), max_rows=1)
    assert open_database().query("select 1", max_rows=1).rows == [(b"1",)]


def test_show_answers_and_takes_nothing_else(open_database: Open) -> None:
    assert open_database().show("/* a */ SHOW transaction_read_only;").rows == [(b"on",)]
    for text in ("select 1", "show work_mem; commit", "set x.y = 'z'", ""):
        with pytest.raises(StatementRefusedError):
            open_database().show(text)


def test_explain_plans_what_the_gate_takes_and_nothing_else(open_database: Open) -> None:
    plan = open_database().explain("ANALYZE, FORMAT JSON", "select $1::int;", ("7",))
    assert b"Actual Rows" in (plan.rows[0][0] or b"")
    for text in ("create table t as select 1", "insert into t values (1)", "select 1; commit"):
        with pytest.raises(StatementRefusedError):
            open_database().explain("ANALYZE", text)
    with pytest.raises(StatementError, match="42601"):
        open_database().explain("ANALYZE", "(analyze) delete from pg_class")
    with pytest.raises(StatementError) as caught:
        open_database().explain("FORMAT TEXT", "select nope")
    assert caught.value.server.position == 8


def test_a_plan_is_that_of_the_bare_statement_and_not_of_a_few_rows(open_database: Open) -> None:
    setting = open_database().query("select current_setting('cursor_tuple_fraction')", max_rows=1)
    assert setting.rows == [(b"1",)]


def test_the_timeout_of_a_call_is_postgresqls_statement_timeout(open_database: Open) -> None:
    with pytest.raises(CallEndedError, match="ran out of time while"):
        open_database(0.3).query("select pg_sleep(60)", max_rows=1)
    limited = open_database(statement_timeout_seconds=0.2)
    with pytest.raises(StatementError) as caught:
        limited.query("select pg_sleep(60)", max_rows=1)
    assert caught.value.server.sqlstate == "57014"


def test_the_catalogue_sees_what_was_made_a_moment_ago(
    postgres: Server, database: str, open_database: Open
) -> None:
    assert open_database().catalogue().relations == ()
    postgres.psql("create table films (id int primary key)", database)
    assert [table.name for table in open_database().catalogue().relations] == ["films"]


def test_nothing_of_a_session_survives_the_call(open_database: Open, postgres: Server) -> None:
    trusted = ("pg_catalog.set_config", "pg_catalog.pg_advisory_lock")
    open_database(pool_max_conns=1, trusted_functions=trusted).query(
        "select set_config('work_mem', '77MB', false), set_config('my.mark', 'x', false),"
        " pg_advisory_lock(42)",
        max_rows=1,
    )
    left = open_database().query(
        "select current_setting('work_mem'), current_setting('my.mark', true),"
        " (select count(*) from pg_locks where locktype = 'advisory'),"
        " (select count(*) from pg_cursors where name not in ('', 'pgmcp', 'pgmcp_bound')),"
        " (select count(*) from pg_prepared_statements where name !~ '^(pgmcp_|$)')",
        max_rows=1,
    )
    assert left.rows[0][0] != b"77MB"
    assert (left.rows[0][1] or b"", *left.rows[0][2:]) == (b"", b"0", b"0", b"0")


LOCKS = "select count(*) from pg_locks where locktype = 'advisory'"
SET_UP = """
create table plain (id int);
create function lock_it(id int) returns int language plpgsql as
  'begin perform pg_advisory_lock($1); return $1; end';
create view locking as select lock_it(1) as id;
create domain locked as int;
create function is_locked(locked) returns boolean language plpgsql immutable as
  'begin perform pg_advisory_lock(3); return true; end';
create operator @@@ (rightarg = locked, function = is_locked);
create type span as range (subtype = int);
create type told as (id int);
create function tell(told) returns json language plpgsql as
  'begin perform pg_advisory_lock(4); return null; end';
create cast (told as json) with function tell;
create table typed (span span, told told);
insert into typed values ('[1,2]', '(1)');
create type mood as enum ('sad', 'happy');
create domain short as text check (length(value) < 9);
create type pair as (mood mood, short short);
create table users_types (mood mood, short short, moods mood[], pair pair, pairs pair[]);
insert into users_types values ('sad', 'x', '{sad}', '(happy,y)', array[row('sad', 'z')::pair])
"""


@pytest.mark.parametrize(
    "text",
    [
        "select lock_it(2)",
        "table locking",
        "select @@@ 1::locked from (values (1)) v",
        "select to_json(told) from typed",
    ],
)
def test_a_session_that_ran_what_a_user_made_is_reset(
    open_database: Open, postgres: Server, database: str, text: str
) -> None:
    postgres.psql(SET_UP, database)
    trusted = ("public.lock_it", "public.is_locked", "public.tell")
    for _ in range(2):  # the first time and, judged already, again
        open_database(pool_max_conns=1, trusted_functions=trusted).query(text, max_rows=1)
        assert open_database().query(LOCKS, max_rows=1).rows == [(b"0",)]


def test_a_session_that_ran_only_what_leaves_nothing_is_not_reset(
    open_database: Open, postgres: Server, database: str
) -> None:
    postgres.psql(SET_UP, database)
    kept = "select count(*) from pg_prepared_statements where name like 'pgmcp%'"
    texts = ("select 1", "select count(*) from plain", "select now()", kept)
    for text in (*texts, *texts):
        counted = open_database(pool_max_conns=1).query(text, max_rows=1)
    with pytest.raises(StatementError):
        open_database().query("select 1 / count(*) from plain", max_rows=1)
    assert open_database().query(kept, max_rows=1).rows[0] >= counted.rows[0] > (b"1",)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("table users_types", b"1"),
        ("select to_json(u), mood < 'happy', short::int2 from users_types u where false", b"1"),
        ("select users_types, pairs[1].mood from users_types", b"1"),
        ("select span from typed", b"0"),
        ("select told from typed", b"0"),  # to_json would call a user's function
    ],
)
def test_types_of_users_are_no_reason_to_reset_where_only_postgresql_reads_them(
    open_database: Open, postgres: Server, database: str, text: str, kept: bytes
) -> None:
    """A reset drops the prepared ROLLBACK, with which each group ends that needs no reset."""
    postgres.psql(SET_UP, database)
    open_database(pool_max_conns=1, trusted_functions=("public.tell",))
    counted = "select count(*) from pg_prepared_statements where name = 'pgmcp_rollback'"
    open_database().query("select 1", max_rows=1)
    for _ in range(2):  # the first time and, judged already, again
        open_database().query(text, max_rows=1)
        assert open_database().query(counted, max_rows=1).rows == [(kept,)]


def test_no_transaction_stays_open_between_calls(
    open_database: Open, postgres: Server, database: str
) -> None:
    open_database().query("select 1", max_rows=1)

    def states() -> str:
        return postgres.psql(
            "select string_agg(state, ',') from pg_stat_activity"
            f" where application_name = 'pgmcp' and datname = '{database}'"
        )

    assert eventually(lambda: states() == "idle")


@pytest.mark.parametrize(
    ("run", "statement", "rows"),
    [
        (lambda d: d.query("select generate_series(1, 5)", max_rows=3), "select generate_", 3),
        (lambda d: d.show("show port"), "show port", 1),
        (lambda d: d.explain("costs off", "select 1"), "select 1", 1),
    ],
    ids=["query", "show", "explain"],
)
def test_the_trail_is_told_of_a_callers_statement_and_of_the_rows_that_went_back(
    open_database: Open, run: Callable[[ReadOnlyDatabase], object], statement: str, rows: int
) -> None:
    trail = Trail()
    run(open_database(trail=trail))
    assert [text[: len(statement)] for text in trail.statements] == [statement]
    assert trail.rows == rows


@pytest.mark.parametrize(
    "run",
    [
        lambda d: d.query("delete from pg_class", max_rows=3),
        lambda d: d.show("reset all"),
        lambda d: d.explain("", "drop table t"),
    ],
    ids=["query", "show", "explain"],
)
def test_the_trail_is_told_of_a_statement_that_is_refused(
    open_database: Open, run: Callable[[ReadOnlyDatabase], object]
) -> None:
    trail = Trail()
    with pytest.raises(StatementRefusedError):
        run(open_database(trail=trail))
    assert (len(trail.statements), trail.rows) == (1, None)


def test_the_trail_is_not_told_of_look_ups_in_the_catalogue(open_database: Open) -> None:
    trail = Trail()
    database = open_database(trail=trail)
    database.fetch("select 1")
    database.catalogue()
    assert (trail.statements, trail.rows) == ([], None)
