"""get_schema_info: partitions, actions, policies, types, inheritance, view definitions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pgmcp.catalog import statements
from pgmcp.features.tools import get_schema_info
from tests.tool_calls import Calls, cells, fresh, sections
from tools.postgres import Server

TOOL = get_schema_info.TOOL
MORE = "Partitions, inheritance and row security"

_SQL = """
create schema shop;
create domain shop.money as numeric(12,2) not null default 0 check (value >= 0);
create domain shop.price as shop.money check (value < 1000);
create type shop.color as enum ('red', 'it''s');
create type shop.address as (street text, "Zip Code" varchar(5), colors shop.color[]);
create type shop.span as range (subtype = float8);
create table shop.customers (
  id int primary key, home shop.address, others shop.address[], spent shop.price, seen shop.span,
  boss int references shop.customers on delete set null
);
create table shop.orders (
  id int, day date, customer int not null references shop.customers
    on delete cascade on update restrict deferrable initially deferred,
  plain int references shop.customers,
  total numeric, gross numeric generated always as (total * 2) stored,
  primary key (id, day)
) partition by range (day);
create table shop.orders_2024 partition of shop.orders
  for values from ('2024-01-01') to ('2025-01-01');
create table shop.orders_rest partition of shop.orders default;
create table shop.rooms (
  room int, during int4range, code int unique deferrable initially deferred,
  exclude using gist (during with &&) where (room > 0)
);
create table shop.people (name text); create table shop.staff (salary int) inherits (shop.people);
create view shop.open as
  select id, 'a	b' as odd
  from shop.orders where total > 0;
create materialized view shop.sums as select sum(total) as sum from shop.orders;
create role clerk;
alter table shop.people enable row level security;
create policy "Own rows" on shop.people as restrictive for select to clerk, public
  using (name = current_user);
create policy adding on shop.people for insert with check (name <> '');
alter table shop.customers force row level security; alter table shop.customers enable row level
  security;
create policy idle on shop.rooms using (true);
"""


@pytest.fixture(scope="module")
def call(postgres: Server) -> Iterator[Calls]:
    with fresh(postgres, _SQL) as ready:
        yield ready
    postgres.psql("drop role clerk")


def table(text: str, title: str) -> list[dict[str, str]]:
    """The rows of the table below this title."""
    return next(cells(part[1:]) for part in sections(text) if part[0] == f"{title}:")


def facts_of(call: Calls, name: str) -> list[tuple[str, str, str]]:
    rows = table(call(TOOL, table_name=name), MORE)
    return [(row["kind"], row["name"], row["definition"]) for row in rows]


def test_partition_keys_and_bounds(call: Calls) -> None:
    bound = "FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')"
    assert facts_of(call, "shop.orders") == [
        ("partition key", "", "RANGE (day)"),
        ("partition", "shop.orders_2024", bound),
        ("partition", "shop.orders_rest", "DEFAULT"),
    ]
    assert facts_of(call, "orders_2024") == [("partition bound", "", bound)]
    everything = call(TOOL, schema_name="shop")
    assert "Partitions, left out below: shop.orders (2)" in everything
    rows = table(everything, MORE)
    assert [row["kind"] for row in rows if row["table"] == "orders"] == ["partition key"]


def test_what_a_foreign_key_does_beside_referring(call: Calls) -> None:
    rows = table(call(TOOL, table_name="shop.orders"), "Indexes and constraints")
    assert [row["definition"] for row in rows if row["kind"] == "foreign key"] == [
        "FOREIGN KEY (customer) REFERENCES shop.customers(id) ON UPDATE RESTRICT ON DELETE CASCADE "
        "DEFERRABLE INITIALLY DEFERRED"
    ]
    rows = table(call(TOOL, table_name="customers"), "Indexes and constraints")
    assert "FOREIGN KEY (boss) REFERENCES shop.customers(id) ON DELETE SET NULL" in [
        row["definition"] for row in rows
    ]


def test_exclusions_and_deferrable_keys(call: Calls) -> None:
    exclusion = "EXCLUDE USING gist (during WITH &&) WHERE ((room > 0))"
    assert facts_of(call, "rooms") == [
        ("unique", "rooms_code_key", "UNIQUE (code) DEFERRABLE INITIALLY DEFERRED"),
        ("exclusion", "rooms_during_excl", exclusion),
        ("row security", "", "off"),
        ("policy", "idle", "FOR ALL TO PUBLIC USING (true)"),
    ]


def test_row_security_and_its_policies(call: Calls) -> None:
    listed = facts_of(call, "people")
    assert ("row security", "", "on") in listed
    assert ("policy", "adding", "FOR INSERT TO PUBLIC WITH CHECK ((name <> ''::text))") in listed
    (own,) = [definition for _, name, definition in listed if name == "Own rows"]
    assert own.startswith("AS RESTRICTIVE FOR SELECT TO ")
    assert own.endswith("USING ((name = CURRENT_USER))")
    assert ("row security", "", "on, for the owner too") in facts_of(call, "customers")


def test_inheritance_is_told_from_both_sides(call: Calls) -> None:
    assert facts_of(call, "staff") == [("inherits", "shop.people", "")]
    assert ("inherited by", "shop.staff", "") in facts_of(call, "people")


def test_types_are_followed_to_what_they_are_made_of(call: Calls) -> None:
    rows = table(call(TOOL, table_name="customers"), "Types")
    assert [tuple(row.values()) for row in rows] == [
        ("shop.address", "composite", 'street text, "Zip Code" character varying(5), '
         "colors shop.color[]"),
        ("shop.color", "enum", "'red', 'it''s'"),
        ("shop.money", "domain", "numeric(12,2) NOT NULL DEFAULT 0 "
         "CHECK ((VALUE >= (0)::numeric))"),
        ("shop.price", "domain", "shop.money DEFAULT 0 "
         "CHECK (((VALUE)::numeric < (1000)::numeric))"),
        ("shop.span", "range", "of double precision"),
    ]  # fmt: skip


def test_definitions_of_views_come_when_they_are_asked_for(call: Calls) -> None:
    assert "Definitions:" not in call(TOOL, schema_name="shop")
    for compact in (False, True):
        text = call(TOOL, schema_name="shop", include_definition=True, compact=compact)
        rows = table(text, "Definitions")
        assert [row["view"] for row in rows] == ["open", "sums"]
        assert "FROM shop.orders\\n  WHERE " in rows[0]["definition"]
        assert "a\\tb" in rows[0]["definition"]


def test_columns_that_are_generated_when_they_are_read(call: Calls, postgres: Server) -> None:
    if postgres.psql("show server_version_num") < "180000":
        return  # the other server has them
    postgres.psql(
        "create table public.v (a int, b int generated always as (a * 2) virtual)", call.database
    )
    rows = table(call(TOOL, table_name="v"), "Columns")
    assert rows[1]["default"] == "virtual: (a * 2)"
    postgres.psql("drop table public.v", call.database)


def test_tables_of_extensions_are_shown_only_when_they_are_named(postgres: Server) -> None:
    sql = "create table own (id int); create table brought (id int);"
    with fresh(postgres, sql) as call:
        # As CREATE EXTENSION leaves it. Which extensions have tables depends on the server.
        postgres.psql("alter extension plpgsql add table brought", call.database)
        text = call(TOOL)
        assert [row["table"] for row in table(text, "Tables")] == ["own"]
        assert "Tables of extensions, left out below unless table_name asks: plpgsql (1)" in text
        assert table(call(TOOL, table_name="brought"), "Tables")[0]["columns"] == "1"


_MANY = """
do $$ begin
  for i in {}..{} loop
    execute format('create table t%s (id int, a text not null, b date, gone int)', i);
  end loop;
  alter table t{} drop column gone;
end $$"""


def test_only_what_is_shown_is_read(postgres: Server, rows_read: dict[str, int]) -> None:
    with fresh(postgres) as call:
        for first in range(1, 3200, 800):  # each table takes a lock until the end
            postgres.psql(_MANY.format(first, first + 799, first), call.database)
        text = call(TOOL, compact=True)
        rows = table(text, "Tables")
        assert "Too much for one answer (3,200 tables)" in text
        assert f"({3200 - len(rows):,} more tables are left out.)" in text
        assert (rows[0]["table"], rows[0]["columns"]) == ("t1", "3")
        assert (rows[1]["table"], rows[1]["columns"]) == ("t10", "4")
        assert statements.COLUMNS not in rows_read
        assert rows_read[statements.SHOWN] == 3_000
        assert rows_read[statements.COLUMN_COUNTS] == len(rows)
        rows_read.clear()
        assert "t77\ttable" in call(TOOL, table_name="t77")
        assert sum(rows_read.values()) == 1 + 4
        rows_read.clear()
        call.failure(TOOL, table_name="t_77")
        assert statements.COLUMNS not in rows_read


def test_a_wide_table_does_not_slow_down_others(
    postgres: Server, rows_read: dict[str, int]
) -> None:
    columns = ", ".join(f"c{n} int default {n}" for n in range(1_000))
    with fresh(postgres, f"create table wide ({columns}); create table small (id int);") as call:
        call(TOOL, table_name="small")
        assert rows_read[statements.COLUMNS] == 1
        rows_read.clear()
        rows = table(call(TOOL, table_name="wide"), "Columns")
        assert rows_read[statements.COLUMNS] == 1_000
        assert rows[-1]["default"] == rows[-1]["column"].removeprefix("c")
        # Without the table PostgreSQL prints a default without naming all of its columns first.
        assert "THEN 0::oid ELSE d.adrelid" in statements.COLUMNS
