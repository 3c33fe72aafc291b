"""Reading the catalogue of a real database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pgmcp.catalog import lookup
from pgmcp.catalog import read as catalog_read
from pgmcp.catalog.catalogue import Catalogue, ForeignKey, Relation
from pgmcp.errors import ToolError
from tests.tool_calls import Calls, calls, fresh
from tools.postgres import Server

_SQL = """
create schema shop; comment on schema shop is 'The shop.';
create type shop.state as enum ('new', 'paid', 'it''s "sent", {late}');
create domain shop.known_state as shop.state;
create domain shop.final_state as shop.known_state not null;
create table shop.customers (
  id int generated always as identity primary key,
  email varchar(80) not null unique,
  shout text generated always as (upper(email)) stored,
  active boolean default true,
  gone int
);
alter table shop.customers drop column gone;
comment on table shop.customers is E'Who\\tbuys.\\nAnd pays.';
comment on column shop.customers.email is 'Where to write.';
create table shop.orders (
  id bigint primary key,
  customer_id int not null references shop.customers,
  state shop.state default 'new',
  last_state shop.final_state default 'paid',
  total numeric(10,2) check (total >= 0),
  tags text[],
  unique (customer_id, total)
);
create index orders_open on shop.orders (customer_id) where state = 'new';
create unique index orders_partly on shop.orders (total) where state = 'paid';
create unique index orders_by_expression on shop.orders (abs(id));
create unique index orders_covering on shop.orders (total) include (last_state);
create table shop.parts (id int, day date, primary key (id, day)) partition by range (day);
create table shop.parts_2024 partition of shop.parts
  for values from ('2024-01-01') to ('2025-01-01');
create table shop.parts_2025 partition of shop.parts
  for values from ('2025-01-01') to ('2026-01-01');
create table shop.uses (part int, day date, foreign key (part, day) references shop.parts);
create view shop.paid as select * from shop.orders where state = 'paid';
create materialized view shop.totals as select 1 as one;
create foreign data wrapper nowhere; create server far foreign data wrapper nowhere;
create foreign table shop.far_away (id int) server far;
create table public.orders (x int);
create table public."Odd ""Näme""
(" ("a	b" int, "c
d" int);
create table no_columns ();
create temporary table not_mine (x int);
insert into shop.customers (email, active)
  select 'u' || i || '@x', i % 4 <> 0 from generate_series(1, 1000) i;
insert into shop.orders
  select i, i, (case i % 3 when 0 then 'new' else 'paid' end)::shop.state, 'new', i
  from generate_series(1, 600) i;
insert into shop.parts select i, '2024-01-01'::date + i from generate_series(0, 500) i;
analyze shop.customers, shop.orders, shop.parts;
create schema closed; create table closed.hidden (x int);
create role reader login password 'reader-password' nosuperuser;
grant usage on schema shop, closed to reader;
grant select on shop.customers, shop.paid to reader;
grant select (id, total) on shop.orders to reader;
"""


@pytest.fixture(scope="module")
def call(postgres: Server) -> Iterator[Calls]:
    with fresh(postgres, _SQL) as ready:
        yield ready
    postgres.psql("drop role reader")


@pytest.fixture(scope="module")
def catalogue(call: Calls) -> Catalogue:
    return call.get().catalogue()


def find(catalogue: Catalogue, name: str) -> Relation:
    return next(r for r in catalogue.relations if f"{r.schema}.{r.name}" == name)


def test_relations_of_every_kind_are_found_and_nobody_elses(catalogue: Catalogue) -> None:
    assert [(r.schema, r.name, r.kind) for r in catalogue.relations] == [
        ("closed", "hidden", "table"),
        ("public", 'Odd "Näme"\n(', "table"),
        ("public", "no_columns", "table"),
        ("public", "orders", "table"),
        ("shop", "customers", "table"),
        ("shop", "far_away", "foreign table"),
        ("shop", "orders", "table"),
        ("shop", "paid", "view"),
        ("shop", "parts", "partitioned table"),
        ("shop", "parts_2024", "table"),
        ("shop", "parts_2025", "table"),
        ("shop", "totals", "materialized view"),
        ("shop", "uses", "table"),
    ]
    assert catalogue.search_path == ("public",)
    assert catalogue.schema_comments["shop"] == "The shop."


def test_columns_come_in_order_with_types_defaults_and_comments(catalogue: Catalogue) -> None:
    customers = find(catalogue, "shop.customers")
    assert customers.comment == "Who\tbuys.\nAnd pays."
    identity, email, shout, active = customers.columns
    assert (identity.type, identity.identity, identity.nullable) == ("integer", True, False)
    assert (email.type, email.category, email.comment) == (
        "character varying(80)",
        "S",
        "Where to write.",
    )
    assert (shout.generated, shout.nullable) == (True, True)
    assert shout.default is not None
    assert "upper" in shout.default
    assert (active.category, active.default) == ("B", "true")


def test_keys_references_checks_and_indexes(catalogue: Catalogue) -> None:
    orders = find(catalogue, "shop.orders")
    assert orders.primary_key == ("id",)
    assert orders.unique_keys == (("total",), ("customer_id", "total"))
    assert orders.foreign_keys == (
        ForeignKey("orders_customer_id_fkey", ("customer_id",), "shop", "customers", ("id",)),
    )
    assert orders.checks == ("CHECK ((total >= (0)::numeric))",)
    assert {index.name: index.unique for index in orders.indexes} == {
        "orders_by_expression": True,
        "orders_covering": True,
        "orders_customer_id_total_key": True,
        "orders_open": False,
        "orders_partly": True,
        "orders_pkey": True,
    }


def test_a_reference_to_a_partitioned_table_is_there_once(catalogue: Catalogue) -> None:
    assert find(catalogue, "shop.uses").foreign_keys == (
        ForeignKey("uses_part_day_fkey", ("part", "day"), "shop", "parts", ("id", "day")),
    )


def test_enum_labels_are_found_behind_domains(catalogue: Catalogue) -> None:
    columns = {column.name: column for column in find(catalogue, "shop.orders").columns}
    labels = ("new", "paid", 'it\'s "sent", {late}')
    assert columns["state"].labels == columns["last_state"].labels == labels
    assert (columns["state"].nullable, columns["last_state"].nullable) == (True, False)


def test_estimates_partitions_and_the_search_path(catalogue: Catalogue) -> None:
    assert find(catalogue, "shop.customers").estimated_rows == 1000
    assert find(catalogue, "shop.paid").estimated_rows is None
    assert find(catalogue, "closed.hidden").estimated_rows is None
    assert find(catalogue, "shop.parts_2024").partition_of == "shop.parts"
    assert find(catalogue, "public.orders").on_search_path
    assert not find(catalogue, "shop.orders").on_search_path


def test_common_values_are_those_of_the_statistics(catalogue: Catalogue) -> None:
    active = find(catalogue, "shop.customers").columns[3]
    state = find(catalogue, "shop.orders").columns[2]
    assert active.common_values == ("t", "f")
    assert state.common_values == ("paid", "new")


def test_a_role_sees_only_what_it_may_select(call: Calls, postgres: Server) -> None:
    with calls(postgres, call.database, "reader", "reader-password") as as_reader:
        seen = as_reader.get().catalogue()
    shop = [relation.name for relation in seen.relations if relation.schema == "shop"]
    assert shop == ["customers", "orders", "paid"]
    assert [column.name for column in find(seen, "shop.orders").columns] == ["id", "total"]
    assert all(relation.schema != "closed" for relation in seen.relations)


def test_it_is_read_anew_each_time(call: Calls, postgres: Server) -> None:
    database = call.get()
    postgres.psql("create table just_made (x int)", call.database)
    assert any(r.name == "just_made" for r in database.catalogue().relations)
    postgres.psql("drop table just_made", call.database)
    assert all(r.name != "just_made" for r in database.catalogue().relations)


@pytest.mark.parametrize(
    ("table", "schema", "found"),
    [
        ("orders", None, ["public.orders", "shop.orders"]),
        ("ORDERS", "shop", ["shop.orders"]),
        ("shop.orders", None, ["shop.orders"]),
        ('"shop"."orders"', None, ["shop.orders"]),
        ('Odd "Näme"\n(', None, ['public."Odd ""Näme""\n("']),
        ('"Odd ""Näme""\n("', None, ['public."Odd ""Näme""\n("']),
    ],
)
def test_a_name_is_found_as_it_stands_and_as_sql_has_it(
    call: Calls, table: str, schema: str | None, found: list[str]
) -> None:
    relations = lookup.listed(call.get().fetch, table, schema)
    assert [lookup.plain_name(relation) for relation in relations] == found


def test_a_name_that_is_not_there_brings_the_closest(call: Calls) -> None:
    fetch = call.get().fetch
    with pytest.raises(ToolError, match='no table "custmers"') as failed:
        lookup.relation(fetch, "custmers")
    assert failed.value.hint.startswith("Closest: shop.customers")
    with pytest.raises(ToolError, match=r'no table "closed\.orders"') as failed:
        lookup.relation(fetch, "closed.orders")
    assert failed.value.hint.startswith("Closest: public.orders, shop.orders")
    with pytest.raises(ToolError, match='no schema "shp"') as failed:
        lookup.relation(fetch, "orders", "shp")
    assert failed.value.hint == "Schemas: shop"


def test_the_search_path_decides_between_schemas(call: Calls, postgres: Server) -> None:
    assert lookup.relation(call.get().fetch, "orders").schema == "public"
    postgres.psql("create table closed.totals ()", call.database)
    with pytest.raises(ToolError, match=r"closed\.totals, shop\.totals"):
        lookup.relation(call.get().fetch, "totals")
    postgres.psql("drop table closed.totals", call.database)


def test_a_part_is_the_same_as_in_the_whole(call: Calls, catalogue: Catalogue) -> None:
    fetch = call.get().fetch
    part = catalog_read.relations_of(fetch, lookup.listed(fetch, "orders", "shop"))
    assert part == (find(catalogue, "shop.orders"),)


def test_a_large_database_is_read_in_bounded_time(postgres: Server) -> None:
    many = """
    do $$ begin for i in 1..1000 loop
      execute format('create table t%s (id int primary key, a text not null, b date)', i);
    end loop; end $$"""
    with fresh(postgres, many) as call:
        catalogue = call.get().catalogue()
    assert len(catalogue.relations) == 1000
    assert all(relation.primary_key == ("id",) for relation in catalogue.relations)
