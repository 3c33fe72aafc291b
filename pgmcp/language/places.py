"""Phrases that name a value where the column is understood: "in Berlin", "electronics products".

The rule: the value is one that the database holds; where two columns hold it, both are returned.
"""

from __future__ import annotations

from pgmcp.language.adjectives import adjectives, negated
from pgmcp.language.match import columns, tables, values
from pgmcp.language.question import Condition, Not, OneOf, Path, Related, TableRef
from pgmcp.language.reading import Parses, Reading, accept, maybe


def related_values(
    reading: Reading, start: int, table: TableRef
) -> list[tuple[Path, Condition, int]]:
    """ "electronics products": a value of a table one key or one bridge away."""
    graph = reading.lexicon.graph
    matches: list[tuple[Path, Condition, int]] = []
    for path in near(reading, table):
        target = path[-1].target
        same = [hop for hop in graph.hops(table) if hop.target == target]
        if len(same) > 1:
            continue
        for (column, value), end, _ in values(reading, start, target):
            matches.append((path, OneOf(column, (value,)), end))
    return matches


def near(reading: Reading, table: TableRef) -> list[Path]:
    """The tables one key away, towards the one side or across a bridge."""
    graph = reading.lexicon.graph
    paths: list[Path] = []
    for hop in graph.hops(table):
        if not hop.to_many:
            paths.append((hop,))
        elif graph.is_bridge(hop.target):
            paths.extend(
                (hop, other)
                for other in graph.hops(hop.target)
                if other.key != hop.key and not other.to_many
            )
    return paths


def excepted(reading: Reading, start: int, table: TableRef) -> Parses[Condition]:
    """ "except cancelled ones"."""
    parses: Parses[Condition] = []
    for after_except in accept(reading, start, "except"):
        for condition, end, cost in adjectives(reading, after_except, table):
            for last in maybe(reading, end, "ones"):
                if not isinstance(condition, Not):
                    parses.append((Not(condition), last, cost))
    return parses


def placed(reading: Reading, p: int, table: TableRef) -> Parses[Condition]:
    """ "in Berlin", "not from Berlin", "in Berlin and London", "in the electronics category"."""
    parses: Parses[Condition] = []
    for start in [p, *accept(reading, p, "not")]:
        for after_place in accept(reading, start, "place"):
            for match, end, cost in _value_list(reading, after_place, table):
                for last in [end, *own_column(reading, end, table, match)]:
                    parses.append((negated(match) if start != p else match, last, cost))
            for path, match, end in related_values(reading, after_place, table):
                target = path[-1].target
                named = [stop for ref, stop, _ in tables(reading, end) if ref == target]
                for last in [end, *named]:
                    condition: Condition = Related(path, match)
                    parses.append((negated(condition) if start != p else condition, last, 1))
    return parses


def own_column(reading: Reading, end: int, table: TableRef, condition: Condition) -> list[int]:
    """ "in good condition": the value's column named behind it."""
    return [
        last
        for name, last, _ in columns(reading, end, table)
        if isinstance(condition, OneOf) and name == condition.column
    ]


def _value_list(reading: Reading, start: int, table: TableRef) -> Parses[Condition]:
    parses: Parses[Condition] = []
    for (column, value), end, cost in values(reading, start, table):
        parses.append((OneOf(column, (value,)), end, cost))
        for after_and in accept(reading, end, "and", "or"):
            for after_place in maybe(reading, after_and, "place"):
                for rest, last, more in _value_list(reading, after_place, table):
                    if isinstance(rest, OneOf) and rest.column == column:
                        merged = tuple(dict.fromkeys((value, *rest.values)))
                        parses.append((OneOf(column, merged), last, cost + more))
    return parses
