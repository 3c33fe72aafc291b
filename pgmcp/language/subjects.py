"""The noun phrase that a request is about: ordered, limited, with figures and tables beside it.

The rule: only the subject has an order, so a table that is merely mentioned cannot get one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pgmcp.language import naming, words
from pgmcp.language.adjectives import is_date
from pgmcp.language.conditions import measuring, own_date
from pgmcp.language.match import columns, is_count, number, related
from pgmcp.language.nouns import Extension, follow, noun_phrase
from pgmcp.language.phrase import Phrase, to_many
from pgmcp.language.question import AggregateFunction, Field, Measure, Order, Path, TableRef, both
from pgmcp.language.reading import Parses, Reading, accept, maybe, remembered, word
from pgmcp.language.stemming import stems


def _settle(phrase: Phrase) -> Phrase | None:
    """ "the newest user" is one (with its equals), "the newest users" are sorted."""
    if phrase.needs_count and phrase.plural and phrase.limit is None:
        return None
    if phrase.order and phrase.limit is None and not phrase.rank and not phrase.plural:
        return replace(phrase, limit=1, ties=True)
    return phrase


def _amount_or_rank(reading: Reading, start: int, phrase: Phrase) -> Parses[Phrase]:
    """ "every", "5", "top", "newest", "most expensive"."""
    parses: Parses[Phrase] = [(phrase, end, 0) for end in accept(reading, start, "each")]
    if phrase.limit is None:
        for text, end in number(reading, start):
            if is_count(text) and int(text) > 0:
                parses.append((replace(phrase, limit=int(text)), end, 0))
    if not phrase.rank and not phrase.order:
        for name, rank in (("top", 1), ("bottom", -1)):
            parses.extend(
                (replace(phrase, rank=rank), end, 0) for end in accept(reading, start, name)
            )
    if not phrase.order:
        for order, end, cost in _superlative(reading, start, phrase.table):
            needs_count = reading.tokens[end - 1].lower in ("first", "last")
            parses.append(
                (replace(phrase, order=(order,), rank=0, needs_count=needs_count), end, cost)
            )
    return parses


def _superlative(reading: Reading, start: int, table: TableRef) -> Parses[Order]:
    """ "newest", "cheapest", "first": the column it sorts by, and which way."""
    parses: Parses[Order] = []
    own = own_date(reading, table)
    for newest, forms in ((True, words.NEWNESS - {"recent"}), (False, words.OLDNESS)):
        for end in word(reading, start, *forms):
            if own is not None:
                parses.append((Order(Field(own), newest), end, 0))
            elif reading.tokens[end - 1].lower == "first" and not _has_own_times(reading, table):
                key = reading.lexicon.relations[table].primary_key
                if len(key) == 1:
                    parses.append((Order(Field(key[0])), end, 0))
    for adjective in naming.ADJECTIVES:
        for end in accept(reading, start, f"superlative {adjective}"):
            for name, sign in measuring(reading, table, adjective):
                parses.append((Order(Field(name), sign > 0), end, 0))
    return parses


def _has_own_times(reading: Reading, table: TableRef) -> bool:
    """Whether rows have times of their own, so that the first is not the one of the first key."""
    return any(
        is_date(column) and not naming.BIRTH & set(stems(column.name))
        for column in reading.lexicon.relations[table].columns
    )


def _arranged(reading: Reading, start: int, phrase: Phrase) -> Parses[Phrase]:
    """ "sorted by name", "with the most orders", "limited to 5", "and their orders"."""
    parses: Parses[Phrase] = []
    for position in dict.fromkeys([start, *accept(reading, start, "but")]):
        if phrase.rank:
            parses.extend(_ranked_by(reading, position, phrase))
        elif not phrase.order:
            parses.extend(_sorted_by(reading, position, phrase))
    if not phrase.order and not phrase.rank:
        parses.extend(_extreme(reading, start, phrase))
    if phrase.limit is None:
        parses.extend(_limited(reading, start, phrase))
    parses.extend(_accompanied(reading, start, phrase))
    return parses


def _sorted_by(reading: Reading, start: int, phrase: Phrase) -> Iterator[tuple[Phrase, int, int]]:
    """ "sorted by name", "by price descending", "alphabetically", "newest first"."""
    for after_sorted_by in accept(reading, start, "sorted by"):
        yield from _sorted(reading, after_sorted_by, phrase)
    for after_by in accept(reading, start, "by"):
        for order, end, explicit, cost in _key(reading, after_by, phrase.table):
            if explicit:
                yield _ordered(phrase, (order,)), end, cost
    label = reading.lexicon.label(phrase.table)
    if label is not None:
        by_label = replace(phrase, order=(Order(Field(label)),))
        yield from ((by_label, end, 0) for end in accept(reading, start, "alphabetical"))
    for after_sorted_by in maybe(reading, start, "sorted by"):
        for order, after_superlative, cost in _superlative(reading, after_sorted_by, phrase.table):
            for end in accept(reading, after_superlative, "first"):
                yield replace(phrase, order=(order,)), end, cost


def _ranked_by(reading: Reading, start: int, phrase: Phrase) -> Iterator[tuple[Phrase, int, int]]:
    """ "by price", behind "top 5 products"."""
    for after_by in accept(reading, start, "by"):
        for term, end, cost in term_phrase(reading, after_by, phrase.table):
            ordered = _ordered(phrase, (Order(term, phrase.rank > 0),))
            ties, limit = phrase.limit is None, phrase.limit or 1
            yield replace(ordered, rank=0, ties=ties, limit=limit), end, cost


def _limited(reading: Reading, start: int, phrase: Phrase) -> Iterator[tuple[Phrase, int, int]]:
    """ "limit 5"."""
    for after_but in maybe(reading, start, "but"):
        for after_limit in word(reading, after_but, "limit", "limited to", "limit to"):
            for text, end in number(reading, after_limit):
                if is_count(text) and int(text) > 0:
                    yield replace(phrase, limit=int(text)), end, 0


def _ordered(phrase: Phrase, order: tuple[Order, ...]) -> Phrase:
    measures = tuple(key.by for key in order if isinstance(key.by, Measure))
    return replace(phrase, order=order, measures=(*phrase.measures, *measures))


def _sorted(reading: Reading, start: int, phrase: Phrase) -> Parses[Phrase]:
    parses: Parses[Phrase] = []
    todo: list[tuple[tuple[Order, ...], int, int]] = [((), start, 0)]
    for order, position, cost in todo:
        for key, end, _, more in _key(reading, position, phrase.table):
            if any(key.by == other.by for other in order):
                continue
            parses.append((_ordered(phrase, (*order, key)), end, cost + more))
            todo.extend(
                ((*order, key), after_then, cost + more)
                for after_then in accept(reading, end, "then")
            )
    return parses


def _key(reading: Reading, start: int, table: TableRef) -> list[tuple[Order, int, bool, int]]:
    """A sort key: (order, end, whether its direction was said, cost)."""
    keys = []
    for term, after_term_phrase, cost in term_phrase(reading, start, table):
        keys.append((Order(term), after_term_phrase, False, cost))
        for comma in [after_term_phrase, *word(reading, after_term_phrase, ",")]:
            keys.extend(
                (Order(term), end, True, cost) for end in accept(reading, comma, "ascending")
            )
            keys.extend(
                (Order(term, True), end, True, cost) for end in accept(reading, comma, "descending")
            )
    return keys


@remembered
def term_phrase(reading: Reading, start: int, table: TableRef) -> Parses[Field | Measure]:
    """What rows are ranked by: a column, or a figure about their related rows."""
    parses: Parses[Field | Measure] = [
        (Field(name), end, cost) for name, end, cost in columns(reading, start, table)
    ]
    own = None if parses else own_date(reading, table)
    if own is not None:
        parses.extend((Field(own), end, 1) for end in word(reading, start, "date"))
    parses.extend(measure_phrase(reading, start, table))
    return parses


@remembered
def measure_phrase(reading: Reading, start: int, table: TableRef) -> Parses[Measure]:
    """ "number of orders", "total of orders", "average order total", seen from a table."""
    parses: Parses[Measure] = []
    for after_count in accept(reading, start, "count"):
        for (phrase, path), end, cost in noun_phrase(reading, after_count, table, 1):
            if to_many(path):
                parses.append((Measure("count", path, None, both(phrase.where)), end, cost))
    for function in ("sum", "avg", "min", "max"):
        for after_function in accept(reading, start, function):
            for (phrase, path), end, name, cost in _column_of(reading, after_function, table):
                column = reading.lexicon.column(phrase.table, name)
                if to_many(path) and (column.category == "N" or function in ("min", "max")):
                    measure = Measure(function, path, name, both(phrase.where))
                    parses.append((measure, end, cost))
        for (phrase, path), end, name, cost in _column_of(reading, start, table):
            # "total of orders" where "total" is the column: its sum is the only figure meant.
            column = reading.lexicon.column(phrase.table, name)
            if function == "sum" and to_many(path) and column.category == "N" and "total" in name:
                parses.append((Measure("sum", path, name, both(phrase.where)), end, cost + 1))
    return parses


def _column_of(
    reading: Reading, start: int, table: TableRef
) -> list[tuple[tuple[Phrase, Path], int, str, int]]:
    """ "total of orders", "order total": a column of a related table."""
    parses = []
    for split in range(start + 1, min(start + 6, len(reading.tokens))):
        for after_of in accept(reading, split, "of"):
            for (phrase, path), end, cost in noun_phrase(reading, after_of, table, 1):
                for name, stop, more in columns(reading, start, phrase.table):
                    if stop == split and not reading.lexicon.is_key(phrase.table, name):
                        parses.append(((phrase, path), end, name, cost + more))
    for path, after_related, cost in related(reading, start, table):
        target = path[-1].target
        for name, end, more in columns(reading, after_related, target):
            if not reading.lexicon.is_key(target, name):
                parses.append(((Phrase(target), path), end, name, cost + more))
    return parses


def _extreme(reading: Reading, start: int, phrase: Phrase) -> Iterator[tuple[Phrase, int, int]]:
    """ "with the highest price", "has the most orders", "is the longest"."""
    for order, end, cost in _extremes(reading, start, phrase.table):
        ordered = _ordered(phrase, (order,))
        if phrase.limit is None:  # several only where they are equal
            ordered = replace(ordered, limit=1, ties=True)
        yield ordered, end, cost


def _extremes(reading: Reading, start: int, table: TableRef) -> Iterator[tuple[Order, int, int]]:
    for who in maybe(reading, start, "who"):
        for after_have in accept(reading, who, "have"):
            for name, descending in (("highest", True), ("lowest", False)):
                for after_name in accept(reading, after_have, name):
                    yield from _extreme_value(reading, after_name, table, descending)
            for name, descending in (("most", True), ("fewest", False)):
                for after_name in accept(reading, after_have, name):
                    yield from _extreme_count(reading, after_name, table, descending)
        for after_be in accept(reading, who, "be"):
            yield from _superlative(reading, after_be, table)


def _extreme_value(
    reading: Reading, start: int, table: TableRef, descending: bool
) -> Iterator[tuple[Order, int, int]]:
    """ "price", "average order total", "order total", behind "the highest"."""
    adjective = reading.tokens[start - 1].lower
    for column, end, cost in columns(reading, start, table):
        if _orderable(reading, table, column, adjective):
            yield Order(Field(column), descending), end, cost
    if adjective in _OF_FIGURES:
        for measure, end, cost in measure_phrase(reading, start, table):
            yield Order(measure, descending), end, cost
    for (other, path), end, column, cost in _column_of(reading, start, table):
        if to_many(path) and _orderable(reading, other.table, column, adjective):
            function: AggregateFunction = "max" if descending else "min"
            measure = Measure(function, path, column, both(other.where))
            yield Order(measure, descending), end, cost


def _extreme_count(
    reading: Reading, start: int, table: TableRef, descending: bool
) -> Iterator[tuple[Order, int, int]]:
    """ "orders", behind "the most"."""
    for (other, path), end, cost in noun_phrase(reading, start, table, 1):
        if to_many(path):
            yield Order(Measure("count", path, None, both(other.where)), descending), end, cost


_OF_FIGURES = frozenset({"highest", "lowest", "largest", "smallest", "biggest", "greatest"})
"""Adjectives that a sum or an average can have, as well as a column."""


def _orderable(reading: Reading, table: TableRef, column: str, adjective: str) -> bool:
    category = reading.lexicon.column(table, column).category
    if reading.lexicon.is_key(table, column):
        return False
    if adjective in ("latest", "earliest", "newest", "oldest", "recent"):
        return category == "D"
    return category == "N" or (category == "D" and adjective not in ("most", "fewest", "least"))


def _accompanied(reading: Reading, start: int, phrase: Phrase) -> Parses[Phrase]:
    """ "with their orders", "and their number of orders"."""
    parses: Parses[Phrase] = []
    for after_have in accept(reading, start, "have", "and"):
        for after_their in accept(reading, after_have, "their"):
            for path, end, cost in related(reading, after_their, phrase.table):
                many = [measure for measure in (*phrase.beside, path) if to_many(measure)]
                if path not in phrase.beside and len(many) < 2 and phrase.limit is None:
                    parses.append((replace(phrase, beside=(*phrase.beside, path)), end, cost))
            for _, end, cost in columns(reading, after_their, phrase.table):
                parses.append((phrase, end, cost))
        for after_their in maybe(reading, after_have, "their"):
            if accept(reading, after_their, "highest", "lowest"):
                continue  # "the user with the highest order total" is one user
            for measure, end, cost in measure_phrase(reading, after_their, phrase.table):
                parses.append((replace(phrase, measures=(*phrase.measures, measure)), end, cost))
    return parses


SUBJECT = Extension(_amount_or_rank, _arranged, _settle)


def subject(reading: Reading, start: int) -> Parses[Phrase]:
    """The noun phrases that a request can be about."""
    return [
        (phrase, end, cost)
        for (phrase, _), end, cost in noun_phrase(reading, start, None, 0, SUBJECT)
    ]


def followed(reading: Reading, start: int, phrase: Phrase) -> Parses[Phrase]:
    """A subject with every run of clauses that begins at `p`, the empty one first."""
    parses: Parses[Phrase] = [(phrase, start, 0)]
    for limited, position, cost in parses:
        if position < len(reading.tokens) and len(parses) < _MOST:
            more = follow(reading, position, limited, 0, SUBJECT)
            parses.extend((other, end, cost + extra) for other, end, extra in more)
    return parses


_MOST = 200  # phrases that are followed further
