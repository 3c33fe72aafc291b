"""Units and currencies that a column beside the amount holds: `amount`, `currency`.

The rule: a unit that was said is part of the condition; one that the column cannot hold is a reason
to decline.
"""

from __future__ import annotations

from pgmcp.catalog.catalogue import Column
from pgmcp.language import naming, words
from pgmcp.language.question import (
    All,
    Between,
    ColumnRef,
    Compare,
    Condition,
    Not,
    OneOf,
    TableRef,
)
from pgmcp.language.reading import Reading, accept
from pgmcp.language.stemming import split_name


def in_unit(
    reading: Reading, start: int, end: int, table: TableRef, condition: Condition
) -> list[Condition]:
    """The condition with the unit that was said from `start` to `end`; none when that cannot be.

    Unchanged without a unit, or where no column of the table holds units.
    """
    amount = condition.of if isinstance(condition, Not) else condition
    if not isinstance(amount, Compare | Between | OneOf):
        return [condition]
    if reading.lexicon.column(table, amount.column).category != "N":
        return [condition]
    units = _units_in_text(reading, start, end) - _own_units(reading, table, amount.column)
    column = _unit_column(reading, table, units)
    if not units or column is None:
        return [condition]
    stored = _stored(reading, table, column, units)
    if len(units) > 1 or len(stored) != 1 or isinstance(condition, Not):
        return []
    return [All((condition, OneOf(column.name, stored)))]


def _units_in_text(reading: Reading, start: int, end: int) -> set[str]:
    """The units from `start` to `end`: behind an amount, or a sign before it."""
    units = set()
    for i in range(start, end):
        before = reading.tokens[i - 1].kind if i > start else ""
        after = reading.tokens[i + 1].kind if i + 1 < end else ""
        if before == "number" or (after == "number" and reading.tokens[i].kind == "symbol"):
            units |= {
                unit for unit in words.UNIT_PARTS if i + 1 in accept(reading, i, f"unit {unit}")
            }
    return units


def _own_units(reading: Reading, table: TableRef, name: str) -> set[str]:
    """The units that the column's own name or comment says."""
    column = reading.lexicon.column(table, name)
    parts = {*split_name(name), *split_name(column.comment or "")}
    return {unit for unit, forms in words.UNIT_PARTS.items() if parts & {unit, *forms}}


def _unit_column(reading: Reading, table: TableRef, units: set[str]) -> Column | None:
    """The column that says what unit or currency the table's amounts are in."""
    kinds = naming.CURRENCY_COLUMNS if units & words.CURRENCIES else naming.UNIT_COLUMNS
    return next(
        (
            column
            for column in reading.lexicon.relations[table].columns
            if column.category in "SE" and kinds & set(split_name(column.name))
        ),
        None,
    )


def _stored(reading: Reading, table: TableRef, column: Column, units: set[str]) -> tuple[str, ...]:
    """The column's values that mean the units; wanted when they are not known."""
    ref = ColumnRef(table.schema, table.table, column.name)
    listed = reading.lexicon.known_values(table).get(column.name) or reading.values.get(ref)
    if listed is None:
        reading.wanted[ref] = None
        return ()
    forms = {form for unit in units for form in (unit, *words.UNIT_PARTS[unit])}
    return tuple(value for value in listed if value.lower() in forms)
