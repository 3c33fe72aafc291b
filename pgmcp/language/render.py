"""A question -> one SELECT and its parameters.

The rule: whatever the user wrote is a parameter with a cast; only names from the catalogue and our
own words are text.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pgmcp.catalog.catalogue import Column
from pgmcp.language.adjectives import is_date
from pgmcp.language.comparisons import Parameters, comparison_sql
from pgmcp.language.lexicon import Lexicon
from pgmcp.language.question import (
    Aggregate,
    All,
    Any,
    Bucket,
    ColumnRef,
    Condition,
    Describe,
    Field,
    IsTrue,
    Listing,
    Measure,
    Missing,
    Not,
    OneOf,
    Order,
    Path,
    Question,
    Related,
    Select,
    TableRef,
    Term,
    columns_of,
)
from pgmcp.language.statement import Statement, description, listing, qualified
from pgmcp.sql.names import quoted


def to_sql(question: Question, lexicon: Lexicon) -> Statement:
    """The statement that answers a question; every name in it comes from the catalogue."""
    if isinstance(question, Listing):
        return listing(question)
    if isinstance(question, Describe):
        return description(question)
    writer = _Writer(lexicon)
    text = writer.select(question)
    return Statement(text, tuple(writer.parameters.values))


@dataclass(slots=True)
class _Writer:
    """Writes one statement. `used`: how often each table's name is an alias; `qualify`: columns are
    written with their alias, as more than one table is in the statement."""

    lexicon: Lexicon
    parameters: Parameters = field(default_factory=Parameters)
    used: dict[str, int] = field(default_factory=dict)
    qualify: bool = False

    # -- names --

    def source(self, table: TableRef) -> str:
        return qualified(table, self.lexicon.relations[table].on_search_path)

    def alias(self, table: TableRef) -> str:
        count = self.used[table.table] = self.used.get(table.table, 0) + 1
        return quoted(table.table if count == 1 else f"{table.table}_{count}")

    def from_item(self, table: TableRef, alias: str) -> str:
        source = self.source(table)
        bare = source.rpartition(".")[2] if source.count(".") else source
        return source if bare == alias else f"{source} AS {alias}"

    def column_of(self, table: TableRef, name: str) -> Column:
        return self.lexicon.column(table, name)

    def name(self, alias: str, column: str) -> str:
        return f"{alias}.{quoted(column)}" if self.qualify else quoted(column)

    # -- questions --

    def select(self, question: Select) -> str:
        alias = self.alias(question.table)
        self.qualify = _spans_tables(question)
        joins, beside = [], []
        for path in question.beside:
            joined, last = self.joined(path, alias)
            joins.extend(joined)
            beside.extend(self.all_columns(path[-1].target, last))
        shown = [self.term(part, question.table, alias, name=True) for part in question.show]
        if not shown:
            shown = self.all_columns(question.table, alias if self.qualify else "")
        lines = [
            f"SELECT {'DISTINCT ' if question.distinct else ''}{', '.join([*shown, *beside])}",
            f"FROM {self.from_item(question.table, alias)}",
            *joins,
        ]
        if question.where is not None:
            parts = question.where.of if isinstance(question.where, All) else (question.where,)
            conditions = [self.condition(part, question.table, alias) for part in parts]
            lines.append("WHERE " + "\n  AND ".join(conditions))
        if question.group:
            keys = ", ".join(self.term(part, question.table, alias) for part in question.group)
            lines.append(f"GROUP BY {keys}")
        if question.having is not None:
            operator, count = question.having
            lines.append(f"HAVING count(*) {operator} {self.parameters.add(str(count), 'bigint')}")
        if question.order:
            lines.append("ORDER BY " + self.ordering(question, alias))
        if question.limit is not None:
            rows = self.parameters.add(str(question.limit), "bigint")
            lines.append(
                f"FETCH FIRST ({rows}) ROWS WITH TIES" if question.ties else f"LIMIT {rows}"
            )
        return "\n".join(lines)

    def all_columns(self, table: TableRef, alias: str) -> list[str]:
        """Every column of a row, but for secrets and pictures. `alias`: "" when there is none."""
        before = f"{alias}." if alias else ""
        shown = self.lexicon.shown_columns(table)
        relation = self.lexicon.relations[table]
        if relation.is_whole and len(shown) == len(relation.columns):
            return [f"{before}*"]
        return [before + quoted(name) for name in shown]

    def ordering(self, question: Select, alias: str) -> str:
        keys = []
        for order in question.order:
            term = self.sort_term(order, question, alias)
            keys.append(term + (" DESC NULLS LAST" if order.descending else ""))
        # Equal rows come in the same order every time, as far as a key can see to it.
        key = self.lexicon.relations[question.table].primary_key
        shown = {order.by.column for order in question.order if isinstance(order.by, Field)}
        if not question.ties and not question.group and not question.distinct:
            # Of equal times, the last is the one with the highest key.
            last = question.order[-1]
            time = isinstance(last.by, Field) and is_date(
                self.column_of(question.table, last.by.column)
            )
            descending = " DESC" if time and last.descending else ""
            keys.extend(self.name(alias, name) + descending for name in key if name not in shown)
        return ", ".join(keys)

    def sort_term(self, order: Order, question: Select, alias: str) -> str:
        if order.by in question.show and not isinstance(order.by, Field):
            return str(question.show.index(order.by) + 1)
        return self.term(order.by, question.table, alias)

    def term(self, term: Term, table: TableRef, alias: str, *, name: bool = False) -> str:
        if isinstance(term, Field):
            return self.name(alias, term.column)
        if isinstance(term, Bucket):
            column = self.column_of(table, term.column)
            text = f"date_trunc('{term.unit}', {self.name(alias, term.column)})"
            if column.type == "date":
                text += "::date"
            return f"{text} AS {term.unit}" if name else text
        if isinstance(term, Aggregate):
            if term.column is None:
                return "count(*)"
            inner = ("DISTINCT " if term.distinct else "") + self.name(alias, term.column)
            return f"{term.function}({inner})"
        text = self.measure(term, alias)
        return f"{text} AS {self.measure_name(term)}" if name else text

    def measure_name(self, term: Measure) -> str:
        target = term.path[-1].target.table
        of = f"{target}_{term.column}" if term.column else target
        return quoted(f"{of}_{term.function}"[:63])

    def measure(self, term: Measure, alias: str) -> str:
        source, inner, conditions = self.reached(term.path, alias, once=True)
        what = "*" if term.column is None else f"{inner}.{quoted(term.column)}"
        if term.where is not None:
            conditions.append(self.condition(term.where, term.path[-1].target, inner))
        return f"(SELECT {term.function}({what}) FROM {source} WHERE {' AND '.join(conditions)})"

    def joined(self, path: Path, alias: str) -> tuple[list[str], str]:
        lines, here = [], alias
        for hop in path:
            there = self.alias(hop.target)
            on = " AND ".join(f"{there}.{quoted(b)} = {here}.{quoted(a)}" for a, b in hop.on)
            lines.append(f"LEFT JOIN {self.from_item(hop.target, there)} ON {on}")
            here = there
        return lines, here

    # -- conditions that span tables --

    def reached(self, path: Path, alias: str, *, once: bool) -> tuple[str, str, list[str]]:
        """The rows at the end of `path`, seen from the row `alias`: FROM, their alias, WHERE.

        They are joined, which PostgreSQL can plan for large tables; where a row would come more
        than once that way, and may not, each is asked whether it is reached.
        """
        first, *rest = path
        if once and _repeats(path):
            inner = self.alias(path[-1].target)
            *others, last = rest
            source, middle, conditions = self.reached((first, *others), alias, once=False)
            conditions += [f"{inner}.{quoted(b)} = {middle}.{quoted(a)}" for a, b in last.on]
            reached = f"EXISTS (SELECT FROM {source} WHERE {' AND '.join(conditions)})"
            return self.from_item(last.target, inner), inner, [reached]
        here = self.alias(first.target)
        conditions = [f"{here}.{quoted(b)} = {alias}.{quoted(a)}" for a, b in first.on]
        source = self.from_item(first.target, here)
        for hop in rest:
            there = self.alias(hop.target)
            on = " AND ".join(f"{there}.{quoted(b)} = {here}.{quoted(a)}" for a, b in hop.on)
            source += f" JOIN {self.from_item(hop.target, there)} ON {on}"
            here = there
        return source, here, conditions

    def condition(self, condition: Condition, table: TableRef, alias: str) -> str:
        """A condition on the row `alias`, in brackets where another could be joined to it."""
        if isinstance(condition, Related):
            return self.related(condition, alias)
        if isinstance(condition, Not):
            return self.complement(condition.of, table, alias)
        if isinstance(condition, All | Any):
            parts = [self.condition(part, table, alias) for part in condition.of]
            text = (" AND " if isinstance(condition, All) else " OR ").join(parts)
            return f"({text})"
        name = self.name(alias, condition.column)
        column = self.column_of(table, condition.column)
        return comparison_sql(name, column, condition, self.parameters)

    def related(self, condition: Related, alias: str) -> str:
        target = condition.path[-1].target
        counted = condition.count is not None
        source, inner, conditions = self.reached(condition.path, alias, once=counted)
        if condition.where is not None:
            parts = condition.where.of if isinstance(condition.where, All) else (condition.where,)
            conditions += [self.condition(part, target, inner) for part in parts]
        source = f"FROM {source} WHERE {' AND '.join(conditions)}"
        if condition.count is None:
            return f"EXISTS (SELECT {source})"
        operator, count = condition.count
        return f"(SELECT count(*) {source}) {operator} {self.parameters.add(str(count), 'bigint')}"

    def complement(self, condition: Condition, table: TableRef, alias: str) -> str:
        """Not the condition; where it is unknown because of NULL, it does not hold either."""
        if isinstance(condition, Missing):
            return f"{self.name(alias, condition.column)} IS NOT NULL"
        if isinstance(condition, OneOf) and len(condition.values) == 1 and not condition.fold:
            column = self.column_of(table, condition.column)
            operator = "IS DISTINCT FROM" if column.nullable else "<>"
            value = self.parameters.add_value(condition.values[0], column)
            return f"{self.name(alias, condition.column)} {operator} {value}"
        text = self.condition(condition, table, alias)
        if isinstance(condition, Related):
            return f"NOT {text}" if condition.count is None else f"NOT ({text})"
        if not any(self.column_of(table, name).nullable for name in columns_of(condition)):
            return f"NOT {text}" if isinstance(condition, IsTrue) else f"NOT ({text})"
        return f"({text}) IS NOT TRUE"


SAMPLE_ROWS = 10_000
MAX_VALUES = 200


def values_sql(column: ColumnRef, lexicon: Lexicon) -> Statement:
    """The statement that reads a column's distinct values for NeedValues.

    It looks at SAMPLE_ROWS rows and returns at most MAX_VALUES + 1 values: when it returns more
    than MAX_VALUES, pass an empty tuple.
    """
    table = TableRef(column.schema, column.table)
    writer = _Writer(lexicon)
    name, source = quoted(column.column), writer.source(table)
    return Statement(
        f"SELECT DISTINCT value FROM (SELECT {name}::text AS value FROM {source}"
        f" WHERE {name} IS NOT NULL LIMIT {SAMPLE_ROWS}) AS sample LIMIT {MAX_VALUES + 1}"
    )


def _repeats(path: Path) -> bool:
    """Whether a row at the end may be reached over more than one row on the way."""
    many = [hop.to_many for hop in path]
    return True in many and False in many[many.index(True) :]


def _spans_tables(question: Select) -> bool:
    """Whether more than one table is in it, so that a bare column might be either's."""
    return bool(
        question.beside
        or any(isinstance(part, Measure) for part in question.show)
        or any(isinstance(part.by, Measure) for part in question.order)
        or (question.where is not None and _relates(question.where))
    )


def _relates(condition: Condition) -> bool:
    if isinstance(condition, Not):
        return _relates(condition.of)
    if isinstance(condition, All | Any):
        return any(_relates(part) for part in condition.of)
    return isinstance(condition, Related)
