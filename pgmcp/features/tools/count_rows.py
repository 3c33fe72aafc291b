"""count_rows: how many rows a table or view has, all or those that meet simple conditions.

The rule: no part of the arguments becomes SQL. Names are looked up in the catalogue and quoted,
operators come from a list, values are bound as parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pgmcp.catalog import lookup
from pgmcp.catalog.catalogue import Relation
from pgmcp.errors import ArgumentError, ToolError
from pgmcp.features.tools._common import DATABASE, TIMEOUT_SECONDS, database_of, heading
from pgmcp.mcp.feature import Context, Tool
from pgmcp.mcp.result import Result, text
from pgmcp.render import tsv
from pgmcp.rpc.schema import arg
from pgmcp.sql.text import quote_identifier

ColumnOperator = Literal[
    "=", "<>", "<", "<=", ">", ">=", "like", "not like", "ilike", "not ilike",
    "in", "not in", "is null", "is not null",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class ColumnCondition:
    """One condition on one column."""

    column: str = arg("The column's name.", min_length=1, max_length=200)
    op: ColumnOperator = arg(
        "How to compare. like and ilike match the column's text, % any characters and _ one.",
        default="=",
    )
    value: str | None = arg(
        "What to compare with, as text that PostgreSQL reads as the column's type: "
        '"42", "true", "2024-01-31". Not for in, not in, is null, is not null.',
        default=None,
        max_length=10_000,
        empty_means_absent=False,
    )
    values: tuple[str, ...] = arg(
        "For in and not in: the values, each as text.", default=(), max_items=1000
    )


@dataclass(frozen=True, slots=True)
class Args:
    """The arguments of count_rows."""

    table: str = arg(
        'The table or view: a name, "schema.table", or a quoted name.',
        min_length=1,
        max_length=300,
    )
    schema: str | None = arg(
        "Its schema; default: where the search path finds it, or the only schema that has it.",
        default=None,
        max_length=200,
    )
    filter: tuple[ColumnCondition, ...] = arg(
        "Conditions that a counted row meets, all of them; default: every row counts.",
        default=(),
        max_items=20,
    )
    database: str | None = arg(DATABASE, default=None)
    timeout_seconds: int | None = arg(TIMEOUT_SECONDS, default=None, minimum=1, maximum=86_400)


@dataclass(frozen=True, slots=True)
class Counted:
    """The structured result of count_rows."""

    count: int = arg("How many rows there are.", minimum=0)


def run(args: Args, context: Context) -> Result:
    """`count` and the number as TSV, below the SQL that was run and its parameters."""
    database = database_of(context, args.database, args.timeout_seconds)
    relation = lookup.relation(database.fetch, args.table, args.schema)
    sql, params = counting(relation, args.filter)
    rows = database.query(sql, params, max_rows=1)
    counted = Counted(int(rows.rows[0][0] or b"0"))
    return text(f"{heading(database, sql, params)}\n\n{tsv.render(rows)}", counted)


def counting(
    relation: Relation, conditions: tuple[ColumnCondition, ...]
) -> tuple[str, tuple[str, ...]]:
    """The SELECT that counts, and its parameters. ToolError for a condition that makes no sense."""
    params: list[str] = []
    terms = []
    for index, condition in enumerate(conditions):
        values = _values(condition, f"arguments.filter[{index}]")
        places = [f"${len(params) + number}" for number in range(1, len(values) + 1)]
        params += values
        terms.append(_term(relation, condition, places))
    where = ["WHERE", " AND ".join(terms)] if terms else []
    sql = " ".join(["SELECT count(*) FROM", lookup.quoted_name(relation), *where])
    return sql, tuple(params)


def _term(relation: Relation, condition: ColumnCondition, places: list[str]) -> str:
    # A parameter without a cast takes the column's type, as a literal would. A cast to
    # varchar(3) or numeric(10,2) would cut or round the value before it is compared.
    column = quote_identifier(lookup.column(relation, condition.column).name)
    operator = condition.op.upper()
    if condition.op in ("is null", "is not null"):
        return f"{column} {operator}"
    if condition.op in ("in", "not in"):
        return f"{column} {operator} ({', '.join(places)})"
    if condition.op.endswith("like"):
        return f"{column}::text {operator} {places[0]}"
    return f"{column} {operator} {places[0]}"


def _values(condition: ColumnCondition, path: str) -> tuple[str, ...]:
    # An empty value is as if left out for the operators that take none.
    if condition.op in ("in", "not in"):
        if not condition.values or condition.value:
            raise ArgumentError(f'{path}: "{condition.op}" needs "values", and no "value"')
        return condition.values
    if condition.values:
        raise ArgumentError(
            f'{path}: "values" is for in and not in; "{condition.op}" takes "value"'
        )
    if condition.op in ("is null", "is not null"):
        if condition.value:
            raise ArgumentError(f'{path}: "{condition.op}" takes no "value"')
        return ()
    if condition.value is None:
        raise ToolError(f'{path}: "{condition.op}" needs a "value"', 'To find NULL use "is null".')
    return (condition.value,)


TOOL = Tool(
    name="count_rows",
    title="Count rows",
    description=(
        "Counts the rows of one table or view, exactly, either all of them or those that meet "
        "conditions on its columns (all conditions must hold). Use it to learn how big a table is "
        "or how many rows have some property before reading them. Conditions are data, not SQL: "
        'for example {"table": "orders", "filter": [{"column": "status", "op": "in", "values": '
        '["open", "late"]}, {"column": "total", "op": ">", "value": "100"}]}. For OR, joins or '
        "groups write SQL with query_database. Counting a very large table takes time; "
        "get_schema_info shows the estimate that PostgreSQL keeps."
    ),
    args=Args,
    run=run,
    output=Counted,
    rank=30,
)
