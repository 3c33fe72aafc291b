"""Phrases that say how many related rows there are: "at least three orders", "no orders".

The rule: a count is of rows of one other table, and is compared with a number that stands there.
"""

from __future__ import annotations

from pgmcp.language.conditions import OPERATORS
from pgmcp.language.match import is_count, number
from pgmcp.language.question import Condition, Not, Operator, Path, Related
from pgmcp.language.reading import Reading, accept


def counts(reading: Reading, start: int) -> list[tuple[tuple[Operator, int] | None, int]]:
    """How many there are said to be, a comparison or None for nothing said, and the position behind
    that."""
    parses: list[tuple[tuple[Operator, int] | None, int]] = [(None, start)]
    for operator in OPERATORS:
        for after_operator in accept(reading, start, operator):
            parses.extend(
                ((operator, int(text)), after_number)
                for text, after_number in number(reading, after_operator)
                if is_count(text)
            )
    for text, after_number in number(reading, start):
        if is_count(text):
            parses.append((("=", int(text)), after_number))
            parses.extend(
                ((">=", int(text)), after_or_more)
                for after_or_more in accept(reading, after_number, "or more")
            )
            parses.extend(
                (("<=", int(text)), after_or_less)
                for after_or_less in accept(reading, after_number, "or less")
            )
    return parses


def counted(path: Path, where: Condition | None, count: tuple[Operator, int] | None) -> Condition:
    """The condition that so many rows at the end of the path meet `where`."""
    if count in ((">=", 1), (">", 0), None):
        return Related(path, where)
    if count in (("=", 0), ("<", 1), ("<=", 0)):
        return Not(Related(path, where))
    return Related(path, where, count)
