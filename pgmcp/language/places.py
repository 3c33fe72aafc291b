"""Phrases that name a value where the column is understood: "in Berlin", "electronics products".

The rule: the value is one that the database holds; where two columns hold it, both are returned.
"""

from __future__ import annotations

from pgmcp.language.adjectives import adjectives, negated
from pgmcp.language.match import columns, tables, values
from pgmcp.language.question import Condition, Not, OneOf, Path, Related, TableRef
from pgmcp.language.reading import Found, Reading, accept, maybe


def related_values(reading: Reading, p: int, table: TableRef) -> list[tuple[Path, Condition, int]]:
    """ "electronics products": a value of a table one key or one bridge away."""
    graph = reading.lexicon.graph
    found: list[tuple[Path, Condition, int]] = []
    for path in near(reading, table):
        target = path[-1].target
        same = [one for one in graph.hops.get(table, ()) if one.target == target]
        if len(same) > 1:
            continue
        for (column, value), end, _ in values(reading, p, target):
            found.append((path, OneOf(column, (value,)), end))
    return found


def near(reading: Reading, table: TableRef) -> list[Path]:
    """The tables one key away, towards the one side or across a bridge."""
    graph = reading.lexicon.graph
    found: list[Path] = []
    for hop in graph.hops.get(table, ()):
        if not hop.to_many:
            found.append((hop,))
        elif hop.target in graph.bridges:
            found.extend(
                (hop, other)
                for other in graph.hops.get(hop.target, ())
                if other.key != hop.key and not other.to_many
            )
    return found


def excepted(reading: Reading, p: int, table: TableRef) -> Found[Condition]:
    """ "except cancelled ones"."""
    found: Found[Condition] = []
    for q in accept(reading, p, "except"):
        for one, end, cost in adjectives(reading, q, table):
            for last in maybe(reading, end, "ones"):
                if not isinstance(one, Not):
                    found.append((Not(one), last, cost))
    return found


def placed(reading: Reading, p: int, table: TableRef) -> Found[Condition]:
    """ "in Berlin", "not from Berlin", "in Berlin and London", "in the electronics category"."""
    found: Found[Condition] = []
    for start in [p, *accept(reading, p, "not")]:
        for q in accept(reading, start, "place"):
            for one, end, cost in _value_list(reading, q, table):
                for last in [end, *own_column(reading, end, table, one)]:
                    found.append((negated(one) if start != p else one, last, cost))
            for path, one, end in related_values(reading, q, table):
                target = path[-1].target
                named = [stop for ref, stop, _ in tables(reading, end) if ref == target]
                for last in [end, *named]:
                    condition: Condition = Related(path, one)
                    found.append((negated(condition) if start != p else condition, last, 1))
    return found


def own_column(reading: Reading, end: int, table: TableRef, one: Condition) -> list[int]:
    """ "in good condition": the value's column named behind it."""
    return [
        last
        for name, last, _ in columns(reading, end, table)
        if isinstance(one, OneOf) and name == one.column
    ]


def _value_list(reading: Reading, q: int, table: TableRef) -> Found[Condition]:
    found: Found[Condition] = []
    for (column, value), end, cost in values(reading, q, table):
        found.append((OneOf(column, (value,)), end, cost))
        for r in accept(reading, end, "and", "or"):
            for s in maybe(reading, r, "place"):
                for rest, last, more in _value_list(reading, s, table):
                    if isinstance(rest, OneOf) and rest.column == column:
                        merged = tuple(dict.fromkeys((value, *rest.values)))
                        found.append((OneOf(column, merged), last, cost + more))
    return found
