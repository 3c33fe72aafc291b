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
def comparison(reading: Reading, start: int, table: TableRef) -> Parses[Condition]:
    """ "price over 20", "status is pending", "created last week", "at least 10 in stock"."""
    parses: Parses[Condition] = []
    for name, after_column, cost in columns(reading, start, table):
        column = reading.lexicon.column(table, name)
        parses.extend(
            (condition, end, cost + more)
            for condition, end, more in _of_column(reading, after_column, table, column)
        )
    parses.extend(_number_first(reading, start, table))
    parses.extend(text_first(reading, start, table))
    parses.extend(_measured(reading, start, table))
    parses.extend(named(reading, start, table))
    return [
        (with_unit, end, cost)
        for condition, end, cost in parses
        for with_unit in in_unit(reading, start, end, table, condition)
    ]


def _of_column(reading: Reading, start: int, table: TableRef, column: Column) -> Parses[Condition]:
    parses: Parses[Condition] = []
    name = column.name
    for after_be in maybe(reading, start, "be"):
        parses.extend(
            (Missing(name), end, 0)
            for end in accept(reading, after_be, "null")
            if after_be != start
        )
        parses.extend(
            (Not(Missing(name)), end, 0)
            for end in accept(reading, after_be, "not null")
            if after_be != start
        )
    if column.category == "B":
        for after_is_value in maybe(reading, start, "is value"):
            parses.extend((IsTrue(name), end, 0) for end in accept(reading, after_is_value, "true"))
            parses.extend(
                (Not(IsTrue(name)), end, 0) for end in accept(reading, after_is_value, "false")
            )
    elif is_date(column):
        for after_be in maybe(reading, start, "be"):
            parses.extend(_dated(reading, after_be, name))
            for after_not in accept(reading, after_be, "not"):
                parses.extend(
                    (Not(condition), end, cost)
                    for condition, end, cost in _dated(reading, after_not, name)
                )
    elif column.category == "N":
        parses.extend(_numeric(reading, start, column))
    elif column.category in "SEU":
        parses.extend(textual(reading, start, table, column))
    return parses


def _dated(reading: Reading, start: int, name: str) -> Parses[Condition]:
    """A phrase of time about a column; a month without a year is the last one, if it can be."""
    parts = {*split_name(name), *stems(name)}
    any_year = not parts.isdisjoint(naming.PLANNED | naming.BIRTH)
    return [
        (Period(name, *span), end, cost)
        for span, end, cost in period(reading, start)
        if not (any_year and yearless(reading, start, end))
    ]


def _numeric(reading: Reading, begin: int, column: Column) -> Parses[Condition]:
    parses: Parses[Condition] = []
    name = column.name
    starts_at = [
        after_of
        for after_be in maybe(reading, begin, "be")
        for after_of in maybe(reading, after_be, "of")
    ]
    for position in dict.fromkeys(starts_at):
        parses.extend((condition, end, 0) for condition, end in _bounded(reading, position, column))
        if "year" in stems(name) or split_name(name)[-1] in naming.YEARLY:
            for (start, end_day), end, cost in period(reading, position):
                condition = _years(name, (start, end_day))
                if condition is not None and position == begin:
                    parses.append((condition, end, cost))
    for negative, opening in ((False, "is value"), (True, "different from")):
        at = maybe(reading, begin, opening) if not negative else accept(reading, begin, opening)
        for position in at:
            for listed, end in item_list(
                reading, position, lambda inner, place: _amount(inner, place, column)
            ):
                condition = (
                    Compare(name, "=", listed[0])
                    if len(listed) == 1
                    else OneOf(name, tuple(listed))
                )
                parses.append((negated(condition) if negative else condition, end, 0))
    return parses


def _bounded(reading: Reading, start: int, column: Column) -> Iterator[tuple[Condition, int]]:
    """Read a bound on a column: "over 20", "20 or more", "between 10 and 30"."""
    for operator in OPERATORS:
        for after_operator in accept(reading, start, operator):
            for amount, end in _amount(reading, after_operator, column):
                yield Compare(column.name, operator, amount), end
    for amount, after_amount in _amount(reading, start, column):
        for end in accept(reading, after_amount, "or more"):
            yield Compare(column.name, ">=", amount), end
        for end in accept(reading, after_amount, "or less"):
            yield Compare(column.name, "<=", amount), end
    yield from _between(reading, start, column)


def _between(reading: Reading, start: int, column: Column) -> Iterator[tuple[Condition, int]]:
    for after_between in accept(reading, start, "between"):
        for low, after_amount in _amount(reading, after_between, column):
            for after_to in accept(reading, after_amount, "to"):
                for high, end in _amount(reading, after_to, column):
                    if float(low) <= float(high):
                        yield Between(column.name, low, high), end


def _amount(reading: Reading, begin: int, column: Column) -> Iterator[tuple[str, int]]:
    """A number with its unit, when the unit is the column's."""
    name_words = {*split_name(column.name), *(split_name(column.comment or ""))}
    in_cents = bool(name_words & {"cent", "cents"})
    own_units = {unit for unit, forms in words.UNIT_PARTS.items() if name_words & {unit, *forms}}
    money = bool(naming.MONEY & {stem(part) for part in name_words}) and not in_cents
    prefix = word(reading, begin, "$", "€", "£")
    for start in prefix or [begin]:
        if prefix and not money:
            continue
        for amount, after_number in number(reading, start):
            units = [
                (unit, end)
                for unit in words.UNIT_PARTS
                for end in accept(reading, after_number, f"unit {unit}")
            ]
            if not in_cents and not (units and after_number in starts(reading, begin)):
                yield amount, after_number
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


def _number_first(reading: Reading, start: int, table: TableRef) -> Parses[Condition]:
    """ "at least 10 in stock", "over 40 years old", "over a total of 100"."""
    parses: Parses[Condition] = []
    for operator in OPERATORS:
        for after_operator in accept(reading, start, operator):
            parses.extend(_number_then_column(reading, after_operator, table, operator))
            for name, after_column, cost in columns(reading, after_operator, table):
                if _countable(reading, table, name):
                    column = reading.lexicon.column(table, name)
                    for after_of in maybe(reading, after_column, "of"):
                        for amount, end in _amount(reading, after_of, column):
                            parses.append((Compare(name, operator, amount), end, cost))
    return parses


def _number_then_column(
    reading: Reading, start: int, table: TableRef, operator: Operator
) -> Iterator[tuple[Condition, int, int]]:
    """ "10 in stock", "40 years old": a number whose column stands behind it."""
    for amount, after_number in number(reading, start):
        for after_of in maybe(reading, after_number, "of"):
            for name, end, cost in columns(reading, after_of, table):
                if _countable(reading, table, name):
                    yield Compare(name, operator, amount), end, cost
        for end in word(reading, after_number, *words.AGES[:3]):
            for name in measuring_columns(reading, table, ("age",)):
                yield Compare(name, operator, amount), end, 0


def _countable(reading: Reading, table: TableRef, name: str) -> bool:
    column = reading.lexicon.column(table, name)
    return column.category == "N" and not reading.lexicon.is_key(table, name)


def _measured(reading: Reading, start: int, table: TableRef) -> Parses[Condition]:
    """ "cheaper than 20", "longer than 120 minutes"."""
    parses: Parses[Condition] = []
    for adjective_name in naming.ADJECTIVES:
        for after_comparative in accept(reading, start, f"comparative {adjective_name}"):
            measured, sign = naming.ADJECTIVES[adjective_name]
            for name in measuring_columns(reading, table, measured):
                column = reading.lexicon.column(table, name)
                for after_than in word(reading, after_comparative, "than"):
                    for amount, end in _amount(reading, after_than, column):
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
def presence(reading: Reading, start: int, table: TableRef) -> Parses[Condition]:
    """ "without a city", "with no stock", "with a city"."""
    parses: Parses[Condition] = []
    for after_have_not in accept(reading, start, "have not"):
        zero = reading.tokens[after_have_not - 1].lower in ("zero", "0")
        for name, end, cost in columns(reading, after_have_not, table):
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
    for after_have in accept(reading, start, "have"):
        for name, end, cost in columns(reading, after_have, table):
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
def moment(reading: Reading, start: int, table: TableRef) -> Parses[Condition]:
    """A phrase of time that names no column: it is about the table's own date."""
    parses: Parses[Condition] = []
    for position in [start, *accept(reading, start, "not")]:
        for after_placed in [position, *word(reading, position, "placed", "made", "dated")]:
            name = own_date(reading, table)
            for condition, end, cost in (
                _dated(reading, after_placed, name) if name is not None else []
            ):
                if position != start and any(
                    token.lower == "in" for token in reading.tokens[after_placed + 1 : end]
                ):
                    continue  # "not in March in 2024": not in that month, or in that year?
                parses.append((negated(condition) if position != start else condition, end, cost))
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
