"""Requests for figures: counts, sums, averages, extremes, for all rows or for each group.

The rule: a figure about a table's rows never joins anything that could repeat them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pgmcp.language.conditions import own_date
from pgmcp.language.exceptions import joined
from pgmcp.language.match import columns, is_count, number, related
from pgmcp.language.nouns import clause, noun_phrase
from pgmcp.language.phrase import Phrase
from pgmcp.language.projections import column_phrases, identity, is_one_row
from pgmcp.language.question import (
    Aggregate,
    AggregateFunction,
    Bucket,
    Condition,
    Field,
    Hop,
    Measure,
    Order,
    Path,
    Question,
    Related,
    Select,
    TableRef,
    Term,
    both,
)
from pgmcp.language.reading import Parses, Reading, accept, maybe, word
from pgmcp.language.subjects import followed, subject


def count_rows(distinct: str | None = None) -> Aggregate:
    """count(*), or count(DISTINCT column)."""
    return Aggregate("count", distinct, distinct is not None)


FUNCTIONS: tuple[AggregateFunction, ...] = ("sum", "avg", "min", "max")


def count_request(reading: Reading, p: int) -> Parses[Question]:
    """ "how many active users are there", "number of orders per status"."""
    parses: Parses[Question] = []
    openings = [(q, True) for q in accept(reading, p, "how many")]
    openings += [(q, False) for q in accept(reading, p, "count")]
    for q, how_many in openings:
        for start in maybe(reading, q, "rows in"):
            for phrase, end, cost in subject(reading, start):
                if _is_arranged(phrase):
                    continue
                for last in maybe(reading, end, "exist"):
                    parses.extend(_reported(reading, last, phrase, (count_rows(),), cost))
                    parses.extend(grouped(reading, last, phrase, count_rows(), cost=cost))
                if how_many:
                    parses.extend(_whose(reading, end, phrase, cost))
        for start in accept(reading, q, "distinct"):
            parses.extend(_distinct_count(reading, start))
    return parses


def _distinct_count(reading: Reading, start: int) -> Iterator[tuple[Question, int, int]]:
    """ "cities of users", "cities are there among users", behind "how many different"."""
    for names, phrase, end, cost in column_phrases(reading, start):
        if len(names) == 1 and not _is_arranged(phrase):
            yield Select(phrase.table, both(phrase.where), (count_rows(names[0]),)), end, cost
    for k in range(start + 1, len(reading.tokens)):
        for r in [r for end in accept(reading, k, "exist") for r in accept(reading, end, "of")]:
            for phrase, last, cost in subject(reading, r):
                for name, stop, more in columns(reading, start, phrase.table):
                    if stop == k and not _is_arranged(phrase):
                        show = (count_rows(name),)
                        yield Select(phrase.table, both(phrase.where), show), last, cost + more


def _is_arranged(phrase: Phrase) -> bool:
    return bool(phrase.order or phrase.limit or phrase.rank or phrase.beside or phrase.measures)


def _whose(reading: Reading, end: int, phrase: Phrase, cost: int) -> Parses[Question]:
    """ "how many orders does user 2 have", "how many orders does each user have"."""
    parses: Parses[Question] = []
    for q in accept(reading, end, "do"):
        each = accept(reading, q, "each")
        for (other, path), r, more in noun_phrase(reading, (each or [q])[0], phrase.table, 1):
            for last in word(reading, r, "have", "has", "contain", "include"):
                total = cost + more
                if each:
                    parses.append(
                        (_per(reading, phrase, path, other, count_rows(), True), last, total)
                    )
                elif other.where:
                    where = both((*phrase.where, Related(path, both(other.where))))
                    parses.append((Select(phrase.table, where, (count_rows(),)), last, total))
    return parses


def _reported(
    reading: Reading, p: int, phrase: Phrase, show: tuple[Term, ...], cost: int
) -> Parses[Question]:
    """A figure over the phrase, with a last condition: "how many users … are active"."""
    parses: Parses[Question] = [(Select(phrase.table, both(phrase.where), show), p, cost)]
    for candidate, end, more in (
        clause(reading, p, phrase.table, 0) if p < len(reading.tokens) else []
    ):
        condition = joined(reading, p, end, phrase, candidate, 0)
        if condition is not None:
            where = both((*phrase.where, condition))
            parses.append((Select(phrase.table, where, show), end, cost + more))
    return parses


def figure_request(reading: Reading, p: int) -> Parses[Question]:
    """ "average price of products per category", "minimum and maximum price of products"."""
    parses: Parses[Question] = []
    for functions, q in _functions(reading, p):
        for name, phrase, end, cost in _measured_columns(reading, q):
            column = reading.lexicon.column(phrase.table, name)
            if _is_arranged(phrase) or not all(
                _fits(function, column.category) for function in functions
            ):
                continue
            if reading.tokens[q - 1].lower in ("latest", "earliest") and column.category != "D":
                continue
            figures = tuple(Aggregate(function, name) for function in functions)
            parses.append((Select(phrase.table, both(phrase.where), figures), end, cost))
            if len(figures) == 1:
                parses.extend(grouped(reading, end, phrase, figures[0], cost=cost))
    # "total of all paid orders", "total of orders per month": the column's own name is "total".
    for name, phrase, end, cost in _measured_columns(reading, p):
        column = reading.lexicon.column(phrase.table, name)
        if (
            "total" not in name
            or column.category != "N"
            or _is_arranged(phrase)
            or not phrase.plural
        ):
            continue
        figure = Aggregate("sum", name)
        if not is_one_row(reading, phrase):
            parses.append((Select(phrase.table, both(phrase.where), (figure,)), end, cost))
        parses.extend(grouped(reading, end, phrase, figure, cost=cost))
    return parses


def _fits(function: AggregateFunction, category: str) -> bool:
    return category == "N" or (function in ("min", "max") and category == "D")


def _functions(reading: Reading, p: int) -> list[tuple[tuple[AggregateFunction, ...], int]]:
    parses: list[tuple[tuple[AggregateFunction, ...], int]] = []
    for function in FUNCTIONS:
        for q in accept(reading, p, function):
            parses.append(((function,), q))
            for r in accept(reading, q, "and"):
                parses.extend(
                    ((function, *rest), end)
                    for rest, end in _functions(reading, r)
                    if function not in rest
                )
    return parses


def _measured_columns(reading: Reading, q: int) -> list[tuple[str, Phrase, int, int]]:
    return [
        (names[0], phrase, end, cost)
        for names, phrase, end, cost in column_phrases(reading, q)
        if len(names) == 1 and not reading.lexicon.is_key(phrase.table, names[0])
    ]


def grouped(
    reading: Reading,
    p: int,
    phrase: Phrase,
    figure: Aggregate,
    *,
    cost: int = 0,
    counted: bool = True,
) -> Parses[Question]:
    """A figure for each group, a condition behind it included: "per month in 2024"."""
    parses: Parses[Question] = []
    for who in maybe(reading, p, "be"):
        for name in ("per", "for each"):
            for q in accept(reading, who, name):
                # "orders by status" may ask for an order as well as for groups.
                # So may "orders of every user" ask for the orders.
                opening = " ".join(token.lower for token in reading.tokens[max(q - 2, 0) : q])
                vague = not counted and (opening.endswith(" by") or opening in _OF_EACH)
                groups = _by_columns(reading, q, phrase, figure, buckets_only=vague)
                parses.extend((select, end, cost + more) for select, end, more in groups)
                if not vague:
                    rows = _by_rows(reading, q, phrase, figure, inclusive=name == "for each")
                    parses.extend((select, end, cost + more) for select, end, more in rows)
    return parses


_OF_EACH = frozenset({"of every", "of each", "from every", "from each"})


def _by_columns(
    reading: Reading, q: int, phrase: Phrase, figure: Aggregate, *, buckets_only: bool
) -> Iterator[tuple[Select, int, int]]:
    """A figure for each value of the columns that are named at `q`."""
    for keys, end, cost in _group_lists(reading, q, phrase.table):
        if buckets_only and not all(isinstance(key, Bucket) for key in keys):
            continue
        for limited, last, more in followed(reading, end, phrase):
            if not _is_arranged(limited):
                yield _by_keys(limited, keys, figure), last, cost + more


def _by_rows(
    reading: Reading, q: int, phrase: Phrase, figure: Aggregate, *, inclusive: bool
) -> Iterator[tuple[Select, int, int]]:
    """A figure for each row of the table that is named at `q`."""
    for path, end, cost in related(reading, q, phrase.table):
        for limited, last, more in followed(reading, end, phrase):
            if not _is_arranged(limited):
                other = Phrase(path[-1].target)
                select = _per(reading, limited, path, other, figure, inclusive)
                yield select, last, cost + more


def _group_keys(reading: Reading, q: int, table: TableRef) -> Parses[Field | Bucket]:
    parses: Parses[Field | Bucket] = []
    for name, end, cost in columns(reading, q, table):
        column = reading.lexicon.column(table, name)
        if column.category != "D" and name not in reading.lexicon.relations[table].primary_key:
            parses.append((Field(name), end, cost))
    for unit in ("day", "week", "month", "quarter", "year"):
        for end in word(reading, q, unit, f"calendar {unit}"):
            name_of_date = own_date(reading, table)
            if name_of_date is not None:
                parses.append((Bucket(unit, name_of_date), end, 0))
    return parses


def _group_lists(reading: Reading, q: int, table: TableRef) -> Parses[tuple[Field | Bucket, ...]]:
    """One key, or two: "by role and city", "per status per month"."""
    parses: Parses[tuple[Field | Bucket, ...]] = []
    for key, end, cost in _group_keys(reading, q, table):
        parses.append(((key,), end, cost))
        for r in accept(reading, end, "and", "per"):
            for other, last, more in _group_keys(reading, r, table):
                if other != key:
                    parses.append(((key, other), last, cost + more))
    return parses


def _by_keys(phrase: Phrase, keys: tuple[Field | Bucket, ...], figure: Aggregate) -> Select:
    order = tuple(Order(key) for key in keys)
    return Select(phrase.table, both(phrase.where), (*keys, figure), group=keys, order=order)


def _per(
    reading: Reading, phrase: Phrase, path: Path, other: Phrase, figure: Aggregate, inclusive: bool
) -> Select:
    """A figure for each row of another table; not `inclusive`: for those that have any rows."""
    back = reverse(path)
    where: tuple[Condition, ...] = other.where
    if not inclusive:
        where = (*where, Related(back, both(phrase.where)))
    measure = Measure(figure.function, back, figure.column, both(phrase.where))
    table = path[-1].target
    return Select(table, both(where), (*identity(reading, table), measure))


def reverse(path: Path) -> Path:
    """The same path, walked from its other end."""
    return tuple(
        Hop(hop.key, hop.target, hop.source, tuple((b, a) for a, b in hop.on),
            not hop.to_many, hop.role)
        for hop in reversed(path)
    )  # fmt: skip


def group_request(reading: Reading, p: int) -> Parses[Question]:
    """ "statuses with more than 1 order", "each user with the number of orders"."""
    parses: Parses[Question] = []
    for k in range(p + 1, min(p + 5, len(reading.tokens))):
        for q in accept(reading, k, "have"):
            for operator in (">", ">=", "<", "<=", "="):
                for r in accept(reading, q, operator):
                    for text, s in number(reading, r):
                        for phrase, end, cost in subject(reading, s):
                            for name, stop, more in columns(reading, p, phrase.table):
                                if stop == k and is_count(text) and not _is_arranged(phrase):
                                    key = Field(name)
                                    select = replace(
                                        _by_keys(phrase, (key,), count_rows()),
                                        having=(operator, int(text)),
                                    )
                                    parses.append((select, end, cost + more))
    return parses
