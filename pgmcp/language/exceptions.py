"""What "not" means behind another condition: "in 2024 but not in March", "in 2023 but not in 2024".

The rule: a "not" that says nothing about one row is not taken as a condition on that row. Of rows
that another row has, it asks for two sets; where one set could be meant as well, nothing is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

from pgmcp.language.adjectives import is_date
from pgmcp.language.conditions import moment
from pgmcp.language.dates import yearless
from pgmcp.language.phrase import Phrase, contradicts, is_apart, to_many
from pgmcp.language.places import placed
from pgmcp.language.question import All, Condition, Missing, Not, OneOf, Period, Related, both
from pgmcp.language.reading import Reading, accept, maybe


def joined(
    reading: Reading, start: int, end: int, phrase: Phrase, condition: Condition, depth: int
) -> Condition | None:
    """The condition, said from `start` to `end`, as it reads behind the others of the phrase.

    None when they do not go together. `depth`: 0 for the subject, more for rows that it has.
    """
    periods = [before for before in phrase.where if isinstance(before, Period)]
    if isinstance(condition, Not) and isinstance(condition.of, Period) and periods:
        exception = _exception(reading, start, end, phrase, condition, periods)
        if exception is None:
            return None
        condition = exception
    many = depth > 0 and not phrase.timeless
    if many and isinstance(condition, Not) and _counterpart(phrase.where, condition.of):
        return None  # two sets, or one: `difference` knows
    return None if contradicts(phrase.where, condition) else condition


def _exception(
    reading: Reading,
    start: int,
    end: int,
    phrase: Phrase,
    condition: Not,
    periods: list[Period],
) -> Condition | None:
    """ "not in March" behind "in 2024", or behind "shipped in 2024": of that column and year."""
    assert isinstance(condition.of, Period)
    period = condition.of
    if (condition, end) in _nameless(reading, start, phrase):
        if len({before.column for before in periods}) > 1:
            return None
        period = replace(period, column=periods[-1].column)
    before = next((earlier for earlier in periods if earlier.column == period.column), None)
    if before is not None and yearless(reading, start, end):
        moved = _in_year_of(period, before)
        return None if moved is None else Not(moved)
    return Not(period)


def _nameless(reading: Reading, start: int, phrase: Phrase) -> frozenset[tuple[Condition, int]]:
    """The dates at `start` that name no column."""
    at = [
        after_be
        for after_who in maybe(reading, start, "who")
        for after_be in maybe(reading, after_who, "be")
    ]
    return frozenset(
        (condition, end)
        for position in at
        for condition, end, _ in moment(reading, position, phrase.table)
    )


def _in_year_of(period: Period, before: Period) -> Period | None:
    """A month or day that was said without a year, in the year of `before`; None: which one?"""
    if not (period.start and period.end and before.start and before.end):
        return None
    year = before.start.year
    if (before.end - timedelta(days=1)).year != year:
        return None
    shift = year - period.start.year
    try:
        start: date = period.start.replace(year=year)
        end: date = period.end.replace(year=period.end.year + shift)
    except ValueError:  # 29 February
        return None
    return replace(period, start=start, end=end)


def _counterpart(where: tuple[Condition, ...], excluded: Condition) -> Condition | None:
    """The one condition that is about the same thing as `excluded`, None for none or several."""
    same = [
        before
        for before in where
        if (
            isinstance(excluded, Period | OneOf)
            and isinstance(before, type(excluded))
            and before.column == excluded.column
        )
        or (
            isinstance(excluded, Related)
            and isinstance(before, Related)
            and before.path == excluded.path
        )
    ]
    return same[0] if len(same) == 1 else None


def difference(
    reading: Reading, start: int, having: Condition
) -> Iterator[tuple[Condition, int, int]]:
    """ "with orders in 2023" and, at `p`, "but not in 2024": one set without the other."""
    if not isinstance(having, Related) or having.count is not None or not to_many(having.path):
        return
    target = having.path[-1].target
    where = having.where.of if isinstance(having.where, All) else (having.where,)
    conditions = tuple(condition for condition in where if condition is not None)
    for after_but_not in _but_not(reading, start):
        for excluded, end, cost in [
            *moment(reading, after_but_not, target),
            *placed(reading, after_but_not, target),
        ]:
            before = _counterpart(conditions, excluded)
            if before is None or not _is_disjoint(before, excluded):
                continue
            if yearless(reading, after_but_not, end):
                continue  # "in 2024 but not in March": other orders, or no orders in March?
            others = tuple(excluded if part == before else part for part in conditions)
            yield All((having, Not(Related(having.path, both(others))))), end, cost


def _but_not(reading: Reading, start: int) -> list[int]:
    """The positions behind "but not" and its like."""
    behind = [
        after_not
        for after_but in accept(reading, start, "but")
        for after_not in accept(reading, after_but, "not")
    ]
    return list(dict.fromkeys([*behind, *accept(reading, start, "except")]))


def _is_disjoint(before: Condition, excluded: Condition) -> bool:
    if isinstance(before, Period) and isinstance(excluded, Period):
        return is_apart(before, excluded)
    if isinstance(before, OneOf) and isinstance(excluded, OneOf):
        return not set(before.values) & set(excluded.values)
    return before != excluded


def misplaced_dates(
    reading: Reading, start: int, phrase: Phrase
) -> frozenset[tuple[Condition, int]]:
    """The dates at `p` that name no column, where another date was spoken of before.

    "users without orders since May" is about the orders, even where these have no plain date;
    "delivered orders since May" may be about the delivery.
    """
    spoken = bool(phrase.measures)
    for condition in phrase.where:
        inner = condition.of if isinstance(condition, Not) else condition
        if isinstance(inner, Related) and to_many(inner.path):
            columns = reading.lexicon.relations[inner.path[-1].target].columns
            spoken = spoken or any(is_date(column) for column in columns)
        elif isinstance(inner, Missing):
            column = reading.lexicon.column(phrase.table, inner.column)
            spoken = spoken or is_date(column)
    if not spoken:
        return frozenset()
    ends = [
        after_who
        for conj in maybe(reading, start, "but")
        for after_who in maybe(reading, conj, "who")
    ]
    at = [after_be for position in ends for after_be in maybe(reading, position, "be")]
    return frozenset(
        (condition, end)
        for position in at
        for condition, end, _ in moment(reading, position, phrase.table)
    )
