"""execute_explain: the plan, and what stands out in it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from pgmcp.features.tools import execute_explain
from tests.tool_calls import Calls, fresh, text_of
from tools.postgres import Server

TOOL = execute_explain.TOOL

_SQL = """
create table big as
  select n as id, n % 100 as kind, repeat('x', 50) as filler from generate_series(1, 60000) n;
create table small (id int primary key);
insert into small select generate_series(1, 2000);
create table lied_about as select * from big where false;
analyze;
alter table lied_about set (autovacuum_enabled = off);
insert into lied_about select * from big;
create sequence runs;
create table ruled (id int);
create rule also as on insert to ruled do also delete from small;
"""


@pytest.fixture(scope="module")
def call(postgres: Server) -> Iterator[Calls]:
    with fresh(postgres, _SQL) as ready:
        yield ready


def test_a_plan_is_drawn_as_postgresql_draws_it(call: Calls, postgres: Server) -> None:
    query = "select count(*) from big b where kind = 3 and filler like 'x%'"
    drawn = call(TOOL, query=query).split("\n\n")[1]
    own = postgres.psql(f"explain {query}", call.database)
    assert drawn == own


@pytest.mark.parametrize(
    "query",
    [
        "select * from small s join big b using (id) where b.kind = 1 order by b.filler limit 3",
        "select * from small s left join big b on b.id = s.id and b.kind > s.id",
        "select kind, sum(id) from big group by kind order by 2 desc",
        "select * from small where id between 3 and 5 order by id desc",
        "with x as materialized (select * from small) select * from x where id > 3",
        "select *, (select max(id) from small) from generate_series(1, 3) g",
        "values (1), (2)",
        "table small",
        'select * from small "S 1" where exists (select from big "B" where "B".id = "S 1".id)',
        "select distinct kind from big union all select id from small",
    ],
)
def test_other_plans_are_drawn_as_postgresql_draws_them(
    call: Calls, postgres: Server, query: str
) -> None:
    drawn = call(TOOL, query=query).split("\n\n")[1]
    assert drawn == postgres.psql(f"explain {query}", call.database)


def test_analyze_measures(call: Calls) -> None:
    text = call(TOOL, query="select count(*) from small", analyze=True, buffers=True)
    assert "rows=1 loops=1)" in text
    assert "Shared Hit Blocks: " in text
    assert "Execution Time: " in text
    assert "What stands out (measured):" in text


def test_without_analyze_nothing_is_run(call: Calls) -> None:
    text = call(TOOL, query="select pg_sleep(60)", timeout_seconds=5)
    assert "actual" not in text
    assert "- analyze=true would run the query" in text


def test_analyze_runs_the_query_once(call: Calls) -> None:
    for form in ("text", "json", "yaml", "xml"):
        text = call(
            TOOL, query="select pg_sleep(0.4)", analyze=True, timeout_seconds=1, format=form
        )
        assert "Execution" in text


def test_json_yaml_and_xml_are_postgresqls_own(call: Calls) -> None:
    plan = json.loads(call(TOOL, query="select 1", format="json").split("\n\n")[1])
    assert plan[0]["Plan"]["Node Type"] == "Result"
    assert 'Node Type: "Result"' in call(TOOL, query="select 1", format="yaml")
    assert "<Node-Type>Result</Node-Type>" in call(TOOL, query="select 1", format="xml")


@pytest.mark.parametrize("form", ["text", "json", "xml"])
def test_the_plan_is_there_as_data_whatever_its_form(call: Calls, form: str) -> None:
    query = "SELECT count(*) FROM pg_class"
    result = call.result(TOOL, query=query, analyze=True, format=form)
    structured = result.structured
    (explained,) = structured["plans"]
    assert explained["Plan"]["Node Type"] == "Aggregate"
    assert structured["measured"] == ("Actual Rows" in explained["Plan"]) == (form != "xml")
    shown = text_of(result)
    assert all(f"- {finding}" in shown for finding in structured["findings"])


def test_a_scan_that_throws_most_rows_away_stands_out(call: Calls) -> None:
    text = call(TOOL, query="select * from big where filler = 'y'", analyze=True)
    assert "Seq Scan on big reads 60,000 rows to keep 0 (filter (filler = 'y'::text))." in text
    assert "An index on the filtered columns" in text


def test_a_wrong_estimate_stands_out(call: Calls) -> None:
    text = call(TOOL, query="select * from big where id % 7 < 7", analyze=True)
    assert "times more)" not in text
    text = call(TOOL, query="select count(*) from big where id % 7 = 10 - 10 * 1", analyze=True)
    assert "rows expected" in text
    assert "times more). ANALYZE the table" in text


def test_a_sort_on_disk_stands_out(call: Calls) -> None:
    text = call(TOOL, query="select * from big order by filler, id desc", analyze=True)
    assert "sorts on disk (" in text
    assert "work_mem" in text


def test_a_loop_that_runs_often_stands_out(call: Calls) -> None:
    query = "select (select count(*) from small s where s.id = b.id) from big b limit 10"
    assert "runs its inner side" not in call(TOOL, query=query, analyze=True)
    query = (
        "select * from generate_series(1, 1500) g, lateral "
        "(select id from small where small.id = g offset 0) s"
    )
    assert "1,500 times" in call(TOOL, query=query, analyze=True)


def test_a_part_that_never_ran_stands_out(call: Calls) -> None:
    query = "select * from big b join small s using (id) where s.id = -1"
    assert "Never executed: " in call(TOOL, query=query, analyze=True)


@pytest.mark.parametrize(
    "query",
    ["delete from small", "create table x as select 1", "select 1; select 2", "execute p", ""],
)
def test_only_queries_are_explained(call: Calls, postgres: Server, query: str) -> None:
    call.failure(TOOL, query=query, analyze=True)
    assert postgres.psql("select count(*) from small", call.database) == "2000"


@pytest.mark.parametrize("form", ["text", "json", "yaml", "xml"])
def test_a_write_is_explained_as_long_as_it_is_not_run(
    call: Calls, postgres: Server, form: str
) -> None:
    for query in ("delete from small", "with x as (delete from small returning 1) table x"):
        assert "Delete" in call(TOOL, query=query, format=form)
        assert "without ANALYZE" in call.failure(TOOL, query=query, analyze=True, format=form)
    assert postgres.psql("select count(*) from small", call.database) == "2000"


def test_the_drawing_of_a_write_is_postgresqls_own(call: Calls, postgres: Server) -> None:
    for query in ("delete from small", "insert into ruled select 1", "update ruled r set id = 2"):
        own = postgres.psql(f"explain {query}", call.database)
        assert own in call(TOOL, query=query)


def test_an_explain_before_the_query_is_explained_away(call: Calls) -> None:
    assert "begins with EXPLAIN" in call.failure(TOOL, query="/* x */ explain select 1")


def test_an_error_points_into_the_query(call: Calls) -> None:
    failure = call.failure(TOOL, query="select nothing from small")
    assert "SQLSTATE 42703" in failure
    assert "Position: 8" in failure


@pytest.mark.parametrize(("levels", "reason"), [(480, "200 deep"), (700, "200 deep")])
def test_an_absurd_plan_is_refused(call: Calls, levels: int, reason: str) -> None:
    query = "select 1 as n"
    for _ in range(levels):
        query = f"select n from ({query} limit 9) q"
    assert reason in call.failure(TOOL, query=query)
