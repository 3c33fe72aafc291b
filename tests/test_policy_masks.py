"""Masked columns: how they are shown, and that nothing else may be done with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from pgmcp.calls.call import Call
from pgmcp.config import masks, patterns
from pgmcp.config.patterns import ReadRules
from pgmcp.config.policies import Policy
from pgmcp.errors import ToolError
from pgmcp.features.tools import count_rows, get_schema_info, query_database
from pgmcp.gate.databases import DatabaseSet
from pgmcp.policy.active import ActivePolicy
from tests.databases import open_databases, settings_for
from tests.tool_calls import Calls
from tools.postgres import Server

SCHEMA = """
CREATE TABLE users (id int, email text, card varchar(20), born date, pin int, city text);
INSERT INTO users VALUES {rows}, (2, NULL, '', NULL, NULL, 'Rome');
CREATE VIEW contacts AS SELECT id, email AS address, lower(city) AS town FROM users;
CREATE TABLE parent (id int, email text);
CREATE TABLE child () INHERITS (parent);
INSERT INTO child VALUES (1, {child});
ANALYZE;
"""
ROWS = (
    "(1, 'ann.lee@example.com', '4000123412341234', '1980-05-17', 1234, 'Oslo')",
    "(1, 'eva.may@example.com', '5999555555551234', '1980-11-02', 9, 'Oslo')",
)
POLICY = ActivePolicy(
    Policy(
        read=ReadRules((patterns.parse("public.*"),)),
        mask=masks.parse(
            {
                "public.users.email": "null",
                "public.users.card": "last4",
                "public.users.born": "partial",
                "public.users.pin": "0000",
                "public.parent.email": "hidden",
            }
        ),
    ),
    b"k" * 32,
)


@pytest.fixture(scope="module")
def worlds(postgres: Server) -> Iterator[Sequence[DatabaseSet]]:
    """Two databases that differ in masked values only."""
    names = [f"masks_{postgres.version}_{number}" for number in range(len(ROWS))]
    opened: list[DatabaseSet] = []
    for name, rows in zip(names, ROWS, strict=True):
        postgres.create_database(name)
        postgres.psql(SCHEMA.format(rows=rows, child=f"'{name}'"), name)
        opened.append(open_databases([settings_for(postgres, name)]))
    yield opened
    for databases in opened:
        databases.pools.close(5)
    for name in names:
        postgres.drop_database(name)


def answer(databases: DatabaseSet, text: str) -> object:
    database = databases.database("owner", "main", Call(30), policy=POLICY)
    try:
        return database.query(text, max_rows=100).rows
    except ToolError as error:
        return error.for_client()


SHOWN = [
    ("SELECT id, card, pin FROM users", [(b"1", b"***1234", b"0000"), (b"2", b"***", None)]),
    ("SELECT born FROM users WHERE id = 1", [(b"1980",)]),
    ("SELECT email FROM users", [(None,), (None,)]),
    (
        "SELECT * FROM users WHERE id = 1",
        [(b"1", None, b"***1234", b"1980", b"0000", b"Oslo")],
    ),
    ("SELECT x.card FROM (SELECT * FROM users) x WHERE x.id = 1", [(b"***1234",)]),
    ("WITH q AS (SELECT card, id FROM users) SELECT card FROM q WHERE id = 1", [(b"***1234",)]),
    ("SELECT (SELECT card FROM users WHERE id = 1)", [(b"***1234",)]),
    ("SELECT card FROM users WHERE id = 1 UNION ALL SELECT 'x'", [(b"***1234",), (b"***",)]),
    ("SELECT 'x' UNION ALL SELECT card FROM users WHERE id = 1", [(b"***",), (b"***1234",)]),
    ("SELECT address FROM contacts WHERE id = 1", [(None,)]),
    ("SELECT j.card FROM (users JOIN parent USING (id)) j WHERE j.id = 1", [(b"***1234",)]),
    ("SELECT count(*) FROM users", [(b"2",)]),
    ("SELECT email FROM parent", [(b"hidden",)]),
    ("SELECT email FROM child", [(b"hidden",)]),
    ("SELECT town FROM contacts WHERE id = 1", [(b"oslo",)]),
    ("SELECT card AS city, city AS card FROM users WHERE id = 1", [(b"***1234", b"Oslo")]),
]


@pytest.mark.parametrize(("text", "rows"), SHOWN, ids=[text for text, _ in SHOWN])
def test_a_masked_column_is_shown_by_its_mask_wherever_it_is_put_out(
    worlds: Sequence[DatabaseSet], text: str, rows: object
) -> None:
    for databases in worlds:
        assert answer(databases, text) == rows


def test_a_refusal_of_another_use_names_the_column(worlds: Sequence[DatabaseSet]) -> None:
    """The corpus of other uses is in `test_policy_leaks`."""
    for text in (
        "SELECT id FROM users WHERE pin = 1234",
        "SELECT id FROM contacts WHERE address > 'a'",
        "SELECT id FROM child WHERE email > 'a'",
        "SELECT extract(month FROM born) FROM users",
        "SELECT pin + 0 FROM users",
    ):
        assert "is masked" in str(answer(worlds[0], text))


HASHED = ActivePolicy(
    Policy(
        read=ReadRules((patterns.parse("public.*"),)),
        mask=masks.parse({"public.users.card": "hash"}),
    ),
    b"k" * 32,
)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT card FROM users UNION ALL VALUES ('4000123412341234')",
        "SELECT c FROM (SELECT card AS c FROM users UNION ALL SELECT city FROM users) x",
        "WITH RECURSIVE r(c) AS (SELECT 'x' UNION ALL SELECT card FROM users) SELECT c FROM r",
        "SELECT (SELECT card FROM users LIMIT 1) UNION ALL SELECT '4000123412341234'",
    ],
)
def test_no_value_of_the_callers_own_is_hashed_beside_a_masked_one(
    worlds: Sequence[DatabaseSet], text: str
) -> None:
    database = worlds[0].database("owner", "main", Call(30), policy=HASHED)
    ((shown,),) = database.query("SELECT card FROM users LIMIT 1", max_rows=9).rows
    assert shown is not None and len(shown) == 16
    with pytest.raises(ToolError, match="is masked"):
        database.query(text, max_rows=9)


def test_the_place_where_a_result_is_cut_tells_nothing_of_masked_values(postgres: Server) -> None:
    name = f"cut_{postgres.version}"
    postgres.create_database(name)
    try:
        postgres.psql("CREATE TABLE t (id int, s text)", name)
        databases = open_databases([settings_for(postgres, name, max_result_bytes=2000)])
        policy = ActivePolicy(
            Policy(
                read=ReadRules((patterns.parse("public.*"),)),
                mask=masks.parse({"public.t.s": "x"}),
            )
        )
        counts = set()
        for length in (1, 40, 90):
            postgres.psql(
                f"TRUNCATE t; INSERT INTO t SELECT n, repeat('a', {length})"
                " FROM generate_series(1, 20) n",
                name,
            )
            database = databases.database("owner", "main", Call(30), policy=policy)
            rows = database.query("SELECT s, repeat('b', 130) FROM t", max_rows=100)
            counts.add((len(rows.rows), rows.cut_bytes))
        databases.pools.close(5)
        assert counts == {(13, 2000)}
    finally:
        postgres.drop_database(name)


def test_the_schema_says_that_a_column_is_masked_and_shows_no_value(
    worlds: Sequence[DatabaseSet],
) -> None:
    call = Calls(worlds[0], "main", POLICY)
    described = call(get_schema_info.TOOL, table_name="users")
    assert "masked (null)" in described
    assert "masked (last4)" in described
    assert "ann.lee" not in described


def test_tools_show_masks_and_refuse_conditions(worlds: Sequence[DatabaseSet]) -> None:
    call = Calls(worlds[0], "main", POLICY)
    assert "***1234" in call(query_database.TOOL, query="show me all users")
    refused = call.failure(
        count_rows.TOOL, table="users", filter=[{"column": "pin", "op": "=", "value": "1234"}]
    )
    assert "public.users.pin is masked" in refused
    plan = call.failure(query_database.TOOL, query="EXPLAIN SELECT email FROM users")
    assert "masked columns" in plan
    assert "Seq Scan" in call(query_database.TOOL, query="EXPLAIN SELECT id FROM users")
