"""A noun phrase as a value: a table and what was said about it.

The rule: a phrase that contradicts itself is not one; it is for the user to say it in another way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pgmcp.language.adjectives import negated
from pgmcp.language.question import (
    All,
    Any,
    Condition,
    IsTrue,
    Measure,
    Missing,
    Not,
    OneOf,
    Order,
    Path,
    Period,
    Related,
    TableRef,
)


@dataclass(frozen=True, slots=True)
class Phrase:
    """A table and what was said about it.

    `rank`: "top" (1) or "bottom" (-1) awaiting its "by". `timeless`: a date that names no column
    is not about this table: "orders of user 2 since May" are orders since May. `needs_count`:
    "first" and "last" of several need a number.
    """

    table: TableRef
    where: tuple[Condition, ...] = ()
    order: tuple[Order, ...] = ()
    limit: int | None = None
    ties: bool = False
    rank: int = 0
    beside: tuple[Path, ...] = ()
    measures: tuple[Measure, ...] = ()
    plural: bool = True
    timeless: bool = False
    needs_count: bool = False

    @property
    def bare(self) -> bool:
        """Whether it is a table's name and nothing more."""
        return self == Phrase(self.table, plural=self.plural, timeless=self.timeless)


def also(phrase: Phrase, condition: Condition) -> Phrase:
    """The phrase with one more condition."""
    return replace(phrase, where=(*phrase.where, condition))


def nested(condition: Condition) -> bool:
    """Whether a condition is about related rows, in any of its parts."""
    if isinstance(condition, All | Any):
        return any(nested(part) for part in condition.of)
    return isinstance(condition.of if isinstance(condition, Not) else condition, Related)


def mixed(condition: Condition) -> bool:
    """Whether a condition is one of several joined by "or"."""
    return isinstance(condition, Any)


def contradicts(before: tuple[Condition, ...], condition: Condition) -> bool:
    """ "paid and shipped" of one column is either a mistake or means "or": not for us to say.

    So is "in 2023 but not in 2024", which says nothing that "in 2023" does not.
    """
    if isinstance(condition, All):
        return any(contradicts(before, part) for part in condition.of)
    before = _flat(before)
    plain = condition.of if isinstance(condition, Not) else condition
    if isinstance(plain, Period):
        return any(_apart_or_empty(other, condition) for other in before)
    if isinstance(plain, IsTrue | Missing):
        return any(other in (condition, negated(condition)) for other in before)
    return isinstance(condition, OneOf) and any(
        isinstance(other, OneOf) and other.column == condition.column for other in before
    )


def _flat(conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
    """The conditions, those that are all of several taken apart."""
    return tuple(
        part
        for condition in conditions
        for part in (condition.of if isinstance(condition, All) else (condition,))
    )


def _apart_or_empty(other: Condition, condition: Condition) -> bool:
    """Whether two periods of one column, one of which may be negated, share no day."""
    first = other.of if isinstance(other, Not) else other
    second = condition.of if isinstance(condition, Not) else condition
    if not (isinstance(first, Period) and isinstance(second, Period)):
        return False
    if isinstance(other, Not) and isinstance(condition, Not):
        return False
    return first.column == second.column and is_apart(first, second)


def is_apart(first: Period, second: Period) -> bool:
    """Whether no day is in both."""
    return bool(
        (first.end and second.start and first.end <= second.start)
        or (second.end and first.start and second.end <= first.start)
    )


def to_many(path: Path) -> bool:
    """Whether a path may lead from one row to several."""
    return any(hop.to_many for hop in path)
