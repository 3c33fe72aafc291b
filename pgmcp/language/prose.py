"""Whether a text is SQL or plain language, with PostgreSQL's verdict in hand.

The rule: what PostgreSQL accepts is SQL. What it refuses is plain language only when nothing shows
that SQL was meant, so that a slip in SQL comes back as PostgreSQL's own error.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from functools import cache

from pgmcp.language import words
from pgmcp.language.lexicon import Lexicon
from pgmcp.language.stemming import stems
from pgmcp.sql.lexer import lexemes, skip_space

MAX_QUESTION_CHARS = 2_000
"""The longest question in plain language, for the grammar and for a model."""
_LONGEST_SLIP = 20  # a word that is longer is no misspelt command

SYNTAX_ERROR, UNDEFINED_OBJECT = "42601", "42704"
UNDEFINED_COLUMN, UNDEFINED_TABLE = "42703", "42P01"

_COMMANDS = frozenset(
    "select with table values show explain insert update delete merge create alter drop"
    " truncate copy grant revoke vacuum analyze analyse begin commit rollback abort end start"
    " savepoint release set reset lock do call execute prepare deallocate declare fetch move"
    " close listen notify unlisten comment cluster reindex refresh import security reassign"
    " discard checkpoint load".split()
)
_CHANGING = frozenset(
    "insert update delete merge create alter drop truncate copy grant revoke vacuum"
    " set reset".split()
)
_ENGLISH = frozenset(
    "the an me my our their his her its please who whose whom which that of how many much"
    " every each are was were have has had what there us could would can you your best most"
    " least show list is these those i we".split()
)
"""Words that plain language is full of and that SQL has little use for."""

_MARKS = re.compile(
    r"\*|::|\|\||\$\d|\$\$|;\s*\S|(?<=\w)\(|<>|!=|[=<>]|\b\w+\.\w+\b|\(\s*select\b"
    r"|\bjoin\b|\bgroup by\b",
    re.IGNORECASE,
)
_EMPTY = {"string": "''", "name": "''", "dollar": "$$"}
_WORD = re.compile(r"\w+(?:['’]\w+)?")


def looks_like_sql(text: str) -> bool | None:
    """A first look, at the beginning: False when it cannot be SQL, None when PostgreSQL has to say.

    The comments before a statement are skipped as PostgreSQL does: they nest.
    """
    start = skip_space(text)
    if text.startswith("(", start) or _first_word(text, start) in _COMMANDS:
        return None
    bare = _bare(text[start : start + MAX_QUESTION_CHARS])
    first = _first_word(bare)
    if first in _COMMANDS or _slip(bare, first):
        return None
    return False


def is_prose(text: str, sqlstate: str | None, lexicon: Callable[[], Lexicon]) -> bool:
    """Whether a text is plain language. `sqlstate`: of PostgreSQL's Parse, None: it accepts it.

    `lexicon` is called only where a name in it can decide: making one may take a while.

    SHOW takes any word, so "show users" gets past PostgreSQL's grammar and fails on a name (42704);
    "select users" does with 42703.
    """
    text = text[:MAX_QUESTION_CHARS]  # by its beginning: `translate` refuses what is longer
    if looks_like_sql(text) is False:
        return True
    bare = _bare(text)
    first = _first_word(bare)
    rest = [word.lower() for word in _WORD.findall(bare)][1:]
    if first == "fetch" and rest and _is_known(rest[-1], lexicon()):
        return True  # no cursor outlives a call, so nobody fetches from one
    if sqlstate is None:
        return False
    if sqlstate == UNDEFINED_OBJECT:
        return first == "show" and bool(rest) and _is_known(rest[-1], lexicon())
    if sqlstate in (UNDEFINED_COLUMN, UNDEFINED_TABLE):
        marked = bool(_MARKS.search(bare)) or "," in bare or "(" in bare
        bare_words = "from" not in rest or bool({"the", "my", "our", "me"} & set(rest[:1]))
        if first != "select" or marked or not bare_words:
            return False
        return any(_is_known(word, lexicon()) for word in rest)
    if sqlstate != SYNTAX_ERROR:
        return False
    return _reads_as_prose(bare, first, rest)


def _reads_as_prose(bare: str, first: str, rest: list[str]) -> bool:
    """The verdict on a text that PostgreSQL's grammar refused."""
    if bare.startswith("(") or first not in _COMMANDS:
        return False
    if first not in ("show", "fetch") and _MARKS.search(bare):
        return False
    if first in ("show", "fetch"):
        return bool(rest) and rest[0] not in _COMMANDS and "::" not in bare
    if first == "values" and "(" in bare:
        return False
    english = bool(_ENGLISH & set(rest))
    if first == "select":
        has_from = "from" in rest or any(_is_from(word) for word in rest)
        return english or not (has_from or "," in bare)
    if first in _CHANGING:
        return english
    return not (
        rest and difflib.get_close_matches(rest[0][:_LONGEST_SLIP], _COMMANDS, n=1, cutoff=0.8)
    )


def _is_from(word: str) -> bool:
    """A slip of the pen for FROM."""
    return word in ("form", "fron", "frm", "fom", "rfom", "ftom", "fromm", "feom")


def _slip(bare: str, first: str) -> bool:
    """Whether the first word is a misspelt command and the rest looks like SQL."""
    if first in ("selected", "selects", "selection", "updates", "updated"):
        return False
    if len(first) > _LONGEST_SLIP:
        return False
    close = difflib.get_close_matches(first, _COMMANDS, n=1, cutoff=0.8)
    if not close:
        return False
    if close == ["select"]:
        return bool(_MARKS.search(bare)) or " from " in bare.lower()
    return bool(re.search(r"\*|::|;\s*\S|\$\d|\bSELECT\b|\bFROM\b|\bINTO\b|\bSET\b", bare))


def _is_known(word: str, lexicon: Lexicon) -> bool:
    """Whether a word names a table or something to list."""
    if stems(word) in lexicon.tables or word in _listed():
        return True
    return any(
        stems(word[: -len(end)]) in lexicon.tables for end in ("n", "en") if word.endswith(end)
    )


@cache
def _listed() -> frozenset[str]:
    return frozenset(
        phrase
        for name in ("tables", "views", "schemas", "columns")
        for phrase in words.PHRASES[name]
    )


def _bare(text: str) -> str:
    """The text without comments, and with empty literals; a quote that never ends is left."""
    parts = []
    at = 0
    for piece in lexemes(text):
        if piece.start > at:
            parts.append(" ")
        at = piece.end
        raw = text[piece.start : at]
        parts.append(raw if piece.open else _EMPTY.get(piece.kind, raw))
    return "".join(parts).strip()


def _first_word(text: str, at: int = 0) -> str:
    match = _WORD.match(text, at)
    return match.group().lower() if match else ""
