"""SQL as text: quoting, the gate's statement, and the little of EXPLAIN that has to be read.

The rule: nothing here decides whether a statement is a read. That is PostgreSQL's own parser's
work, on the text that `gate` makes; what is read here only chooses the route.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from pgmcp.errors import StatementRefusedError, ToolError
from pgmcp.sql.lexer import WORD, lexemes, skip_space

MAX_TEXT_BYTES = 1_000_000
"""The longest statement, and the longest parameter, that is sent to PostgreSQL."""

CURSOR = "pgmcp"
GATE = f"DECLARE {CURSOR} NO SCROLL CURSOR FOR\n"
"""What stands before a caller's text: the grammar takes one SELECT, VALUES, TABLE or WITH after it.

Nothing of ours follows the text, so that no comment or quote in it can swallow anything.
"""

ALLOWED = "Only a single SELECT, VALUES, TABLE or WITH … is allowed here"

_WORD = re.compile(WORD)
_VALUE = re.compile(rf"'[^']*+(?>(?:''[^']*+)*)'|[+-]?[0-9][0-9.]*+|{WORD}")
# A sign in front of a number is part of it, but + is an operator. A backslash means one thing or
# another by standard_conforming_strings. ASCII: the K of Kelvin is no k to PostgreSQL.
_CONSTANT = (
    r"(?:-?[0-9]+(?:\.[0-9]+)?|'(?>(?:[^'\\]|'')*)'|null|true|false)(?:\s+as\s+[a-z_][a-z0-9_]*)?"
)
_CONSTANTS = re.compile(
    rf"\s*select\s+{_CONSTANT}(?:\s*,\s*{_CONSTANT})*\s*;?\s*", re.ASCII | re.IGNORECASE
)
_MAX_CONSTANTS = 1000  # characters
_SAFE_NAME = re.compile(r"[a-z_]+")
_SAFE_VALUE = re.compile(r"[a-z0-9_.]*")
_WRITES = frozenset({"insert", "update", "delete", "merge"})
_STARTS_A_SELECT = frozenset({"select", "values", "table", "with"})


class Explain(NamedTuple):
    """A caller's EXPLAIN: its options in lower case, and where what it explains begins."""

    options: dict[str, str]
    offset: int


def quote_identifier(name: str) -> str:
    """A name as it can stand in SQL, whatever it holds. ToolError for a NUL."""
    encode(name, "the name")
    return '"' + name.replace('"', '""') + '"'


def quote_literal(value: str) -> str:
    """A string constant that means the same under either standard_conforming_strings."""
    encode(value, "the value")
    quoted = "'" + value.replace("'", "''").replace("\\", "\\\\") + "'"
    return f" E{quoted}" if "\\" in value else quoted


def encode(text: str, what: str = "the SQL text") -> bytes:
    """UTF-8 for PostgreSQL; ToolError for what its protocol cannot carry."""
    if "\0" in text:
        raise ToolError(
            f"{what} holds a NUL character (\\u0000)", "PostgreSQL's text has none: remove it."
        )
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise ToolError(
            f"{what} holds half of a surrogate pair at character {error.start + 1}",
            "Send well-formed Unicode.",
        ) from None
    if len(data) > MAX_TEXT_BYTES:
        raise ToolError(
            f"{what} is {len(data)} bytes long; the limit is {MAX_TEXT_BYTES}",
            "Send a shorter statement.",
        )
    return data


def skip_empty(text: str) -> int:
    """Where the first statement begins: past space, comments and empty statements."""
    at = skip_space(text)
    while text.startswith(";", at):
        at = skip_space(text, at + 1)
    return at


def without_empty(text: str) -> str:
    """The text with blanks for the empty statements in front, which no cursor can stand before."""
    at = skip_empty(text)
    return " " * at + text[at:] if ";" in text[:at] else text


def first_word(text: str) -> str:
    """The word that a statement begins with, in lower case; "" when it begins with none."""
    return _word(text, skip_space(text))[0]


def names_nothing(text: str) -> bool:
    """Whether a text is a SELECT of constants, so that PostgreSQL looks up no name to analyse it:
    it means the same whatever the catalogue holds, and under all settings."""
    return len(text) <= _MAX_CONSTANTS and _CONSTANTS.fullmatch(text) is not None


def may_write(text: str) -> bool:
    """Whether a text could be an INSERT, UPDATE, DELETE or MERGE, by its words."""
    first = first_word(text)
    if first != "with":
        return first in _WRITES
    words = (text[start:end] for kind, start, end, _ in lexemes(text) if kind == "word")
    return any(word.lower() in _WRITES for word in words)


def _word(text: str, at: int) -> tuple[str, int]:
    match = _WORD.match(text, at)
    return (match.group().lower(), match.end()) if match else ("", at)


def split_explain(text: str) -> Explain | None:
    """Read `EXPLAIN [ANALYZE] [VERBOSE] …` or `EXPLAIN (option [value], …) …`.

    None when the text is no EXPLAIN. A wrong reading lets nothing in: the statement that is left
    passes the gate like any other.
    """
    word, at = _word(text, skip_space(text))
    if word != "explain":
        return None
    at = skip_space(text, at)
    listed = _option_list(text, at)
    if listed is not None:
        return listed
    options = {}
    for option, spellings in (("analyze", ("analyze", "analyse")), ("verbose", ("verbose",))):
        word, end = _word(text, at)
        if word in spellings:
            options[option] = "true"
            at = skip_space(text, end)
    return Explain(options, at)


def _option_list(text: str, at: int) -> Explain | None:
    """The parenthesised list at `at`; None when a statement in parentheses stands there."""
    if not text.startswith("(", at):
        return None
    options = {}
    while True:
        name, at = _word(text, skip_space(text, at + 1))
        if not name or name in _STARTS_A_SELECT:
            return None
        at = skip_space(text, at)
        value = ""  # as written: what an option alone means is the server's to say
        match = _VALUE.match(text, at)
        if match:
            value = match.group().strip("'").lower()
            at = skip_space(text, match.end())
        options["analyze" if name == "analyse" else name] = value
        if text.startswith(")", at):
            return Explain(options, skip_space(text, at + 1))
        if not text.startswith(",", at):
            return None


def explain_options(options: Mapping[str, str]) -> str:
    """Options as they stand between EXPLAIN's parentheses; StatementRefusedError for odd ones."""
    for name, value in options.items():
        if not _SAFE_NAME.fullmatch(name) or not _SAFE_VALUE.fullmatch(value):
            raise StatementRefusedError(
                f"EXPLAIN has no option {name} {value}".rstrip(),
                "Use options such as ANALYZE, BUFFERS, VERBOSE, COSTS or FORMAT JSON.",
            )
    return ", ".join(f"{name} {value}".upper().rstrip() for name, value in options.items())
