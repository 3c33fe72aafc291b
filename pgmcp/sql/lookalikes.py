"""Characters that look like a blank or a sign of SQL, and are letters to PostgreSQL.

The rule: PostgreSQL takes every character beyond ASCII for a letter (scan.l, "ident_start"), so a
text that was copied from a web page fails on a name that nobody sees. What is named here is read by
people and models; nothing is replaced.
"""

from __future__ import annotations

import re

from pgmcp.sql.lexer import lexemes

UNSEEN = "\u00a0\u00ad\u061c\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff"
"""Blanks beyond ASCII and characters that do not show, as they stand in a character class."""
_UNSEEN = re.compile(f"[{UNSEEN}]")
_SIGNS = str.maketrans("\u2018\u2019\u201a\u201c\u201d\u201e\u2013\u2014\u2212", "'''\"\"\"---")
_READ_CHARS = 100_000


def first(text: str) -> str:
    """A sentence about the first such character outside of literals and comments, or ""."""
    if text.isascii():
        return ""
    for piece in lexemes(text[:_READ_CHARS]):
        if piece.kind in ("word", "name") and not text[piece.start : piece.end].isascii():
            for at in range(piece.start, piece.end):
                if said := _said(text[at]):
                    return f"Character {at + 1} is {said}"
    return ""


def without_unseen(text: str) -> str:
    """The text with a space for each character that does not show."""
    return text if text.isascii() else _UNSEEN.sub(" ", text)


def _said(character: str) -> str:
    if character.isascii():
        return ""
    import unicodedata  # here: good statements do without it

    meant = unicodedata.normalize("NFKC", character).translate(_SIGNS)
    if _UNSEEN.match(character):
        advice = "write a space instead, or leave it out"
    elif meant.isascii():
        advice = f"write {meant} instead"
    elif unicodedata.category(character)[0] in "LMN":
        return ""
    else:
        advice = "leave it out, or put the name in double quotes"
    name = unicodedata.name(character, "a character without a name").lower()
    return f"U+{ord(character):04X} ({name}), which PostgreSQL takes for a letter: {advice}."
