"""One text being read: its tokens, and what the grammar's own words in it say.

The rule: a grammar function is given a position and returns every way to go on from there, as
(value, end, cost). It never chooses; `understand` compares whole readings. `start` is where a
phrase begins, and `after_x` the position behind the phrase "x", or behind what `x` reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from pgmcp.language import words
from pgmcp.language.lexicon import Lexicon
from pgmcp.language.question import ColumnRef
from pgmcp.language.tokens import Token

V = TypeVar("V")

P = ParamSpec("P")

Parses = list[tuple[V, int, int]]

"""Values with the position after them and their cost: 0 for the plainest reading."""

STEPS = 60_000

_LONGEST = 5  # words in a phrase


class TooLongError(Exception):
    """The text has more readings than anybody wants to compare."""


@dataclass(slots=True)
class Reading:
    """The state of reading one text; only `memo`, `steps`, `notes` and `wanted` change."""

    tokens: tuple[Token, ...]
    lexicon: Lexicon
    today: date
    values: Mapping[ColumnRef, tuple[str, ...]]
    memo: dict[Any, Any] = field(default_factory=dict)
    steps: int = 0
    max_steps: int = STEPS
    notes: dict[str, None] = field(default_factory=dict)
    wanted: dict[ColumnRef, None] = field(default_factory=dict)


def remembered(
    rule: Callable[Concatenate[Reading, P], V],
) -> Callable[Concatenate[Reading, P], V]:
    """Each rule answers a position once. Positional arguments only."""

    @wraps(rule)
    def answer(reading: Reading, /, *args: P.args, **kwargs: P.kwargs) -> V:
        key = (rule, args)
        memo = reading.memo
        if key not in memo:
            reading.steps += 1
            if reading.steps > reading.max_steps:
                raise TooLongError
            memo[key] = rule(reading, *args, **kwargs)
        result: V = memo[key]
        return result

    return answer


@cache
def _vocabulary() -> dict[tuple[str, ...], tuple[str, ...]]:
    vocabulary: dict[tuple[str, ...], tuple[str, ...]] = {}
    for name, phrases in words.PHRASES.items():
        for phrase in phrases:
            key = tuple(phrase.replace(",", " ,").split())
            vocabulary[key] = (*vocabulary.get(key, ()), name)
    marked: tuple[tuple[str, Mapping[str, str]], ...] = (
        ("comparative", words.COMPARATIVES),
        ("superlative", words.SUPERLATIVES),
        ("unit", {form: unit for unit, forms in words.UNIT_PARTS.items() for form in forms}),
        ("age", dict.fromkeys(words.AGES, "years")),
    )
    for kind, table in marked:
        for phrase, meaning in table.items():
            key = tuple(phrase.split())
            vocabulary[key] = (*vocabulary.get(key, ()), f"{kind} {meaning}")
    return vocabulary


@cache
def known_words() -> frozenset[str]:
    """Every word that the grammar itself has a use for."""
    known = {word for phrase in _vocabulary() for word in phrase} | words.NOISE
    for table in (words.UNITS, words.MONTHS, words.NUMBERS):
        known.update(table)
    for phrase in (*words.COMPARATIVES, *words.SUPERLATIVES, *words.AGES):
        known.update(phrase.split())
    return frozenset(
        known | {"than", "past", "next", "previous", "today", "yesterday", "ago", "since"}
    )


@remembered
def starts(reading: Reading, i: int) -> tuple[int, ...]:
    """The positions that `i` stands for: itself, and behind noise words."""
    positions = [i]
    while i < len(reading.tokens) and _is_noise(reading, i):
        i += 1
        positions.append(i)
    return tuple(positions)


def _is_noise(reading: Reading, i: int) -> bool:
    lower = reading.tokens[i].lower
    if lower == "either":
        return any(token.lower == "or" for token in reading.tokens[i + 1 :])
    return lower in words.NOISE


@remembered
def names_at(reading: Reading, i: int) -> Mapping[str, tuple[int, ...]]:
    """What the vocabulary says at `i`: name -> the positions behind such a phrase."""
    vocabulary = _vocabulary()
    ends_by_name: dict[str, set[int]] = {}
    for p in starts(reading, i):
        chunk: tuple[str, ...] = ()
        for end in range(p + 1, min(p + 1 + _LONGEST, len(reading.tokens) + 1)):
            token = reading.tokens[end - 1]
            if token.kind == "string":
                break
            chunk = (*chunk, token.lower)
            for name in vocabulary.get(chunk, ()):
                ends_by_name.setdefault(name, set()).add(end)
    return {name: tuple(sorted(ends, reverse=True)) for name, ends in ends_by_name.items()}


def accept(reading: Reading, i: int, *names: str) -> list[int]:
    """The positions behind a phrase of any of these names, the longest first."""
    ends_by_name = names_at(reading, i)
    if not ends_by_name:
        return []
    if len(names) == 1:
        return list(ends_by_name.get(names[0], ()))
    ends = {end for name in names for end in ends_by_name.get(name, ())}
    return sorted(ends, reverse=True)


def maybe(reading: Reading, i: int, *names: str) -> list[int]:
    """The positions behind an optional phrase, the longest first, then `i` itself."""
    return [*accept(reading, i, *names), i]


def word(reading: Reading, i: int, *forms: str) -> list[int]:
    """The positions behind one of these words, given in lower case; noise before it is skipped."""
    ends = []
    by_first = _by_first(forms)
    for p in starts(reading, i):
        if p == len(reading.tokens) or reading.tokens[p].kind == "string":
            continue
        for parts in by_first.get(reading.tokens[p].lower, ()):
            chunk = reading.tokens[p : p + len(parts)]
            if tuple(token.lower for token in chunk) == parts:
                ends.append(p + len(parts))
    return ends


@cache
def _by_first(forms: tuple[str, ...]) -> dict[str, list[tuple[str, ...]]]:
    by_first: dict[str, list[tuple[str, ...]]] = {}
    for form in forms:
        parts = tuple(form.split())
        by_first.setdefault(parts[0], []).append(parts)
    return by_first


def grammar_ends(reading: Reading, i: int) -> list[int]:
    """The ends of what the grammar's own words at `i` can say, whatever the schema."""
    token = reading.tokens[i]
    ends = [
        end
        for name, ends_of_name in names_at(reading, i).items()
        if not name.startswith("unit ")
        for end in ends_of_name
    ]
    if token.lower in _LISTED or (
        token.kind == "word" and token.lower in words.NOISE | _TIME_WORDS
    ):
        ends.append(i + 1)
    return ends


_TIME_WORDS = frozenset(
    "than past next previous today yesterday tomorrow ago since after before last until till during"
    " within quarter current through onwards later earlier beginning start end this".split()
)
_LISTED = frozenset({*words.UNITS, *words.MONTHS, *words.NUMBERS, "'s", ",", "#", "(", ")"})


def at_end(reading: Reading, i: int) -> bool:
    """Whether nothing but noise is left."""
    return starts(reading, i)[-1] == len(reading.tokens)
