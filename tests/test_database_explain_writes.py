"""EXPLAIN without ANALYZE shows the plan of a write, and neither it nor a function of it runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pgmcp.calls.call import Call
from pgmcp.config.values import Secret
from pgmcp.errors import StatementError, StatementRefusedError
from pgmcp.gate.databases import DatabaseSet
from pgmcp.gate.port import Database
from tests.databases import open_databases, settings_for
from tools.postgres import Server

# Whatever calls `ran` fails with this SQLSTATE.
RAN = "P0001"
SCHEMA = """
CREATE SEQUENCE s;
CREATE FUNCTION ran(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN 1; END $$;
CREATE FUNCTION ran_stable(int) RETURNS int LANGUAGE plpgsql STABLE
  AS $$ BEGIN RAISE 'it ran'; END $$;
CREATE FUNCTION ran_trigger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'it ran'; END $$;
CREATE FUNCTION in_sql() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT public.ran(1)';
CREATE FUNCTION advances() RETURNS bigint LANGUAGE sql IMMUTABLE
  AS $$ SELECT pg_catalog.nextval('public.s'::pg_catalog.regclass) $$;
CREATE FUNCTION same(int, int) RETURNS boolean LANGUAGE plpgsql VOLATILE
  AS $$ BEGIN RAISE 'it ran'; END $$;
CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = same, RESTRICT = eqsel);
CREATE DOMAIN ready AS int DEFAULT ran(1);

CREATE TABLE t (
  id serial PRIMARY KEY, a int, b text DEFAULT lower('X'), at timestamptz DEFAULT now());
INSERT INTO t (a, b) SELECT g % 3, 'x' FROM generate_series(1, 300) g;
ANALYZE t;
CREATE TABLE copies (
  id int GENERATED ALWAYS AS IDENTITY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED);
CREATE VIEW v AS SELECT id, a FROM t WHERE a > 0 WITH CHECK OPTION;
CREATE TABLE parts (a int, b int) PARTITION BY LIST (a);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES IN (2);
CREATE TABLE guarded (a int, owner text);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON guarded USING (owner = current_user) WITH CHECK (a > 0);
CREATE TABLE triggered (a int);
CREATE TRIGGER before BEFORE INSERT OR UPDATE OR DELETE ON triggered
  FOR EACH ROW EXECUTE FUNCTION ran_trigger();
CREATE TRIGGER each_statement BEFORE INSERT ON triggered EXECUTE FUNCTION ran_trigger();
CREATE TABLE also (a int);
CREATE RULE copy AS ON INSERT TO also DO ALSO INSERT INTO copies (a) VALUES (new.a);
CREATE TABLE instead (a int);
CREATE RULE other AS ON DELETE TO instead DO INSTEAD UPDATE t SET a = 0 WHERE id = old.a;

CREATE TABLE bad_default (a int DEFAULT ran(1), b int);
CREATE TABLE bad_domain (a ready, b int);
CREATE TABLE bad_generated (
  a int, b int, c int GENERATED ALWAYS AS (b + ran(1)) STORED);
CREATE TABLE bad_rule (a int);
CREATE RULE copy AS ON INSERT TO bad_rule DO ALSO UPDATE t SET a = ran(1);
CREATE TABLE bad_notify (a int);
CREATE RULE tell AS ON INSERT TO bad_notify DO ALSO NOTIFY x;
CREATE TABLE bad_nothing (a int);
CREATE RULE none AS ON INSERT TO bad_nothing DO INSTEAD NOTHING;
CREATE TABLE bad_policy (a int);
ALTER TABLE bad_policy ENABLE ROW LEVEL SECURITY;
CREATE POLICY bad ON bad_policy USING (a = ran_stable(1));
CREATE VIEW bad_view AS SELECT a FROM t WHERE id = ran_stable(1);
CREATE OR REPLACE FUNCTION ran(int) RETURNS int LANGUAGE plpgsql IMMUTABLE
  AS $$ BEGIN RAISE 'it ran'; END $$;
"""
ALLOWED = [
    "insert into t (a) values (1)",
    "insert into t (a, b) values (1, 'x'), (2, upper('y')) returning id, a + 1",
    "insert into t default values",
    "insert into t (id, a) values (nextval('s'), 1)",
    "insert into t (a) select a from t where a = 1 and b = lower('X')",
    "insert into t (id, a) values (1, 2) on conflict (id) do update set a = excluded.a + t.a",
    "insert into copies (a) values (1) on conflict do nothing",
    "update copies set a = a + 1",
    "update t set a = o.a from copies o where o.id = t.id",
    "update v set a = 2 where id = 1",
    "insert into v (id, a) values (1, 2)",
    "update parts set b = 1 where a = 1",
    "insert into parts values (1, 2)",
    "delete from t where a in (select a from copies) returning *",
    "delete from guarded where a = 1",
    "insert into guarded values (1, current_user)",
    "insert into triggered values (1)",
    "insert into also values (1)",
    "delete from instead where a = 1",
    "delete from t using copies where copies.id = t.id",
    "with w as (insert into t (a) values (2) returning a) select * from w",
    "with w as (delete from t returning a) insert into copies (a) select a from w",
    "with w as (select 1 as update) select * from w",
    "/* a */ -- b\n INSERT INTO t (a) VALUES (1);",
    "merge into t using copies c on c.id = t.id when matched then update set a = c.a"
    " when not matched then insert (a) values (c.a)",
    "merge into t using copies c on c.id = t.id when matched then delete"
    " when not matched then do nothing",
]
CALLING = [
    "insert into t (a) values (ran(1))",
    "insert into t (a) values (1) returning ran(1)",
    "insert into t (a) values (in_sql())",
    "insert into t (id) values (advances())",
    "insert into t (a) select ran_stable(1)",
    "insert into t (id, a) values (1, 2) on conflict (id) do update set a = ran(1)",
    "insert into t (id, a) values (1, 2) on conflict (id) do update set a = 1"
    " where ran_stable(2) = 1",
    "update t set a = ran(1)",
    "update t set a = 1 where id = ran_stable(1)",
    "delete from t where a === 1",
    "delete from parts where a = ran_stable(1)",
    "insert into bad_default (b) values (1)",
    "insert into bad_default values (default, 1)",
    "insert into bad_domain (b) values (1)",
    "update bad_generated set a = 1",
    "insert into bad_generated (a) values (1)",
    "insert into bad_rule values (1)",
    "update bad_view set a = 1",
    "delete from bad_view",
    "with w as (update t set a = ran(1) returning a) select * from w",
    "with w as (insert into t (a) values (1) returning ran(1) as r) delete from t using w",
    "insert into t (b) values (lo_import('/etc/passwd')::text)",
    "insert into t (a) values (pg_advisory_lock(1)::text::int)",
    "insert into t (b) select pg_read_file('postgresql.conf')",
    "insert into t (b) select rolpassword from pg_authid",
    "insert into t (b) select repeat(repeat('x', 100000000), 100)",
]
NOT_PLANNED = [
    "insert into t (a) values (1); delete from t",
    "insert into t (a) values (1); commit",
    "with w as (insert into t (a) values (1) returning a) select * into u from w",
    "insert into bad_notify values (1)",
    "create table u as with w as (select 1) select 1",
    "declare c cursor for select 1",
    "execute p",
    "refresh materialized view m",
    "copy t to stdout",
    "truncate t",
    "analyze insert into t (a) values (1)",
    "analyze delete from t",
    "(analyze) delete from t",
    "verbose delete from t",
    "explain delete from t",
    "explain analyze delete from t",
    "insert",
    "",
]


@pytest.fixture
def judged(postgres: Server, database: str) -> Iterator[Database]:
    """The database as its owner sees it."""
    postgres.psql(SCHEMA, database)
    databases: DatabaseSet = open_databases([settings_for(postgres, database)])
    yield databases.database("owner", "main", Call(60))
    databases.pools.close(5)


def _state(postgres: Server, database: str) -> str:
    return postgres.psql(
        "select count(*), sum(a), max(id) from t;"
        " select last_value, is_called from t_id_seq; select last_value, is_called from s;"
        " select count(*) from copies; select count(*) from pg_class where oid >= 16384",
        database,
    )


def test_a_write_is_planned_and_not_run(judged: Database, postgres: Server, database: str) -> None:
    before = _state(postgres, database)
    for text in ALLOWED:
        for _ in range(2):
            assert judged.explain("COSTS OFF", text).rows, text
    assert _state(postgres, database) == before


def test_what_the_planner_could_call_is_judged(judged: Database) -> None:
    passed = []
    for text in CALLING:
        for _ in range(2):
            try:
                judged.explain("VERBOSE", text)
            except StatementRefusedError as refused:
                assert refused.gate == "judge", text
            except StatementError as error:
                passed.append(f"{text}: {error.message}")
            else:
                passed.append(text)
    assert passed == []


def test_nothing_but_a_plan_of_a_single_statement_is_made(
    judged: Database, postgres: Server, database: str
) -> None:
    before = _state(postgres, database)
    for text in NOT_PLANNED:
        with pytest.raises((StatementRefusedError, StatementError)):
            print(text, judged.explain("COSTS OFF", text))
    assert _state(postgres, database) == before


@pytest.mark.parametrize(
    "options", ["ANALYZE", "analyze false", "COSTS OFF, ANALYSE", "analyze false, ANALYZE"]
)
def test_with_analyze_among_the_options_a_write_is_refused(judged: Database, options: str) -> None:
    for text in ("insert into t (a) values (1)", "with w as (delete from t returning 1) table w"):
        with pytest.raises(StatementRefusedError, match="single SELECT") as refused:
            judged.explain(options, text)
        assert "without ANALYZE" in refused.value.hint


def test_the_verdict_on_a_plan_does_not_let_the_write_run(judged: Database) -> None:
    text = "with w as (insert into t (a) values (1) returning a) select * from w"
    assert judged.explain("", text).rows
    with pytest.raises(StatementRefusedError):
        judged.query(text, max_rows=5)
    with pytest.raises(StatementRefusedError):
        judged.explain("ANALYZE", text)
    text = "with update as (select nextval('s')) select * from update"
    assert judged.explain("", text).rows
    with pytest.raises(StatementRefusedError) as refused:
        judged.query(text, max_rows=5)
    assert refused.value.gate == "judge"


def test_an_error_is_postgresqls_own_at_the_place_in_the_callers_text(judged: Database) -> None:
    with pytest.raises(StatementError) as failed:
        judged.explain("COSTS OFF", "insert into t (nope) values (1)")
    assert (failed.value.server.sqlstate, failed.value.server.position) == ("42703", 16)
    with pytest.raises(StatementError) as failed:
        judged.explain("COSTS OFF", "delete form t")
    assert (failed.value.server.sqlstate, failed.value.server.position) == ("42601", 8)


def test_a_role_that_may_only_read_gets_postgresqls_refusal(
    judged: Database, postgres: Server, database: str
) -> None:
    reader = f"reader_{database}"
    postgres.psql(
        f"CREATE ROLE {reader} LOGIN PASSWORD 'x';"
        f" GRANT SELECT ON t TO {reader}; GRANT SELECT, DELETE ON bad_policy TO {reader}",
        database,
    )
    databases = open_databases(
        [settings_for(postgres, database, user=reader, passwords=(Secret("x"),))]
    )
    try:
        reads = databases.database("reader", "main", Call(20))
        with pytest.raises(StatementError) as failed:
            reads.explain("", "delete from t")
        assert failed.value.server.sqlstate == "42501"
        with pytest.raises(StatementRefusedError, match="the policy bad"):
            reads.explain("", "delete from bad_policy")
    finally:
        databases.pools.close(5)
        postgres.psql(f"DROP OWNED BY {reader}; DROP ROLE {reader}", database)
