"""A text and a catalogue -> a question, or the reason why not.

The rule: exactly one cheapest reading of the whole text is an answer; none, or two that differ,
are a refusal that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date

from pgmcp.language import words
from pgmcp.language.lexicon import Lexicon
from pgmcp.language.match import columns, related, tables, values
from pgmcp.language.places import near
from pgmcp.language.question import ColumnRef, Declined, NeedValues, Question, TableRef
from pgmcp.language.reading import STEPS, Reading, TooLongError, accept, grammar_ends
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
    lexicon.expect(_tables_named(reading))
    try:
        parses = requests(reading)
    except TooLongError:
        return Declined("it can be read in too many ways", tables=_tables_named(reading))
    likely = _tables_named(reading)
    wanted = list(reading.wanted)
    unplaced: tuple[str, ...] = ()
    if not parses:
        unplaced = _unplaced(reading, likely)
        wanted += _value_columns(reading, likely)
    needed = tuple(dict.fromkeys(column for column in wanted if column not in reading.values))[
        :_MAX_WANTED
    ]
    if needed:
        return NeedValues(needed)
    if not parses:
        declined = _declined(reading, unplaced, likely)
        stored = tuple((column, listed) for column, listed in reading.values.items() if listed)
        return replace(declined, nearly=_nearly(reading, unplaced), stored=stored)
    best = _cheapest(parses)
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
        shown = " ".join(token.text for token in reading.tokens)[:80]
        return Declined(f"“{shown}” names no table that is here", (), (), notes)
    reason = "the words are known, but not how they belong together"
    return Declined(reason, (), (), notes, likely)


def _nearly(reading: Reading, unplaced: tuple[str, ...]) -> tuple[str, Question] | None:
    """The one question that is left without a word (or with the preposition before it)."""
    if len(unplaced) > 1:
        return None
    tokens = reading.tokens
    left_out = [
        range(start, k + 1)
        for k, token in enumerate(tokens)
        for start in (k, k - 1)
        if (token.text in unplaced if unplaced else token.kind == "word")
        and token.lower not in words.WEIGHTY
        and (start == k or (k > 0 and accept(reading, k - 1, "in", "place")))
    ]
    questions: dict[Question, str] = {}
    steps = STEPS
    for cut in left_out:
        rest = (*tokens[: cut.start], *tokens[cut.stop :])
        shorter = Reading(rest, reading.lexicon, reading.today, reading.values, max_steps=steps)
        try:
            best = _cheapest(requests(shorter))
        except TooLongError:
            return None
        steps -= shorter.steps
        if len(best) == 1:
            dropped = " ".join(token.text for token in tokens[cut.start : cut.stop])
            questions.setdefault(best[0], dropped)
    if len(questions) != 1:
        return None
    ((question, dropped),) = questions.items()
    return dropped, question


def _cheapest(parses: list[tuple[Question, int]]) -> tuple[Question, ...]:
    """The distinct questions of the lowest cost."""
    lowest = min((cost for _, cost in parses), default=0)
    return tuple(dict.fromkeys(question for question, cost in parses if cost == lowest))


def _tables_named(reading: Reading) -> tuple[TableRef, ...]:
    """The tables that the text names, the best matches first."""
    ranked: list[tuple[int, int, TableRef]] = []
    for i in range(len(reading.tokens)):
        ranked.extend((cost, i, ref) for ref, _, cost in tables(reading, i))
    return tuple(dict.fromkeys(ref for _, _, ref in sorted(ranked)))[:_MAX_TABLES]


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
    askable: list[ColumnRef] = []
    for ref in likely:
        askable.extend(reading.lexicon.value_columns(ref))
    for ref in likely:
        for path in near(reading, ref):
            target = path[-1].target
            label = reading.lexicon.label(target)
            askable.extend(
                column for column in reading.lexicon.value_columns(target) if column.column == label
            )
    return askable
