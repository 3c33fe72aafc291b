"""What statements use by name, as the audit records it, on each server that there is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pgmcp.audit.audit import used_members
from pgmcp.calls.call import Call
from pgmcp.calls.trail import Trail
from pgmcp.config import patterns
from pgmcp.config.patterns import ReadRules
from pgmcp.config.policies import Policy
from pgmcp.errors import ToolError
from pgmcp.gate.database import ReadOnlyDatabase
from pgmcp.gate.databases import DatabaseSet
from pgmcp.policy.active import ActivePolicy
from tests.databases import open_databases, settings_for
from tools.postgres import Server

SCHEMA = """
CREATE TABLE users (id int, name text, "Pass Word" text);
CREATE TABLE orders (id int, user_id int, total numeric);
CREATE VIEW totals AS SELECT u.name, o.total FROM users u JOIN orders o ON o.user_id = u.id;
CREATE VIEW names AS SELECT id, name FROM users;
CREATE VIEW outer_names AS SELECT name FROM names;
INSERT INTO users VALUES (1);
CREATE TYPE mood AS ENUM ('well');
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT $1 * 2';
"""
EVERYTHING = ActivePolicy(Policy(read=ReadRules((patterns.parse("public.*"),))))


@pytest.fixture(scope="module")
def databases(postgres: Server) -> Iterator[DatabaseSet]:
    name = f"used_names_{postgres.version}"
    postgres.create_database(name)
    postgres.psql(SCHEMA, name)
    if postgres.version >= 150000:
        postgres.psql("ALTER VIEW names SET (security_invoker = on)", name)
    opened = open_databases([settings_for(postgres, name)], names_uses=True)
    yield opened
    opened.pools.close(5)
    postgres.drop_database(name)


def opened(
    databases: DatabaseSet, trail: Trail, policy: ActivePolicy | None = None
) -> ReadOnlyDatabase:
    return databases.database("x", "main", Call(30), trail, policy)


def used(databases: DatabaseSet, text: str, policy: ActivePolicy | None = None) -> dict[str, Any]:
    trail = Trail()
    opened(databases, trail, policy).query(text, max_rows=10)
    return dict(used_members(trail.uses))


USERS, ORDERS = "public.users", "public.orders"
CASES = [
    ("SELECT 1", {}),
    ("SELECT now(), 1 + 1", {}),
    ("SELECT name FROM users WHERE id > 0", {USERS: ["id", "name"]}),
    ('SELECT "Pass Word" FROM users', {USERS: ["Pass Word"]}),
    ("SELECT * FROM users", {USERS: ["Pass Word", "id", "name"]}),
    ("SELECT u FROM users u", {USERS: ["Pass Word", "id", "name"]}),
    ("SELECT ctid, name FROM users", {USERS: ["ctid", "name"]}),
    (
        "WITH w AS (SELECT user_id, sum(total) AS t FROM orders GROUP BY 1)"
        " SELECT name FROM users WHERE id = (SELECT max(user_id) FROM w WHERE t > 0)",
        {USERS: ["id", "name"], ORDERS: ["total", "user_id"]},
    ),
    ("SELECT count(*) FROM (SELECT * FROM users) s", {USERS: ["Pass Word", "id", "name"]}),
    (
        "SELECT name FROM users TABLESAMPLE SYSTEM (100) JOIN orders o USING (id)",
        {USERS: ["id", "name"], ORDERS: ["id"]},
    ),
]


@pytest.mark.parametrize(("text", "relations"), CASES)
@pytest.mark.parametrize("policy", [None, EVERYTHING])
def test_the_columns_that_a_statement_uses_are_named(
    databases: DatabaseSet,
    text: str,
    relations: dict[str, list[str]],
    policy: ActivePolicy | None,
) -> None:
    assert used(databases, text, policy) == {"relations": relations}
    assert used(databases, text, policy) == {"relations": relations}, "a verdict that is known"


def test_a_table_of_which_no_column_is_used_has_its_first_column_beside_it(
    databases: DatabaseSet,
) -> None:
    assert used(databases, "SELECT count(*) FROM users, orders WHERE orders.id = 1") == {
        "relations": {USERS: [], ORDERS: ["id"]},
        "first_columns": {USERS: "id"},
    }


def test_what_a_view_reads_is_told_from_what_the_caller_reads(databases: DatabaseSet) -> None:
    assert used(databases, "SELECT name FROM totals") == {
        "relations": {"public.totals": ["name"]},
        "behind_views": {USERS: ["id", "name"], ORDERS: ["user_id"]},
    }


def test_a_view_that_reads_with_its_users_rights_hides_nothing(
    databases: DatabaseSet, postgres: Server
) -> None:
    if postgres.version < 150000:
        pytest.skip("there is no security_invoker")
    below = {USERS: ["id", "name"]}  # all that the view names
    assert used(databases, "SELECT name FROM names") == {
        "relations": {"public.names": ["name"]} | below
    }
    assert used(databases, "SELECT name FROM outer_names") == {
        "relations": {"public.outer_names": ["name"]} | below,
        "behind_views": {"public.names": ["name"]},
    }


def test_functions_that_a_policy_would_have_to_name_are_named(databases: DatabaseSet) -> None:
    text = "SELECT pg_relation_size(1) FROM users WHERE id < abs(-1)"
    for _ in range(2):
        assert used(databases, text) == {
            "relations": {USERS: ["id"]},
            "functions": ["pg_catalog.pg_relation_size"],
        }


def test_names_are_those_that_hold_when_the_statement_runs(
    databases: DatabaseSet, postgres: Server
) -> None:
    name = f"used_names_{postgres.version}"
    postgres.psql("CREATE TABLE before (a int)", name)
    text = "SELECT 7 FROM {} WHERE a = 1"
    assert used(databases, text.format("before")) == {"relations": {"public.before": ["a"]}}
    postgres.psql("ALTER TABLE before RENAME TO afterwards", name)
    postgres.psql("ALTER TABLE afterwards RENAME a TO b", name)
    after = {"relations": {"public.afterwards": ["b"]}}
    assert used(databases, text.format("afterwards").replace("a =", "b =")) == after
    postgres.psql("DROP TABLE afterwards", name)


def test_a_plan_and_a_statement_that_is_refused_or_fails_name_what_they_use(
    databases: DatabaseSet,
) -> None:
    for _ in range(2):
        trail = Trail()
        opened(databases, trail).explain("", "SELECT name FROM users")
        opened(databases, trail).explain("", "DELETE FROM orders WHERE total > 1")
        with pytest.raises(ToolError):
            opened(databases, trail).query("SELECT 1 / (id - id) FROM names", max_rows=1)
        with pytest.raises(ToolError):
            opened(databases, trail).query(
                "SELECT pg_read_file(total::text) FROM totals", max_rows=1
            )
        named = used_members(trail.uses)
        tables = {*named["relations"], *named.get("behind_views", {})}
        assert tables >= {USERS, ORDERS, "public.totals"}
        assert "total" in named["relations"][ORDERS]
