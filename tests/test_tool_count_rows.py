"""count_rows: exact numbers, and nothing in the arguments becomes SQL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from pgmcp.features.tools import count_rows
from tests.tool_calls import Calls, calls, fresh
from tools.postgres import Server

TOOL = count_rows.TOOL

_SQL = """
create type mood as enum ('happy', 'sad');
create table people (
  id int primary key, name varchar(3), code char(5), born date, paid numeric(6,2), feels mood,
  active boolean, tags text[], seen timestamptz, "Odd ""col" text
);
insert into people values
  (1, 'Ada', 'a', '1815-12-10', 1.10, 'happy', true, '{x,y}', '2024-01-01 00:00:00.000001+00', 'q'),
  (2, 'Bob', 'b', '1990-01-01', 2.25, 'sad', false, null, '2024-06-01 00:00:00+00', null),
  (3, '', 'c', null, null, null, null, '{}', null, '100%');
create view adults as select * from people where born < '2000-01-01';
create schema other; create table other.things as select generate_series(1, 12345);
create table other."Mixed Case.Name" (x int);
create role half login password 'half-password';
grant usage on schema other to half; grant select (id) on people to half;
"""


@pytest.fixture(scope="module")
def call(postgres: Server) -> Iterator[Calls]:
    with fresh(postgres, _SQL) as ready:
        yield ready
    postgres.psql("drop role half")


def count(call: Calls, table: str = "people", *filter_: dict[str, Any], **more: Any) -> int:
    return int(call(TOOL, table=table, filter=list(filter_), **more).split("\n")[-1])


def test_a_count_shows_what_was_run(call: Calls, postgres: Server) -> None:
    text = call(TOOL, table="people", filter=[{"column": "name", "op": "=", "value": 'A"da'}])
    assert text == (
        f"Database: main (postgres@127.0.0.1:{postgres.port}/{call.database})\n"
        'SQL: SELECT count(*) FROM "public"."people" WHERE "name" = $1\n'
        'Parameters: $1 = "A\\"da"\n'
        "\n"
        "count\n"
        "0"
    )


def test_tables_views_and_other_schemas(call: Calls) -> None:
    assert count(call) == 3
    assert count(call, "adults") == 2
    assert count(call, "other.things") == count(call, "things", schema="other") == 12345
    assert count(call, "Mixed Case.Name") == count(call, 'other."Mixed Case.Name"') == 0


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        ({"column": "id", "op": "=", "value": "2"}, 1),
        ({"column": "id", "value": " 2 "}, 1),
        ({"column": "id", "op": "<>", "value": "2"}, 2),
        ({"column": "id", "op": ">=", "value": "2"}, 2),
        ({"column": "id", "op": "in", "values": ["1", "3", "9"]}, 2),
        ({"column": "id", "op": "not in", "values": ["1", "3"]}, 1),
        ({"column": "ID", "op": "<", "value": "2"}, 1),
        ({"column": "born", "op": "<=", "value": "1990-01-01"}, 2),
        ({"column": "born", "op": "is null"}, 1),
        ({"column": "born", "op": "is not null"}, 2),
        ({"column": "paid", "op": ">", "value": "1.1"}, 1),
        ({"column": "feels", "op": "=", "value": "sad"}, 1),
        ({"column": "active", "op": "=", "value": "true"}, 1),
        ({"column": "tags", "op": "=", "value": "{x,y}"}, 1),
        ({"column": "seen", "op": "=", "value": "2024-01-01T00:00:00.000001Z"}, 1),
        ({"column": "name", "op": "=", "value": ""}, 1),
        ({"column": "name", "op": "like", "value": "%d%"}, 1),
        ({"column": "name", "op": "not like", "value": "%d%"}, 2),
        ({"column": "name", "op": "ilike", "value": "a__"}, 1),
        ({"column": "name", "op": "not ilike", "value": "a__"}, 2),
        ({"column": "born", "op": "like", "value": "1815-%"}, 1),
        ({"column": 'Odd "col', "op": "=", "value": "100%"}, 1),
        ({"column": '"Odd ""col"', "op": "=", "value": "q"}, 1),
        ({"column": "code", "op": "=", "value": "a"}, 1),
    ],
)
def test_each_operator_counts(call: Calls, condition: dict[str, Any], ids: int) -> None:
    assert count(call, "people", condition) == ids


def test_a_value_is_never_cut_or_rounded_to_fit_the_column(call: Calls) -> None:
    assert count(call, "people", {"column": "name", "value": "Adalbert"}) == 0
    assert count(call, "people", {"column": "paid", "value": "1.101"}) == 0
    assert count(call, "people", {"column": "code", "value": "abcdefgh"}) == 0


def test_every_condition_must_hold(call: Calls) -> None:
    older = {"column": "born", "op": "<", "value": "1900-01-01"}
    assert count(call, "people", older, {"column": "active", "value": "t"}) == 1
    assert count(call, "people", older, {"column": "active", "value": "f"}) == 0


@pytest.mark.parametrize("evil", ["x' OR true --", '") OR true --', "1; drop table people", "$1"])
def test_nothing_becomes_sql(call: Calls, evil: str) -> None:
    assert count(call, "people", {"column": "name", "value": evil}) == 0
    assert count(call, "people", {"column": "name", "op": "in", "values": [evil, "Bob"]}) == 1
    assert "no column" in call.failure(
        TOOL, table="people", filter=[{"column": evil, "value": "1"}]
    )
    assert "no table" in call.failure(TOOL, table=evil)
    assert "no schema" in call.failure(TOOL, table="people", schema=evil)
    assert "expected one of" in call.failure(
        TOOL, table="people", filter=[{"column": "id", "op": evil, "value": "1"}]
    )
    assert count(call) == 3


def test_a_value_of_the_wrong_type_is_postgresqls_error(call: Calls) -> None:
    failure = call.failure(TOOL, table="people", filter=[{"column": "id", "value": "two"}])
    assert re.search(r'ERROR: .*"two" \(SQLSTATE 22P02\)', failure)
    failure = call.failure(TOOL, table="people", filter=[{"column": "feels", "value": "angry"}])
    assert re.search(r'ERROR: .*"angry" \(SQLSTATE 22P02\)', failure)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"column": "id"}, '"=" needs a "value"'),
        ({"column": "id", "op": "in"}, '"in" needs "values"'),
        ({"column": "id", "op": "in", "value": "1", "values": ["1"]}, 'and no "value"'),
        ({"column": "id", "values": ["1"]}, '"values" is for in and not in'),
        ({"column": "id", "op": "is null", "value": "1"}, '"is null" takes no "value"'),
        ({"column": "idd", "value": "1"}, 'no column "idd"'),
    ],
)
def test_a_condition_that_makes_no_sense_is_explained(
    call: Calls, condition: dict[str, Any], message: str
) -> None:
    assert message in call.failure(TOOL, table="people", filter=[condition])


def test_a_column_that_may_not_be_read_cannot_be_asked_about(call: Calls, postgres: Server) -> None:
    with calls(postgres, call.database, "half", "half-password") as as_half:
        assert count(as_half, "people", {"column": "id", "op": ">", "value": "1"}) == 2
        hidden = [{"column": "name", "value": "Ada"}]
        assert "no column" in as_half.failure(TOOL, table="people", filter=hidden)
        assert "may not read it" in as_half.failure(TOOL, table="other.things")


def test_conditions_as_clients_send_them(call: Calls) -> None:
    assert count(call, "people", {"column": "id", "op": ">", "value": 1}) == 2
    assert count(call, "people", {"column": "active", "value": True}) == 1
    assert count(call, "people", {"column": "id", "op": "IN", "values": [1, "2", 3.0]}) == 3
    text = '[{"column": "id", "op": "in", "values": "[1, 2]"}]'
    assert call(TOOL, table="people", filter=text, timeout_seconds="0").endswith("\n2")
    # An empty text is a value to compare with, and left out where none is taken.
    assert count(call, "people", {"column": "name", "value": ""}) == 1
    assert count(call, "people", {"column": "born", "op": "is null", "value": ""}) == 1
    assert count(call, "people", {"column": "id", "op": "in", "value": "", "values": [1]}) == 1
