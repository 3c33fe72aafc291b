"""Phrases that compare a column, or say that there is a value, or when.

The rule: a word is tied to a column by the column's name, comment or values, never by guessing
what a schema like this usually means.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from pgmcp.catalog.catalogue import Column
from pgmcp.language import words
from pgmcp.language.adjectives import is_date, may_be_empty, negated
from pgmcp.language.dates import Range, period, yearless
from pgmcp.language.joins import is_plural
from pgmcp.language.match import columns, literal, number, values
from pgmcp.language.question import (
    Any,
    Between,
    ColumnRef,
    Compare,
    Condition,
    Flag,
    Like,
    Missing,
    Not,
    OneOf,
    Operator,
    Period,
    TableRef,
)
from pgmcp.language.reading import Found, Reading, accept, maybe, remembered, starts, word
from pgmcp.language.tokens import is_uuid, split_name, stem, stems

OPERATORS: tuple[Operator, ...] = get_args(Operator)


@remembered
def comparison(reading: Reading, i: int, table: TableRef) -> Found[Condition]:
    """ "price over 20", "status is pending", "created last week", "at least 10 in stock"."""
    found: Found[Condition] = []
    for name, j, cost in columns(reading, i, table):
        column = reading.lexicon.column(table, name)
        found.extend((one, end, cost + more) for one, end, more in _said(reading, j, table, column))
    found.extend(_number_first(reading, i, table))
    found.extend(_text_first(reading, i, table))
    found.extend(_measured(reading, i, table))
    found.extend(_named(reading, i, table))
    return found


def _said(reading: Reading, j: int, table: TableRef, column: Column) -> Found[Condition]:
    found: Found[Condition] = []
    name = column.name
    for p in maybe(reading, j, "be"):
        found.extend((Missing(name), end, 0) for end in accept(reading, p, "null") if p != j)
        found.extend(
            (Not(Missing(name)), end, 0) for end in accept(reading, p, "not null") if p != j
        )
    if column.category == "B":
        for p in maybe(reading, j, "is value"):
            found.extend((Flag(name), end, 0) for end in accept(reading, p, "true"))
            found.extend((Not(Flag(name)), end, 0) for end in accept(reading, p, "false"))
    elif is_date(column):
        for p in maybe(reading, j, "be"):
            found.extend(_dated(reading, p, name))
            for q in accept(reading, p, "not"):
                found.extend((Not(one), end, cost) for one, end, cost in _dated(reading, q, name))
    elif column.category == "N":
        found.extend(_numeric(reading, j, column))
    elif column.category in "SEU":
        found.extend(_textual(reading, j, table, column))
    return found


def _dated(reading: Reading, p: int, name: str) -> Found[Condition]:
    """A phrase of time about a column; a month without a year is the last one, if it can be."""
    parts = {*split_name(name), *stems(name)}
    any_year = not parts.isdisjoint(words.PLANNED | words.BIRTH)
    return [
        (Period(name, *span), end, cost)
        for span, end, cost in period(reading, p)
        if not (any_year and yearless(reading, p, end))
    ]


def _numeric(reading: Reading, j: int, column: Column) -> Found[Condition]:
    found: Found[Condition] = []
    name = column.name
    starts_at = [q for p in maybe(reading, j, "be") for q in maybe(reading, p, "of")]
    for p in dict.fromkeys(starts_at):
        found.extend((one, end, 0) for one, end in _bounded(reading, p, column))
        if "year" in stems(name) or split_name(name)[-1] in words.YEARLY:
            for (start, end_day), end, cost in period(reading, p):
                one = _years(name, (start, end_day))
                if one is not None and p == j:
                    found.append((one, end, cost))
    for negative, opening in ((False, "is value"), (True, "different from")):
        at = maybe(reading, j, opening) if not negative else accept(reading, j, opening)
        for p in at:
            for listed, end in _list(reading, p, lambda r, k: _amount(r, k, column)):
                one = (
                    Compare(name, "=", listed[0])
                    if len(listed) == 1
                    else OneOf(name, tuple(listed))
                )
                found.append((negated(one) if negative else one, end, 0))
    return found


def _bounded(reading: Reading, p: int, column: Column) -> Iterator[tuple[Condition, int]]:
    """ "over 20", "20 or more", "between 10 and 30"."""
    for operator in OPERATORS:
        for q in accept(reading, p, operator):
            for amount, end in _amount(reading, q, column):
                yield Compare(column.name, operator, amount), end
    for amount, q in _amount(reading, p, column):
        for end in accept(reading, q, "or more"):
            yield Compare(column.name, ">=", amount), end
        for end in accept(reading, q, "or less"):
            yield Compare(column.name, "<=", amount), end
    for q in accept(reading, p, "between"):
        for low, r in _amount(reading, q, column):
            for s in accept(reading, r, "to"):
                for high, end in _amount(reading, s, column):
                    if float(low) <= float(high):
                        yield Between(column.name, low, high), end


def _amount(reading: Reading, p: int, column: Column) -> Iterator[tuple[str, int]]:
    """A number with its unit, when the unit is the column's."""
    said = {*split_name(column.name), *(split_name(column.comment or ""))}
    in_cents = bool(said & {"cent", "cents"})
    own_units = {unit for unit, forms in words.UNIT_PARTS.items() if said & {unit, *forms}}
    money = bool(words.MONEY & {stem(part) for part in said}) and not in_cents
    prefix = word(reading, p, "$", "€", "£")
    for start in prefix or [p]:
        if prefix and not money:
            continue
        for amount, q in number(reading, start):
            units = [
                (unit, end)
                for unit in words.UNIT_PARTS
                for end in accept(reading, q, f"unit {unit}")
            ]
            if not in_cents and not (units and q in starts(reading, p)):
                yield amount, q
            for unit, end in units:
                if unit in own_units or (money and unit in words.CURRENCIES):
                    yield amount, end


def _years(name: str, span: Range) -> Condition | None:
    """A range of whole years as numbers."""
    start, end = span
    if any(day is not None and (day.month, day.day) != (1, 1) for day in span):
        return None
    if start and end:
        if end.year - start.year == 1:
            return Compare(name, "=", str(start.year))
        return Between(name, str(start.year), str(end.year - 1))
    if start:
        return Compare(name, ">", str(start.year - 1)) if start else None
    return Compare(name, "<", str(end.year)) if end else None


def _textual(reading: Reading, j: int, table: TableRef, column: Column) -> Found[Condition]:
    found: Found[Condition] = []
    name = column.name
    closed = column.category == "E" or name in {
        key for key in reading.lexicon.known_values(table) if not column.common_values
    }

    def known(r: Reading, k: int) -> Iterator[tuple[str, int]]:
        for (other, value), end, _ in values(r, k, table):
            if other == name:
                yield value, end

    def typed(r: Reading, k: int) -> Iterator[tuple[str, int]]:
        for text, end, quoted in literal(r, k):
            if column.category == "U" and not (column.type == "uuid" and is_uuid(text)):
                continue
            if quoted or not any(stop == end for _, stop, _ in columns(r, k, table)):
                yield text, end

    for negative, opening in ((False, "is value"), (True, "different from")):
        for p in maybe(reading, j, opening) if not negative else accept(reading, j, opening):
            one: Condition
            for listed, end in _list(reading, p, known):
                one = OneOf(name, tuple(dict.fromkeys(listed)))
                found.append((negated(one) if negative else one, end, 0))
            for listed, end in [] if closed else _list(reading, p, typed):
                one = OneOf(name, tuple(dict.fromkeys(listed)), fold=column.category == "S")
                found.append((negated(one) if negative else one, end, 3))
    if column.category == "S":
        for where in ("contains", "starts", "ends"):
            for p in accept(reading, j, where):
                for text, end, _ in literal(reading, p):
                    found.append((Like(name, where, text), end, 0))
                    if text.lower() in ("the", "letter", "word"):
                        found.pop()
        for p in word(reading, j, "does not contain", "do not contain", "not containing"):
            for text, end, _ in literal(reading, p):
                found.append((Not(Like(name, "contains", text)), end, 0))
    return found


def _list(reading: Reading, p: int, item: object) -> Iterator[tuple[list[str], int]]:
    """One or more items: "a", "a or b", "a, b and c", "(a, b)"."""
    assert callable(item)
    if p < len(reading.tokens) and reading.tokens[p].lower == "(":
        for listed, end in _list(reading, p + 1, item):
            if end < len(reading.tokens) and reading.tokens[end].lower == ")":
                yield listed, end + 1
        return
    for first, q in item(reading, p):
        yield [first], q
        for r in accept(reading, q, "or", "and"):
            for rest, end in _list(reading, r, item):
                yield [first, *rest], end


def _number_first(reading: Reading, i: int, table: TableRef) -> Found[Condition]:
    """ "at least 10 in stock", "over 40 years old", "over a total of 100"."""
    found: Found[Condition] = []
    for operator in OPERATORS:
        for p in accept(reading, i, operator):
            for amount, q in number(reading, p):
                for r in maybe(reading, q, "of"):
                    for name, end, cost in columns(reading, r, table):
                        if _countable(reading, table, name):
                            found.append((Compare(name, operator, amount), end, cost))
                for end in word(reading, q, *words.AGES[:3]):
                    for name in measuring_columns(reading, table, ("age",)):
                        found.append((Compare(name, operator, amount), end, 0))
            for name, q, cost in columns(reading, p, table):
                if _countable(reading, table, name):
                    column = reading.lexicon.column(table, name)
                    for r in maybe(reading, q, "of"):
                        for amount, end in _amount(reading, r, column):
                            found.append((Compare(name, operator, amount), end, cost))
    return found


def _countable(reading: Reading, table: TableRef, name: str) -> bool:
    column = reading.lexicon.column(table, name)
    return column.category == "N" and not reading.lexicon.is_key(table, name)


def _text_first(reading: Reading, i: int, table: TableRef) -> Found[Condition]:
    """ "lamp in the name"."""
    found: Found[Condition] = []
    for p in maybe(reading, i, "contains"):
        for text, q, _ in literal(reading, p):
            for r in word(reading, q, "in", "in their", "in its"):
                for name, end, cost in columns(reading, r, table):
                    if reading.lexicon.column(table, name).category == "S":
                        found.append((Like(name, "contains", text), end, cost))
    return found


def _measured(reading: Reading, i: int, table: TableRef) -> Found[Condition]:
    """ "cheaper than 20", "longer than 120 minutes"."""
    found: Found[Condition] = []
    for adjective_name in words.ADJECTIVES:
        for p in accept(reading, i, f"comparative {adjective_name}"):
            measured, sign = words.ADJECTIVES[adjective_name]
            for name in measuring_columns(reading, table, measured):
                column = reading.lexicon.column(table, name)
                for q in word(reading, p, "than"):
                    for amount, end in _amount(reading, q, column):
                        found.append((Compare(name, ">" if sign > 0 else "<", amount), end, 0))
    return found


def measuring_columns(reading: Reading, table: TableRef, measured: tuple[str, ...]) -> list[str]:
    """The columns that hold what an adjective measures: by name, or else by comment."""
    numbers = [
        column
        for column in reading.lexicon.relations[table].columns
        if column.category == "N" and not reading.lexicon.is_key(table, column.name)
    ]
    by_name = [one.name for one in numbers if set(measured) & set(split_name(one.name))]
    if by_name:
        return by_name
    return [one.name for one in numbers if set(measured) & set(split_name(one.comment or ""))]


def measuring(reading: Reading, table: TableRef, adjective_name: str) -> list[tuple[str, int]]:
    """(column, sign) for a superlative such as "cheap"; ages may be kept as dates of birth."""
    measured, sign = words.ADJECTIVES[adjective_name]
    found = [(name, sign) for name in measuring_columns(reading, table, measured)]
    if not found and measured == ("age",):
        found = [
            (column.name, -sign)
            for column in reading.lexicon.relations[table].columns
            if is_date(column) and words.BIRTH & set(stems(column.name))
        ]
    return found


def _named(reading: Reading, i: int, table: TableRef) -> Found[Condition]:
    label = reading.lexicon.label(table)
    if label is None:
        return []
    found: Found[Condition] = []
    for p in accept(reading, i, "named"):
        column = reading.lexicon.column(table, label)
        for one, end, cost in _textual(reading, p, table, column):
            if isinstance(one, OneOf) and not (one.fold and _first_names(reading, table, one)):
                found.append((one, end, cost))
    return found


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


@remembered
def presence(reading: Reading, i: int, table: TableRef) -> Found[Condition]:
    """ "without a city", "with no stock", "with a city"."""
    found: Found[Condition] = []
    for p in accept(reading, i, "have not"):
        zero = reading.tokens[p - 1].lower in ("zero", "0")
        for name, end, cost in columns(reading, p, table):
            column, none = reading.lexicon.column(table, name), Compare(name, "=", "0")
            countable = _countable(reading, table, name)
            if may_be_empty(column) or (zero and not countable):
                continue
            if column.nullable and not zero:
                several = countable and is_plural(reading.tokens[end - 1].lower)
                either = Any((none, Missing(name))) if several else Missing(name)
                found.append((either, end, cost))
            elif countable:
                found.append((none, end, cost))
    for p in accept(reading, i, "have"):
        for name, end, cost in columns(reading, p, table):
            column = reading.lexicon.column(table, name)
            if (
                column.category != "B"
                and not may_be_empty(column)
                and not _countable(reading, table, name)
            ):
                # "with status pending" is about the status, not about there being one.
                found.append((Not(Missing(name)), end, cost + 2))
    return found


@remembered
def moment(reading: Reading, i: int, table: TableRef) -> Found[Condition]:
    """A phrase of time that names no column: it is about the table's own date."""
    found: Found[Condition] = []
    for p in [i, *accept(reading, i, "not")]:
        for q in [p, *word(reading, p, "placed", "made", "dated")]:
            name = own_date(reading, table)
            for one, end, cost in _dated(reading, q, name) if name is not None else []:
                found.append((negated(one) if p != i else one, end, cost))
    return found


def own_date(reading: Reading, table: TableRef) -> str | None:
    """The column that says when a row came to be, when one stands out."""
    relation = reading.lexicon.relations[table]
    noun = set(stems(table.table))
    later = words.BOOKKEEPING | words.BIRTH
    dates = [
        column
        for column in relation.columns
        if is_date(column) and not later & set(split_name(column.name))
    ]
    dates = [
        column for column in dates if not words.PLANNED & set(split_name(column.name))
    ] or dates
    born = [
        column
        for column in dates
        if (words.CREATION | noun) & ({*split_name(column.name)} | set(stems(column.name)))
    ]
    found = born or [column for column in dates if not column.nullable] * (len(dates) == 1)
    if len(found) == 1:
        return found[0].name
    if dates:
        names = ", ".join(column.name for column in dates)
        reading.notes[f"{table.table} has dates, none of them plainly its own: {names}"] = None
    return None
