"""What a statement would call decides whether it runs, however it hides the call."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pgmcp.calls.call import Call
from pgmcp.config.values import Secret
from pgmcp.errors import DatabaseUnavailableError, StatementError, StatementRefusedError
from pgmcp.gate.databases import DatabaseSet
from pgmcp.gate.port import Database
from pgmcp.postgres.driver import Connection
from pgmcp.postgres.messages import Outcome
from tests.databases import open_databases, settings_for
from tools.postgres import Server

Open = Callable[..., Database]
UNDEFINED_FUNCTION = "42883"

SCHEMA = """
CREATE TABLE t (id int PRIMARY KEY, name text);
INSERT INTO t SELECT g, 'n' || g FROM generate_series(1, 10) g;
CREATE SEQUENCE s;
CREATE VIEW plain AS SELECT id, upper(name) AS name FROM t;
CREATE VIEW reads_a_file AS SELECT pg_read_file('postgresql.conf') AS text, id FROM t;
CREATE VIEW over_a_view AS SELECT id FROM (SELECT * FROM reads_a_file) v;
CREATE FUNCTION wrapper() RETURNS int LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
  AS 'BEGIN RETURN 1; END';
CREATE FUNCTION advances() RETURNS bigint LANGUAGE plpgsql STABLE PARALLEL SAFE
  AS $$ BEGIN RETURN nextval('s'); END $$;
CREATE FUNCTION copied(text) RETURNS text LANGUAGE internal IMMUTABLE PARALLEL SAFE STRICT
  AS 'pg_read_file_all';
CREATE FUNCTION add_and_advance(int, int) RETURNS int LANGUAGE plpgsql IMMUTABLE
  AS $$ BEGIN PERFORM nextval('s'); RETURN $1; END $$;
CREATE OPERATOR ### (LEFTARG = int, RIGHTARG = int, FUNCTION = add_and_advance);
CREATE FUNCTION near_and_advance(int, int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE
  AS $$ BEGIN PERFORM nextval('s'); RETURN true; END $$;
CREATE OPERATOR ~~~ (LEFTARG = int, RIGHTARG = int, FUNCTION = near_and_advance);
CREATE AGGREGATE agg_advance(int) (SFUNC = add_and_advance, STYPE = int, INITCOND = '0');
CREATE FUNCTION checks(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE
  AS $$ BEGIN PERFORM nextval('s'); RETURN true; END $$;
CREATE DOMAIN checked AS text CHECK (checks(VALUE));
CREATE TYPE holder AS (value checked);
CREATE TYPE plain_pair AS (a int, b text);
CREATE FUNCTION to_t(plain_pair) RETURNS text LANGUAGE plpgsql IMMUTABLE
  AS $$ BEGIN PERFORM nextval('s'); RETURN ''; END $$;
CREATE CAST (plain_pair AS text) WITH FUNCTION to_t(plain_pair);
CREATE SCHEMA shadow;
CREATE FUNCTION shadow.lower(text) RETURNS text LANGUAGE plpgsql IMMUTABLE
  AS $$ BEGIN PERFORM nextval('s'); RETURN $1; END $$;
"""

CALLS_WITH_EFFECTS = [
    "select nextval('s')",
    "select setval('s', 99)",
    "select pg_catalog.\"nextval\"('s')",
    "select U&\"\\006eextval\"('s')",
    "select set_config('work_mem', '1MB', false)",
    "select pg_advisory_lock(1)",
    "select pg_notify('x', 'y')",
    "select lo_create(0)",
    "select pg_logical_emit_message(false, 'a', 'b')",
    "select pg_export_snapshot()",
    "select txid_current()",
    "select pg_read_file('postgresql.conf')",
    "select pg_ls_dir('.')",
    "select * from pg_ls_dir('.')",
    "select pg_reload_conf()",
    "select pg_terminate_backend(1)",
    "select query_to_xml('select 1', true, true, '')",
    "select table_to_xml('reads_a_file', true, true, '')",
    "select ts_stat('select to_tsvector(name) from t')",
    "select pg_create_physical_replication_slot('x')",
    "select setseed(0.5)",
    "select * from pg_stat_get_activity(null)",
    "select pg_stat_get_backend_activity(1)",
    "select pg_input_is_valid('x', 'checked')",
    "select 1 from t where id = (select nextval('s'))",
    "select 1 from t order by nextval('s')",
    "select 1 from t limit (select nextval('s'))",
    "with a as (select nextval('s')) select 1",
    "values (nextval('s'))",
    "select count(*) filter (where nextval('s') > 0) from t",
    "select sum(id) over (order by nextval('s')) from t",
    "select case when true then 1 else nextval('s') end",
    "select * from t, lateral (select nextval('s')) n",
    "select * from rows from (nextval('s'), generate_series(1, 2)) r",
    "select text from reads_a_file",
    "select id from over_a_view",
    "table reads_a_file",
    "select wrapper()",
    "select advances()",
    "select copied('postgresql.conf')",
    "select 1 ### 2",
    "select 1 operator(public.###) 2",
    "select 1 where 1 ~~~ any (array[1])",
    "select agg_advance(id) from t",
    "select agg_advance(id) over () from t",
    "select 'x'::checked",
    "select cast(name as checked) from t",
    "select array['x']::text[]::checked[]",
    "select '{x}'::checked[]",
    "select (json_populate_record(null::holder, '{\"value\": 1}')).value",
    "select * from json_to_record('{\"a\": 1}') as r(a checked)",
    "select row(1, 'x')::plain_pair::text",
    "select shadow.lower('x')",
]

HARMLESS = [
    "select 1",
    "select * from plain",
    "select random(), clock_timestamp(), gen_random_uuid(), now()",
    "select count(*), max(name), string_agg(name, ',' order by id) from t",
    "select id, rank() over (order by name) from t",
    "select * from t where id in (1, 2) and (id, name) < (5, 'x') and name ~ 'n'",
    "select pg_size_pretty(pg_total_relation_size('t')), pg_sleep(0)",
    "select * from generate_series(1, 3) with ordinality",
    "select relname from pg_class c join pg_namespace n on n.oid = relnamespace",
    "select * from information_schema.columns where table_name = 't'",
    "select name, setting from pg_settings limit 1",
    "select * from pg_locks",
    "select * from pg_stat_user_tables",
    "select * from pg_sequences",
    "select jsonb_path_query('[1]', '$[*]'), to_tsvector('a') @@ 'a'",
    "select row_to_json(t), array_agg(id) from t group by t",
    "select ':funcid 1574' as \":funcid 1574\"",
    "select lpad(name, 20), repeat('=', id), replace(name, 'n', 'm'), name::char(30) from t",
    "select (1, 'x')::plain_pair",
]


@pytest.fixture
def open_database(postgres: Server, database: str) -> Iterator[Open]:
    """Makes databases as pgmcp sees them, each with settings of its own."""
    postgres.psql(SCHEMA, database)
    opened: list[DatabaseSet] = []

    def make(**changes: object) -> Database:
        databases = open_databases([settings_for(postgres, database, **changes)])
        opened.append(databases)
        return databases.database("owner", "main", Call(20))

    yield make
    for databases in opened:
        databases.pools.close(5)


def test_a_call_with_effects_is_refused_however_it_is_hidden(
    open_database: Open, postgres: Server, database: str
) -> None:
    judged = open_database()
    ran = []
    for text in CALLS_WITH_EFFECTS:
        try:
            judged.query(text, max_rows=5)
        except StatementRefusedError:
            continue
        except StatementError as error:
            if error.server.sqlstate != UNDEFINED_FUNCTION:  # before it was invented
                ran.append(f"{text}: {error.message}")
        else:
            ran.append(text)
    assert ran == []
    assert postgres.psql("select is_called from s", database).strip() == "f"


def test_explain_is_judged_like_the_statement_it_explains(open_database: Open) -> None:
    with pytest.raises(StatementRefusedError):
        open_database().explain("ANALYZE", "select nextval('s')")
    assert open_database().explain("ANALYZE", "select count(*) from t").rows


def test_what_has_no_effects_runs_the_first_time_and_again(open_database: Open) -> None:
    judged = open_database()
    for _ in range(2):
        for text in HARMLESS:
            judged.query(text, max_rows=5)


def test_extensions_run_as_far_as_they_promise_to_have_no_effects(
    open_database: Open, postgres: Server, database: str
) -> None:
    extensions = ("hstore", "pg_trgm", "citext", "tablefunc", "dblink")
    for name in extensions:
        postgres.psql(f"create extension {name}", database)
    judged = open_database()
    allowed = "select 'a=>1'::hstore -> 'a', similarity('ab', 'abc'), 'A'::citext = 'a'"
    assert judged.query(allowed, max_rows=1).rows[0][2] == b"t"
    for text in ("select * from crosstab('select 1,2,3') as r(a int)", "select dblink_connect('')"):
        with pytest.raises(StatementRefusedError):
            judged.query(text, max_rows=1)


def test_a_function_that_is_not_what_it_is_declared_as_does_not_run(
    open_database: Open, postgres: Server, database: str
) -> None:
    postgres.psql("create extension isn", database)
    judged = open_database()
    for text in (
        "select isn_weak(true)",
        "select 1 from t where public.isn_weak(id > 0)",
        "values (isn_weak(false))",
    ):
        with pytest.raises(StatementRefusedError, match="isn_weak"):
            judged.query(text, max_rows=1)
    assert judged.query("select isbn13('978-0-393-04002-9')", max_rows=1).rows


def test_a_function_the_operator_trusts_may_run(open_database: Open) -> None:
    trusting = open_database(trusted_functions=("public.wrapper",))
    assert trusting.query("select wrapper()", max_rows=1).rows == [(b"1",)]
    with pytest.raises(StatementRefusedError):
        trusting.query("select advances()", max_rows=1)


def test_a_verdict_ends_when_the_catalogue_changes(
    open_database: Open, postgres: Server, database: str
) -> None:
    judged = open_database()
    for _ in range(2):
        judged.query("select * from plain", max_rows=1)
    postgres.psql(
        "create or replace view plain as select id, nextval('s')::text as name from t", database
    )
    with pytest.raises(StatementRefusedError):
        judged.query("select * from plain", max_rows=1)


@pytest.mark.parametrize(
    "text", ["select nextval('s')", "select repeat(repeat('a', 30000), 30000)", "table t"]
)
def test_a_statement_is_examined_once_whether_it_is_refused_or_not(
    open_database: Open, postgres: Server, database: str, text: str
) -> None:
    """What is examined leaves a tree in the server's log, for a role that cannot keep it out."""
    name = f"logs_{database}"
    postgres.psql(f"CREATE ROLE {name} LOGIN PASSWORD 'x'; GRANT SELECT ON t TO {name}", database)
    judged = open_database(user=name, passwords=(Secret("x"),))

    def is_examined() -> bool:
        before = postgres.log.read_bytes().count(b"rewritten parse tree")
        with contextlib.suppress(StatementRefusedError):
            judged.query(text, max_rows=1)
        return postgres.log.read_bytes().count(b"rewritten parse tree") > before

    try:
        assert [is_examined() for _ in range(3)] == [True, False, False]
        postgres.psql("CREATE TABLE changes_the_state ()", database)
        assert [is_examined() for _ in range(2)] == [True, False]
    finally:
        postgres.psql(f"DROP OWNED BY {name}; DROP ROLE {name}", database)


def test_a_refusal_ends_when_its_reason_does(
    open_database: Open, postgres: Server, database: str
) -> None:
    judged = open_database()
    for _ in range(2):
        with pytest.raises(StatementRefusedError) as refused:
            judged.query("select id from reads_a_file", max_rows=1)
        assert refused.value.gate == "judge"
    postgres.psql(
        "CREATE OR REPLACE VIEW reads_a_file AS SELECT ''::text AS text, 1 AS id", database
    )
    assert judged.query("select id from reads_a_file", max_rows=1).rows == [(b"1",)]


def test_constants_that_would_fill_the_servers_memory_are_not_planned(open_database: Open) -> None:
    judged = open_database()
    for text in (
        "select length(repeat(repeat('a', 30000), 30000))",
        "select " + ", ".join(["repeat('x', 300000000)"] * 3),
        "select replace(repeat('x', 30000), 'x', repeat('y', 30000))",
        "select " + ", ".join("lpad('x', a) || 'z'" for _ in range(9)) + " from (select 9 a) s",
    ):
        with pytest.raises(StatementRefusedError):
            judged.query(text, max_rows=1)


def test_a_role_that_could_write_is_not_served_where_the_operator_forbids_it(
    open_database: Open, postgres: Server, database: str
) -> None:
    with pytest.raises(DatabaseUnavailableError, match="superuser"):
        open_database(require_safe_role=True).query("select 1", max_rows=1)
    postgres.psql(
        f"create role reader_of_{database} login password 'read only';"
        f" grant select on t to reader_of_{database};"
        " revoke create on schema public from public",
        database,
    )
    reader = open_database(
        require_safe_role=True,
        user=f"reader_of_{database}",
        passwords=(Secret("read only"),),
    )
    try:
        assert reader.query("select count(*) from t", max_rows=1).rows == [(b"10",)]
    finally:
        postgres.psql(f"drop owned by reader_of_{database}", database)


def test_what_a_database_has_at_all_is_asked_once_in_a_state(
    open_database: Open, postgres: Server, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = open_database()
    judged.query("select 0", max_rows=1)
    asked: list[int] = []
    run = Connection.run

    def counted(self: Connection, *args: Any, **options: Any) -> Outcome:
        asked.append(1)
        return run(self, *args, **options)

    monkeypatch.setattr(Connection, "run", counted)

    def writes(text: str) -> int:
        asked.clear()
        judged.query(text, max_rows=1)
        return len(asked)

    usual = writes("select 1")
    postgres.psql("CREATE TABLE changes_the_state ()", database)
    assert [writes(f"select {number}") for number in (2, 3, 3)] == [usual + 1, usual, 1]
