"""What no statement names and reading still calls; when a verdict ends; what grows in planning."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pgmcp.calls.call import Call
from pgmcp.errors import StatementRefusedError
from pgmcp.gate.databases import DatabaseSet
from pgmcp.gate.port import Database
from pgmcp.judging.growth import objection
from tests.databases import open_databases, settings_for
from tests.selftest_objects import OBJECTS
from tools.postgres import Server

Open = Callable[..., Database]


@pytest.fixture
def open_database(postgres: Server, database: str) -> Iterator[Open]:
    """Makes databases as pgmcp sees them, on the objects that hide calls."""
    postgres.psql(OBJECTS, database)
    opened: list[DatabaseSet] = []

    def make(**changes: object) -> Database:
        databases = open_databases([settings_for(postgres, database, **changes)])
        opened.append(databases)
        return databases.database("owner", "main", Call(30))

    yield make
    for databases in opened:
        databases.pools.close(5)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("select * from self_test_odd_index where id = 5", "self_test_compare"),
        ("select * from self_test_hashed where id = 5", "self_test_hash"),
        ("select * from self_test_program", "runs a program"),
        ("select * from self_test_parent", "self_test_child runs a program"),
        ("select array_in('{x}', 'self_test_domain'::regtype::oid, -1)", "array_in"),
        ("select * from self_test_index where name = 'a'", "self_test_folded"),
        ("select count(*) from self_test_index", "self_test_folded"),
        ("select 1 from self_test_table where name in (table self_test_index)", "self_test_folded"),
        ("select * from self_test_inlined_index", "self_test_inlined"),
        ("select name from self_test_predicate where name > 'n'", "self_test_plain"),
        ("select count(*) from self_test_statistics", "self_test_folded"),
        ("select * from self_test_key", "self_test_folded"),
        ("select * from self_test_key_part", "self_test_folded"),
        ("select * from self_test_constraint", "self_test_folded"),
        ("select * from self_test_heir", "self_test_folded"),
        ("select id from self_test_table where not (id === 5)", "self_test_always"),
        ("select satisfies_hash_partition('self_test_hashed'::regclass, 1, 0, 5)", "satisfies"),
    ],
)
def test_what_a_table_or_a_type_calls_by_itself_is_judged(
    open_database: Open, text: str, reason: str
) -> None:
    with pytest.raises(StatementRefusedError, match=reason):
        open_database().query(text, max_rows=1)


def test_an_operator_may_vouch_for_an_index_of_his_own(open_database: Open) -> None:
    trusting = open_database(trusted_functions=("public.self_test_compare",))
    assert trusting.query("select * from self_test_odd_index where id = 5", max_rows=1).rows == []


def test_an_expression_of_a_table_that_only_takes_its_values_is_no_objection(
    open_database: Open,
) -> None:
    assert open_database().query("select * from self_test_of_values", max_rows=1).rows == []


def test_an_operator_may_vouch_for_what_a_table_calls(open_database: Open) -> None:
    trusting = open_database(trusted_functions=("public.self_test_folded",))
    assert trusting.query("select * from self_test_heir", max_rows=1).rows == []
    in_sql = "select * from self_test_inlined_index"
    with pytest.raises(StatementRefusedError, match=r"self_test_folded.*self_test_inlined"):
        open_database().query(in_sql, max_rows=1)
    assert trusting.query(in_sql, max_rows=1).rows == []


def test_an_extension_vouches_for_nothing_that_its_owner_adds(
    open_database: Open, postgres: Server, database: str
) -> None:
    judged = open_database()
    owner = f"owner_of_{database}"
    postgres.psql(
        f"CREATE ROLE {owner}; GRANT CREATE ON DATABASE {database} TO {owner};"
        f" GRANT CREATE ON SCHEMA public TO {owner}; CREATE EXTENSION citext;"
        f" SET ROLE {owner}; CREATE EXTENSION hstore;"
        " CREATE FUNCTION added() RETURNS int LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE"
        " AS 'BEGIN RETURN 1; END'; ALTER EXTENSION hstore ADD FUNCTION added()",
        database,
    )
    try:
        for text in ("select added()", "select 'a=>1'::hstore -> 'a'"):
            with pytest.raises(StatementRefusedError, match="hstore, does not belong to a superus"):
                judged.query(text, max_rows=1)
        assert judged.query("select 'A'::citext = 'a'", max_rows=1).rows == [(b"t",)]
    finally:
        postgres.psql(f"DROP OWNED BY {owner} CASCADE; DROP ROLE {owner}", database)


def test_types_with_parts_are_read_where_their_parts_are_harmless(
    open_database: Open, postgres: Server, database: str
) -> None:
    judged = open_database()
    postgres.psql("CREATE TYPE plain_pair AS (a int, b text)", database)
    rows = judged.query("select row(1, 'x')::plain_pair, array['(2,y)']::plain_pair[]", max_rows=1)
    assert rows.rows == [(b"(1,x)", b'{"(2,y)"}')]


def test_a_verdict_ends_when_a_reloaded_configuration_changes_the_search_path(
    open_database: Open, postgres: Server
) -> None:
    """No transaction commits, so that the snapshot alone would not tell."""
    judged = open_database()
    judged.query("select * from public.self_test_table", max_rows=1)  # what warms caches
    text = "select lower('X')"
    for _ in range(2):
        assert judged.query(text, max_rows=1).rows == [(b"x",)]
    postgres.psql("ALTER SYSTEM SET search_path = self_test_shadow, pg_catalog, public")
    try:
        _reload(postgres, "self_test_shadow, pg_catalog, public", judged)
        with pytest.raises(StatementRefusedError, match="user-defined"):
            judged.query(text, max_rows=1)
    finally:
        postgres.psql("ALTER SYSTEM RESET search_path")
        _reload(postgres, '"$user", public', judged)


def _reload(postgres: Server, path: str, judged: Database) -> None:
    postgres.psql("SELECT pg_reload_conf()")
    for _ in range(500):
        if judged.show("show search_path").rows == [(path.encode(),)]:
            return
        judged.query("select pg_sleep(0.02)", max_rows=1)
    raise AssertionError("the configuration was not reloaded")


def test_a_verdict_does_not_pass_to_sessions_with_another_search_path(
    open_database: Open, postgres: Server, database: str
) -> None:
    open_database()  # makes the objects
    databases = open_databases([settings_for(postgres, database)])
    text = "select lower('X')"
    old = databases.database("old", "main", Call(30))
    old.query(text, max_rows=1)
    postgres.psql(
        f"ALTER ROLE postgres IN DATABASE {database}"
        " SET search_path = self_test_shadow, pg_catalog",
        database,
    )
    try:
        assert old.query(text, max_rows=1).rows == [(b"x",)]  # judged anew in the old session
        with pytest.raises(StatementRefusedError, match="user-defined"):
            databases.database("new", "main", Call(30)).query(text, max_rows=1)
    finally:
        databases.pools.close(5)


def test_a_statement_of_too_many_parts_is_not_judged(open_database: Open) -> None:
    with pytest.raises(StatementRefusedError, match="too many parts"):
        rows = ["(" + ",".join("1" * 100) + ")"] * 580
        open_database().query("values " + ",".join(rows), max_rows=1)
    assert open_database().query("values " + ",".join(["(1)"] * 10_000), max_rows=1).more


def doubling(levels: int, start: str = "select name as a from self_test_table") -> str:
    text = start
    for level in range(levels):
        text = f"select a || a as a from ({text}) s{level}"
    return text


def doubling_with(levels: int) -> str:
    steps = [f"c{n} as (select a || a as a from c{n - 1})" for n in range(1, levels)]
    first = "c0 as (select name as a from self_test_table)"
    return f"with {', '.join([first, *steps])} select length(a) from c{levels - 1}"


def doubling_union(levels: int) -> str:
    text = "select name as a from self_test_table"
    for level in range(levels):
        text = f"select a || a as a from ({text} union all select 'y') u{level}"
    return text


def doubling_lateral(levels: int) -> str:
    steps = [f"lateral (select s{n}.a || s{n}.a as a) s{n + 1}" for n in range(levels)]
    first = "(select name as a from self_test_table) s0"
    return f"select length(s{levels}.a) from {', '.join([first, *steps])}"


CHARACTERS = ", ".join(f"c{n} char(10485760)" for n in range(20))


@pytest.mark.parametrize(
    "text",
    [
        doubling(30),
        doubling(30, "select 'x'::text as a"),
        doubling_with(30),
        doubling_union(25),
        doubling_lateral(25),
        f"select 1 from json_to_record('{{}}') as r({CHARACTERS})",
        f"select array_length('{{{','.join('x' * 30)}}}'::char(10485760)[], 1)",
    ],
    ids=["nested", "constants", "with", "union", "lateral", "declared", "elements"],
)
def test_what_would_grow_while_planning_is_not_planned(open_database: Open, text: str) -> None:
    with pytest.raises(StatementRefusedError, match=r"too large|grow"):
        open_database().query(text, max_rows=1)


@pytest.mark.parametrize(
    "text",
    [
        doubling(8),
        doubling_with(8),
        "with recursive r(n) as (select 1 union all select n + 1 from r where n < 9)"
        " select sum(n + n) from r",
        "select a.name, b.name from (select name, id from self_test_table) a"
        " join (select name, id from self_test_table) b using (id)",
        "select id::char(10), array['a', 'b']::char(3)[] from self_test_table",
        "select * from json_to_record('{\"a\": 1}') as r(a char(10))",
        "select sum(n) from (select id + id as n from (select id * id as id from"
        " self_test_table) x) y group by n",
    ],
)
def test_ordinary_subqueries_are_planned(open_database: Open, text: str) -> None:
    open_database().query(text, max_rows=5)


def test_a_tree_nested_deeper_than_the_stack_is_judged_without_an_error() -> None:
    column = "{VAR :varno 1 :varattno 1 :varlevelsup 0}"
    target = f":targetList ({{TARGETENTRY :expr {column} :resno 1}})"
    before = (f"{{QUERY {target} :rtable ({{RTE :subquery ", "})}")
    behind = ("{QUERY :rtable ({RTE :subquery ", f"}}) {target}}}")
    for opening, closing in (before, behind):
        objection(opening * 3_000 + "{QUERY}" + closing * 3_000, (), ())
