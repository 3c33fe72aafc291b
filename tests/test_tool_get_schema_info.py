"""get_schema_info: what is there, as TSV, and never too much of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from pgmcp.catalog.catalogue import Column, Listed, Relation
from pgmcp.features.tools import get_schema_info
from pgmcp.render import schema as schema_text
from tests.tool_calls import Calls, cells, fresh, sections
from tools.postgres import Server

TOOL = get_schema_info.TOOL

_SQL = """
create schema shop;
create type shop.state as enum ('new', 'paid');
create table shop.customers (id int generated always as identity primary key, email text unique);
comment on table shop.customers is E'Who\\tbuys.\\nAnd pays.';
comment on column shop.customers.email is 'Where to write.';
create table shop.orders (
  id bigint primary key, customer_id int not null references shop.customers,
  state shop.state default 'new', total numeric(10,2) check (total >= 0),
  gross numeric generated always as (total * 1.2) stored, unique (customer_id, state)
);
create table shop.parts (id int, day date, primary key (id, day)) partition by range (day);
create table shop.parts_2024 partition of shop.parts
  for values from ('2024-01-01') to ('2025-01-01');
create table shop.uses (part int, day date, foreign key (part, day) references shop.parts);
create view shop.paid as select * from shop.orders where state = 'paid';
create table public.orders (x int);
create table public."Odd\tName" ("a b" int);
"""


@pytest.fixture(scope="module")
def call(postgres: Server) -> Iterator[Calls]:
    with fresh(postgres, _SQL) as ready:
        yield ready


def titled(text: str, title: str) -> list[dict[str, str]]:
    """The rows of the table below this title."""
    return next(cells(part[1:]) for part in sections(text) if part[0] == f"{title}:")


def test_everything_is_described(call: Calls) -> None:
    text = call(TOOL)
    assert text.startswith("Database: main (")
    assert [(row["schema"], row["table"], row["kind"]) for row in titled(text, "Tables")] == [
        ("public", "Odd\\tName", "table"),
        ("public", "orders", "table"),
        ("shop", "customers", "table"),
        ("shop", "orders", "table"),
        ("shop", "paid", "view"),
        ("shop", "parts", "partitioned table"),
        ("shop", "uses", "table"),
    ]
    assert "Partitions, left out below: shop.parts (1)" in text


def test_columns_are_described_in_their_order(call: Calls) -> None:
    rows = titled(call(TOOL, table_name="shop.orders"), "Columns")
    assert [list(row.values())[2:] for row in rows] == [
        ["id", "bigint", "no", "", "primary", "", "", ""],
        [
            *("customer_id", "integer", "no", "", "unique (customer_id, state)"),
            *("shop.customers(id)", "", ""),
        ],
        [
            *("state", "shop.state", "yes", "'new'::shop.state", "unique (customer_id, state)"),
            *("", "new, paid", ""),
        ],
        ["total", "numeric(10,2)", "yes", "", "", "", "", ""],
        ["gross", "numeric", "yes", "generated: (total * 1.2)", "", "", "", ""],
    ]


def test_comments_are_escaped_and_identity_is_named(call: Calls) -> None:
    text = call(TOOL, table_name="customers")
    assert titled(text, "Tables")[0]["comment"] == "Who\\tbuys.\\nAnd pays."
    identity, email = titled(text, "Columns")
    assert identity["default"] == "identity"
    assert (email["key"], email["comment"]) == ("unique", "Where to write.")


def test_labels_that_run_into_each_other_are_quoted(postgres: Server) -> None:
    sql = """create type mood as enum ('so so', 'a,b', '', ' c', 'it''s');
    create table days (mood mood);"""
    with fresh(postgres, sql) as call:
        (row,) = titled(call(TOOL), "Columns")
    assert row["values"] == "so so, 'a,b', '', ' c', 'it''s'"


def test_indexes_checks_and_wide_references_are_listed(call: Calls) -> None:
    rows = titled(call(TOOL, schema_name="shop"), "Indexes and constraints")
    listed = [(row["table"], row["kind"], row["definition"]) for row in rows]
    assert ("orders", "check", "CHECK ((total >= (0)::numeric))") in listed
    wide = "FOREIGN KEY (part, day) REFERENCES shop.parts(id, day)"
    assert ("uses", "foreign key", wide) in listed
    assert any(kind == "unique index" and "(customer_id, state)" in d for _, kind, d in listed)


def test_a_table_in_two_schemas_is_described_twice(call: Calls) -> None:
    rows = titled(call(TOOL, table_name="orders"), "Tables")
    assert [row["schema"] for row in rows] == ["public", "shop"]
    rows = titled(call(TOOL, table_name="orders", schema_name="shop"), "Tables")
    assert [row["schema"] for row in rows] == ["shop"]


def test_a_partition_is_described_when_it_is_asked_for(call: Calls) -> None:
    rows = titled(call(TOOL, table_name="parts_2024"), "Tables")
    assert rows[0]["partition_of"] == "shop.parts"


def test_an_odd_name_can_be_asked_for_as_it_was_shown_by_the_database(call: Calls) -> None:
    rows = titled(call(TOOL, table_name="Odd\tName"), "Columns")
    assert (rows[0]["table"], rows[0]["column"]) == ("Odd\\tName", "a b")


def test_compact_is_one_line_a_table(call: Calls) -> None:
    rows = titled(call(TOOL, schema_name="shop", compact=True), "Tables")
    columns = {row["table"]: row["columns"] for row in rows}
    assert columns["customers"] == "id integer PK, email text"
    assert columns["uses"] == "part integer -> shop.parts(id), day date -> shop.parts(day)"


def test_what_is_not_there_brings_what_comes_closest(call: Calls) -> None:
    assert "Closest: shop.customers" in call.failure(TOOL, table_name="customer")
    assert "Schemas: shop" in call.failure(TOOL, schema_name="shopp")


def test_it_is_always_current(call: Calls, postgres: Server) -> None:
    postgres.psql("create table shop.brand_new (id int)", call.database)
    assert titled(call(TOOL, table_name="brand_new"), "Columns")[0]["type"] == "integer"
    postgres.psql("alter table shop.brand_new alter id type text", call.database)
    assert titled(call(TOOL, table_name="brand_new"), "Columns")[0]["type"] == "text"
    postgres.psql("drop table shop.brand_new", call.database)
    assert "no table" in call.failure(TOOL, table_name="brand_new")


def test_vector_tables_are_those_with_a_vector_column(call: Calls, postgres: Server) -> None:
    found = postgres.psql("select 1 from pg_available_extensions where name = 'vector'")
    assert "There are no vector tables here" in call(TOOL, vector_tables_only=True)
    if found != "1":
        return  # this server is built without pgvector, the other one with it
    postgres.psql("create extension vector", call.database)
    postgres.psql("create table shop.texts (id int, meaning vector(384))", call.database)
    columns = titled(call(TOOL, vector_tables_only=True), "Columns")
    assert [(row["column"], row["type"]) for row in columns] == [
        ("id", "integer"),
        ("meaning", "vector(384)"),
    ]
    postgres.psql("drop table shop.texts; drop extension vector", call.database)


def test_an_empty_database_says_so(postgres: Server) -> None:
    with fresh(postgres) as call:
        assert "There are no tables here that you may read." in call(TOOL)
        assert "there is no table at all" in call.failure(TOOL, table_name="orders")


def relation(name: str, columns: int, comment: str = "A comment.") -> Relation:
    return Relation(
        "public",
        name,
        "table",
        tuple(Column(f"column_{n}", "integer", "N", comment=comment) for n in range(columns)),
        comment=comment,
    )


def described(relations: list[Relation]) -> str:
    """The text for these, of which no more are read than could be shown."""
    listed = [
        Listed(n, each.schema, each.name, each.kind, column_count=len(each.columns))
        for n, each in enumerate(relations)
    ][: schema_text.MAX_LISTED]
    return schema_text.describe(
        listed,
        lambda detail: relations,
        lambda some: some,
        compact=False,
        schemas=Counter(each.schema for each in relations),
    )


@pytest.mark.parametrize(
    ("count", "columns", "shown"),
    [
        (10, 10, "Columns:\n"),
        (150, 10, "schema\ttable\tkind\tcolumns\n"),
        (300, 20, "schema\ttable\tkind\testimated_rows\t"),
        (5000, 3, "Schemas:\n"),
    ],
)
def test_too_much_becomes_a_summary_that_says_how_to_ask(
    count: int, columns: int, shown: str
) -> None:
    text = described([relation(f"table_{number}", columns) for number in range(count)])
    assert shown in text
    assert len(text) <= schema_text.LIMIT_CHARS
    assert ("Too much for one answer" in text) == (count > 10)
    assert ("give table_name" in text) == (count > 10)


def test_one_huge_table_is_cut_and_not_hidden() -> None:
    text = described([relation("wide", 1600, "x" * 5000)])
    assert "column_0\tinteger" in text
    assert "more lines are left out" in text
    assert len(text) <= schema_text.LIMIT_CHARS
