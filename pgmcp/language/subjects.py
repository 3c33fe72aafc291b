"""The noun phrase that a request is about: ordered, limited, with figures and tables beside it.

The rule: only the subject has an order, so a table that is merely mentioned cannot get one.
"""

from __future__ import annotations

from dataclasses import replace

from pgmcp.language import words
from pgmcp.language.adjectives import is_date
from pgmcp.language.conditions import measuring, own_date
from pgmcp.language.match import columns, is_count, number, related
from pgmcp.language.nouns import Extension, follow, noun_phrase
from pgmcp.language.phrase import Phrase, to_many
from pgmcp.language.question import Field, Function, Measure, Order, Path, TableRef, both
from pgmcp.language.reading import Found, Reading, accept, maybe, remembered, word
from pgmcp.language.tokens import stems


def _settle(phrase: Phrase) -> Phrase | None:
    """ "the newest user" is one (with its equals), "the newest users" are sorted."""
    if phrase.one and phrase.plural and phrase.limit is None:
        return None
    if phrase.order and phrase.limit is None and not phrase.rank and not phrase.plural:
        return replace(phrase, limit=1, ties=True)
    return phrase


def _amount_or_rank(reading: Reading, p: int, phrase: Phrase) -> Found[Phrase]:
    """ "every", "5", "top", "newest", "most expensive"."""
    found: Found[Phrase] = [(phrase, end, 0) for end in accept(reading, p, "each")]
    if phrase.limit is None:
        for text, end in number(reading, p):
            if is_count(text) and int(text) > 0:
                found.append((replace(phrase, limit=int(text)), end, 0))
    if not phrase.rank and not phrase.order:
        for name, rank in (("top", 1), ("bottom", -1)):
            found.extend((replace(phrase, rank=rank), end, 0) for end in accept(reading, p, name))
    if not phrase.order:
        for order, end, cost in _superlative(reading, p, phrase.table):
            one = reading.tokens[end - 1].lower in ("first", "last")
            found.append((replace(phrase, order=(order,), rank=0, one=one), end, cost))
    return found


def _superlative(reading: Reading, p: int, table: TableRef) -> Found[Order]:
    """ "newest", "cheapest", "first": the column it sorts by, and which way."""
    found: Found[Order] = []
    own = own_date(reading, table)
    for newest, forms in ((True, words.NEWNESS - {"recent"}), (False, words.OLDNESS)):
        for end in word(reading, p, *forms):
            if own is not None:
                found.append((Order(Field(own), newest), end, 0))
            elif reading.tokens[end - 1].lower == "first" and not _dated(reading, table):
                key = reading.lexicon.relations[table].primary_key
                if len(key) == 1:
                    found.append((Order(Field(key[0])), end, 0))
    for adjective in words.ADJECTIVES:
        for end in accept(reading, p, f"superlative {adjective}"):
            for name, sign in measuring(reading, table, adjective):
                found.append((Order(Field(name), sign > 0), end, 0))
    return found


def _dated(reading: Reading, table: TableRef) -> bool:
    """Whether rows have times of their own, so that the first is not the one of the first key."""
    return any(
        is_date(column) and not words.BIRTH & set(stems(column.name))
        for column in reading.lexicon.relations[table].columns
    )


def _arranged(reading: Reading, p: int, phrase: Phrase) -> Found[Phrase]:
    found: Found[Phrase] = []
    at = [p, *accept(reading, p, "but")]
    for q in dict.fromkeys(at):
        if not phrase.order and not phrase.rank:
            for r in accept(reading, q, "sorted by"):
                found.extend(_sorted(reading, r, phrase))
            for r in accept(reading, q, "by"):
                for order, end, explicit, cost in _key(reading, r, phrase.table):
                    if explicit:
                        found.append((_ordered(phrase, (order,)), end, cost))
            for end in accept(reading, q, "alphabetical"):
                label = reading.lexicon.label(phrase.table)
                if label is not None:
                    found.append((replace(phrase, order=(Order(Field(label)),)), end, 0))
            for r in maybe(reading, q, "sorted by"):
                for order, s, cost in _superlative(reading, r, phrase.table):
                    found.extend(
                        (replace(phrase, order=(order,)), end, cost)
                        for end in accept(reading, s, "first")
                    )
        if phrase.rank:
            for r in accept(reading, q, "by"):
                for term, end, cost in term_phrase(reading, r, phrase.table):
                    ordered = _ordered(phrase, (Order(term, phrase.rank > 0),))
                    found.append((replace(ordered, rank=0, ties=phrase.limit is None,
                                          limit=phrase.limit or 1), end, cost))  # fmt: skip
    if not phrase.order:
        found.extend(_extreme(reading, p, phrase))
    if phrase.limit is None:
        for q in [
            r
            for s in maybe(reading, p, "but")
            for r in word(reading, s, "limit", "limited to", "limit to")
        ]:
            for text, end in number(reading, q):
                if is_count(text) and int(text) > 0:
                    found.append((replace(phrase, limit=int(text)), end, 0))
    found.extend(_company(reading, p, phrase))
    return found


def _ordered(phrase: Phrase, order: tuple[Order, ...]) -> Phrase:
    measures = tuple(one.by for one in order if isinstance(one.by, Measure))
    return replace(phrase, order=order, measures=(*phrase.measures, *measures))


def _sorted(reading: Reading, r: int, phrase: Phrase) -> Found[Phrase]:
    found: Found[Phrase] = []
    todo: list[tuple[tuple[Order, ...], int, int]] = [((), r, 0)]
    for order, p, cost in todo:
        for one, end, _, more in _key(reading, p, phrase.table):
            if any(one.by == other.by for other in order):
                continue
            found.append((_ordered(phrase, (*order, one)), end, cost + more))
            todo.extend(((*order, one), q, cost + more) for q in accept(reading, end, "then"))
    return found


def _key(reading: Reading, p: int, table: TableRef) -> list[tuple[Order, int, bool, int]]:
    """A sort key: (order, end, whether its direction was said, cost)."""
    found = []
    for term, q, cost in term_phrase(reading, p, table):
        found.append((Order(term), q, False, cost))
        for comma in [q, *word(reading, q, ",")]:
            found.extend(
                (Order(term), end, True, cost) for end in accept(reading, comma, "ascending")
            )
            found.extend(
                (Order(term, True), end, True, cost) for end in accept(reading, comma, "descending")
            )
    return found


@remembered
def term_phrase(reading: Reading, p: int, table: TableRef) -> Found[Field | Measure]:
    """What rows are ranked by: a column, or a figure about their related rows."""
    found: Found[Field | Measure] = [
        (Field(name), end, cost) for name, end, cost in columns(reading, p, table)
    ]
    own = None if found else own_date(reading, table)
    if own is not None:
        found.extend((Field(own), end, 1) for end in word(reading, p, "date"))
    found.extend(measure_phrase(reading, p, table))
    return found


@remembered
def measure_phrase(reading: Reading, p: int, table: TableRef) -> Found[Measure]:
    """ "number of orders", "total of orders", "average order total", seen from a table."""
    found: Found[Measure] = []
    for q in accept(reading, p, "count"):
        for (phrase, path), end, cost in noun_phrase(reading, q, table, 1):
            if to_many(path):
                found.append((Measure("count", path, None, both(phrase.where)), end, cost))
    for function in ("sum", "avg", "min", "max"):
        for q in accept(reading, p, function):
            for (phrase, path), end, name, cost in _column_of(reading, q, table):
                column = reading.lexicon.column(phrase.table, name)
                if to_many(path) and (column.category == "N" or function in ("min", "max")):
                    one = Measure(function, path, name, both(phrase.where))
                    found.append((one, end, cost))
        for (phrase, path), end, name, cost in _column_of(reading, p, table):
            # "total of orders" where "total" is the column: its sum is the only figure meant.
            column = reading.lexicon.column(phrase.table, name)
            if function == "sum" and to_many(path) and column.category == "N" and "total" in name:
                found.append((Measure("sum", path, name, both(phrase.where)), end, cost + 1))
    return found


def _column_of(
    reading: Reading, q: int, table: TableRef
) -> list[tuple[tuple[Phrase, Path], int, str, int]]:
    """ "total of orders", "order total": a column of a related table."""
    found = []
    for k in range(q + 1, min(q + 6, len(reading.tokens))):
        for s in accept(reading, k, "of"):
            for (phrase, path), end, cost in noun_phrase(reading, s, table, 1):
                for name, stop, more in columns(reading, q, phrase.table):
                    if stop == k and not reading.lexicon.is_key(phrase.table, name):
                        found.append(((phrase, path), end, name, cost + more))
    for path, k, cost in related(reading, q, table):
        target = path[-1].target
        for name, end, more in columns(reading, k, target):
            if not reading.lexicon.is_key(target, name):
                found.append(((Phrase(target), path), end, name, cost + more))
    return found


def _extreme(reading: Reading, p: int, phrase: Phrase) -> Found[Phrase]:
    """ "with the highest price", "has the most orders", "is the longest"."""
    found: Found[Phrase] = []
    single = phrase.limit is None  # several only where they are equal

    def finish(order: Order, end: int, cost: int) -> None:
        ordered = _ordered(phrase, (order,))
        if single:
            ordered = replace(ordered, limit=1, ties=True)
        found.append((replace(ordered, rank=0), end, cost))

    if phrase.rank:
        return found
    for who in maybe(reading, p, "who"):
        for q in accept(reading, who, "have"):
            for name, descending in (("highest", True), ("lowest", False)):
                for r in accept(reading, q, name):
                    for column, end, cost in columns(reading, r, phrase.table):
                        if _orderable(reading, phrase.table, column, reading.tokens[r - 1].lower):
                            finish(Order(Field(column), descending), end, cost)
                    for one, end, cost in measure_phrase(reading, r, phrase.table):
                        if name in ("highest", "lowest") and reading.tokens[r - 1].lower in (
                            "highest", "lowest", "largest", "smallest", "biggest", "greatest",
                        ):  # fmt: skip
                            finish(Order(one, descending), end, cost)
                    for (other, path), end, column, cost in _column_of(reading, r, phrase.table):
                        if to_many(path) and _orderable(
                            reading, other.table, column, reading.tokens[r - 1].lower
                        ):
                            function: Function = "max" if descending else "min"
                            figure = Measure(function, path, column, both(other.where))
                            finish(Order(figure, descending), end, cost)
            for name, descending in (("most", True), ("fewest", False)):
                for r in accept(reading, q, name):
                    for (other, path), end, cost in noun_phrase(reading, r, phrase.table, 1):
                        if to_many(path):
                            figure = Measure("count", path, None, both(other.where))
                            finish(Order(figure, descending), end, cost)
        for q in accept(reading, who, "be"):
            for order, end, cost in _superlative(reading, q, phrase.table):
                finish(order, end, cost)
    return found


def _orderable(reading: Reading, table: TableRef, column: str, adjective: str) -> bool:
    category = reading.lexicon.column(table, column).category
    if reading.lexicon.is_key(table, column):
        return False
    if adjective in ("latest", "earliest", "newest", "oldest", "recent"):
        return category == "D"
    return category == "N" or (category == "D" and adjective not in ("most", "fewest", "least"))


def _company(reading: Reading, p: int, phrase: Phrase) -> Found[Phrase]:
    """ "with their orders", "and their number of orders"."""
    found: Found[Phrase] = []
    for q in accept(reading, p, "have", "and"):
        for r in accept(reading, q, "their"):
            for path, end, cost in related(reading, r, phrase.table):
                many = [one for one in (*phrase.beside, path) if to_many(one)]
                if path not in phrase.beside and len(many) < 2 and phrase.limit is None:
                    found.append((replace(phrase, beside=(*phrase.beside, path)), end, cost))
            for _, end, cost in columns(reading, r, phrase.table):
                found.append((phrase, end, cost))
        for r in maybe(reading, q, "their"):
            if accept(reading, r, "highest", "lowest"):
                continue  # "the user with the highest order total" is one user
            for one, end, cost in measure_phrase(reading, r, phrase.table):
                found.append((replace(phrase, measures=(*phrase.measures, one)), end, cost))
    return found


SUBJECT = Extension(_amount_or_rank, _arranged, _settle)


def subject(reading: Reading, i: int) -> Found[Phrase]:
    """The noun phrases that a request can be about."""
    return [
        (phrase, end, cost) for (phrase, _), end, cost in noun_phrase(reading, i, None, 0, SUBJECT)
    ]


def followed(reading: Reading, p: int, phrase: Phrase) -> Found[Phrase]:
    """A subject with every run of clauses that begins at `p`, the empty one first."""
    found: Found[Phrase] = [(phrase, p, 0)]
    for one, q, cost in found:
        if q < len(reading.tokens) and len(found) < _MOST:
            more = follow(reading, q, one, 0, SUBJECT)
            found.extend((other, end, cost + extra) for other, end, extra in more)
    return found


_MOST = 200

"""Whole requests: listings, descriptions, rows, columns and figures.

The rule: a request is returned only with its end, so that what follows a reading is never lost.
"""
