"""Conditions on one column as SQL.

The rule: what the user wrote becomes a parameter with a cast, and never text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date

from pgmcp.catalog.catalogue import Column
from pgmcp.language.question import Between, Compare, IsTrue, Like, Missing, OneOf, Period

_INTEGERS = {"smallint": 2**15, "integer": 2**31, "bigint": 2**63}
_FLOATS = frozenset({"real", "double precision"})

Comparison = Between | Compare | IsTrue | Like | Missing | OneOf | Period
"""A condition on one column of one row."""


@dataclass(slots=True)
class Parameters:
    """The parameters of a statement, in the order of their numbers."""

    values: list[str] = field(default_factory=list)

    def add(self, value: str, cast: str) -> str:
        """The SQL of one more parameter, such as "$1::text"."""
        self.values.append(value)
        return f"${len(self.values)}::{cast}"

    def add_value(self, value: str, column: Column) -> str:
        """The SQL of a value that is compared with a column."""
        if column.category == "N":
            return self.add_number(value, column)
        return self.add(value, "text" if column.category == "S" else column.type)

    def add_number(self, value: str, column: Column) -> str:
        """The SQL of a number that is compared with a column; of the column's type if it fits."""
        if column.type == "money":
            return self.add(value, "numeric") + "::money"
        limit = _INTEGERS.get(column.type, 0)
        if limit and value.lstrip("-").isdecimal() and abs(int(value)) < limit:
            return self.add(value, column.type)
        return self.add(value, column.type if column.type in _FLOATS else "numeric")


def comparison_sql(name: str, column: Column, condition: Comparison, parameters: Parameters) -> str:
    """The condition on a column that is called `name` in the statement."""
    if isinstance(condition, Missing):
        return f"{name} IS NULL"
    if isinstance(condition, IsTrue):
        return name
    if isinstance(condition, Compare):
        return f"{name} {condition.operator} {parameters.add_number(condition.number, column)}"
    if isinstance(condition, Between):
        low = parameters.add_number(condition.low, column)
        return f"{name} BETWEEN {low} AND {parameters.add_number(condition.high, column)}"
    if isinstance(condition, Like):
        return _like(name, condition, parameters)
    if isinstance(condition, Period):
        return _period(name, column, condition, parameters)
    return _one_of(name, column, condition, parameters)


def _one_of(name: str, column: Column, condition: OneOf, parameters: Parameters) -> str:
    if condition.fold:
        values = [f"lower({parameters.add(value, 'text')})" for value in condition.values]
        name = f"lower({name})"
    else:
        values = [parameters.add_value(value, column) for value in condition.values]
    return f"{name} = {values[0]}" if len(values) == 1 else f"{name} IN ({', '.join(values)})"


def _like(name: str, condition: Like, parameters: Parameters) -> str:
    if condition.where == "pattern":
        return f"{name} ILIKE {parameters.add(condition.text, 'text')}"
    literal = re.sub(r"([\\%_])", r"\\\1", condition.text)
    before = "" if condition.where == "starts" else "%"
    after = "" if condition.where == "ends" else "%"
    return f"{name} ILIKE {parameters.add(before + literal + after, 'text')}"


def _period(name: str, column: Column, condition: Period, parameters: Parameters) -> str:
    cast = column.type if column.type.startswith(("date", "timestamp")) else "timestamp"
    bounds: list[tuple[str, date | None]] = [(">=", condition.start), ("<", condition.end)]
    parts = [
        f"{name} {operator} {parameters.add(day.isoformat(), cast)}"
        for operator, day in bounds
        if day is not None
    ]
    return parts[0] if len(parts) == 1 else f"({' AND '.join(parts)})"
