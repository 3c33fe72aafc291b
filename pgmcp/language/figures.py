"""Requests for figures: counts, sums, averages, extremes, for all rows or for each group.

The rule: a figure about a table's rows never joins anything that could repeat them.
"""

from __future__ import annotations

from dataclasses import replace

from pgmcp.language.conditions import own_date
from pgmcp.language.match import columns, is_count, number, related
from pgmcp.language.nouns import clause, noun_phrase
from pgmcp.language.phrase import Phrase
from pgmcp.language.projections import column_phrases, identity, is_one_row
from pgmcp.language.question import (
    Aggregate,
    Bucket,
    Condition,
    Field,
    Function,
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
from pgmcp.language.reading import Found, Reading, accept, maybe, word
from pgmcp.language.subjects import followed, subject


def count_rows(distinct: str | None = None) -> Aggregate:
    """count(*), or count(DISTINCT column)."""
    return Aggregate("count", distinct, distinct is not None)


FUNCTIONS: tuple[Function, ...] = ("sum", "avg", "min", "max")


def count_request(reading: Reading, p: int) -> Found[Question]:
    """ "how many active users are there", "number of orders per status"."""
    found: Found[Question] = []
    asked = [(q, True) for q in accept(reading, p, "how many")]
    asked += [(q, False) for q in accept(reading, p, "count")]
    for q, many in asked:
        for start in maybe(reading, q, "rows in"):
            for phrase, end, cost in subject(reading, start):
                if _arranged(phrase):
                    continue
                for last in maybe(reading, end, "exist"):
                    found.extend(_reported(reading, last, phrase, (count_rows(),), cost))
                    found.extend(grouped(reading, last, phrase, count_rows(), cost=cost))
                if many:
                    found.extend(_whose(reading, end, phrase, cost))
        for start in accept(reading, q, "distinct"):
            for names, phrase, end, cost in column_phrases(reading, start):
                if len(names) == 1 and not _arranged(phrase):
                    select = Select(phrase.table, both(phrase.where), (count_rows(names[0]),))
                    found.append((select, end, cost))
            for k in range(start + 1, len(reading.tokens)):
                for end in accept(reading, k, "exist"):
                    for r in accept(reading, end, "of"):
                        for phrase, last, cost in subject(reading, r):
                            for name, stop, more in columns(reading, start, phrase.table):
                                if stop == k and not _arranged(phrase):
                                    select = Select(
                                        phrase.table, both(phrase.where), (count_rows(name),)
                                    )
                                    found.append((select, last, cost + more))
    return found


def _arranged(phrase: Phrase) -> bool:
    return bool(phrase.order or phrase.limit or phrase.rank or phrase.beside or phrase.measures)


def _whose(reading: Reading, end: int, phrase: Phrase, cost: int) -> Found[Question]:
    """ "how many orders does user 2 have", "how many orders does each user have"."""
    found: Found[Question] = []
    for q in accept(reading, end, "do"):
        each = accept(reading, q, "each")
        for (other, path), r, more in noun_phrase(reading, (each or [q])[0], phrase.table, 1):
            for last in word(reading, r, "have", "has", "contain", "include"):
                total = cost + more
                if each:
                    found.append(
                        (_per(reading, phrase, path, other, count_rows(), True), last, total)
                    )
                elif other.where:
                    where = both((*phrase.where, Related(path, both(other.where))))
                    found.append((Select(phrase.table, where, (count_rows(),)), last, total))
    return found


def _reported(
    reading: Reading, p: int, phrase: Phrase, show: tuple[Term, ...], cost: int
) -> Found[Question]:
    """A figure over the phrase, with a last condition: "how many users … are active"."""
    found: Found[Question] = [(Select(phrase.table, both(phrase.where), show), p, cost)]
    for one, end, more in clause(reading, p, phrase.table, 0) if p < len(reading.tokens) else []:
        where = both((*phrase.where, one))
        found.append((Select(phrase.table, where, show), end, cost + more))
    return found


def figure_request(reading: Reading, p: int) -> Found[Question]:
    """ "average price of products per category", "minimum and maximum price of products"."""
    found: Found[Question] = []
    for functions, q in _functions(reading, p):
        for name, phrase, end, cost in _measured_columns(reading, q):
            column = reading.lexicon.column(phrase.table, name)
            if _arranged(phrase) or not all(_fits(one, column.category) for one in functions):
                continue
            if reading.tokens[q - 1].lower in ("latest", "earliest") and column.category != "D":
                continue
            figures = tuple(Aggregate(one, name) for one in functions)
            found.append((Select(phrase.table, both(phrase.where), figures), end, cost))
            if len(figures) == 1:
                found.extend(grouped(reading, end, phrase, figures[0], cost=cost))
    # "total of all paid orders", "total of orders per month": the column's own name is "total".
    for name, phrase, end, cost in _measured_columns(reading, p):
        column = reading.lexicon.column(phrase.table, name)
        if "total" not in name or column.category != "N" or _arranged(phrase) or not phrase.plural:
            continue
        figure = Aggregate("sum", name)
        if not is_one_row(reading, phrase):
            found.append((Select(phrase.table, both(phrase.where), (figure,)), end, cost))
        found.extend(grouped(reading, end, phrase, figure, cost=cost))
    return found


def _fits(function: Function, category: str) -> bool:
    return category == "N" or (function in ("min", "max") and category == "D")


def _functions(reading: Reading, p: int) -> list[tuple[tuple[Function, ...], int]]:
    found: list[tuple[tuple[Function, ...], int]] = []
    for function in FUNCTIONS:
        for q in accept(reading, p, function):
            found.append(((function,), q))
            for r in accept(reading, q, "and"):
                found.extend(
                    ((function, *rest), end)
                    for rest, end in _functions(reading, r)
                    if function not in rest
                )
    return found


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
) -> Found[Question]:
    """A figure for each group, a condition behind it included: "per month in 2024"."""
    found: Found[Question] = []
    for who in maybe(reading, p, "be"):
        for name, q in [
            *(("per", q) for q in accept(reading, who, "per")),
            *(("for each", q) for q in accept(reading, who, "for each")),
        ]:
            # "orders by status" may ask for an order as well as for groups.
            vague = not counted and name == "per" and reading.tokens[q - 1].lower == "by"
            for keys, end, more in _group_lists(reading, q, phrase.table):
                if vague and not all(isinstance(key, Bucket) for key in keys):
                    continue
                grouped: list[tuple[Phrase, int, int]] = followed(reading, end, phrase)
                for one, last, most in grouped:
                    if not _arranged(one):
                        found.append((_by_keys(one, keys, figure), last, cost + more + most))
            for path, end, more in related(reading, q, phrase.table):
                if vague:
                    continue
                for one, last, most in followed(reading, end, phrase):
                    if not _arranged(one):
                        other = Phrase(path[-1].target)
                        inclusive = name == "for each"
                        found.append((_per(reading, one, path, other, figure, inclusive), last,
                                      cost + more + most))  # fmt: skip
    return found


def _group_keys(reading: Reading, q: int, table: TableRef) -> Found[Field | Bucket]:
    found: Found[Field | Bucket] = []
    for name, end, cost in columns(reading, q, table):
        column = reading.lexicon.column(table, name)
        if column.category != "D" and name not in reading.lexicon.relations[table].primary_key:
            found.append((Field(name), end, cost))
    for unit in ("day", "week", "month", "quarter", "year"):
        for end in word(reading, q, unit, f"calendar {unit}"):
            name_of_date = own_date(reading, table)
            if name_of_date is not None:
                found.append((Bucket(unit, name_of_date), end, 0))
    return found


def _group_lists(reading: Reading, q: int, table: TableRef) -> Found[tuple[Field | Bucket, ...]]:
    """One key, or two: "by role and city", "per status per month"."""
    found: Found[tuple[Field | Bucket, ...]] = []
    for key, end, cost in _group_keys(reading, q, table):
        found.append(((key,), end, cost))
        for r in accept(reading, end, "and", "per"):
            for other, last, more in _group_keys(reading, r, table):
                if other != key:
                    found.append(((key, other), last, cost + more))
    return found


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


def group_request(reading: Reading, p: int) -> Found[Question]:
    """ "statuses with more than 1 order", "each user with the number of orders"."""
    found: Found[Question] = []
    for k in range(p + 1, min(p + 5, len(reading.tokens))):
        for q in accept(reading, k, "have"):
            for operator in (">", ">=", "<", "<=", "="):
                for r in accept(reading, q, operator):
                    for text, s in number(reading, r):
                        for phrase, end, cost in subject(reading, s):
                            for name, stop, more in columns(reading, p, phrase.table):
                                if stop == k and is_count(text) and not _arranged(phrase):
                                    key = Field(name)
                                    select = replace(
                                        _by_keys(phrase, (key,), count_rows()),
                                        having=(operator, int(text)),
                                    )
                                    found.append((select, end, cost + more))
    return found
