"""SQL and plain language are told apart, with a real server's verdict on each text."""

from __future__ import annotations

from pgmcp.language.prose import is_prose, looks_like_sql
from tests.language.databases import load_schema
from tests.language.questions import FOLDER
from tools.postgres import Server


def texts(name: str) -> list[str]:
    """The texts of a data file, one a line."""
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    return [line.replace("\\n", "\n") for line in lines if line and not line.startswith("#")]


def test_plain_language_is_never_taken_for_sql(postgres: Server, database: str) -> None:
    asked = texts("prose.txt")
    with load_schema(postgres, database, "schema_shop.sql") as shop:
        pairs = zip(asked, shop.verdicts(asked), strict=True)
        assert [
            (text, said) for text, said in pairs if not is_prose(text, said, lambda: shop.lexicon)
        ] == []


def test_sql_is_never_taken_for_plain_language(postgres: Server, database: str) -> None:
    asked = texts("sql.txt")
    with load_schema(postgres, database, "schema_shop.sql") as shop:
        pairs = zip(asked, shop.verdicts(asked), strict=True)
        assert [
            (text, said) for text, said in pairs if is_prose(text, said, lambda: shop.lexicon)
        ] == []


def test_what_cannot_be_sql_need_not_be_shown_to_the_server() -> None:
    assert looks_like_sql("users with the most orders") is False
    assert looks_like_sql("find products with price > 10") is False
    assert looks_like_sql("select the best customers") is None
    assert looks_like_sql("-- users\n(select 1)") is None
    assert looks_like_sql("SELCT * FROM users") is None
