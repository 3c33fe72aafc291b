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
    Flag,
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
    is not about this table: "orders of user 2 since May" are orders since May. `one`: "first" and
    "last" of several need a number.
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
    one: bool = False

    @property
    def bare(self) -> bool:
        """Whether it is a table's name and nothing more."""
        return self == Phrase(self.table, plural=self.plural, timeless=self.timeless)


def also(phrase: Phrase, one: Condition) -> Phrase:
    return replace(phrase, where=(*phrase.where, one))


def nested(condition: Condition) -> bool:
    if isinstance(condition, All | Any):
        return any(nested(one) for one in condition.of)
    return isinstance(condition.of if isinstance(condition, Not) else condition, Related)


def mixed(condition: Condition) -> bool:
    return isinstance(condition, Any)


def contradicts(before: tuple[Condition, ...], one: Condition) -> bool:
    """ "paid and shipped" of one column is either a mistake or means "or": not for us to say."""
    plain = one.of if isinstance(one, Not) else one
    if isinstance(one, Period):
        return any(
            isinstance(other, Period) and other.column == one.column and _apart(one, other)
            for other in before
        )
    if isinstance(plain, Flag | Missing):
        return any(other in (one, negated(one)) for other in before)
    return isinstance(one, OneOf) and any(
        isinstance(other, OneOf) and other.column == one.column for other in before
    )


def _apart(one: Period, other: Period) -> bool:
    """Whether no day is in both."""
    return bool(
        (one.end and other.start and one.end <= other.start)
        or (other.end and one.start and other.end <= one.start)
    )


def to_many(path: Path) -> bool:
    return any(hop.to_many for hop in path)
