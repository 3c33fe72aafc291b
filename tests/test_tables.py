"""The tables as plain language sees them: described when they are looked at, and never outdated."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pgmcp.catalog import fingerprint, statements
from pgmcp.catalog.tables import READ_AT_ONCE
from pgmcp.features.tools import query_database
from pgmcp.language.lexicon import Lexicon
from tests.tool_calls import Calls, calls, fresh
from tools.postgres import Server

TOOL = query_database.TOOL
_MANY = READ_AT_ONCE + 200

_SQL = f"""
create table customers (id int primary key, name text, city text);
create table orders (id int primary key, customer_id int references customers, total int);
create table pairs (a int, b int, c int, d int, primary key (a, b));
create table uses (a int, b int, foreign key (a, b) references pairs);
insert into customers values (1, 'Ann', 'Berlin'), (2, 'Bob', 'Paris'), (3, 'Eve', 'Paris');
insert into orders values (1, 1, 10), (2, 2, 20), (3, 2, 30);
do $$ begin for i in 1..{_MANY} loop
  execute format('create table filler_%s (id int primary key, note text)', i);
end loop; end $$;
"""


@pytest.fixture(scope="module")
def call(postgres: Server) -> Iterator[Calls]:
    with fresh(postgres, _SQL) as ready:
        yield ready


def answer(call: Calls, question: str) -> str:
    return call(TOOL, query=question).split("\n")[-3]


def test_only_what_a_question_leads_to_is_described(call: Calls, rows_read: dict[str, int]) -> None:
    assert answer(call, "how many orders of customers in Paris") == "2"
    assert rows_read[statements.EVERYTHING] == _MANY + 4
    assert rows_read[statements.COLUMNS] == 3 + 3
    rows_read.clear()
    assert answer(call, "how many customers are in Paris") == "2"
    assert statements.EVERYTHING not in rows_read
    assert statements.COLUMNS not in rows_read


def test_a_small_catalogue_is_described_at_once(
    postgres: Server, rows_read: dict[str, int]
) -> None:
    with fresh(postgres, _SQL.partition("do $$")[0]) as call:
        assert answer(call, "how many customers") == "3"
        assert rows_read[statements.COLUMNS] == 3 + 3 + 4 + 2
        assert answer(call, "how many orders") == "3"
        assert rows_read[statements.COLUMNS] == 3 + 3 + 4 + 2


@pytest.mark.parametrize(
    ("ddl", "back"),
    [
        ("alter table customers rename column city to town",
         "alter table customers rename column town to city"),
        ("comment on column customers.city is 'x'", "comment on column customers.city is null"),
        ("create table just_made (id int)", "drop table just_made"),
        ("alter table customers alter name set not null",
         "alter table customers alter name drop not null"),
        ("create index on customers (city)", "drop index customers_city_idx"),
        ("grant select (id) on orders to pg_monitor",
         "revoke select (id) on orders from pg_monitor"),
        ("alter table orders drop constraint orders_customer_id_fkey",
         "alter table orders add foreign key (customer_id) references customers"),
    ],
)  # fmt: skip
def test_ddl_is_followed_and_other_writes_cost_a_look(
    call: Calls, postgres: Server, rows_read: dict[str, int], ddl: str, back: str
) -> None:
    for _ in range(2):
        answer(call, "how many customers are in Paris")
    rows_read.clear()
    postgres.psql("update orders set total = total", call.database)
    answer(call, "how many customers")
    assert rows_read[fingerprint.FINGERPRINT] == 1
    assert statements.EVERYTHING not in rows_read
    for change in (ddl, back):
        rows_read.clear()
        postgres.psql(change, call.database)
        answer(call, "how many customers")
        assert statements.EVERYTHING in rows_read, change


def test_what_was_renamed_is_known_by_its_new_name(call: Calls, postgres: Server) -> None:
    assert answer(call, "how many customers are in Paris") == "2"
    postgres.psql("alter table customers rename to buyers", call.database)
    assert answer(call, "how many buyers") == "3"
    assert "No place for: “customers”" in call.failure(TOOL, query="how many customers")
    postgres.psql("alter table buyers rename to customers", call.database)


def test_a_lazy_lexicon_says_what_a_whole_one_says(call: Calls) -> None:
    database = call.get()
    whole, lazy = Lexicon.of(database.catalogue()), Lexicon.of(database.tables())
    assert list(whole.listed) == list(lazy.listed)
    for name in (("public", "orders"), ("public", "uses"), ("public", "filler_7")):
        assert whole.relations[name] == lazy.relations[name]
    for word in ("order", "customer", "pair", "use", "filler7", "7"):
        assert whole.tables.get((word,)) == lazy.tables.get((word,))
        for ref in (whole.tables.get((word,)) or (0, ()))[1]:
            assert whole.tables.hops(ref) == lazy.tables.hops(ref)
    with pytest.raises(KeyError):
        lazy.relations["public", "nowhere"]


def test_each_role_has_tables_of_its_own(call: Calls, postgres: Server) -> None:
    postgres.psql(
        "create role asks login password 'asks-password'; grant select on orders to asks",
        call.database,
    )
    with calls(postgres, call.database, "asks", "asks-password") as as_asks:
        assert answer(as_asks, "how many orders") == "3"
        assert "No place for: “customers”" in as_asks.failure(TOOL, query="how many customers")
        postgres.psql("grant select on customers to asks", call.database)
        assert answer(as_asks, "how many customers") == "3"
        postgres.psql("revoke select on customers from asks", call.database)
        assert "No place for: “customers”" in as_asks.failure(TOOL, query="how many customers")
    postgres.psql("drop owned by asks; drop role asks", call.database)
