"""SQL's lexical rules, and that reading by them is linear whatever a caller sends."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgmcp.catalog.catalogue import Catalogue
from pgmcp.errors import ModelError
from pgmcp.judging.expansion import objection
from pgmcp.language import prose, tokens
from pgmcp.language.lexicon import Lexicon
from pgmcp.llm import prompt
from pgmcp.sql import lexer, lookalikes
from pgmcp.sql import text as sql


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("select 'it''s', \"a\"\"b\"", "word string symbol name"),
        (r"e'a\'b' E'\\' x", "string string word"),
        (r"'a\' 'b'", "string string"),
        ("U&'x' u&\"y\" B'1' n'x'", "string name string string"),
        ("$$a;b'$$ $t$ $$ $t$ $1 a$b$", "dollar dollar parameter word"),
        ("1.5e10 1..2 .5 1_000 0and", "number number symbol number number number number word"),
        ("a::int /* /* ' */ */ -- '\n b", "word symbol word word"),
        ("größe_$1", "word"),
    ],
)
def test_text_is_cut_where_postgresql_cuts_it(text: str, kinds: str) -> None:
    assert [piece.kind for piece in lexer.lexemes(text)] == kinds.split()


def test_backslashes_escape_in_plain_strings_only_where_the_setting_says_so() -> None:
    text = r"'a\' , x, '"
    assert [piece.kind for piece in lexer.lexemes(text)] == [
        "string",
        "symbol",
        "word",
        "symbol",
        "string",
    ]
    assert [piece.kind for piece in lexer.lexemes(text, backslashes=True)] == ["string"]


@pytest.mark.parametrize("opened", ["'", '"', "$$", "$x$", "e'", "e'\\", "U&'", "/*"])
@given(rest=st.text(alphabet="ax .;-*\n"))
def test_what_is_opened_and_never_closed_takes_the_rest(opened: str, rest: str) -> None:
    read = list(lexer.lexemes(opened + rest.replace("*", "")))
    assert [(piece.start, piece.end, piece.open) for piece in read] == (
        [] if opened == "/*" else [(0, len(opened + rest.replace("*", "")), True)]
    )


@given(st.text())
def test_lexemes_follow_one_another_and_leave_out_only_space_and_comments(text: str) -> None:
    at = 0
    for piece in lexer.lexemes(text):
        assert piece.start == lexer.skip_space(text, at)
        assert piece.end > piece.start
        at = piece.end
    assert lexer.skip_space(text, at) == len(text)


class Counted:
    """A compiled pattern that adds up how much text it takes; a search that fails took the rest."""

    def __init__(self, pattern: re.Pattern[str], steps: list[int]) -> None:
        self._pattern = pattern
        self._steps = steps

    def _note(self, match: re.Match[str] | None, text: str, at: int) -> re.Match[str] | None:
        self._steps[0] += 1 + (len(text) if match is None else match.end()) - at
        return match

    def match(self, text: str, at: int = 0) -> re.Match[str] | None:
        match = self._pattern.match(text, at)
        self._steps[0] += 1 + (match.end() - at if match is not None else 0)
        return match

    def search(self, text: str, at: int = 0) -> re.Match[str] | None:
        return self._note(self._pattern.search(text, at), text, at)

    def finditer(self, text: str, at: int = 0) -> Iterator[re.Match[str]]:
        while (match := self.search(text, at)) is not None:
            at = max(match.end(), at + 1)
            yield match

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pattern, name)


def count(monkeypatch: pytest.MonkeyPatch, read: Callable[[str], object], text: str) -> int:
    """The steps that `read` takes: the characters that the patterns of our modules look at."""
    steps = [0]
    modules: tuple[ModuleType, ...] = (lexer, sql, prose, tokens, prompt)
    with monkeypatch.context() as patched:
        for module in modules:
            for name, value in vars(module).items():
                if isinstance(value, re.Pattern):
                    patched.setattr(module, name, Counted(value, steps))
        strings = {key: Counted(value, steps) for key, value in tokens._STRINGS.items()}
        patched.setattr(tokens, "_STRINGS", strings)
        with contextlib.suppress(ModelError):
            read(text)
    return steps[0]


NO_TABLES = Lexicon.of(Catalogue(()))
READERS: dict[str, Callable[[str], object]] = {
    "lexemes": lambda text: list(lexer.lexemes(text)),
    "skip_space": lexer.skip_space,
    "split_explain": sql.split_explain,
    "split_explain in a list": lambda text: sql.split_explain("explain (analyze, " + text),
    "first_word": sql.first_word,
    "skip_empty": sql.skip_empty,
    "lookalikes": lookalikes.first,
    "asks_to_change": prose.asks_to_change,
    "looks_like_sql": prose.looks_like_sql,
    "is_prose": lambda text: prose.is_prose(text, prose.SYNTAX_ERROR, lambda: NO_TABLES),
    "tokenise": tokens.tokenise,
    "a model's statement": prompt.statement,
    "objection": objection,
}
PIECES = st.sampled_from(
    ["'", '"', "$$", "$a$", "$a", "/*", "*/", "--", "\n", " ", "a", "e'", "\\", ";", "1", ",", "(",
     ")", "“", "‘", "’", ".", "1,000", "-1", "''", "'a", "fetch ", "select "]
)  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
@settings(deadline=None)
@given(unit=st.lists(PIECES, min_size=1, max_size=4).map("".join), head=PIECES)
def test_reading_takes_steps_in_proportion_to_the_text(
    monkeypatch_for_each: pytest.MonkeyPatch, reader: str, unit: str, head: str
) -> None:
    read = READERS[reader]
    small, large = (
        count(monkeypatch_for_each, read, head + unit * (chars // len(unit)))
        for chars in (400, 1600)
    )
    assert large <= 8 * small + 400  # four times the text; sixteen times would be quadratic


@pytest.fixture(scope="module")
def monkeypatch_for_each() -> Iterator[pytest.MonkeyPatch]:
    """One for all of an example's runs: each undoes its own patches."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch
