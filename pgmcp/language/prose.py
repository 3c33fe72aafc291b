"""Whether a text is SQL or plain language, with PostgreSQL's verdict in hand.

The rule: what PostgreSQL accepts is SQL. What it refuses is plain language only when nothing shows
that SQL was meant, so that a slip in SQL comes back as PostgreSQL's own error.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable
from functools import cache

from pgmcp.language import words
from pgmcp.language.lexicon import Lexicon
from pgmcp.language.stemming import stems
from pgmcp.sql.lexer import lexemes, skip_space
from pgmcp.sql.lookalikes import UNSEEN

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
_ASKS_TO_CHANGE = _CHANGING | frozenset("remove erase purge rename modify".split())
_POLITE = frozenset(
    "please kindly now then just can could would will you i we want need like to lets".split()
)
_EXPLAINED = frozenset(
    "select with table values insert update delete merge create declare execute refresh"
    " analyze analyse verbose".split()
)
"""What may follow EXPLAIN."""
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
_BEFORE = re.compile(rf"[;\s{UNSEEN}]*+")


def looks_like_sql(text: str) -> bool | None:
    """A first look, at the beginning: False when it cannot be SQL, None when PostgreSQL has to say.

    The comments before a statement are skipped as PostgreSQL does: they nest. What does not show
    there is skipped as well: PostgreSQL's error, with its name, says more than a refusal of words.
    """
    start = _begins(text)
    if start == len(text):
        return None
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
    text = text[_begins(text) :]
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
    if first not in _COMMANDS and _misspelt(first) == "select":
        first = "select"
    return _reads_as_prose(bare, first, rest, lexicon)


def asks_to_change(text: str) -> str:
    """The word by which a text, SQL or plain language, asks to change something; "" if none."""
    text = text[:MAX_QUESTION_CHARS]
    asked = (word.lower() for word in _WORD.findall(text[_begins(text) :]))
    first = next((word for word in asked if word not in _POLITE), "")
    return first if first in _ASKS_TO_CHANGE else ""


def _reads_as_prose(bare: str, first: str, rest: list[str], lexicon: Callable[[], Lexicon]) -> bool:
    """The verdict on a text that PostgreSQL's grammar refused: it is plain language only when there
    is a question in it, which is English or names a table."""
    if bare.startswith("(") or first not in _COMMANDS:
        return False
    if first in ("show", "fetch"):
        return bool(rest) and rest[0] not in _COMMANDS and "::" not in bare
    if _MARKS.search(bare) or (first == "values" and "(" in bare):
        return False
    english = bool(_ENGLISH & set(rest))
    if first in ("table", "values") or first in _CHANGING:
        return english
    if first == "select" and _has_list_or_from(bare, rest):
        return english
    if first != "select" and (not rest or _misspelt(rest[0]) or _explains_sql(bare, first, rest)):
        return False
    if first in ("select", "with", "explain"):
        return english or any(_is_known(word, lexicon()) for word in rest if not word.isdigit())
    return True


def _has_list_or_from(bare: str, rest: list[str]) -> bool:
    return "," in bare or "from" in rest or any(_is_from(word) for word in rest)


def _explains_sql(bare: str, first: str, rest: list[str]) -> bool:
    """Whether EXPLAIN stands before options or a statement."""
    if first != "explain":
        return False
    return rest[0] in _EXPLAINED or "select" in rest or re.match(r"\w+\s*\(", bare) is not None


def _is_from(word: str) -> bool:
    """A slip of the pen for FROM."""
    return word in ("form", "fron", "frm", "fom", "rfom", "ftom", "fromm", "feom")


def _slip(bare: str, first: str) -> bool:
    """Whether the first word is a misspelt command and the rest looks like SQL."""
    if first in ("selected", "selects", "selection", "updates", "updated"):
        return False
    close = _misspelt(first)
    if not close:
        return False
    if close == "select":
        return True
    return bool(re.search(r"\*|::|;\s*\S|\$\d|\bSELECT\b|\bFROM\b|\bINTO\b|\bSET\b", bare))


def _misspelt(word: str) -> str:
    """The command that a word is, or nearly is; "" when it is none."""
    if len(word) > _LONGEST_SLIP:
        return ""
    close = difflib.get_close_matches(word, _COMMANDS, n=1, cutoff=0.8)
    return close[0] if close else ""


def _begins(text: str) -> int:
    """Where the first word begins: past space, comments, semicolons and what does not show."""
    at, before = 0, -1
    while at != before:
        before = at
        at = skip_space(text, at)
        match = _BEFORE.match(text, at)
        at = match.end() if match else at
    return at


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
    """In lower case, and full-width letters as the usual ones."""
    match = _WORD.match(text, at)
    word = match.group().lower() if match else ""
    return word if word.isascii() else unicodedata.normalize("NFKC", word[:_LONGEST_SLIP])
