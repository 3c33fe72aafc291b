"""Phrases that compare a column of text: "status is pending", "named Ada", "lamp in the name".

The rule: a stored value is a plainer reading than a literal that nothing shows to be one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Literal

from pgmcp.catalog.catalogue import Column
from pgmcp.language.adjectives import negated
from pgmcp.language.match import columns, item_list, literal, values
from pgmcp.language.question import ColumnRef, Condition, Like, Not, OneOf, TableRef
from pgmcp.language.reading import Parses, Reading, accept, maybe, word
from pgmcp.language.tokens import is_uuid


def textual(reading: Reading, start: int, table: TableRef, column: Column) -> Parses[Condition]:
    """Read what is said of a column of text, of an enum or of a UUID."""
    parses = _equal_to_text(reading, start, table, column)
    if column.category == "S":
        parses.extend(_like_text(reading, start, column.name))
    return parses


def _equal_to_text(
    reading: Reading, start: int, table: TableRef, column: Column
) -> Parses[Condition]:
    """ "is paid", "Berlin or Rome", "other than pending": a stored value or one as it was typed."""
    parses: Parses[Condition] = []
    name = column.name
    open_to_others = column.category != "E" and (
        name not in reading.lexicon.known_values(table) or bool(column.common_values)
    )
    known = partial(_stored_text, table=table, name=name)
    typed = partial(_typed_text, table=table, column=column)
    openings = [(after_is_value, False) for after_is_value in maybe(reading, start, "is value")]
    openings += [
        (after_different_from, True)
        for after_different_from in accept(reading, start, "different from")
    ]
    for position, negative in openings:
        condition: Condition
        for texts, end in item_list(reading, position, known):
            condition = OneOf(name, tuple(dict.fromkeys(texts)))
            parses.append((negated(condition) if negative else condition, end, 0))
        for texts, end in item_list(reading, position, typed) if open_to_others else []:
            condition = OneOf(name, tuple(dict.fromkeys(texts)), fold=column.category == "S")
            parses.append((negated(condition) if negative else condition, end, 3))
    return parses


def _stored_text(
    reading: Reading, start: int, *, table: TableRef, name: str
) -> Iterator[tuple[str, int]]:
    """The values of one column that the text at `k` names."""
    for (other, value), end, _ in values(reading, start, table):
        if other == name:
            yield value, end


def _typed_text(
    reading: Reading, start: int, *, table: TableRef, column: Column
) -> Iterator[tuple[str, int]]:
    """A literal that may be a value of the column, though nothing shows that it is."""
    for text, end, quoted in literal(reading, start):
        if column.category == "U" and not (column.type == "uuid" and is_uuid(text)):
            continue
        if quoted or not any(stop == end for _, stop, _ in columns(reading, start, table)):
            yield text, end


def _like_text(reading: Reading, start: int, name: str) -> Iterator[tuple[Condition, int, int]]:
    """ "contains lamp", "starts with A", "does not contain lamp"."""
    parts: tuple[Literal["contains", "starts", "ends"], ...] = ("contains", "starts", "ends")
    for part in parts:
        for after_part in accept(reading, start, part):
            for text, end, quoted in literal(reading, after_part):
                if part == "contains" and quoted and _is_pattern(reading, after_part, text):
                    continue
                if text.lower() not in ("the", "letter", "word"):
                    yield Like(name, part, text), end, 0
    yield from _pattern(reading, start, name)
    for after_does_not_contain in word(
        reading, start, "does not contain", "do not contain", "not containing"
    ):
        for text, end, _ in literal(reading, after_does_not_contain):
            yield Not(Like(name, "contains", text)), end, 0


def _pattern(reading: Reading, start: int, name: str) -> Iterator[tuple[Condition, int, int]]:
    """ "like 'A%'", "is not like '%land'"."""
    for after_be in maybe(reading, start, "be"):
        for position in [after_be, *accept(reading, after_be, "not")]:
            for after_like in word(reading, position, "like", "ilike", "matching", "matches"):
                for text, end, quoted in literal(reading, after_like):
                    if quoted and _is_pattern(reading, after_like, text):
                        pattern = Like(name, "pattern", text)
                        yield (pattern if position == after_be else Not(pattern)), end, 0


def _is_pattern(reading: Reading, start: int, text: str) -> bool:
    """Whether a text with wildcards stands behind "like", and not behind "contains"."""
    like = reading.tokens[start - 1].lower in ("like", "ilike", "matching", "matches")
    return like and bool({"%", "_"} & set(text))


def text_first(reading: Reading, start: int, table: TableRef) -> Parses[Condition]:
    """ "lamp in the name"."""
    parses: Parses[Condition] = []
    for after_contains in maybe(reading, start, "contains"):
        for text, after_literal, _ in literal(reading, after_contains):
            for after_in in word(reading, after_literal, "in", "in their", "in its"):
                for name, end, cost in columns(reading, after_in, table):
                    if reading.lexicon.column(table, name).category == "S":
                        parses.append((Like(name, "contains", text), end, cost))
    return parses


def named(reading: Reading, start: int, table: TableRef) -> Parses[Condition]:
    """ "named Ada": in the column that names a row, or in the parts of its name that hold it."""
    parses: Parses[Condition] = []
    label = reading.lexicon.label(table)
    for after_named in accept(reading, start, "named"):
        if label is None:
            parses.extend(_named_in_part(reading, after_named, table))
            continue
        column = reading.lexicon.column(table, label)
        for condition, end, cost in textual(reading, after_named, table, column):
            if isinstance(condition, OneOf) and not (
                condition.fold and _first_names(reading, table, condition)
            ):
                parses.append((condition, end, cost))
    return parses


def _named_in_part(
    reading: Reading, start: int, table: TableRef
) -> Iterator[tuple[Condition, int, int]]:
    """ "Nancy", where names are kept in parts: each part that holds it, or may hold it."""
    parts = reading.lexicon.name_parts(table)
    columns_of_parts = [ColumnRef(table.schema, table.table, name) for name in parts]
    known = reading.lexicon.known_values(table)
    for column in columns_of_parts:
        if column.column not in known and column not in reading.values:
            reading.wanted[column] = None
    for text, end, _ in literal(reading, start):
        for column in columns_of_parts:
            stored = known.get(column.column) or reading.values.get(column, ())
            held = tuple(value for value in stored if value.lower() == text.lower())
            if held:
                yield OneOf(column.column, held), end, 0
            elif not stored:  # too many to be read
                yield OneOf(column.column, (text,), fold=True), end, 0


def _first_names(reading: Reading, table: TableRef, named: OneOf) -> bool:
    """Whether nothing is called so, but something begins or ends so: "Otto" of "Otto Braun"."""
    column = ColumnRef(table.schema, table.table, named.column)
    if any(" " in text for text in named.values):
        return False
    if column not in reading.values:
        reading.wanted[column] = None
        return False
    stored = {value.lower(): value for value in reading.values[column]}
    for text in named.values:
        longer = [stored[value] for value in stored if text.lower() in value.split()]
        if text.lower() not in stored and longer:
            listed = ", ".join(f"'{value}'" for value in sorted(longer)[:3])
            reading.notes[f"{table.table}.{named.column} has no '{text}', but {listed}"] = None
            return True
    return False
