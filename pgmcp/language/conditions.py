"""Phrases that compare a column, or say that there is a value, or when.

The rule: a word is tied to a column by the column's name, comment or values, never by guessing
what a schema like this usually means.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from pgmcp.catalog.catalogue import Column
from pgmcp.language import naming, words
from pgmcp.language.adjectives import is_date, may_be_empty, negated
from pgmcp.language.dates import Range, period, yearless
from pgmcp.language.match import columns, item_list, number
from pgmcp.language.question import (
    Any,
    Between,
    Compare,
    Condition,
    IsTrue,
    Missing,
    Not,
    OneOf,
    Operator,
    Period,
    TableRef,
)
from pgmcp.language.reading import Parses, Reading, accept, maybe, remembered, starts, word
from pgmcp.language.stemming import is_plural, split_name, stem, stems
from pgmcp.language.texts import named, text_first, textual
from pgmcp.language.units import in_unit

OPERATORS: tuple[Operator, ...] = get_args(Operator)


@remembered
def comparison(reading: Reading, i: int, table: TableRef) -> Parses[Condition]:
    """ "price over 20", "status is pending", "created last week", "at least 10 in stock"."""
    parses: Parses[Condition] = []
    for name, j, cost in columns(reading, i, table):
        column = reading.lexicon.column(table, name)
        parses.extend(
            (condition, end, cost + more)
            for condition, end, more in _of_column(reading, j, table, column)
        )
    parses.extend(_number_first(reading, i, table))
    parses.extend(text_first(reading, i, table))
    parses.extend(_measured(reading, i, table))
    parses.extend(named(reading, i, table))
    return [
        (with_unit, end, cost)
        for condition, end, cost in parses
        for with_unit in in_unit(reading, i, end, table, condition)
    ]


def _of_column(reading: Reading, j: int, table: TableRef, column: Column) -> Parses[Condition]:
    parses: Parses[Condition] = []
    name = column.name
    for p in maybe(reading, j, "be"):
        parses.extend((Missing(name), end, 0) for end in accept(reading, p, "null") if p != j)
        parses.extend(
            (Not(Missing(name)), end, 0) for end in accept(reading, p, "not null") if p != j
        )
    if column.category == "B":
        for p in maybe(reading, j, "is value"):
            parses.extend((IsTrue(name), end, 0) for end in accept(reading, p, "true"))
            parses.extend((Not(IsTrue(name)), end, 0) for end in accept(reading, p, "false"))
    elif is_date(column):
        for p in maybe(reading, j, "be"):
            parses.extend(_dated(reading, p, name))
            for q in accept(reading, p, "not"):
                parses.extend(
                    (Not(condition), end, cost) for condition, end, cost in _dated(reading, q, name)
                )
    elif column.category == "N":
        parses.extend(_numeric(reading, j, column))
    elif column.category in "SEU":
        parses.extend(textual(reading, j, table, column))
    return parses


def _dated(reading: Reading, p: int, name: str) -> Parses[Condition]:
    """A phrase of time about a column; a month without a year is the last one, if it can be."""
    parts = {*split_name(name), *stems(name)}
    any_year = not parts.isdisjoint(naming.PLANNED | naming.BIRTH)
    return [
        (Period(name, *span), end, cost)
        for span, end, cost in period(reading, p)
        if not (any_year and yearless(reading, p, end))
    ]


def _numeric(reading: Reading, j: int, column: Column) -> Parses[Condition]:
    parses: Parses[Condition] = []
    name = column.name
    starts_at = [q for p in maybe(reading, j, "be") for q in maybe(reading, p, "of")]
    for p in dict.fromkeys(starts_at):
        parses.extend((condition, end, 0) for condition, end in _bounded(reading, p, column))
        if "year" in stems(name) or split_name(name)[-1] in naming.YEARLY:
            for (start, end_day), end, cost in period(reading, p):
                condition = _years(name, (start, end_day))
                if condition is not None and p == j:
                    parses.append((condition, end, cost))
    for negative, opening in ((False, "is value"), (True, "different from")):
        at = maybe(reading, j, opening) if not negative else accept(reading, j, opening)
        for p in at:
            for listed, end in item_list(reading, p, lambda r, k: _amount(r, k, column)):
                condition = (
                    Compare(name, "=", listed[0])
                    if len(listed) == 1
                    else OneOf(name, tuple(listed))
                )
                parses.append((negated(condition) if negative else condition, end, 0))
    return parses


def _bounded(reading: Reading, p: int, column: Column) -> Iterator[tuple[Condition, int]]:
    """Read a bound on a column: "over 20", "20 or more", "between 10 and 30"."""
    for operator in OPERATORS:
        for q in accept(reading, p, operator):
            for amount, end in _amount(reading, q, column):
                yield Compare(column.name, operator, amount), end
    for amount, q in _amount(reading, p, column):
        for end in accept(reading, q, "or more"):
            yield Compare(column.name, ">=", amount), end
        for end in accept(reading, q, "or less"):
            yield Compare(column.name, "<=", amount), end
    yield from _between(reading, p, column)


def _between(reading: Reading, p: int, column: Column) -> Iterator[tuple[Condition, int]]:
    for q in accept(reading, p, "between"):
        for low, r in _amount(reading, q, column):
            for s in accept(reading, r, "to"):
                for high, end in _amount(reading, s, column):
                    if float(low) <= float(high):
                        yield Between(column.name, low, high), end


def _amount(reading: Reading, p: int, column: Column) -> Iterator[tuple[str, int]]:
    """A number with its unit, when the unit is the column's."""
    name_words = {*split_name(column.name), *(split_name(column.comment or ""))}
    in_cents = bool(name_words & {"cent", "cents"})
    own_units = {unit for unit, forms in words.UNIT_PARTS.items() if name_words & {unit, *forms}}
    money = bool(naming.MONEY & {stem(part) for part in name_words}) and not in_cents
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


def _number_first(reading: Reading, i: int, table: TableRef) -> Parses[Condition]:
    """ "at least 10 in stock", "over 40 years old", "over a total of 100"."""
    parses: Parses[Condition] = []
    for operator in OPERATORS:
        for p in accept(reading, i, operator):
            parses.extend(_number_then_column(reading, p, table, operator))
            for name, q, cost in columns(reading, p, table):
                if _countable(reading, table, name):
                    column = reading.lexicon.column(table, name)
                    for r in maybe(reading, q, "of"):
                        for amount, end in _amount(reading, r, column):
                            parses.append((Compare(name, operator, amount), end, cost))
    return parses


def _number_then_column(
    reading: Reading, p: int, table: TableRef, operator: Operator
) -> Iterator[tuple[Condition, int, int]]:
    """ "10 in stock", "40 years old": a number whose column stands behind it."""
    for amount, q in number(reading, p):
        for r in maybe(reading, q, "of"):
            for name, end, cost in columns(reading, r, table):
                if _countable(reading, table, name):
                    yield Compare(name, operator, amount), end, cost
        for end in word(reading, q, *words.AGES[:3]):
            for name in measuring_columns(reading, table, ("age",)):
                yield Compare(name, operator, amount), end, 0


def _countable(reading: Reading, table: TableRef, name: str) -> bool:
    column = reading.lexicon.column(table, name)
    return column.category == "N" and not reading.lexicon.is_key(table, name)


def _measured(reading: Reading, i: int, table: TableRef) -> Parses[Condition]:
    """ "cheaper than 20", "longer than 120 minutes"."""
    parses: Parses[Condition] = []
    for adjective_name in naming.ADJECTIVES:
        for p in accept(reading, i, f"comparative {adjective_name}"):
            measured, sign = naming.ADJECTIVES[adjective_name]
            for name in measuring_columns(reading, table, measured):
                column = reading.lexicon.column(table, name)
                for q in word(reading, p, "than"):
                    for amount, end in _amount(reading, q, column):
                        parses.append((Compare(name, ">" if sign > 0 else "<", amount), end, 0))
    return parses


def measuring_columns(reading: Reading, table: TableRef, measured: tuple[str, ...]) -> list[str]:
    """The columns that hold what an adjective measures: by name, or else by comment."""
    numbers = [
        column
        for column in reading.lexicon.relations[table].columns
        if column.category == "N"
        and not reading.lexicon.is_key(table, column.name)
        and not (measured == naming.PRICES and naming.NO_PRICES & set(split_name(column.name)))
    ]
    by_name = [column.name for column in numbers if set(measured) & set(split_name(column.name))]
    if by_name:
        return by_name
    return [
        column.name for column in numbers if set(measured) & set(split_name(column.comment or ""))
    ]


def measuring(reading: Reading, table: TableRef, adjective_name: str) -> list[tuple[str, int]]:
    """(column, sign) for a superlative such as "cheap"; ages may be kept as dates of birth."""
    measured, sign = naming.ADJECTIVES[adjective_name]
    signed = [(name, sign) for name in measuring_columns(reading, table, measured)]
    if not signed and measured == ("age",):
        signed = [
            (column.name, -sign)
            for column in reading.lexicon.relations[table].columns
            if is_date(column) and naming.BIRTH & set(stems(column.name))
        ]
    return signed


@remembered
def presence(reading: Reading, i: int, table: TableRef) -> Parses[Condition]:
    """ "without a city", "with no stock", "with a city"."""
    parses: Parses[Condition] = []
    for p in accept(reading, i, "have not"):
        zero = reading.tokens[p - 1].lower in ("zero", "0")
        for name, end, cost in columns(reading, p, table):
            column, none = reading.lexicon.column(table, name), Compare(name, "=", "0")
            countable = _countable(reading, table, name)
            if may_be_empty(column) or (zero and not countable):
                continue
            if column.nullable and not zero:
                several = countable and _counts_things(column.name, reading.tokens[end - 1].lower)
                either = Any((none, Missing(name))) if several else Missing(name)
                parses.append((either, end, cost))
            elif countable:
                parses.append((none, end, cost))
    for p in accept(reading, i, "have"):
        for name, end, cost in columns(reading, p, table):
            column = reading.lexicon.column(table, name)
            if (
                column.category != "B"
                and not may_be_empty(column)
                and not _countable(reading, table, name)
            ):
                # "with status pending" is about the status, not about there being one.
                parses.append((Not(Missing(name)), end, cost + 2))
    return parses


def _counts_things(name: str, last_word: str) -> bool:
    """Whether a column of numbers, called by a phrase that ends in `last_word`, counts things."""
    return is_plural(last_word) or bool(naming.QUANTITIES & set(split_name(name)))


@remembered
def moment(reading: Reading, i: int, table: TableRef) -> Parses[Condition]:
    """A phrase of time that names no column: it is about the table's own date."""
    parses: Parses[Condition] = []
    for p in [i, *accept(reading, i, "not")]:
        for q in [p, *word(reading, p, "placed", "made", "dated")]:
            name = own_date(reading, table)
            for condition, end, cost in _dated(reading, q, name) if name is not None else []:
                if p != i and any(token.lower == "in" for token in reading.tokens[q + 1 : end]):
                    continue  # "not in March in 2024": not in that month, or in that year?
                parses.append((negated(condition) if p != i else condition, end, cost))
    return parses


def _comes_later(name: str, noun: set[str]) -> bool:
    """Whether a date is of what happened later: `last_update`, `change_date` of no "changes"."""
    parts = set(split_name(name))
    if naming.BIRTH & parts:
        return True
    return bool(naming.BOOKKEEPING & parts) and (
        not noun & set(stems(name)) or bool(parts & {"last", "latest"})
    )


def own_date(reading: Reading, table: TableRef) -> str | None:
    """The column that says when a row came to be, when one stands out."""
    relation = reading.lexicon.relations[table]
    noun = set(stems(table.table))
    dates = [
        column
        for column in relation.columns
        if is_date(column) and not _comes_later(column.name, noun)
    ]
    dates = [
        column for column in dates if not naming.PLANNED & set(split_name(column.name))
    ] or dates
    born = [
        column
        for column in dates
        if (naming.CREATION | noun) & ({*split_name(column.name)} | set(stems(column.name)))
    ]
    likely = born or [column for column in dates if not column.nullable] * (len(dates) == 1)
    if len(likely) == 1:
        return likely[0].name
    dates = dates or [column for column in relation.columns if is_date(column)]
    if dates:
        names = ", ".join(column.name for column in dates)
        reading.notes[f"{table.table} has dates, none of them plainly its own: {names}"] = None
    return None
