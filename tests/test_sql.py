"""Reading the little of SQL that has to be read, and quoting what must not be SQL."""

from __future__ import annotations

import pytest

from pgmcp.errors import StatementRefusedError, ToolError
from pgmcp.sql import text as sql


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("SELECT 1", "select"),
        ("  -- show\n\t/* show /* nested */ */ Explain x", "explain"),
        ("show_all", "show_all"),
        ('"show" x', ""),
        ("(select 1)", ""),
        ("", ""),
        ("/* never ends", ""),
        ("--a\rshow x", "show"),
    ],
)
def test_the_first_word_is_found_behind_space_and_comments(text: str, word: str) -> None:
    assert sql.first_word(text) == word


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("select 1;", "select 1;"),
        (" /* x */ select ';'", " /* x */ select ';'"),
        (";select 1", " select 1"),
        (";;\n-- x\n; select 1", " " * 10 + "select 1"),
        (";", " "),
    ],
)
def test_empty_statements_in_front_become_blanks(text: str, rest: str) -> None:
    assert sql.without_empty(text) == rest and len(text) == len(rest)


@pytest.mark.parametrize(
    ("text", "options", "rest"),
    [
        ("explain select 1", {}, "select 1"),
        ("EXPLAIN ANALYZE select 1", {"analyze": "true"}, "select 1"),
        ("explain analyse verbose select 1", {"analyze": "true", "verbose": "true"}, "select 1"),
        ("explain verbose /* x */ table t", {"verbose": "true"}, "table t"),
        (
            "explain (ANALYZE, buffers off, format JSON)\nselect 1",
            {"analyze": "", "buffers": "off", "format": "json"},
            "select 1",
        ),
        (
            "explain (serialize, analyze, wal 0) select 1",
            {"serialize": "", "analyze": "", "wal": "0"},
            "select 1",
        ),
        ("explain (format 'yaml') (select 1)", {"format": "yaml"}, "(select 1)"),
        ("explain (select 1)", {}, "(select 1)"),
        ("explain (values (1))", {}, "(values (1))"),
        ("explain ((select 1) union select 2)", {}, "((select 1) union select 2)"),
        ("explain (analyze", {}, "(analyze"),
        ("explain", {}, ""),
    ],
)
def test_explain_is_taken_apart(text: str, options: dict[str, str], rest: str) -> None:
    found = sql.split_explain(text)
    assert found is not None
    assert (found.options, text[found.offset :]) == (options, rest)


@pytest.mark.parametrize("text", ["select 1", "explained", "", "(explain select 1)"])
def test_what_is_no_explain_is_left_alone(text: str) -> None:
    assert sql.split_explain(text) is None


def test_options_are_written_only_when_they_can_be_nothing_else() -> None:
    assert sql.explain_options({"analyze": "true", "format": "json"}) == "ANALYZE TRUE, FORMAT JSON"
    assert sql.explain_options({"analyze": "", "serialize": "text"}) == "ANALYZE, SERIALIZE TEXT"
    for name, value in (("a) select", "1"), ("format", "json) delete"), ("", "x"), ("a", "'")):
        with pytest.raises(StatementRefusedError):
            sql.explain_options({name: value})


def test_names_and_constants_are_quoted_whatever_they_hold() -> None:
    assert sql.quote_identifier('a"b;--') == '"a""b;--"'
    assert sql.quote_literal("o'x") == "'o''x'"
    assert sql.quote_literal("a\\'b") == r" E'a\\''b'"
    for quote in (sql.quote_identifier, sql.quote_literal):
        for bad in ("a\0b", "\ud800"):
            with pytest.raises(ToolError):
                quote(bad)


def test_text_has_a_limit_that_counts_bytes() -> None:
    assert sql.encode("é" * 500_000) == "é".encode() * 500_000
    with pytest.raises(ToolError, match="the limit is 1000000"):
        sql.encode("é" * 500_001)


@pytest.mark.parametrize(
    "text",
    [
        "select 1",
        " SELECT -1.5 , 'a''b' as x, NULL ,True ; ",
        "select 'select lower(name) from t'",
        "select 1 as from",
    ],
)
def test_a_select_of_constants_names_nothing(text: str) -> None:
    assert sql.names_nothing(text)


@pytest.mark.parametrize(
    "text",
    [
        "select a",
        "select 1 from t",
        "select 1 + 1",
        "select +1",
        "select 1::int",
        "select date '2020-01-01'",
        "select lower('a')",
        "select 'a' 'b'",
        "select 'a\\'",
        "select E'a'",
        "select current_user",
        "select 1 as x, y",
        "select 1; select 2",
        "select (1)",
        "select\u00a01",
        "\u017felect 1",
        "select 1 -- x",
        "values (1)",
        "select " + "1, " * 1000 + "1",
        "",
    ],
)
def test_whatever_has_a_name_or_may_have_one_names_something(text: str) -> None:
    assert not sql.names_nothing(text)


@pytest.mark.parametrize(
    ("text", "may"),
    [
        ("select 1", False),
        ("insert into t values (1)", True),
        (" /* x */ DELETE FROM t", True),
        ("merge into t using s on true when matched then delete", True),
        ("with q as (select 1) select 'update' from q", False),
        ("with q as (Update t set a = 1 returning 1) select 1 from q", True),
        ("values (1)", False),
    ],
)
def test_what_may_write_is_told_by_its_words(text: str, may: bool) -> None:
    assert sql.may_write(text) is may
