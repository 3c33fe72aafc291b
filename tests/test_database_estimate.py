"""What a statement is expected to cost, under a policy that limits it: it is looked at before the
statement runs, and tells nothing of what is hidden."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from pgmcp.calls.call import Call
from pgmcp.config import masks, patterns
from pgmcp.config.patterns import ReadRules
from pgmcp.config.policies import Policy, PolicyLimits
from pgmcp.errors import BudgetError, ToolError
from pgmcp.features.tools import count_rows, query_database
from pgmcp.gate.databases import DatabaseSet
from pgmcp.policy.active import ActivePolicy
from pgmcp.postgres.driver import Connection
from pgmcp.postgres.messages import Outcome, Step
from tests.databases import connect, eventually, open_databases, settings_for
from tests.tool_calls import Calls
from tools.postgres import Server

SCHEMA = """
CREATE TABLE big AS SELECT g AS id, 'name ' || g AS name FROM generate_series(1, 2000) g;
CREATE TABLE users (id int, email text, tenant int);
INSERT INTO users SELECT g, 'ann@example.com', g % 2 FROM generate_series(1, 2000) g;
CREATE TABLE tenants (id int, name text);
INSERT INTO tenants SELECT g, 'tenant' FROM generate_series(1, 2000) g;
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
CREATE FUNCTION hidden_size() RETURNS SETOF int LANGUAGE sql STABLE
  BEGIN ATOMIC SELECT id FROM hidden.vault; END;
CREATE TABLE parent (id int) PARTITION BY RANGE (id);
CREATE TABLE part PARTITION OF parent FOR VALUES FROM (0) TO (10);
ANALYZE;
"""
READS = Policy(
    read=ReadRules((patterns.parse("public.*"),)),
    mask=masks.parse({"public.users.email": "partial"}),
    functions=("public.hidden_size",),
)
CHEAP = 25
"""Less than what one of these tables costs, and more than a row."""


def limited(cost: int | None) -> ActivePolicy:
    return ActivePolicy(replace(READS, limits=PolicyLimits(estimated_cost=cost)), b"k" * 32)


@pytest.fixture(scope="module")
def name(postgres: Server) -> Iterator[str]:
    name = f"estimate_{postgres.version}"
    postgres.create_database(name)
    hidden = "CREATE SCHEMA hidden; CREATE TABLE hidden.vault AS SELECT generate_series(1, 2000) id"
    postgres.psql(f"{hidden};{SCHEMA}", name)
    yield name
    postgres.drop_database(name)


@pytest.fixture(scope="module")
def databases(postgres: Server, name: str) -> Iterator[DatabaseSet]:
    opened = open_databases([settings_for(postgres, name, lock_timeout_seconds=20.0)])
    yield opened
    opened.pools.close(5)


def answer(databases: DatabaseSet, text: str, cost: int | None, *params: str) -> object:
    database = databases.database("owner", "main", Call(30), policy=limited(cost))
    try:
        return database.query(text, params, max_rows=10).rows
    except ToolError as error:
        return error.for_client()


def test_what_costs_too_much_is_refused_before_it_runs_and_says_what_it_costs(
    databases: DatabaseSet,
) -> None:
    text = "SELECT 1 / (id - 1) FROM big"
    assert "division by zero" in str(answer(databases, text, None))
    for _ in range(2):  # not judged yet, and known
        refused = str(answer(databases, text, CHEAP))
        assert "expects this statement to cost" in refused
        assert f"allows {CHEAP}" in refused
        assert "Narrow it" in refused
    assert "division by zero" in str(answer(databases, text, 1000))
    new = text + " -- not judged without the limit"
    assert "to cost" in str(answer(databases, new, CHEAP))
    assert "division by zero" in str(answer(databases, new, 1000))


@pytest.mark.parametrize(
    "text",
    [
        "SELECT count(*) FROM generate_series(1, 100000)",
        "SELECT count(*) FROM big a, big b",
        "WITH x AS MATERIALIZED (SELECT * FROM big) SELECT * FROM x",
        "SELECT * FROM big WHERE id = $1",
        "(SELECT id FROM big)",
        "VALUES ((SELECT count(*) FROM big))",
        "TABLE big -- a remark",
    ],
)
def test_every_read_is_looked_at(databases: DatabaseSet, text: str) -> None:
    params = ("7",) if "$1" in text else ()
    for _ in range(2):
        assert "to cost" in str(answer(databases, text, CHEAP, *params))
    assert isinstance(answer(databases, text, 10**6, *params), list)


def test_what_costs_little_runs_as_without_a_limit(databases: DatabaseSet) -> None:
    for text in ("SELECT 1", "SELECT id FROM big LIMIT 2", "SELECT generate_series(1, 3)"):
        for _ in range(2):
            assert answer(databases, text, CHEAP) == answer(databases, text, None)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT",
        "SELECT nothing FROM big",
        "SELECT * FROM nowhere",
        "SELECT id FROM hidden.vault",
        "SELECT 1 +",
        "SELECT 1; SELECT 2",
        "DELETE FROM big",
        "SELECT $1",
        "SELECT 1 / 0",
        "SELECT 'x'::int",
        "SELECT email FROM users WHERE email = 'a'",
        "ANALYZE SELECT 1",
        "(ANALYZE) SELECT 1",
        "EXPLAIN SELECT 1",
        "SELECT 1 INTO t",
        "SELECT id FROM big LIMIT 1 FOR UPDATE",
        "hello",
    ],
)
def test_what_is_wrong_is_answered_as_without_a_limit(databases: DatabaseSet, text: str) -> None:
    for _ in range(2):
        assert answer(databases, text, CHEAP) == answer(databases, text, None)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT count(*) FROM tenants WHERE name = 'tenant'",
        "SELECT count(*) FROM big, (SELECT 1 FROM tenants) t",
        "SELECT email FROM users ORDER BY id",
        "SELECT id, address FROM (SELECT id, email AS address FROM users) u",
        "SELECT count(*) FROM hidden_size()",
    ],
)
def test_a_cost_that_would_tell_of_what_is_hidden_is_not_looked_at(
    databases: DatabaseSet, text: str
) -> None:
    for _ in range(2):
        assert answer(databases, text, 1) == answer(databases, text, None)


def test_a_plan_may_be_asked_for_and_analyze_runs_what_costs_little(databases: DatabaseSet) -> None:
    database = databases.database("owner", "main", Call(30), policy=limited(CHEAP))
    assert database.explain("", "SELECT id FROM big").rows
    assert database.explain("", "DELETE FROM big").rows
    assert database.explain("ANALYZE", "SELECT 1").rows
    for _ in range(2):
        with pytest.raises(BudgetError, match="to cost"):
            database.explain("ANALYZE", "SELECT id FROM big")


def test_counts_and_questions_are_looked_at_too(databases: DatabaseSet) -> None:
    calls = Calls(databases, "main", limited(CHEAP))
    assert "to cost" in calls.failure(count_rows.TOOL, table="big")
    assert "to cost" in calls.failure(query_database.TOOL, query="show me all rows of big")


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with each write to a database."""
    writes: list[int] = []
    run = Connection.run

    def counted(self: Connection, *args: Any, **options: Any) -> Outcome:
        writes.append(1)
        return run(self, *args, **options)

    monkeypatch.setattr(Connection, "run", counted)
    return writes


def test_it_takes_one_round_trip_and_none_without_a_limit(
    databases: DatabaseSet, writes: list[int]
) -> None:
    text = "SELECT id FROM big WHERE id < 3"
    answer(databases, text, 1000)
    for cost, expected in ((1000, 2), (None, 1), (CHEAP, 1)):
        writes.clear()
        answer(databases, text, cost)
        assert len(writes) == expected, cost


def test_a_lock_that_only_the_planner_asks_for_is_waited_for(
    databases: DatabaseSet, postgres: Server, name: str, writes: list[int]
) -> None:
    text = "SELECT id FROM parent"
    assert answer(databases, text, 1000) == []
    other = connect(settings_for(postgres, name))
    held = [Step("BEGIN"), Step("LOCK TABLE part IN ACCESS EXCLUSIVE MODE")]
    other.run(held, Call(20), limit_bytes=1000, last=False)
    writes.clear()
    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(answer, databases, text, 1000)
        assert eventually(lambda: len(writes) > 2)
        other.run([Step("COMMIT")], Call(20), limit_bytes=1000)
        assert waiting.result(30) == []
    other.close()
