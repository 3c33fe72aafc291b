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


def count_request(reading: Reading, begin: int) -> Parses[Question]:
    """ "how many active users are there", "number of orders per status"."""
    parses: Parses[Question] = []
    openings = [(after_how_many, True) for after_how_many in accept(reading, begin, "how many")]
    openings += [(after_count, False) for after_count in accept(reading, begin, "count")]
    for position, how_many in openings:
        for start in maybe(reading, position, "rows in"):
            for phrase, end, cost in subject(reading, start):
                if _is_arranged(phrase):
                    continue
                for last in maybe(reading, end, "exist"):
                    parses.extend(_reported(reading, last, phrase, (count_rows(),), cost))
                    parses.extend(grouped(reading, last, phrase, count_rows(), cost=cost))
                if how_many:
                    parses.extend(_whose(reading, end, phrase, cost))
        for start in accept(reading, position, "distinct"):
            parses.extend(_distinct_count(reading, start))
    return parses


def _distinct_count(reading: Reading, start: int) -> Iterator[tuple[Question, int, int]]:
    """ "cities of users", "cities are there among users", behind "how many different"."""
    for names, phrase, end, cost in column_phrases(reading, start):
        if len(names) == 1 and not _is_arranged(phrase):
            yield Select(phrase.table, both(phrase.where), (count_rows(names[0]),)), end, cost
    for split in range(start + 1, len(reading.tokens)):
        for position in [
            after_of
            for end in accept(reading, split, "exist")
            for after_of in accept(reading, end, "of")
        ]:
            for phrase, last, cost in subject(reading, position):
                for name, stop, more in columns(reading, start, phrase.table):
                    if stop == split and not _is_arranged(phrase):
                        show = (count_rows(name),)
                        yield Select(phrase.table, both(phrase.where), show), last, cost + more


def _is_arranged(phrase: Phrase) -> bool:
    return bool(phrase.order or phrase.limit or phrase.rank or phrase.beside or phrase.measures)


def _whose(reading: Reading, end: int, phrase: Phrase, cost: int) -> Parses[Question]:
    """ "how many orders does user 2 have", "how many orders does each user have"."""
    parses: Parses[Question] = []
    for after_do in accept(reading, end, "do"):
        each = accept(reading, after_do, "each")
        for (other, path), after_noun_phrase, more in noun_phrase(
            reading, (each or [after_do])[0], phrase.table, 1
        ):
            for last in word(reading, after_noun_phrase, "have", "has", "contain", "include"):
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
    reading: Reading, start: int, phrase: Phrase, show: tuple[Term, ...], cost: int
) -> Parses[Question]:
    """A figure over the phrase, with a last condition: "how many users … are active"."""
    parses: Parses[Question] = [(Select(phrase.table, both(phrase.where), show), start, cost)]
    for candidate, end, more in (
        clause(reading, start, phrase.table, 0) if start < len(reading.tokens) else []
    ):
        condition = joined(reading, start, end, phrase, candidate, 0)
        if condition is not None:
            where = both((*phrase.where, condition))
            parses.append((Select(phrase.table, where, show), end, cost + more))
    return parses


def figure_request(reading: Reading, start: int) -> Parses[Question]:
    """ "average price of products per category", "minimum and maximum price of products"."""
    parses: Parses[Question] = []
    for functions, after_functions in _functions(reading, start):
        for name, phrase, end, cost in _measured_columns(reading, after_functions):
            column = reading.lexicon.column(phrase.table, name)
            if _is_arranged(phrase) or not all(
                _fits(function, column.category) for function in functions
            ):
                continue
            if (
                reading.tokens[after_functions - 1].lower in ("latest", "earliest")
                and column.category != "D"
            ):
                continue
            figures = tuple(Aggregate(function, name) for function in functions)
            parses.append((Select(phrase.table, both(phrase.where), figures), end, cost))
            if len(figures) == 1:
                parses.extend(grouped(reading, end, phrase, figures[0], cost=cost))
    # "total of all paid orders", "total of orders per month": the column's own name is "total".
    for name, phrase, end, cost in _measured_columns(reading, start):
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


def _functions(reading: Reading, start: int) -> list[tuple[tuple[AggregateFunction, ...], int]]:
    parses: list[tuple[tuple[AggregateFunction, ...], int]] = []
    for function in FUNCTIONS:
        for after_function in accept(reading, start, function):
            parses.append(((function,), after_function))
            for after_and in accept(reading, after_function, "and"):
                parses.extend(
                    ((function, *rest), end)
                    for rest, end in _functions(reading, after_and)
                    if function not in rest
                )
    return parses


def _measured_columns(reading: Reading, start: int) -> list[tuple[str, Phrase, int, int]]:
    return [
        (names[0], phrase, end, cost)
        for names, phrase, end, cost in column_phrases(reading, start)
        if len(names) == 1 and not reading.lexicon.is_key(phrase.table, names[0])
    ]


def grouped(
    reading: Reading,
    start: int,
    phrase: Phrase,
    figure: Aggregate,
    *,
    cost: int = 0,
    counted: bool = True,
) -> Parses[Question]:
    """A figure for each group, a condition behind it included: "per month in 2024"."""
    parses: Parses[Question] = []
    for who in maybe(reading, start, "be"):
        for name in ("per", "for each"):
            for after_name in accept(reading, who, name):
                # "orders by status" may ask for an order as well as for groups.
                # So may "orders of every user" ask for the orders.
                opening = " ".join(
                    token.lower for token in reading.tokens[max(after_name - 2, 0) : after_name]
                )
                vague = not counted and (opening.endswith(" by") or opening in _OF_EACH)
                groups = _by_columns(reading, after_name, phrase, figure, buckets_only=vague)
                parses.extend((select, end, cost + more) for select, end, more in groups)
                if not vague:
                    rows = _by_rows(
                        reading, after_name, phrase, figure, inclusive=name == "for each"
                    )
                    parses.extend((select, end, cost + more) for select, end, more in rows)
    return parses


_OF_EACH = frozenset({"of every", "of each", "from every", "from each"})


def _by_columns(
    reading: Reading, start: int, phrase: Phrase, figure: Aggregate, *, buckets_only: bool
) -> Iterator[tuple[Select, int, int]]:
    """A figure for each value of the columns that are named at `q`."""
    for keys, end, cost in _group_lists(reading, start, phrase.table):
        if buckets_only and not all(isinstance(key, Bucket) for key in keys):
            continue
        for limited, last, more in followed(reading, end, phrase):
            if not _is_arranged(limited):
                yield _by_keys(limited, keys, figure), last, cost + more


def _by_rows(
    reading: Reading, start: int, phrase: Phrase, figure: Aggregate, *, inclusive: bool
) -> Iterator[tuple[Select, int, int]]:
    """A figure for each row of the table that is named at `q`."""
    for path, end, cost in related(reading, start, phrase.table):
        for limited, last, more in followed(reading, end, phrase):
            if not _is_arranged(limited):
                other = Phrase(path[-1].target)
                select = _per(reading, limited, path, other, figure, inclusive)
                yield select, last, cost + more


def _group_keys(reading: Reading, start: int, table: TableRef) -> Parses[Field | Bucket]:
    parses: Parses[Field | Bucket] = []
    for name, end, cost in columns(reading, start, table):
        column = reading.lexicon.column(table, name)
        if column.category != "D" and name not in reading.lexicon.relations[table].primary_key:
            parses.append((Field(name), end, cost))
    for unit in ("day", "week", "month", "quarter", "year"):
        for end in word(reading, start, unit, f"calendar {unit}"):
            name_of_date = own_date(reading, table)
            if name_of_date is not None:
                parses.append((Bucket(unit, name_of_date), end, 0))
    return parses


def _group_lists(
    reading: Reading, start: int, table: TableRef
) -> Parses[tuple[Field | Bucket, ...]]:
    """One key, or two: "by role and city", "per status per month"."""
    parses: Parses[tuple[Field | Bucket, ...]] = []
    for key, end, cost in _group_keys(reading, start, table):
        parses.append(((key,), end, cost))
        for after_and in accept(reading, end, "and", "per"):
            for other, last, more in _group_keys(reading, after_and, table):
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


def group_request(reading: Reading, start: int) -> Parses[Question]:
    """ "statuses with more than 1 order", "each user with the number of orders"."""
    parses: Parses[Question] = []
    for split in range(start + 1, min(start + 5, len(reading.tokens))):
        for after_have in accept(reading, split, "have"):
            for operator in (">", ">=", "<", "<=", "="):
                for after_operator in accept(reading, after_have, operator):
                    for text, after_number in number(reading, after_operator):
                        for phrase, end, cost in subject(reading, after_number):
                            for name, stop, more in columns(reading, start, phrase.table):
                                if stop == split and is_count(text) and not _is_arranged(phrase):
                                    key = Field(name)
                                    select = replace(
                                        _by_keys(phrase, (key,), count_rows()),
                                        having=(operator, int(text)),
                                    )
                                    parses.append((select, end, cost + more))
    return parses
