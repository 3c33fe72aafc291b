"""Text -> tokens.

The rule: nothing of the text is dropped but white space and sentence punctuation, so that a
grammar that accounts for every token has accounted for the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pgmcp.language.stemming import stems
from pgmcp.sql.names import composed


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text. `lower` is what vocabulary is matched with.

    `parts` are the stems of the words inside it: `order_items`, `orderItems` and `order.items`
    have two. A quoted string's `text` is its content.
    """

    text: str
    kind: Literal["word", "number", "string", "date", "symbol"]
    lower: str
    parts: tuple[str, ...] = ()


_TOKEN = re.compile(
    r"""
    (?P<uuid> (?<![\w-]) [0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12} (?![\w-]) )
  | (?P<date> [0-9]{4}-[0-9]{1,2}-[0-9]{1,2} (?![\w-]) )
  | (?P<number> (?<![\w.]) -?(?:(?>[0-9]{1,3}(?:,[0-9]{3}){1,12})|[0-9]+)(?:\.[0-9]+)?
        (?!\w|\.\w) )
  | (?P<word> \w(?:[\w@]|[.'’+-](?=\w))* )
  | (?P<symbol> <=|>=|<>|!=|==|.)
    """,
    re.VERBOSE | re.DOTALL,
)
# Possessive: a quote that does not end is found out in one go, and then not sought again.
_STRINGS = {
    "'": re.compile(r"'[^']*+(?>(?:''[^']*+|'(?=\w)[^']*+)*)'(?!\w)"),
    '"': re.compile(r'"[^"]*+(?>(?:""[^"]*+)*)"'),
    "“": re.compile(r"“[^“”]*+”"),
    "‘": re.compile(r"‘[^‘’]*+’(?!\w)"),
}
_APOSTROPHE = re.compile(r"(?<=\w)'")
_CONTRACTIONS = {"ca": "can", "wo": "will", "sha": "shall"}


def tokenise(text: str) -> tuple[Token, ...]:
    """The tokens of a text, contractions and possessives taken apart."""
    tokens: list[Token] = []
    text = " ".join(composed(text).split()).rstrip(" ;.?!")
    for kind, raw in _pieces(text):
        if kind == "string":
            quote = raw[0]
            inner = raw[1:-1].replace(quote * 2, quote)
            tokens.append(Token(inner, "string", inner.lower()))
        elif kind == "uuid":
            tokens.append(Token(raw, "string", raw.lower()))
        elif kind == "number":
            plain = raw.replace(",", "")
            tokens.append(Token(plain, "number", plain, (plain,)))
        elif kind == "date":
            tokens.append(Token(raw, "date", raw))
        elif kind == "word":
            tokens.extend(_words(raw.replace("’", "'")))
        elif raw == "'" and tokens and tokens[-1].kind == "word" and tokens[-1].lower[-1] == "s":
            tokens.append(Token("'s", "symbol", "'s"))
        elif not raw.isspace() and raw != ".":
            tokens.append(Token(raw, "symbol", raw))
    return tuple(tokens)


def _pieces(text: str) -> Iterator[tuple[str | None, str]]:
    """The kinds and the texts of the pieces, in linear time."""
    endless: set[str] = set()  # quotes that nothing ends from here on
    at = 0
    while at < len(text):
        quote = text[at]
        match = None
        if quote in _STRINGS and quote not in endless and not _APOSTROPHE.match(text, at):
            match = _STRINGS[quote].match(text, at)
            if match is None and quote in "'\"":
                endless.add(quote)
        kind = "string" if match else None
        match = match or _TOKEN.match(text, at)
        assert match is not None  # the last alternative takes any character
        at = match.end()
        yield kind or match.lastgroup, match.group()


def _words(raw: str) -> list[Token]:
    lower = raw.lower()
    if lower.endswith("n't") and len(lower) > 3:
        stem = raw[:-3]
        return [_word(_CONTRACTIONS.get(stem.lower(), stem)), _word("not")]
    if lower in ("what's", "who's", "where's", "that's"):
        return [_word(raw[:-2]), _word("is")]
    for ending, full in (("'d", "would"), ("'re", "are"), ("'ve", "have"), ("'m", "am")):
        if lower.endswith(ending):
            return [_word(raw[: -len(ending)]), _word(full)]
    if lower.endswith("'s"):
        return [_word(raw[:-2]), Token("'s", "symbol", "'s")]
    if lower.startswith("non-"):
        return [_word("non"), _word(raw[4:])]
    return [_word(raw)]


def _word(raw: str) -> Token:
    return Token(raw, "word", raw.lower(), stems(raw))


def is_uuid(text: str) -> bool:
    """Whether a text is a UUID as PostgreSQL writes it; it needs no quotes."""
    match = _TOKEN.fullmatch(text)
    return match is not None and match.lastgroup == "uuid"
