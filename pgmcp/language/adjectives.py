"""Words before a noun or behind "is" that say something of a row: "active", "unpaid", "in Berlin".

The rule: an adjective means a flag, a time that something happened, or a value, as the table has
them; a table that has two of these is asked about, not chosen for.
"""

from __future__ import annotations

from collections.abc import Iterator

from pgmcp.catalog.catalogue import Column
from pgmcp.language import naming, words
from pgmcp.language.lexicon import stripped
from pgmcp.language.match import values
from pgmcp.language.question import (
    Any,
    ColumnRef,
    Condition,
    IsTrue,
    Missing,
    Not,
    OneOf,
    TableRef,
    columns_of,
)
from pgmcp.language.reading import Parses, Reading, accept, remembered, starts
from pgmcp.language.stemming import split_name, stems

_LETTER_TYPES = frozenset({"character(1)", "character varying(1)", '"char"'})
_STATUS_LIKE = frozenset(
    "status state type kind role stage phase condition sts stat level tier".split()
)


@remembered
def adjective(reading: Reading, start: int, table: TableRef) -> Parses[Condition]:
    """ "active", "not cancelled", "unpaid", "Berlin": one word or value, perhaps negated."""
    parses: Parses[Condition] = []
    for after_not in [*accept(reading, start, "not"), start]:
        plain = _plain_adjective(reading, after_not, table)
        parses.extend(
            (negated(condition) if after_not != start else condition, end, cost)
            for condition, end, cost in plain
        )
    return parses


def _plain_adjective(reading: Reading, start: int, table: TableRef) -> Parses[Condition]:
    parses: Parses[Condition] = []
    for (column, value), end, cost in values(reading, start, table):
        parses.append((OneOf(column, (value,)), end, cost))
    for word_at in starts(reading, start):
        for end in range(word_at + 1, min(word_at + 3, len(reading.tokens)) + 1):
            chunk = reading.tokens[word_at:end]
            if any(token.kind != "word" for token in chunk):
                break
            lower = " ".join(token.lower for token in chunk)
            parses.extend((condition, end, 0) for condition in _facts(reading, table, lower))
    return parses


def _facts(reading: Reading, table: TableRef, lower: str) -> Iterator[Condition]:
    """What flags and times of the table say about "paid", "unpaid", "inactive", …"""
    stated = list(_stated(reading, table, lower))
    opposites = [words.OPPOSITES[lower]] if lower in words.OPPOSITES else []
    opposites += [
        lower.removeprefix(prefix)
        for prefix in words.NEGATING_PREFIXES
        if lower.startswith(prefix) and len(lower) > len(prefix) + 2
    ]
    for opposite in dict.fromkeys(opposites):
        stated.extend(negated(condition) for condition in _stated(reading, table, opposite))
    if not stated and lower in words.NOT_DELETED:
        stated = [Missing(name) for name in _deletions(reading, table)]
        if not stated:
            return
    if stated:
        for column in reading.lexicon.value_columns(table):
            if _STATUS_LIKE & set(split_name(column.column)):
                reading.wanted[column] = None
    yield from dict.fromkeys(stated)


def _stated(reading: Reading, table: TableRef, lower: str) -> Iterator[Condition]:
    key = stems(lower)
    for column in reading.lexicon.relations[table].columns:
        name = stems(column.name)
        if column.category == "B" and key in (name, stripped(name)):
            yield IsTrue(column.name)
        elif column.category == "S" and (key == name or key == stripped(name)):
            yield from (OneOf(column.name, (yes,)) for yes in _letter(reading, table, column))
        elif (
            is_date(column)
            and column.nullable
            and name[-1] in naming.FACT_PARTS
            and key == stripped(name)
        ):
            yield Not(Missing(column.name))


def _letter(reading: Reading, table: TableRef, column: Column) -> Iterator[str]:
    """What stands for "yes" in a column of letters that can only be a flag: Y and N, T and F."""
    if column.type not in _LETTER_TYPES:
        return
    ref = ColumnRef(table.schema, table.table, column.name)
    listed = reading.lexicon.known_values(table).get(column.name) or reading.values.get(ref)
    if listed is None:
        reading.wanted[ref] = None
        return
    for pair in naming.FLAG_LETTERS:
        if pair[0] in listed and set(listed) <= set(pair):
            yield pair[0]


def _deletions(reading: Reading, table: TableRef) -> list[str]:
    return [
        column.name
        for column in reading.lexicon.relations[table].columns
        if column.name in naming.DELETED_COLUMNS
    ]


@remembered
def adjectives(reading: Reading, start: int, table: TableRef) -> Parses[Condition]:
    """Adjectives in a row: "paid or shipped", "active and verified", "not cancelled"."""
    parses = list(adjective(reading, start, table))
    for first, after_adjective, cost in adjective(reading, start, table):
        for after_or in accept(reading, after_adjective, "or"):
            for rest, end, more in adjectives(reading, after_or, table):
                condition = either(first, rest, first_negated=bool(accept(reading, start, "not")))
                if condition is not None:
                    parses.append((condition, end, cost + more))
    return parses


def negated(condition: Condition) -> Condition:
    """The complement, without "not not"."""
    return condition.of if isinstance(condition, Not) else Not(condition)


def either(first: Condition, second: Condition, *, first_negated: bool = False) -> Condition | None:
    """One or the other; None when a "not" in front could mean both or the first alone.

    `first_negated`: the first begins with the word, so "not paid or due" is not "unpaid or due".
    """
    negative = isinstance(first, Not)
    same = columns_of(first) == columns_of(second) != frozenset()
    if first_negated and not (isinstance(first, Not) and isinstance(first.of, OneOf)):
        return None
    if negative and isinstance(first, Not) and not isinstance(first.of, Missing | IsTrue):
        inner = either(first.of, second) if same and not isinstance(second, Not) else None
        return Not(inner) if inner is not None else None
    if negative != isinstance(second, Not) and negative:
        return None
    if (
        isinstance(first, OneOf)
        and isinstance(second, OneOf)
        and (first.column, first.fold) == (second.column, second.fold)
    ):
        merged = tuple(dict.fromkeys((*first.values, *second.values)))
        return OneOf(first.column, merged, first.fold)
    parts = (*(first.of if isinstance(first, Any) else (first,)),
             *(second.of if isinstance(second, Any) else (second,)))  # fmt: skip
    return Any(tuple(sorted(dict.fromkeys(parts), key=repr)))


def is_date(column: Column) -> bool:
    """Whether a column holds a day, with or without a time (not a time of day, not a duration)."""
    return column.category == "D" and not column.type.startswith("time ") and column.type != "time"


def may_be_empty(column: Column) -> bool:
    """Whether there may be nothing in a value that is not NULL: an array, a document."""
    return column.category == "A" or column.type in ("json", "jsonb", "hstore", "xml")
