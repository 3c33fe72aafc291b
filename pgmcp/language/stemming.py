"""The words of a name and their stems; the second entry to `language`, beside `facade`.

The rule: a stem is not a word of English, it is only ever compared with other stems.
"""

from __future__ import annotations

import re
from functools import lru_cache

from pgmcp.sql.names import composed, fold

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SEPARATORS = re.compile(r"[\W_]+")
MAX_CACHED_CHARS = 128

IRREGULAR = {
    "ids": "id", "people": "person", "persons": "person", "children": "child", "men": "man",
    "women": "woman",
    "mice": "mouse", "feet": "foot", "staff": "staff", "series": "series", "data": "data",
    "news": "news", "indices": "index", "indexes": "index",
}  # fmt: skip
"""Plurals that no rule makes -> their stems."""


def split_name(name: str) -> tuple[str, ...]:
    """The words of an identifier: snake_case, camelCase and blanks, lower case."""
    return _cached_split(name) if len(name) <= MAX_CACHED_CHARS else _split(name)


def stems(name: str) -> tuple[str, ...]:
    """The stems of an identifier's or a phrase's words."""
    return _cached_stems(name) if len(name) <= MAX_CACHED_CHARS else _stems(name)


def _split(name: str) -> tuple[str, ...]:
    # Composed: a combining mark of its own would count as a separator.
    spaced = _CAMEL.sub(" ", name) if name.isascii() else _spaced(composed(name))
    return tuple(fold(part) for part in _SEPARATORS.split(spaced) if part)


def _spaced(name: str) -> str:
    """The name with a blank before each word of camelCase, in any alphabet."""
    return "".join(
        f" {char}"
        if char.isupper()
        and (before.islower() or before.isdecimal() or (before.isupper() and after.islower()))
        else char
        for before, char, after in zip(" " + name, name, name[1:] + " ", strict=False)
    )


def _stems(name: str) -> tuple[str, ...]:
    return tuple(stem(part) for part in split_name(name))


# Callers' words are among the names: their length bounds what the caches hold.
_cached_split = lru_cache(maxsize=16_384)(_split)
_cached_stems = lru_cache(maxsize=16_384)(_stems)


def stem(word: str) -> str:
    """One form for the singular and the plural of a word in lower case."""
    word = IRREGULAR.get(word, word)
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
        if word.endswith("ie"):
            return word[:-2] + "y"
    if len(word) > 3:
        if word.endswith("ie"):
            return word[:-2] + "y"
        if word.endswith(("se", "xe", "ze", "che", "she")):
            return word[:-1]
    return word


def is_plural(word: str) -> bool:
    """Whether a word in lower case has a plural's form."""
    return word in IRREGULAR or (word.endswith("s") and stem(word) != word)


def irregular_plurals(stems_wanted: frozenset[str]) -> frozenset[str]:
    """The plurals that no rule makes of these stems: `people` of `person`."""
    return frozenset(plural for plural, single in IRREGULAR.items() if single in stems_wanted)
