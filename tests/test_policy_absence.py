"""What a policy denies is answered as if it were not there.

The rule: each call is made on three databases: with the hidden things, with other secrets in them,
and without them. Under the policy all three give the same answer, byte for byte. The corpus of
statements is in `test_policy_leaks`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest

from pgmcp.calls.call import Call
from pgmcp.config.patterns import ReadRules, parse
from pgmcp.config.policies import Policy
from pgmcp.errors import ToolError
from pgmcp.features.tools import (
    count_rows,
    execute_explain,
    get_schema_info,
    query_database,
    read_resource,
)
from pgmcp.gate.databases import DatabaseSet
from pgmcp.mcp.feature import Tool
from pgmcp.policy.active import ActivePolicy
from tests.databases import open_databases, settings_for
from tests.tool_calls import Calls
from tools.postgres import Server

OPEN = """
CREATE TABLE users (id int PRIMARY KEY, name text, {secret_column} city text);
CREATE TABLE orders (id int, user_id int, total numeric);
INSERT INTO users (id, name, city) VALUES (1, 'Ann', 'Oslo'), (2, 'Bob', 'Rome');
INSERT INTO orders VALUES (1, 1, 10), (2, 1, 20), (3, 2, 5);
CREATE VIEW totals AS SELECT user_id, sum(total) AS total FROM orders GROUP BY 1;
"""
HIDDEN = """
CREATE TABLE salaries (id int, user_id int, amount numeric);
INSERT INTO salaries VALUES (1, 1, {amount}), (2, 2, 50);
UPDATE users SET password_hash = '{secret}';
CREATE TYPE mood AS ENUM ('ok');
CREATE SCHEMA vault;
CREATE TABLE vault.keys (id int, secret text);
INSERT INTO vault.keys VALUES (1, '{secret}');
CREATE TABLE t (x text);
INSERT INTO t VALUES ('{secret}');
"""
RULES = ["public.*", "not public.salaries", "not public.t", "not public.users.password_hash"]
POLICY = ActivePolicy(Policy(read=ReadRules(tuple(map(parse, RULES)))))


class Worlds(NamedTuple):
    hidden: DatabaseSet
    other_secrets: DatabaseSet
    absent: DatabaseSet


@pytest.fixture(scope="module")
def worlds(postgres: Server) -> Iterator[Worlds]:
    column = "password_hash text,"
    contents = {
        f"hidden_{postgres.version}": (
            OPEN.format(secret_column=column) + HIDDEN.format(amount=100, secret="s3cret")
        ),
        f"other_{postgres.version}": (
            OPEN.format(secret_column=column) + HIDDEN.format(amount=77, secret="another, longer")
        ),
        f"absent_{postgres.version}": OPEN.format(secret_column=""),
    }
    opened: list[DatabaseSet] = []
    for name, sql in contents.items():
        postgres.create_database(name)
        postgres.psql(sql, name)
        postgres.psql("ANALYZE", name)
        opened.append(open_databases([settings_for(postgres, name)]))
    yield Worlds(*opened)
    for databases in opened:
        databases.pools.close(5)
    for name in contents:
        postgres.drop_database(name)


def answer(databases: DatabaseSet, text: str, policy: ActivePolicy | None = POLICY) -> str:
    database = databases.database("owner", "main", Call(30), policy=policy)
    try:
        rows = database.query(text, max_rows=100)
    except ToolError as error:
        return error.for_client()
    return f"{[column.name for column in rows.columns]} {rows.rows}"


HARMLESS: Sequence[str] = [
    "SELECT id, name, city FROM users",
    "SELECT count(*) FROM users",
    "SELECT u.name, sum(o.total) FROM users u JOIN orders o ON o.user_id = u.id GROUP BY 1",
    "SELECT * FROM orders",
    "SELECT * FROM totals",
    "SELECT now() IS NOT NULL",
    "SELECT id AS salaries FROM orders",
    "SELECT salaries.id FROM (SELECT 1 AS id) salaries",
    "WITH salaries AS (SELECT 1 AS amount) SELECT amount FROM salaries",
    "SELECT s.id FROM (SELECT id, name FROM users) s",
    "SELECT 'salaries'",
    "SELECT to_tsvector('english', name) @@ to_tsquery('english', 'ann') FROM users",
    "SELECT pg_typeof(id)::text FROM users",
    "SELECT to_char(now(), 'YYYY') > '2000', extract(year FROM now()) > 2000",
    "SELECT json_agg(o) FROM orders o",
    "SELECT name, row_number() OVER (ORDER BY name) FROM users",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_may_be_read_is_read_as_without_a_policy(worlds: Worlds, text: str) -> None:
    assert answer(worlds.hidden, text) == answer(worlds.hidden, text, policy=None)
    assert answer(worlds.hidden, text).startswith("[")


def test_all_columns_of_a_table_with_a_hidden_one_are_refused_with_those_that_are_not(
    worlds: Worlds,
) -> None:
    for text in (
        "SELECT * FROM users",
        "SELECT u FROM users u",
        "SELECT row_to_json(u) FROM users u",
        "SELECT * FROM (SELECT * FROM users) s",
    ):
        said = answer(worlds.hidden, text)
        assert said == answer(worlds.other_secrets, text)
        assert "id, name, city" in said
        assert "password_hash" not in said
    assert answer(worlds.hidden, "SELECT id FROM (SELECT * FROM users) s").startswith("[")


TOOLS: Sequence[tuple[Tool, dict[str, object]]] = [
    (get_schema_info.TOOL, {}),
    (get_schema_info.TOOL, {"compact": True}),
    (get_schema_info.TOOL, {"include_definition": True}),
    (get_schema_info.TOOL, {"table_name": "users"}),
    (get_schema_info.TOOL, {"table_name": "salaries"}),
    (get_schema_info.TOOL, {"table_name": "salarie"}),
    (get_schema_info.TOOL, {"table_name": "SALARIES"}),
    (get_schema_info.TOOL, {"table_name": "vault.keys"}),
    (get_schema_info.TOOL, {"table_name": "salaries_pkey"}),
    (get_schema_info.TOOL, {"schema_name": "vault"}),
    (get_schema_info.TOOL, {"schema_name": "nothing"}),
    (count_rows.TOOL, {"table": "salaries"}),
    (count_rows.TOOL, {"table": "keys"}),
    (count_rows.TOOL, {"table": "pg_class"}),
    (count_rows.TOOL, {"table": "users"}),
    (
        count_rows.TOOL,
        {"table": "users", "filter": [{"column": "password_hash", "op": "like", "value": "s%"}]},
    ),
    (
        count_rows.TOOL,
        {"table": "users", "filter": [{"column": "name", "op": "=", "value": "Ann"}]},
    ),
    (execute_explain.TOOL, {"query": "SELECT * FROM salaries"}),
    (execute_explain.TOOL, {"query": "SELECT password_hash FROM users"}),
    (execute_explain.TOOL, {"query": "SELECT 1 FROM users WHERE password_hash = 'x'"}),
    (execute_explain.TOOL, {"query": "DELETE FROM salaries"}),
    (query_database.TOOL, {"query": "how many salaries are there?"}),
    (query_database.TOOL, {"query": "show me all salaries"}),
    (query_database.TOOL, {"query": "users with password hash s3cret"}),
    (query_database.TOOL, {"query": "how many users per password hash?"}),
    (query_database.TOOL, {"query": "how many users are there?"}),
    (query_database.TOOL, {"query": "s3cret"}),
    (query_database.TOOL, {"query": "EXPLAIN SELECT * FROM salaries"}),
    (query_database.TOOL, {"query": "EXPLAIN DELETE FROM salaries"}),
    (query_database.TOOL, {"query": "EXPLAIN UPDATE users SET password_hash = 'x'"}),
]


@pytest.mark.parametrize(
    ("tool", "arguments"), TOOLS, ids=[f"{tool.name} {args}" for tool, args in TOOLS]
)
def test_each_tool_says_the_same_with_and_without_what_is_hidden(
    worlds: Worlds, tool: Tool, arguments: dict[str, object]
) -> None:
    answers = [said(databases, tool, arguments) for databases in worlds]
    assert answers[0] == answers[1]
    assert answers[0] == answers[2]


def test_a_question_is_answered_from_the_columns_that_may_be_read(worlds: Worlds) -> None:
    answer = said(worlds.hidden, query_database.TOOL, {"query": "users in Oslo"})
    assert "1\tAnn\tOslo" in answer
    assert "password_hash" not in answer


def said(databases: DatabaseSet, tool: Tool, arguments: dict[str, object]) -> str:
    call = Calls(databases, "main", POLICY)
    try:
        text = call(tool, **arguments)
    except ToolError as error:
        text = error.for_client()
    place = call.get().label
    return text.replace(place, "DATABASE")


def test_how_large_a_database_is_with_what_is_hidden_is_not_said(worlds: Worlds) -> None:
    arguments = {"uri": "pg://system_info"}
    restricted, free = (
        json.loads(Calls(worlds.hidden, "main", policy)(read_resource.TOOL, **arguments))
        for policy in (POLICY, None)
    )
    assert restricted["database"]["size_bytes"] is None
    assert free["database"]["size_bytes"] > 1_000_000
