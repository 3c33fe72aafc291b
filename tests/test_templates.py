"""Resource templates over a real database, and the completion of names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pgmcp.config import masks, patterns
from pgmcp.config.patterns import ReadRules
from pgmcp.config.policies import Policy
from pgmcp.errors import ToolError
from pgmcp.features import completers
from pgmcp.features.templates import table, table_sample
from pgmcp.mcp.feature import ResourceTemplate
from pgmcp.policy.active import ActivePolicy
from tests.tool_calls import Calls, fresh
from tools.postgres import Server

SQL = """
CREATE SCHEMA "My Shop";
CREATE TABLE "My Shop".orders (id int PRIMARY KEY, "total €" numeric NOT NULL, secret text);
INSERT INTO "My Shop".orders SELECT g, g * 1.5, 'hidden' || g FROM generate_series(1, 30) g;
CREATE VIEW big AS SELECT id FROM "My Shop".orders WHERE "total €" > 20;
CREATE TABLE orders_old (id int);
"""
RULES = ('"My Shop".*', 'not "My Shop".orders.secret')
POLICY = Policy(
    read=ReadRules(tuple(map(patterns.parse, RULES))),
    mask=masks.parse({'"My Shop".orders."total €"': "null"}),
)


@pytest.fixture(scope="module")
def call(postgres: Server) -> Iterator[Calls]:
    with fresh(postgres, SQL) as ready:
        yield ready


@pytest.fixture
def restricted(call: Calls) -> Calls:
    """The same under a policy that hides one table, one column and masks another."""
    return call.under(ActivePolicy(POLICY))


def read(calls: Calls, template: ResourceTemplate, schema: str, name: str) -> str:
    values = {"database": "main", "schema": schema, "table": name}
    body = template.read(calls.context, values)
    assert isinstance(body, str)
    return body


def test_a_table_is_described_with_its_keys_and_a_view_with_its_sql(call: Calls) -> None:
    described = read(call, table.TEMPLATE, "My Shop", "orders")
    assert "total €\tnumeric" in described and "orders_pkey" in described
    assert "SELECT" in read(call, table.TEMPLATE, "public", "big")


def test_a_sample_is_a_few_rows_with_a_header(call: Calls) -> None:
    head, *rows = read(call, table_sample.TEMPLATE, "My Shop", "orders").rstrip("\n").split("\n")
    assert head == "id\ttotal €\tsecret"
    assert len(rows) == table_sample.ROWS and rows[0] == "1\t1.5\thidden1"


@pytest.mark.parametrize("template", [table.TEMPLATE, table_sample.TEMPLATE])
def test_a_table_that_is_not_there_is_an_error_that_says_so(
    call: Calls, template: ResourceTemplate
) -> None:
    with pytest.raises(ToolError, match="no table"):
        read(call, template, "My Shop", "missing")


def test_a_policy_hides_and_masks_in_both(restricted: Calls) -> None:
    assert "secret" not in read(restricted, table.TEMPLATE, "My Shop", "orders")
    head, first, *_ = read(restricted, table_sample.TEMPLATE, "My Shop", "orders").split("\n")
    assert (head, first) == ("id\ttotal €", "1\t\\N")
    for template in (table.TEMPLATE, table_sample.TEMPLATE):
        with pytest.raises(ToolError, match="that you may read"):
            read(restricted, template, "public", "orders_old")


def test_names_that_begin_with_the_typed_text_come_first(call: Calls) -> None:
    assert completers.databases(call.context, "MA", {}) == ["main"]
    assert completers.databases(call.context, "x", {}) == []
    assert completers.schemas(call.context, "", {"database": "main"}) == ["My Shop", "public"]
    assert completers.tables(call.context, "o", {}) == ["orders", "orders_old"]
    assert completers.tables(call.context, "OLD", {}) == ["orders_old"]
    assert completers.tables(call.context, "", {"schema": "My Shop"}) == ["orders"]


def test_what_a_policy_hides_is_not_completed(restricted: Calls) -> None:
    assert completers.schemas(restricted.context, "", {}) == ["My Shop"]
    assert completers.tables(restricted.context, "", {}) == ["orders"]
