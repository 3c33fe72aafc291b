"""The words of a name and their stems; the second entry to `language`, beside `facade`.

The rule: a stem is not a word of English, it is only ever compared with other stems.
"""

from __future__ import annotations

import re
from functools import lru_cache

_CAMEL = re.compile(r"(?<=[a-zäöüß0-9])(?=[A-ZÄÖÜ])|(?<=[A-Z])(?=[A-Z][a-z])")
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
    return tuple(part.lower() for part in _SEPARATORS.split(_CAMEL.sub(" ", name)) if part)


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
