"""What a question means: typed, immutable values that know nothing of words or of SQL.

The rule: two readings of a text that mean the same are equal values, so that "is this ambiguous?"
is a comparison. A condition speaks of columns of the table it stands under; `Related` moves to
another table, so no value ever needs an alias.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal, NamedTuple


class TableRef(NamedTuple):
    """A relation of the catalogue."""

    schema: str
    table: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}"


class ColumnRef(NamedTuple):
    """A column of the catalogue."""

    schema: str
    table: str
    column: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}.{self.column}"


@dataclass(frozen=True, slots=True)
class Hop:
    """One step along a foreign key. `on` pairs the columns of `source` with those of `target`.

    `role` is what the key's column calls its target: `("billing", "address")`.
    """

    key: str
    source: TableRef
    target: TableRef
    on: tuple[tuple[str, str], ...]
    to_many: bool
    role: tuple[str, ...]


Path = tuple[Hop, ...]

# -- conditions ------------------------------------------------------------------------------------

Operator = Literal["=", "<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class Compare:
    """A number against a column."""

    column: str
    operator: Operator
    number: str


@dataclass(frozen=True, slots=True)
class Between:
    """A number from `low` to `high`, both included."""

    column: str
    low: str
    high: str


@dataclass(frozen=True, slots=True)
class OneOf:
    """Equal to one of the values. `fold`: the values are as the user typed them, case ignored."""

    column: str
    values: tuple[str, ...]
    fold: bool = False


@dataclass(frozen=True, slots=True)
class Like:
    """Text that contains, starts or ends with `text` or matches it as a pattern, case ignored."""

    column: str
    where: Literal["contains", "starts", "ends", "pattern"]
    text: str


@dataclass(frozen=True, slots=True)
class Missing:
    """NULL."""

    column: str


@dataclass(frozen=True, slots=True)
class IsTrue:
    """A boolean column that is true."""

    column: str


@dataclass(frozen=True, slots=True)
class Period:
    """A date or timestamp in the half-open range from `start` to before `end`."""

    column: str
    start: date | None
    end: date | None


@dataclass(frozen=True, slots=True)
class Related:
    """At the other end of `path` there are rows with `where`; without `count`, at least one."""

    path: Path
    where: Condition | None = None
    count: tuple[Operator, int] | None = None


@dataclass(frozen=True, slots=True)
class Not:
    """The complement: an unknown answer counts as "not"."""

    of: Condition


@dataclass(frozen=True, slots=True)
class All:
    """Every one of them."""

    of: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Any:
    """One of them at least."""

    of: tuple[Condition, ...]


Condition = Compare | Between | OneOf | Like | Missing | IsTrue | Period | Related | Not | All | Any

# -- what is shown ---------------------------------------------------------------------------------

AggregateFunction = Literal["count", "sum", "avg", "min", "max"]


@dataclass(frozen=True, slots=True)
class Field:
    """A column of the subject."""

    column: str


@dataclass(frozen=True, slots=True)
class Bucket:
    """A date truncated to a unit: day, week, month, quarter, year."""

    unit: str
    column: str


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A figure over the subject's rows; `column` None counts rows."""

    function: AggregateFunction
    column: str | None = None
    distinct: bool = False


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure over the rows at the other end of `path`, one for each row of the subject."""

    function: AggregateFunction
    path: Path
    column: str | None = None
    where: Condition | None = None


Term = Field | Bucket | Aggregate | Measure


@dataclass(frozen=True, slots=True)
class Order:
    """A sort key; NULLs come last."""

    by: Term
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Select:
    """Rows of a table, or figures about them.

    No `show` means every column; `beside` are related tables shown next to the subject. `group`
    holds the keys of a grouped answer and `having` a bound on its row count. `ties`: with a limit,
    rows equal to the last one are shown too.
    """

    table: TableRef
    where: Condition | None = None
    show: tuple[Term, ...] = ()
    beside: tuple[Path, ...] = ()
    group: tuple[Field | Bucket, ...] = ()
    having: tuple[Operator, int] | None = None
    order: tuple[Order, ...] = ()
    limit: int | None = None
    ties: bool = False
    distinct: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """The names of what the database has."""

    what: Literal["tables", "views", "schemas"]
    schema: str | None = None


@dataclass(frozen=True, slots=True)
class Describe:
    """The columns of a table."""

    table: TableRef


Question = Select | Listing | Describe


@dataclass(frozen=True, slots=True)
class NeedValues:
    """The text may name values of these columns.

    Read up to a bound of distinct values of each and ask again; give an empty tuple for a column
    that has more than that.
    """

    columns: tuple[ColumnRef, ...]


@dataclass(frozen=True, slots=True)
class Declined:
    """No reading, or more than one.

    `unplaced` are words that nothing in the schema or the grammar accounts for; `readings` the
    questions that fit equally well; `notes` what stood in the way; `tables` the likely ones.
    `nearly`: the words that would have to go, and the one question that the rest asks.
    `stored`: the values that were read to understand the text, in pairs of column and values.
    """

    reason: str
    unplaced: tuple[str, ...] = ()
    readings: tuple[Question, ...] = ()
    notes: tuple[str, ...] = ()
    tables: tuple[TableRef, ...] = ()
    nearly: tuple[str, Question] | None = None
    stored: tuple[tuple[ColumnRef, tuple[str, ...]], ...] = ()


def columns_of(condition: Condition) -> frozenset[str]:
    """The subject's own columns that a condition speaks of (keys of `Related` excluded)."""
    if isinstance(condition, Not):
        return columns_of(condition.of)
    if isinstance(condition, All | Any):
        return frozenset().union(*(columns_of(part) for part in condition.of))
    if isinstance(condition, Related):
        return frozenset()
    return frozenset({condition.column})


def both(conditions: tuple[Condition, ...]) -> Condition | None:
    """All of the conditions as one, None when there is none; order and repetition do not count."""
    flat: dict[Condition, None] = {}
    for condition in conditions:
        flat.update(dict.fromkeys(condition.of if isinstance(condition, All) else (condition,)))
    parts = sorted(flat, key=repr)
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else All(tuple(parts))
