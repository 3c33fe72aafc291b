"""query_database: what comes back, for every kind of value and statement."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from types import FrameType

import pytest

from pgmcp.errors import ArgumentError
from pgmcp.features.tools import count_rows, execute_explain, query_database
from pgmcp.language.facade import looks_like_sql
from pgmcp.mcp.feature import Tool
from pgmcp.rpc.schema import build
from tests.tool_calls import Calls, calls, fresh
from tools.postgres import Server

TOOL = query_database.TOOL


_TABLES = """
create table numbers as select 7 as n;
create table paint (colour text);
"""


@pytest.fixture(scope="module")
def call(postgres: Server) -> Iterator[Calls]:
    with fresh(postgres, _TABLES) as ready:
        yield ready


def parts(text: str) -> tuple[str, list[str], str]:
    """The heading, the lines of the table and the note of a result."""
    heading, _, rest = text.partition("\n\n")
    table, _, note = rest.rpartition("\n\n")
    return heading, table.split("\n"), note


def test_a_result_names_the_database_and_the_sql_before_the_rows(
    call: Calls, postgres: Server
) -> None:
    assert call(TOOL, query="select 1 as one, 'x' as two") == (
        f"Database: main (postgres@127.0.0.1:{postgres.port}/{call.database})\n"
        "SQL: select 1 as one, 'x' as two\n"
        "\n"
        "one\ttwo\n"
        "1\tx\n"
        "\n"
        "1 row."
    )


@pytest.mark.parametrize(
    "statement",
    [
        "select 'a\nb' as v",
        "select 'a\r\n\n  b\r' as v",
        'select $$\n\n$$\n\nas "v\nw"\r\n-- x\n;',
        "select 'SQL: x' -- \u00a0",
    ],
)
@pytest.mark.parametrize("tool", [TOOL, execute_explain.TOOL])
def test_the_statement_is_shown_as_it_was_sent(call: Calls, tool: Tool, statement: str) -> None:
    heading = f"\nSQL: {statement}\n\n"
    assert heading in call(tool, query=f" {statement}\n")


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("1.10::numeric(12,4)", "1.1000"),
        ("'NaN'::numeric", "NaN"),
        ("0.1::float8 + 0.2", "0.30000000000000004"),
        ("9223372036854775807", "9223372036854775807"),
        ("true", "t"),
        ("'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("'\\x00ff09'::bytea", "\\\\x00ff09"),
        ("'-1 mon -2 days +03:04:05.678'::interval", "-1 mons -2 days +03:04:05.678"),
        ("'24:00:00'::time", "24:00:00"),
        ("'[2024-01-01,2024-02-01)'::daterange", "[2024-01-01,2024-02-01)"),
        ("'[0:1]={1,2}'::int[]", "[0:1]={1,2}"),
        ("array['a,b', NULL, '', '\"', E'\\t']", '{"a,b",NULL,"","\\\\"","\\t"}'),
        ("'{\"a\": [1, null]}'::jsonb", '{"a": [1, null]}'),
        ("'{ \"a\":1}'::json", '{ "a":1}'),
        ("'2024-02-29 12:34:56.000001'::timestamp", "2024-02-29 12:34:56.000001"),
        ("'infinity'::date", "infinity"),
        ("'10.1.2.3/8'::inet", "10.1.2.3/8"),
        ("row(1, NULL, 'x y')", '(1,,"x y")'),
        ("'ab'::char(4)", "ab  "),
        ("'Zoë 漢字 🙂'", "Zoë 漢字 🙂"),
        ("NULL::text", "\\N"),
        ("''", ""),
        ("'\\N'", "\\\\N"),
        ("E'tab\\tline\\nreturn\\rback\\\\slash'", "tab\\tline\\nreturn\\rback\\\\slash"),
        ("E'\\x01\\x1b\\u2028'", "\x01\x1b\u2028"),
    ],
)
def test_a_value_is_written_as_postgresql_writes_it(
    call: Calls, expression: str, shown: str
) -> None:
    _, table, _ = parts(call(TOOL, query=f"select {expression} as v, 'end'"))
    assert table[1] == f"{shown}\tend"


def test_columns_may_share_a_name_and_a_name_may_hold_anything(call: Calls) -> None:
    _, table, _ = parts(call(TOOL, query='select 1 as a, 2 as a, 3 as "x\ty", 4 as "limit"'))
    assert table == ["a\ta\tx\\ty\tlimit", "1\t2\t3\t4"]


def test_no_rows_and_no_columns_are_said(call: Calls) -> None:
    assert parts(call(TOOL, query="select 1 as a where false"))[1:] == (["a"], "0 rows.")
    text = call(TOOL, query="select from generate_series(1, 2)")
    assert text.endswith("\n\n\n\n\n\n2 rows without columns.")


def test_a_database_without_an_encoding_shows_its_bytes(postgres: Server) -> None:
    provider = "LOCALE_PROVIDER libc" if postgres.version >= 150000 else ""
    postgres.psql(
        f"CREATE DATABASE raw_bytes ENCODING 'SQL_ASCII' {provider} LC_COLLATE 'C' LC_CTYPE 'C' "
        "TEMPLATE template0"
    )
    try:
        with calls(postgres, "raw_bytes") as call:
            _, table, _ = parts(call(TOOL, query=r"select E'caf\xe9' as v"))
            assert table == ["v", "caf\\xe9"]
    finally:
        postgres.drop_database("raw_bytes")


def test_limit_and_offset_page_through_a_result(call: Calls) -> None:
    query = "select n from generate_series(1, 250) n order by n"
    _, table, note = parts(call(TOOL, query=query))
    assert (len(table), table[1], table[-1]) == (101, "1", "100")
    assert note == "100 rows; there are more. Continue with offset=100 (and a stable ORDER BY)."
    _, table, note = parts(call(TOOL, query=query, limit=60, offset=200))
    assert (table[1], table[-1], note) == ("201", "250", "50 rows.")
    _, table, note = parts(call(TOOL, query=query, offset=250))
    assert (table, note) == (["n"], "0 rows from offset 250 on.")


def test_a_limit_is_one_to_a_thousand(call: Calls) -> None:
    many = "select from generate_series(1, 1001)"
    assert call(TOOL, query=many, limit=1000).endswith(
        "Continue with offset=1000 (and a stable ORDER BY)."
    )
    assert "arguments.limit: expected an integer from 1 to 1000" in call.failure(
        TOOL, query="select 1", limit=1001
    )
    assert "arguments.limit" in call.failure(TOOL, query="select 1", limit=-1)
    assert "arguments.limit" in call.failure(TOOL, query="select 1", limit=True)


def test_a_result_that_is_cut_by_its_size_says_how_to_go_on(call: Calls) -> None:
    wide = "select n, repeat('x', 1000000) from generate_series(1, 100) n order by n"
    _, table, note = parts(call(TOOL, query=wide))
    kept = len(table) - 1
    assert 0 < kept < 100
    assert note.startswith(f"{kept} rows, cut because the result reached ")
    assert f"Continue with offset={kept}, or select fewer columns." in note
    again = parts(call(TOOL, query=wide, offset=kept))[1]
    assert again[1].split("\t")[0] == str(kept + 1)


def test_a_row_that_is_too_large_alone_says_what_to_do(call: Calls) -> None:
    text = call(TOOL, query="select repeat('x', 20000000)")
    assert "the next row alone is larger than" in text


@pytest.mark.parametrize(
    ("query", "table"),
    [
        ("select 1 as a;", ["a", "1"]),
        ("-- limit\nselect 1 as a -- limit", ["a", "1"]),
        ('select 1 as "limit"', ["limit", "1"]),
        ("with x as (select 1 as a) select * from x", ["a", "1"]),
        ("values (1, 'x')", ["column1\tcolumn2", "1\tx"]),
        ("/* a */ SHOW server_encoding;", ["server_encoding", "UTF8"]),
        ("explain (costs off) select 1", ["QUERY PLAN", "Result"]),
        ("EXPLAIN select 1 where false", None),
        ("table numbers", ["n", "7"]),
        ("(select 1 as a) union all (select 2)", ["a", "1", "2"]),
    ],
)
def test_statements_that_read_run(call: Calls, query: str, table: list[str] | None) -> None:
    found = parts(call(TOOL, query=query))[1]
    assert found == table if table else len(found) > 1


@pytest.mark.parametrize(
    "query",
    [
        "select 1; select 2",
        "commit",
        "set work_mem = '1GB'",
        "copy (select 1) to stdout",
        "insert into numbers values (1)",
        "with x as (insert into numbers values (1) returning *) select * from x",
        "select 1 into u",
        "create table u ()",
        "explain analyze insert into numbers values (1)",
        "explain analyze create table u as select 1",
        "show work_mem; drop table numbers",
        "",
    ],
)
def test_everything_else_is_refused(call: Calls, postgres: Server, query: str) -> None:
    call.failure(TOOL, query=query)
    assert postgres.psql("select count(*) from numbers", call.database) == "1"
    assert postgres.psql("select to_regclass('u') is null", call.database) == "t"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("select 1 2", 'syntax error at or near "2"'),
        ("SELECT (1", "syntax error at end of input"),
        ("SELECT 'abc", "unterminated quoted string"),
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("select 1 +", "syntax error"),
        ("explain verbose analyze select 1", 'at or near "select"'),
        ("explain (frobnicate) select 1", "frobnicate"),
        ("EXPLAIN PLAN FOR select 1", 'at or near "PLAN"'),
        ("/* open select 1", "unterminated"),
        *((word, "syntax error at end of input") for word in ("table", "values", "with", "show")),
        ("table paint x", 'at or near "x"'),
    ],
)
def test_a_slip_gets_the_error_of_postgresql(call: Calls, query: str, said: str) -> None:
    failure = call.failure(TOOL, query=query)
    assert failure.startswith("ERROR: ")
    assert said in failure and "(SQLSTATE 42601)" in failure


@pytest.mark.parametrize("before", [";", " ; ;\n", "-- a\n;/* ; */;"])
@pytest.mark.parametrize("query", ["select n from numbers", "table numbers;;", "show port"])
def test_empty_statements_in_front_are_none(call: Calls, before: str, query: str) -> None:
    assert call(TOOL, query=before + query).endswith("\n\n1 row.")
    failure = call.failure(TOOL, query=f"{before} select nothing from numbers")
    assert f"Position: {len(before) + 9}" in failure
    assert "QUERY PLAN" in call(TOOL, query=f"{before} explain select 1")


@pytest.mark.parametrize("query", ["", ";", " ; -- nothing", "-- only"])
def test_a_text_without_a_statement_is_called_so(call: Calls, query: str) -> None:
    failure = call.failure(TOOL, query=query)
    assert failure.startswith("There is no statement.") or "arguments.query" in failure


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("select\u00a01", "Character 7 is U+00A0 (no-break space)"),
        ("\ufeffselect 1", "Character 1 is U+FEFF (zero width no-break space)"),
        ("select\u200b 1", "Character 7 is U+200B (zero width space)"),
        ("select 1\u2028", "Character 9 is U+2028 (line separator)"),
        ("select \u201cn\u201d from numbers", 'write " instead'),
        ('select "n\u200d" from numbers', "Character 10 is U+200D"),
        ("select n\uff0c n from numbers", "write , instead"),
        ("explain select\u00a0n from numbers", "Character 15 is U+00A0"),
    ],
)
def test_characters_that_are_letters_to_postgresql_are_named(
    call: Calls, query: str, named: str
) -> None:
    failure = call.failure(TOOL, query=query)
    assert failure.startswith("ERROR: ") and named in failure


def test_letters_and_what_stands_in_literals_are_not_named(call: Calls) -> None:
    for query in ("select \u00e4\u0301 from numbers", "select '\u00a0', x /* \u00a0 */"):
        assert "U+" not in call.failure(TOOL, query=query)
    assert "1 row." in call(TOOL, query="how many numbers\u00a0are there\u200b?")


@pytest.mark.parametrize(
    "query",
    [
        "Delete all numbers",
        "delete numbers",
        "delete the oldest number, please",
        "please remove all numbers",
        "update all numbers to 8",
        "insert a new number",
        "drop the numbers table",
        "delete from numbers wher n = 7",
        "set x",
    ],
)
def test_a_wish_to_change_something_is_refused_as_one(call: Calls, query: str) -> None:
    failure = call.failure(TOOL, query=query)
    assert "would change something, and this server only reads" in failure


def test_an_error_has_sqlstate_hint_and_the_position_in_the_text_that_was_sent(
    call: Calls,
) -> None:
    query = "select 1,\n       color from paint"
    failure = call.failure(TOOL, query=query)
    assert re.search(r'ERROR: .*"color".* \(SQLSTATE 42703\)', failure)
    assert re.search(r"\nHint: .*paint\.colour", failure)  # PostgreSQL's own, passed on
    assert f"Position: {query.index('color') + 1}" in failure
    explained = f"explain (costs off) {query}"
    assert f"Position: {explained.index('color') + 1}" in call.failure(TOOL, query=explained)


def test_a_timeout_can_be_asked_for(call: Calls) -> None:
    failure = call.failure(TOOL, query="select pg_sleep(15)", timeout_seconds=1)
    assert "ran out of time while PostgreSQL was working on it" in failure


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        (query_database.TOOL, {"query": "select 1"}),
        (query_database.TOOL, {"query": "how many numbers are there?"}),
        (execute_explain.TOOL, {"query": "select 1"}),
        (count_rows.TOOL, {"table": "numbers"}),
    ],
)
def test_a_timeout_is_the_deadline_of_the_whole_call(
    call: Calls, tool: Tool, arguments: dict[str, str]
) -> None:
    context = call.context
    tool.run(build(tool.args, arguments | {"timeout_seconds": 9}), context)
    assert context.call.remaining() < 9


def test_a_parameter_without_a_value_is_named(call: Calls) -> None:
    failure = call.failure(TOOL, query="select * from paint where colour = $1")
    assert failure == (
        "the statement has a parameter such as $1, and nothing gives it a value\n"
        "Hint: Write the value itself in its place."
    )


@pytest.mark.parametrize("comment", ["/* a /* nested */ one */", "-- ends with CR\r"])
def test_a_comment_in_front_is_read_as_postgresql_reads_it(call: Calls, comment: str) -> None:
    assert call(TOOL, query=f"{comment} select 7").endswith("\n7\n\n1 row.")


@pytest.mark.parametrize("query", ["select '\0'", "select '\ud800'"])
def test_text_that_postgresql_cannot_hold_is_refused(call: Calls, query: str) -> None:
    assert "Hint" in call.failure(TOOL, query=query)
    assert "Hint" in call.failure(TOOL, query=query.replace("select", "show"))
    assert "Hint" in call.failure(TOOL, query=f"explain {query}")


def test_options_of_explain_are_passed_on_as_they_are_written(
    call: Calls, postgres: Server
) -> None:
    known = ["summary", "settings, verbose off", "timing 0, analyze"]
    known += ["memory", "serialize, analyze"] if postgres.version >= 170000 else []
    for options in known:
        assert "QUERY PLAN" in call(TOOL, query=f"explain ({options}) select 1")
    assert "\n1 row" not in call.failure(TOOL, query="explain (costs 2) select 1")


@pytest.mark.parametrize(
    "query",
    [
        "explain insert into numbers values (1)",
        "EXPLAIN (costs off) update numbers set n = 2",
        "/* why */ explain verbose delete from numbers;",
        "explain with x as (delete from numbers returning *) select * from x",
    ],
)
def test_explain_shows_the_plan_of_a_write(call: Calls, postgres: Server, query: str) -> None:
    assert "QUERY PLAN" in call(TOOL, query=query)
    assert postgres.psql("select n from numbers", call.database) == "7"


def test_a_generic_plan_is_said_to_need_values(call: Calls, postgres: Server) -> None:
    if postgres.version >= 160000:
        query = "explain (generic_plan) select n from numbers where n = $1"
        assert "GENERIC_PLAN" in call.failure(TOOL, query=query)


def test_an_unknown_database_is_named(call: Calls) -> None:
    assert "elsewhere" in call.failure(TOOL, query="select 1", database="elsewhere")


def test_which_way_a_text_goes_is_read_once_unless_it_is_long(call: Calls) -> None:
    read: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is looks_like_sql.__code__:
            read.append(frame.f_locals["text"])

    short = f"select '{call.database}'"  # which no other test asks
    long = short + " --" + "-" * 3000
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        for query in (short, long, short, long):
            call(TOOL, query=query)
    finally:
        sys.setprofile(before)
    assert read == [short, long, long]


def test_text_is_measured_before_it_is_read(call: Calls) -> None:
    long_question = "show me all numbers " * 101
    assert "longer than 2,000 characters" in call.failure(TOOL, query=long_question)
    for text in ("quux " + "/*x" * 300_000, "select 1 " + " 'a" * 300_000, "--\n" * 330_000):
        assert call.failure(TOOL, query=text)
    for tool in (TOOL, execute_explain.TOOL):
        assert "the limit is 1000000" in call.failure(tool, query="ä" * 500_001)
        with pytest.raises(ArgumentError, match="1000000"):
            call(tool, query="x" * 1_000_001)
