"""Noun phrases: a table with what stands before and behind its name, other tables included.

The rule: a clause goes to the nearest noun that can take it; passing it on to one further out
costs, so that both readings never tie.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from pgmcp.language.adjectives import adjectives, either, is_date, negated
from pgmcp.language.conditions import OPERATORS, comparison, moment, own_date, presence
from pgmcp.language.dates import period
from pgmcp.language.joins import is_plural
from pgmcp.language.lexicon import NAME
from pgmcp.language.match import is_count, literal, number, related, tables, values
from pgmcp.language.phrase import Phrase, also, contradicts, mixed, nested, to_many
from pgmcp.language.places import excepted, own_column, placed, related_values
from pgmcp.language.question import (
    All,
    Any,
    Compare,
    Condition,
    Missing,
    Not,
    OneOf,
    Operator,
    Path,
    Period,
    Related,
    TableRef,
    both,
    columns_of,
)
from pgmcp.language.reading import Found, Reading, accept, maybe, remembered, starts, word
from pgmcp.language.tokens import is_uuid

MAX_DEPTH = 2

_REACH = 9  # words that may stand before a noun

_CLAUSE = 2  # one clause that says it all is a plainer reading than two


@dataclass(frozen=True, slots=True)
class Extension:
    """What only a request's subject can have: more modifiers before it, more clauses behind."""

    modifiers: Callable[[Reading, int, Phrase], Found[Phrase]]
    clauses: Callable[[Reading, int, Phrase], Found[Phrase]]
    settle: Callable[[Phrase], Phrase | None]


@remembered
def noun_phrase(
    reading: Reading,
    i: int,
    source: TableRef | None = None,
    depth: int = 0,
    extension: Extension | None = None,
) -> Found[tuple[Phrase, Path]]:
    """The phrases that begin at `i`; seen from `source`, with the path that leads there."""
    found: Found[tuple[Phrase, Path]] = []
    # "active users" where a view is called so: its name is plainer than a condition on users.
    whole = [end for _, end, rank in tables(reading, i) if rank == NAME]
    for k in range(i, min(i + _REACH, len(reading.tokens))):
        if starts(reading, k) != (k,):
            continue
        heads: list[tuple[TableRef, Path, int, int]] = []
        if source is None:
            heads = [(ref, (), end, cost) for ref, end, cost in tables(reading, k)]
        elif k < len(reading.tokens):
            heads = [
                (path[-1].target, path, end, cost)
                for path, end, cost in related(reading, k, source)
            ]
        for ref, path, end, rank in heads:
            cost = rank + (end in whole and k not in starts(reading, i))
            if depth == MAX_DEPTH and not _close(reading, path):
                continue
            plural = is_plural(reading.tokens[end - 1].lower)
            for before, at, more in _before(reading, i, ref, extension):
                if k not in starts(reading, at):
                    continue
                timeless = source is not None and not to_many(path)
                phrase = replace(before, plural=plural, timeless=timeless)
                settled = extension.settle(phrase) if extension else phrase
                if settled is None:
                    continue
                for after in maybe(reading, end, "table", "records"):
                    extra = 0 if after == end else 1
                    found.extend(
                        ((one, path), stop, cost + more + most + extra)
                        for one, stop, most in _behind(reading, after, settled, depth, extension)
                    )
    return found


def _close(reading: Reading, path: Path) -> bool:
    """Whether a path is one key, or a bridge: a chain of chains is not what anybody has in mind."""
    return len(path) == 1 or (len(path) == 2 and path[0].target in reading.lexicon.graph.bridges)


@remembered
def _before(
    reading: Reading, i: int, table: TableRef, extension: Extension | None
) -> Found[Phrase]:
    """Every run of modifiers that begins at `i`, the empty one first."""
    found: Found[Phrase] = [(Phrase(table), i, 0)]
    seen = set(found)
    for phrase, p, cost in found:
        if p - i > _REACH:
            continue
        for one, end, more in _modifier(reading, p, phrase, extension):
            state = (one, end, cost + more)
            if state not in seen:
                seen.add(state)
                found.append(state)
    return found


def _modifier(
    reading: Reading, p: int, phrase: Phrase, extension: Extension | None
) -> Found[Phrase]:
    found: Found[Phrase] = []
    table = phrase.table
    joined = accept(reading, p, "and") if phrase.where else []
    for q in [p, *joined]:
        for one, end, cost in adjectives(reading, q, table):
            if not contradicts(phrase.where, one):
                ends = [end, *own_column(reading, end, table, one)]
                found.extend((also(phrase, one), last, cost) for last in ends)
    for end in accept(reading, p, "table"):
        found.append((phrase, end, 1))
    for (start, stop), q, cost in period(reading, p):
        for end in word(reading, q, "'s"):
            name = own_date(reading, table)
            if name is not None:
                found.append((also(phrase, Period(name, start, stop)), end, cost))
    for path, one, end in related_values(reading, p, table):
        found.append((also(phrase, Related(path, one)), end, 1))
    if extension is not None:
        found.extend(extension.modifiers(reading, p, phrase))
    return found


def _behind(
    reading: Reading, i: int, phrase: Phrase, depth: int, extension: Extension | None
) -> Found[Phrase]:
    """The phrase with every run of clauses behind it, the empty one first."""
    found: Found[Phrase] = [(phrase, i, 0)]
    for said, end in _apposition(reading, i, phrase, depth):
        found.append((also(phrase, said), end, 0))
    seen = set(found)
    for one, p, cost in found:
        if p >= len(reading.tokens):
            continue
        for state in follow(reading, p, one, depth, extension):
            following = (state[0], state[1], cost + state[2])
            if following not in seen:
                seen.add(following)
                found.append(following)
    return found


@remembered
def follow(
    reading: Reading, p: int, phrase: Phrase, depth: int, extension: Extension | None
) -> Found[Phrase]:
    """One more clause: a condition or, with an extension, what that knows."""
    found: Found[Phrase] = []
    if not phrase.beside:
        found.extend(_conditions(reading, p, phrase, depth))
    if extension is not None:
        found.extend(extension.clauses(reading, p, phrase))
    return found


def _conditions(reading: Reading, p: int, phrase: Phrase, depth: int) -> Found[Phrase]:
    found: Found[Phrase] = []
    passed_on = 1 if phrase.measures or any(nested(one) for one in phrase.where) else 0
    dated = _dated(reading, p, phrase)
    for q in [p, *accept(reading, p, "but")]:
        if q != p and (not phrase.where or any(mixed(one) for one in phrase.where)):
            continue
        for one, end, cost in clause(reading, q, phrase.table, depth, phrase.timeless):
            if q == p and passed_on and nested(one):
                continue  # "A of B of C" is about B of C, or it is about nothing
            if (one, end) not in dated and not contradicts(phrase.where, one):
                found.append((also(phrase, one), end, cost + passed_on + _CLAUSE))
    return found


def _dated(reading: Reading, p: int, phrase: Phrase) -> frozenset[tuple[Condition, int]]:
    """The dates at `p` that name no column, where another date was spoken of before.

    "users without orders since May" is about the orders, even where these have no plain date;
    "delivered orders since May" may be about the delivery.
    """
    spoken = bool(phrase.measures)
    for one in phrase.where:
        inner = one.of if isinstance(one, Not) else one
        if isinstance(inner, Related) and to_many(inner.path):
            columns = reading.lexicon.relations[inner.path[-1].target].columns
            spoken = spoken or any(is_date(column) for column in columns)
        elif isinstance(inner, Missing):
            column = reading.lexicon.column(phrase.table, inner.column)
            spoken = spoken or is_date(column)
    if not spoken:
        return frozenset()
    ends = [q for conj in maybe(reading, p, "but") for q in maybe(reading, conj, "who")]
    at = [r for q in ends for r in maybe(reading, q, "be")]
    return frozenset((one, end) for r in at for one, end, _ in moment(reading, r, phrase.table))


def _apposition(
    reading: Reading, i: int, phrase: Phrase, depth: int
) -> list[tuple[Condition, int]]:
    """ "user 3", "orders 2, 3 and 5", 'user "Ada"', "category Electronics"."""
    table = phrase.table
    lexicon = reading.lexicon
    key = lexicon.relations[table].primary_key
    found: list[tuple[Condition, int]] = []
    for p in [i, *word(reading, i, "#", "number", "no", "nr")]:
        if len(key) == 1 and lexicon.column(table, key[0]).category == "N":
            for numbers, end in _numbers(reading, p):
                one: Condition = (
                    Compare(key[0], "=", numbers[0])
                    if len(numbers) == 1
                    else OneOf(key[0], numbers)
                )
                found.append((one, end))
    for (column, value), end, _ in values(reading, i, table) if depth else []:
        if not lexicon.is_key(table, column):
            found.append((OneOf(column, (value,)), end))
    label = lexicon.label(table)
    text_key = len(key) == 1 and lexicon.column(table, key[0]).category == "S"
    if i < len(reading.tokens) and is_uuid(reading.tokens[i].text):
        if len(key) == 1 and lexicon.column(table, key[0]).type == "uuid":
            found.append((OneOf(key[0], (reading.tokens[i].text,)), i + 1))
    elif label is not None and not text_key and i < len(reading.tokens):
        quoted = reading.tokens[i].kind == "string"
        for text, end, _ in literal(reading, i, loose=False):
            known = any(stop == end for _, stop, _ in values(reading, i, table))
            named = quoted or (depth and not phrase.plural)
            if named and not (known and depth):
                found.append((OneOf(label, (text,), fold=True), end))
    return found


def _numbers(reading: Reading, p: int) -> list[tuple[tuple[str, ...], int]]:
    found: list[tuple[tuple[str, ...], int]] = []
    for text, q in number(reading, p):
        if not text.isdecimal():
            continue
        found.append(((text,), q))
        for r in accept(reading, q, "and", "or"):
            found.extend(((text, *rest), end) for rest, end in _numbers(reading, r))
    return found


@remembered
def clause(
    reading: Reading, i: int, table: TableRef, depth: int, timeless: bool = False
) -> Found[Condition]:
    """One condition, or several joined by "or"."""
    found: Found[Condition] = []
    said_not = any(
        accept(reading, q, "not") for p in maybe(reading, i, "who") for q in maybe(reading, p, "be")
    )
    for first, j, cost in _single(reading, i, table, depth, timeless):
        found.append((first, j, cost))
        for p in accept(reading, j, "or"):
            if accept(reading, i, "have not") and not accept(reading, p, "have", "have not"):
                continue  # "without a city or insured": with or without the insurance?
            for rest, end, more in clause(reading, p, table, depth, timeless):
                one = either(first, rest, said_not=said_not)
                if one is not None:
                    found.append((one, end, cost + more))
    return found


@remembered
def _single(
    reading: Reading, i: int, table: TableRef, depth: int, timeless: bool
) -> Found[Condition]:
    found: Found[Condition] = []
    is_key = partial(reading.lexicon.is_key, table)
    after_who = maybe(reading, i, "who")
    for p in after_who:
        for q in maybe(reading, p, "be"):
            found.extend(
                (one, end, cost)
                for one, end, cost in adjectives(reading, q, table)
                # "parent CAR" is not one whose own parent is CAR.
                if not (depth and q == i and any(map(is_key, columns_of(one))))
            )
            if not timeless:
                found.extend(moment(reading, q, table))
        for q in maybe(reading, p, "have", "lead", "be"):
            found.extend(comparison(reading, q, table))
        found.extend(presence(reading, p, table))
        found.extend(excepted(reading, p, table))
        for q in maybe(reading, p, "be"):
            found.extend(placed(reading, q, table))
        if depth < MAX_DEPTH:
            for q in maybe(reading, p, "be"):
                found.extend(_relation(reading, q, table, depth))
    return list(dict.fromkeys(found))


def _relation(reading: Reading, p: int, table: TableRef, depth: int) -> Found[Condition]:
    """ "with orders", "without paid orders", "with more than 5 orders", "of user 3"."""
    found: Found[Condition] = []
    for q in accept(reading, p, "have not"):
        for one, r, cost in _had(reading, q, table, depth):
            found.append((negated(one), r, cost))
            for s in accept(reading, r, "or"):
                for other, end, more in _had(reading, s, table, depth):
                    found.append((All((negated(one), negated(other))), end, cost + more))
    for q in accept(reading, p, "have"):
        for one, r, cost in _had(reading, q, table, depth):
            found.append((one, r, cost))
            for other, end, more in _had_too(reading, r, table, depth):
                found.append((All((one, other)), end, cost + more))
            for s in accept(reading, r, "or"):
                for other, end, more in _had(reading, s, table, depth):
                    found.append((Any((one, other)), end, cost + more))
    for start in [p, *accept(reading, p, "not")]:
        for q in accept(reading, start, "in"):
            by = reading.tokens[q - 1].lower == "by"
            for (phrase, path), end, cost in noun_phrase(reading, q, table, depth + 1):
                if by and phrase.bare:
                    continue  # "orders by user" asks for groups, or for an order
                reached: Condition = Related(path, both(phrase.where))
                found.append((negated(reached) if start != p else reached, end, cost))
    return found


def _had(reading: Reading, q: int, table: TableRef, depth: int) -> Found[Condition]:
    """ "more than 5 orders", "paid orders", "no reviews", as one has them."""
    found: Found[Condition] = []
    for count, r in [*_counts(reading, q), *((("=", 0), r) for r in word(reading, q, "no"))]:
        for (phrase, path), end, cost in noun_phrase(reading, r, table, depth + 1):
            if count is None or to_many(path) or count == ("=", 0):
                found.append((_counted(path, both(phrase.where), count), end, cost))
    return found


def _had_too(reading: Reading, r: int, table: TableRef, depth: int) -> Found[Condition]:
    """ "… and reviews", "… but no reviews"."""
    return [state for s in accept(reading, r, "but") for state in _had(reading, s, table, depth)]


def _counts(reading: Reading, q: int) -> list[tuple[tuple[Operator, int] | None, int]]:
    found: list[tuple[tuple[Operator, int] | None, int]] = [(None, q)]
    for operator in OPERATORS:
        for r in accept(reading, q, operator):
            found.extend(
                ((operator, int(text)), s) for text, s in number(reading, r) if is_count(text)
            )
    for text, r in number(reading, q):
        if is_count(text):
            found.append((("=", int(text)), r))
            found.extend(((">=", int(text)), s) for s in accept(reading, r, "or more"))
            found.extend((("<=", int(text)), s) for s in accept(reading, r, "or less"))
    return found


def _counted(path: Path, where: Condition | None, count: tuple[Operator, int] | None) -> Condition:
    if count in ((">=", 1), (">", 0), None):
        return Related(path, where)
    if count in (("=", 0), ("<", 1), ("<=", 0)):
        return Not(Related(path, where))
    return Related(path, where, count)
