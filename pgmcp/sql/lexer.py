"""PostgreSQL's lexical rules: where comments, strings, quoted names and dollar quotes end.

The rule: linear. Each character is looked at a bounded number of times, whatever the text: what is
opened and never closed takes the rest of the text, as it does in PostgreSQL, so that no search for
an end is made twice. (PostgreSQL manual, "Lexical Structure"; scan.l.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple, cast

LexemeKind = Literal["word", "name", "string", "dollar", "number", "parameter", "symbol"]


class Lexeme(NamedTuple):
    """A piece of SQL between `start` and `end`. `open`: it is a quote that never ends.

    A word is a bare one, a name is quoted with ", a string with ' and any of its prefixes, and a
    dollar is a string in dollar quotes.
    """

    kind: LexemeKind
    start: int
    end: int
    open: bool = False


# Said by what a word is not: a range up to the last character takes 10 ms to compile.
WORD = r"[^\x00-@\[-^`{-\x7f][^\x00-#%-/:-@\[-^`{-\x7f]*+"
_TAG = WORD.replace("#%", "%")  # the same, without $
_PLAIN_STRING = r"'[^']*+(?>(?:''[^']*+)*)(?:'|(?P<open1>\Z))"
_ESCAPE_STRING = r"'[^'\\]*+(?>(?:(?:\\.|'')[^'\\]*+)*)(?:'|(?P<open2>\\?\Z))"
# Possessive throughout, and every quote may end at the end of the text: nothing is tried twice.
_PATTERN = rf"""
    (?P<space> [ \t\n\r\f\v]++ | --[^\n\r]*+ )
  | (?P<string> [eE]{_ESCAPE_STRING} | (?:[bBxXnN]|[uU]&)?{_PLAIN_STRING} )
  | (?P<name> (?:[uU]&)?"[^"]*+(?>(?:""[^"]*+)*)(?:"|(?P<open3>\Z)) )
  | (?P<word> {WORD} )
  | (?P<number> (?>[0-9][0-9_]*+(?:\.(?!\.)[0-9_]*+)?|\.[0-9][0-9_]*+)(?:[eE][+-]?[0-9_]++)? )
  | (?P<dollar> \$(?P<tag>(?:{_TAG})?)\$.*?(?:\$(?P=tag)\$|(?P<open4>\Z)) )
  | (?P<parameter> \$[0-9]++ )
  | (?P<comment> /\* )
  | (?P<symbol> :: | := | => | \.\. | . )
"""
_FLAGS = re.VERBOSE | re.DOTALL
_LEXEME = re.compile(_PATTERN, _FLAGS)
_BACKSLASH_LEXEME = re.compile(
    _PATTERN.replace(_PLAIN_STRING, _ESCAPE_STRING.replace("open2", "open1")), _FLAGS
)
_OPEN = ("open1", "open2", "open3", "open4")
_SPACE = re.compile(r"(?>(?:[ \t\n\r\f\v]++|--[^\n\r]*+)*)")
_BEFORE_A_LEXEME = frozenset(" \t\n\r\f\v-/")
_COMMENT_MARK = re.compile(r"/\*|\*/")


def skip_space(text: str, at: int = 0) -> int:
    """Where the first lexeme from `at` on begins: past space, `--` and nested /* */ comments."""
    while text[at : at + 1] in _BEFORE_A_LEXEME:
        space = _SPACE.match(text, at)
        at = space.end() if space else at
        if not text.startswith("/*", at):
            break
        at = _after_comment(text, at)
    return at


def _after_comment(text: str, at: int) -> int:
    depth = 0
    for mark in _COMMENT_MARK.finditer(text, at):
        depth += 1 if mark.group() == "/*" else -1
        if depth == 0:
            return mark.end()
    return len(text)


def lexemes(text: str, at: int = 0, *, backslashes: bool = False) -> Iterator[Lexeme]:
    """The lexemes from `at` on, without space and comments.

    `backslashes`: plain strings have escapes, as they do where standard_conforming_strings is off.
    Operators come as single characters, but for `::`, `:=`, `=>` and `..`; a letter ends a number,
    as it does before PostgreSQL 15 (`0between` are two words there).
    """
    pattern = _BACKSLASH_LEXEME if backslashes else _LEXEME
    while at < len(text):
        for piece in pattern.finditer(text, at):
            kind, (start, at) = piece.lastgroup, piece.span()
            if kind == "comment":
                at = _after_comment(text, start)
                break
            if kind != "space":
                is_open = at == len(text) and any(piece[name] is not None for name in _OPEN)
                yield Lexeme(cast(LexemeKind, kind), start, at, is_open)
