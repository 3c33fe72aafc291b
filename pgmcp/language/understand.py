"""A text and a catalogue -> a question, or the reason why not.

The rule: exactly one cheapest reading of the whole text is an answer; none, or two that differ,
are a refusal that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date

from pgmcp.language import words
from pgmcp.language.lexicon import Lexicon
from pgmcp.language.match import columns, related, tables, values
from pgmcp.language.places import near
from pgmcp.language.question import ColumnRef, Declined, NeedValues, Question, TableRef
from pgmcp.language.reading import Reading, TooLongError, grammar_ends
from pgmcp.language.requests import requests
from pgmcp.language.tokens import tokenise

MAX_TOKENS = 60
_MAX_TABLES = 6
_MAX_WANTED = 24


def understand(
    text: str,
    lexicon: Lexicon,
    *,
    today: date,
    values: Mapping[ColumnRef, tuple[str, ...]] | None = None,
) -> Question | NeedValues | Declined:
    """What a text asks of a catalogue.

    `values` are the distinct values of columns that an earlier NeedValues named; a column that
    has too many is there with an empty tuple, and is not asked for again.
    """
    tokens = tokenise(text)
    if not tokens:
        return Declined("there is no question in it")
    if len(tokens) > MAX_TOKENS:
        return Declined(f"it is longer than {MAX_TOKENS} words")
    reading = Reading(tokens, lexicon, today, values or {})
    try:
        found = requests(reading)
    except TooLongError:
        return Declined("it can be read in too many ways", tables=_spoken_of(reading))
    likely = _spoken_of(reading)
    wanted = list(reading.wanted)
    unplaced: tuple[str, ...] = ()
    if not found:
        unplaced = _unplaced(reading, likely)
        wanted += _value_columns(reading, likely)
    needed = tuple(dict.fromkeys(one for one in wanted if one not in reading.values))[:_MAX_WANTED]
    if needed:
        return NeedValues(needed)
    if not found:
        return _declined(reading, unplaced, likely)
    lowest = min(cost for _, cost in found)
    best = tuple(dict.fromkeys(question for question, cost in found if cost == lowest))
    if len(best) > 1:
        return Declined(
            "it can be read in more than one way", (), best, tuple(reading.notes), likely
        )
    return best[0]


def resolve(
    text: str,
    lexicon: Lexicon,
    *,
    today: date,
    read: Callable[[ColumnRef], tuple[str, ...]],
) -> Question | Declined:
    """`understand`, with `read` called for the values it needs: () where there are too many."""
    values: dict[ColumnRef, tuple[str, ...]] = {}
    answer = understand(text, lexicon, today=today)
    while isinstance(answer, NeedValues):
        values.update((column, read(column)) for column in answer.columns)
        answer = understand(text, lexicon, today=today, values=values)
    return answer


def _declined(
    reading: Reading, unplaced: tuple[str, ...], likely: tuple[TableRef, ...]
) -> Declined:
    notes = tuple(reading.notes)
    if unplaced:
        return Declined("some words have no place in it", unplaced, (), notes, likely)
    if not likely:
        said = " ".join(token.text for token in reading.tokens)[:80]
        return Declined(f"“{said}” names no table that is here", (), (), notes)
    reason = "the words are known, but not how they belong together"
    return Declined(reason, (), (), notes, likely)


def _spoken_of(reading: Reading) -> tuple[TableRef, ...]:
    """The tables that the text names, the best matches first."""
    found: list[tuple[int, int, TableRef]] = []
    for i in range(len(reading.tokens)):
        found.extend((cost, i, ref) for ref, _, cost in tables(reading, i))
    return tuple(dict.fromkeys(ref for _, _, ref in sorted(found)))[:_MAX_TABLES]


def _unplaced(reading: Reading, likely: tuple[TableRef, ...]) -> tuple[str, ...]:
    """The words that neither the vocabulary nor the likely tables know."""
    known = [False] * len(reading.tokens)
    for i, token in enumerate(reading.tokens):
        if token.lower in words.MODALS:
            continue
        ends = [] if token.kind == "string" else grammar_ends(reading, i)
        if token.kind in ("number", "string") or (token.kind == "date" and _is_day(token.text)):
            ends.append(i + 1)
        ends += [end for _, end, _ in tables(reading, i)]
        for ref in likely:
            ends += [end for _, end, _ in columns(reading, i, ref)]
            ends += [end for _, end, _ in related(reading, i, ref)]
            ends += [end for _, end, _ in values(reading, i, ref)]
            for path in near(reading, ref):
                ends += [end for _, end, _ in values(reading, i, path[-1].target)]
        for end in ends:
            known[i:end] = [True] * (end - i)
    return tuple(
        token.text for token, placed in zip(reading.tokens, known, strict=True) if not placed
    )


def _is_day(text: str) -> bool:
    year, month, day = (int(part) for part in text.split("-"))
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def _value_columns(reading: Reading, likely: tuple[TableRef, ...]) -> list[ColumnRef]:
    """The columns whose values could explain the words that are left."""
    found: list[ColumnRef] = []
    for ref in likely:
        found.extend(reading.lexicon.value_columns(ref))
    for ref in likely:
        for path in near(reading, ref):
            target = path[-1].target
            label = reading.lexicon.label(target)
            found.extend(
                one for one in reading.lexicon.value_columns(target) if one.column == label
            )
    return found
