"""Statements that PostgreSQL's analysis would multiply are not sent; ordinary ones are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pgmcp.calls.call import Call
from pgmcp.errors import StatementRefusedError
from pgmcp.judging import expansion
from pgmcp.judging.expansion import MAX_DEPTH, MAX_LEXEMES, objection
from pgmcp.sql.lexer import Lexeme, lexemes
from tests.databases import open_databases, settings_for
from tests.ordinary_statements import ORDINARY, nested
from tools.postgres import Server

_WIDE = ", ".join(f"1 as a{n}" for n in range(1600))
_CUBE = "cube (a, a, a, a, a, a, a, a, a, a, a, a)"

EXPLOSIVE = {
    "BETWEEN SYMMETRIC": "select " + nested("({} between symmetric 0 and 1)::int", 11, "1"),
    "BETWEEN": "select " + nested("({} between 0 and 1)::int", 20, "1"),
    "BETWEEN in CASE": "select "
    + nested("case when {} between symmetric 0 and 1 then 1 end", 11, "1"),
    "BETWEEN behind a digit": "select "
    + nested("({} + 0between symmetric 0and 1)::int", 11, "1"),
    "BETWEEN's upper bound": "select "
    + nested("(0 between symmetric 1 and ({}))::int", 20, "1"),
    "BETWEEN without brackets": "select " + "true between symmetric true and not " * 20 + "true",
    "BETWEEN beside reserved words as names": "select "
    + nested("((select 1 as case) + (t.r).from + {} between symmetric 0 and 1)::int", 9, "1"),
    "BETWEEN in brackets of an array": "select "
    + nested("array[{} between symmetric array[true] and array[false]]", 11, "array[true]"),
    "IN": "select " + nested("({} in (a, b, c))::int", 12, "a") + " from (select 1 a, 2 b, 3 c) t",
    "IN with rows": "select 1 from (select 1 a) t where ("
    + "+".join(["a"] * 1000) + ", a) in (" + ", ".join(["(1, 2)"] * 1000) + ")",
    "NOT IN": "select "
    + nested("({} not in (a, b, c))::int", 12, "a") + " from (select 1 a, 2 b, 3 c) t",
    "(…).*": "select " + nested("row(({}).*, 1)", 6, "row(1, 2)"),
    "(…).* of a wide row": f"select (row({', '.join(['1'] * 1600)})).*",
    "(…).name.*": "select " + nested("row(({}).f1.*, 1)", 6, "row(row(1, 2))"),
    "t.*": f"with t as (select {_WIDE}) select 1 from t where "
    + " and ".join(["row(t.*) is not null"] * 900),
    "select *": f"with t as (select {_WIDE}) select 1 where "
    + " and ".join(["exists (select * from t)"] * 900),
    "FROM": "select 1 from " + ", ".join(f"pg_class c{n}" for n in range(2000)),
    "FROM behind CASE as a name": "select 1 case from "
    + ", ".join(f"pg_class c{n}" for n in range(2000)),
    "JOIN": "select 1 from pg_class c "
    + " ".join(f"join pg_class c{n} on true" for n in range(300)),
    "JOIN in brackets": "select 1 from (pg_class c "
    + " ".join(f"join pg_class c{n} on true" for n in range(300)) + ")",
    "CUBE": "select 1 from (select 1 a) t group by grouping sets ("
    + ", ".join([_CUBE] * 100) + ")",
    "ROLLUP": "select 1 from (select 1 a) t group by rollup (" + ", ".join(["a"] * 2000) + ")",
    "GROUP BY": "select 1 from (select 1 a) t group by "
    + ", ".join(f"a + {n}" for n in range(6_000)),
    "ORDER BY": "select 1 from (select 1 a) t order by "
    + ", ".join(f"a + {n}" for n in range(6_000)),
    "DISTINCT ON": "select distinct on ("
    + ", ".join(f"a + {n}" for n in range(6_000)) + ") 1 from (select 1 a) t",
    "OVER": "select 1 from (select 1 a) t where exists (select "
    + ", ".join(f"rank() over (order by a + {n})" for n in range(5_000)) + ")",
    "names": "select 1 from " + ", ".join(f"pg_class c{n}" for n in range(900)) + " where "
    + " and ".join(["a is null"] * 5_000),
    "brackets": "select " + "(" * (MAX_DEPTH + 1) + "1" + ")" * (MAX_DEPTH + 1),
    "length": "select " + "1+" * 100_001 + "1",
    "words": "select " + "a " * 130_000,
    "comments side by side": "select 1 " + "/**/" * 5_000,
    "comments in one another": "select 1 " + "/*" * 10_000,
    "comments behind operators": "select 1 " + "+/**/" * 5_000 + "1",
    "plus signs": "select " + "+" * 10_000 + "1",
    "plus and minus signs": "select " + "+-" * 10_000 + "1",
    "OR": "select 1 from pg_class where " + " or ".join(["oid = 1"] * 4_000),
    "AND of OR": "select 1 from pg_class where " + " and ".join(["(oid = 1 or oid = 2)"] * 2_000),
    "a tsquery": "select '" + "&".join(["a"] * 60_000) + "'::tsquery",
    "a tsquery of phrases": "select $q$" + "<->".join(["a"] * 60_000) + "$q$",
    "attributes": "select '<a " + " ".join(f'a{n}=""' for n in range(12_000)) + "/>'::xml",
    "attributes by default": "select '<!DOCTYPE a [<!ATTLIST a b CDATA \"\">]>"
    + "<a/>" * 20_000 + "'::xml",
    "behind a backslash": r"select '\'', "
    + nested("({} between symmetric 0 and 1)::int", 11, "1") + r", '\''",
}  # fmt: skip


@pytest.mark.parametrize("kind", EXPLOSIVE)
def test_what_would_multiply_is_found_in_its_text(kind: str) -> None:
    said = objection(EXPLOSIVE[kind])
    assert said is not None
    assert ". " in said  # what to do instead


def test_a_list_behind_from_names_no_tables() -> None:
    windows = ", ".join(f"w{n} as (order by a)" for n in range(1_100))
    assert objection(f"select 1 from t where true window {windows}") is None
    rows = ", ".join(f"({n})" for n in range(1_100))
    assert objection(f"select 1 from (values {rows}) v") is None


def test_the_same_in_a_comment_or_a_string_is_only_text() -> None:
    for kind in ("BETWEEN SYMMETRIC", "(…).*", "JOIN"):
        text = EXPLOSIVE[kind]
        for quoted in (f"/* {text} */", f"'{text}'", f'"{text}"', f"$q$ {text} $q$", f"E'{text}'"):
            assert objection(f"select 1 {quoted}") is None


@pytest.mark.parametrize(
    "text",
    [
        "select 1 " + "/**/ " * 100_000,
        "select 1 " + "/* a *//* b */" * 50_000,
        f"/{'*' * 50_000}/ select 1",
        "--" + "-" * 50_000 + "\nselect 1",
        f"select '{'+/=' * 2_000} {'+----' * 2_000}'",
        "select " + "1 + " * 50_000 + "1",
        "select 1 " + "/**/" * 1000,
        "select '" + "+" * 20_000 + "', $q$" + "+" * 20_000 + '$q$, "' + "+" * 20_000 + '"',
        "values " + ", ".join(["(1, 'a', 2)"] * 14_000),
        "select 1 from t where (a, b) in (" + ", ".join(["(1, 2)"] * 2_500) + ")",
        "select 1 from t where " + " or ".join(["(a = 1 and b = 2)"] * 1_000),
        "select '<r>" + '<a b="1" c="2"/>' * 20_000 + "'::xml",
        "select 'a|b&c," + "text " * 100_000 + "'",
    ],
    ids=(
        "spaced",
        "filled",
        "a line of stars",
        "a line of dashes",
        "signs in a string",
        "sum",
        "few",
        "runs of signs in quotes",
        "rows",
        "pairs",
        "written pairs",
        "a document",
        "a long text",
    ),
)
def test_ordinary_comments_are_not_read_too_often(text: str) -> None:
    assert objection(text) is None


def test_a_text_of_too_many_words_is_read_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Lexeme] = []

    def counted(text: str, *, backslashes: bool = False) -> Iterator[Lexeme]:
        for lexeme in lexemes(text, backslashes=backslashes):
            read.append(lexeme)
            yield lexeme

    monkeypatch.setattr(expansion, "lexemes", counted)
    assert objection("select " + "'\\', a " * 160_000) is not None
    assert len(read) <= MAX_LEXEMES + 1


@pytest.mark.parametrize("number", range(len(ORDINARY)))
def test_ordinary_statements_are_not_too_large(number: int) -> None:
    assert objection(ORDINARY[number]) is None


def test_ordinary_statements_run(postgres: Server, database: str) -> None:
    databases = open_databases([settings_for(postgres, database, statement_timeout_seconds=60.0)])
    refused = []
    try:
        for text in ORDINARY:
            try:
                databases.database("owner", "main", Call(60)).query(text, max_rows=5)
            except StatementRefusedError as error:
                refused.append(f"{text[:200]}: {error.message}")
    finally:
        databases.pools.close(5)
    assert refused == []


def test_nothing_of_an_explosive_statement_reaches_the_server(
    postgres: Server, database: str
) -> None:
    databases = open_databases([settings_for(postgres, database)])
    try:
        explained = databases.database("owner", "main", Call(30))
        for text in (
            EXPLOSIVE[kind]
            for kind in ("BETWEEN SYMMETRIC", "(…).*", "FROM", "comments side by side")
        ):
            with pytest.raises(StatementRefusedError) as refused:
                explained.query(text, max_rows=1)
            assert refused.value.gate == "judge"
            with pytest.raises(StatementRefusedError):
                explained.explain("", text)
    finally:
        databases.pools.close(5)
