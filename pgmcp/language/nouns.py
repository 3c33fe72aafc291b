"""Noun phrases: a table with what stands before and behind its name, other tables included.

The rule: a clause goes to the nearest noun that can take it; passing it on to one further out
costs, so that both readings never tie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from pgmcp.language import words
from pgmcp.language.adjectives import adjectives, either, negated
from pgmcp.language.apposition import apposition
from pgmcp.language.conditions import comparison, moment, own_date, presence
from pgmcp.language.counts import counted, counts
from pgmcp.language.dates import period, yearless
from pgmcp.language.exceptions import difference, joined, misplaced_dates
from pgmcp.language.index import NAME
from pgmcp.language.match import CLAUSE, begins_with_schema, related, tables
from pgmcp.language.phrase import Phrase, also, contradicts, mixed, nested, to_many
from pgmcp.language.places import excepted, own_column, placed, related_values
from pgmcp.language.question import (
    All,
    Any,
    Condition,
    Path,
    Period,
    Related,
    TableRef,
    both,
    columns_of,
)
from pgmcp.language.reading import Parses, Reading, accept, maybe, remembered, starts, word
from pgmcp.language.stemming import is_plural

MAX_DEPTH = 2

_REACH = 9  # words that may stand before a noun


@dataclass(frozen=True, slots=True)
class Extension:
    """What only a request's subject can have: more modifiers before it, more clauses behind."""

    modifiers: Callable[[Reading, int, Phrase], Parses[Phrase]]
    clauses: Callable[[Reading, int, Phrase], Parses[Phrase]]
    settle: Callable[[Phrase], Phrase | None]


@remembered
def noun_phrase(
    reading: Reading,
    start: int,
    source: TableRef | None = None,
    depth: int = 0,
    extension: Extension | None = None,
) -> Parses[tuple[Phrase, Path]]:
    """The phrases that begin at `i`; seen from `source`, with the path that leads there."""
    parses: Parses[tuple[Phrase, Path]] = []
    # "active users" where a view is called so: its name is plainer than a condition on users.
    # "public documents" is not: the word may be a schema's name or a flag of documents.
    whole = [
        end
        for ref, end, rank in tables(reading, start)
        if rank == NAME and not begins_with_schema(reading, start, end, ref)
    ]
    for position in range(start, min(start + _REACH, len(reading.tokens))):
        if starts(reading, position) != (position,):
            continue
        for path, table, end, rank in _heads(reading, position, source):
            if depth == MAX_DEPTH and not _close(reading, path):
                continue
            cost = rank + (end in whole and position not in starts(reading, start))
            timeless = source is not None and not to_many(path)
            head = Phrase(table, plural=is_plural(reading.tokens[end - 1].lower), timeless=timeless)
            for phrase, more in _preceded(reading, start, position, head, extension):
                for after in maybe(reading, end, "table", "records"):
                    total = cost + more + (after != end)
                    parses.extend(
                        ((whole_phrase, path), stop, total + most)
                        for whole_phrase, stop, most in _behind(
                            reading, after, phrase, depth, extension
                        )
                    )
    return parses


def _heads(
    reading: Reading, start: int, source: TableRef | None
) -> list[tuple[Path, TableRef, int, int]]:
    """The nouns at `k`: (path from `source`, table, end, rank)."""
    if source is None:
        return [((), ref, end, rank) for ref, end, rank in tables(reading, start)]
    return [
        (path, path[-1].target, end, rank) for path, end, rank in related(reading, start, source)
    ]


def _preceded(
    reading: Reading, start: int, end: int, head: Phrase, extension: Extension | None
) -> Iterator[tuple[Phrase, int]]:
    """The noun at `k` with the modifiers that fill the text from `i` to there: (phrase, cost)."""
    for before, at, cost in _before(reading, start, head.table, extension):
        if end in starts(reading, at):
            phrase = replace(before, plural=head.plural, timeless=head.timeless)
            settled = extension.settle(phrase) if extension else phrase
            if settled is not None:
                yield settled, cost


def _close(reading: Reading, path: Path) -> bool:
    """Whether a path is one key, or a bridge: a chain of chains is not what anybody has in mind."""
    return len(path) == 1 or (len(path) == 2 and reading.lexicon.graph.is_bridge(path[0].target))


@remembered
def _before(
    reading: Reading, start: int, table: TableRef, extension: Extension | None
) -> Parses[Phrase]:
    """Every run of modifiers that begins at `i`, the empty one first."""
    parses: Parses[Phrase] = [(Phrase(table), start, 0)]
    seen = set(parses)
    for phrase, position, cost in parses:
        if position - start > _REACH:
            continue
        for modified, end, more in _modifier(reading, position, phrase, extension):
            state = (modified, end, cost + more)
            if state not in seen:
                seen.add(state)
                parses.append(state)
    return parses


def _modifier(
    reading: Reading, begin: int, phrase: Phrase, extension: Extension | None
) -> Parses[Phrase]:
    parses: Parses[Phrase] = []
    table = phrase.table
    joined = accept(reading, begin, "and") if phrase.where else []
    for position in [begin, *joined]:
        for condition, end, cost in adjectives(reading, position, table):
            if not contradicts(phrase.where, condition):
                ends = [end, *own_column(reading, end, table, condition)]
                parses.extend((also(phrase, condition), last, cost) for last in ends)
    for end in accept(reading, begin, "table"):
        parses.append((phrase, end, 1))
    parses.extend((phrase, end, 0) for end in _both_of(reading, begin))
    for (start, stop), after_period, cost in period(reading, begin):
        for end in word(reading, after_period, "'s"):
            name = own_date(reading, table)
            if name is not None:
                parses.append((also(phrase, Period(name, start, stop)), end, cost))
    for path, condition, end in related_values(reading, begin, table):
        parses.append((also(phrase, Related(path, condition)), end, 1))
    if extension is not None:
        parses.extend(extension.modifiers(reading, begin, phrase))
    return parses


def _both_of(reading: Reading, start: int) -> list[int]:
    """The positions behind "both", where "and" follows soon: conditions in a row are all meant."""
    return [
        end
        for end in word(reading, start, "both")
        if any(token.lower == "and" for token in reading.tokens[end : end + 4])
    ]


def _behind(
    reading: Reading, start: int, phrase: Phrase, depth: int, extension: Extension | None
) -> Parses[Phrase]:
    """The phrase with every run of clauses behind it, the empty one first."""
    parses: Parses[Phrase] = [(phrase, start, 0)]
    for condition, end in apposition(reading, start, phrase, depth):
        parses.append((also(phrase, condition), end, 0))
    seen = set(parses)
    for followed, position, cost in parses:
        if position >= len(reading.tokens):
            continue
        for state in follow(reading, position, followed, depth, extension):
            following = (state[0], state[1], cost + state[2])
            if following not in seen:
                seen.add(following)
                parses.append(following)
    return parses


@remembered
def follow(
    reading: Reading, start: int, phrase: Phrase, depth: int, extension: Extension | None
) -> Parses[Phrase]:
    """One more clause: a condition or, with an extension, what that knows."""
    parses: Parses[Phrase] = []
    if not phrase.beside:
        parses.extend(_conditions(reading, start, phrase, depth))
    if extension is not None:
        parses.extend(extension.clauses(reading, start, phrase))
    return parses


def _conditions(reading: Reading, start: int, phrase: Phrase, depth: int) -> Parses[Phrase]:
    parses: Parses[Phrase] = []
    passed_on = 1 if phrase.measures or any(nested(candidate) for candidate in phrase.where) else 0
    dated = misplaced_dates(reading, start, phrase)
    for position in [start, *accept(reading, start, "but")]:
        if position != start and (
            not phrase.where or any(mixed(candidate) for candidate in phrase.where)
        ):
            continue
        for candidate, end, cost in clause(reading, position, phrase.table, depth, phrase.timeless):
            if position == start and passed_on and nested(candidate):
                continue  # "A of B of C" is about B of C, or it is about nothing
            if (candidate, end) not in dated:
                condition = joined(reading, position, end, phrase, candidate, depth)
                if condition is not None:
                    parses.append((also(phrase, condition), end, cost + passed_on + CLAUSE))
    return parses


@remembered
def clause(
    reading: Reading, start: int, table: TableRef, depth: int, timeless: bool = False
) -> Parses[Condition]:
    """One condition, or several joined by "or"."""
    parses: Parses[Condition] = []
    first_negated = any(
        accept(reading, after_be, "not")
        for after_who in maybe(reading, start, "who")
        for after_be in maybe(reading, after_who, "be")
    )
    for first, after_single, cost in _single(reading, start, table, depth, timeless):
        parses.append((first, after_single, cost))
        for after_or in accept(reading, after_single, "or"):
            if accept(reading, start, "have not") and not accept(
                reading, after_or, "have", "have not"
            ):
                continue  # "without a city or insured": with or without the insurance?
            for rest, end, more in clause(reading, after_or, table, depth, timeless):
                condition = either(first, rest, first_negated=first_negated)
                if yearless(reading, start, after_single) != yearless(
                    reading, after_or, end
                ) and _is_of_time(first, rest):
                    continue  # "in March or April 2024", "in 2024 or in March": of which year?
                if condition is not None:
                    parses.append((condition, end, cost + more))
    return parses


def _is_of_time(first: Condition, second: Condition) -> bool:
    return isinstance(first, Period) and isinstance(second, Period)


@remembered
def _single(
    reading: Reading, start: int, table: TableRef, depth: int, timeless: bool
) -> Parses[Condition]:
    parses: Parses[Condition] = []
    is_key = partial(reading.lexicon.is_key, table)
    after_who = maybe(reading, start, "who")
    for position in after_who:
        for adjective_at in [
            after_both
            for after_be in maybe(reading, position, "be")
            for after_both in (after_be, *_both_of(reading, after_be))
        ]:
            parses.extend(
                (condition, end, cost)
                for condition, end, cost in adjectives(reading, adjective_at, table)
                # "parent CAR" is not one whose own parent is CAR.
                if not (depth and adjective_at == start and any(map(is_key, columns_of(condition))))
            )
            if not timeless:
                parses.extend(moment(reading, adjective_at, table))
        for after_have in maybe(reading, position, "have", "lead", "be"):
            parses.extend(comparison(reading, after_have, table))
        parses.extend(presence(reading, position, table))
        parses.extend(excepted(reading, position, table))
        for after_be in maybe(reading, position, "be"):
            parses.extend(placed(reading, after_be, table))
        if depth < MAX_DEPTH:
            for after_be in maybe(reading, position, "be"):
                parses.extend(_relation(reading, after_be, table, depth))
    return list(dict.fromkeys(parses))


def _relation(reading: Reading, start: int, table: TableRef, depth: int) -> Parses[Condition]:
    """ "with orders", "without paid orders", "with more than 5 orders", "of user 3"."""
    return [
        *_without(reading, start, table, depth),
        *_with(reading, start, table, depth),
        *_belonging(reading, start, table, depth),
    ]


def _without(
    reading: Reading, start: int, table: TableRef, depth: int
) -> Iterator[tuple[Condition, int, int]]:
    """ "without orders", "with no orders or reviews"."""
    for after_have_not in accept(reading, start, "have not"):
        for first, after_had, cost in _had(reading, after_have_not, table, depth):
            yield negated(first), after_had, cost
            for after_or in accept(reading, after_had, "or"):
                for second, end, more in _had(reading, after_or, table, depth):
                    yield All((negated(first), negated(second))), end, cost + more


def _with(
    reading: Reading, start: int, table: TableRef, depth: int
) -> Iterator[tuple[Condition, int, int]]:
    """ "with orders", "with orders but no reviews", "with orders or reviews"."""
    for after_have in accept(reading, start, "have"):
        yield from _with_both(reading, after_have, table, depth)
        for first, after_had, cost in _had(reading, after_have, table, depth):
            yield first, after_had, cost
            for second, end, more in _had_too(reading, after_had, table, depth):
                yield All((first, second)), end, cost + more
            for condition, end, more in difference(reading, after_had, first):
                yield condition, end, cost + more
            for after_or in accept(reading, after_had, "or"):
                for second, end, more in _had(reading, after_or, table, depth):
                    yield Any((first, second)), end, cost + more


def _with_both(
    reading: Reading, start: int, table: TableRef, depth: int
) -> Iterator[tuple[Condition, int, int]]:
    """ "both orders and reviews", as one has them."""
    for after_both in word(reading, start, "both"):
        for first, after_had, cost in _had(reading, after_both, table, depth):
            for after_and in word(reading, after_had, "and"):
                for second, end, more in _had(reading, after_and, table, depth):
                    yield All((first, second)), end, cost + more


def _belonging(
    reading: Reading, begin: int, table: TableRef, depth: int
) -> Iterator[tuple[Condition, int, int]]:
    """ "of user 3", "not by active users"."""
    for start in [begin, *accept(reading, begin, "not")]:
        for after_in in accept(reading, start, "in"):
            by = reading.tokens[after_in - 1].lower == "by"
            for (phrase, path), end, cost in noun_phrase(reading, after_in, table, depth + 1):
                if (by and phrase.bare) or _is_universal(reading, after_in, end, path):
                    continue  # "orders by user" asks for groups, or for an order
                reached: Condition = Related(path, both(phrase.where))
                yield (negated(reached) if start != begin else reached), end, cost


def _had(reading: Reading, start: int, table: TableRef, depth: int) -> Parses[Condition]:
    """ "more than 5 orders", "paid orders", "no reviews", as one has them."""
    parses: Parses[Condition] = []
    for count, after_counts in [
        *counts(reading, start),
        *((("=", 0), after_no) for after_no in word(reading, start, "no")),
    ]:
        for (phrase, path), end, cost in noun_phrase(reading, after_counts, table, depth + 1):
            if _is_universal(reading, after_counts, end, path):
                continue
            if count is None or to_many(path) or count == ("=", 0):
                parses.append((counted(path, both(phrase.where), count), end, cost))
    return parses


def _is_universal(reading: Reading, start: int, end: int, path: Path) -> bool:
    """Whether the text speaks of all of the related rows, which no condition here can say.

    "orders of all users" may: an order has one user.
    """
    said = {token.lower for token in reading.tokens[start:end] if token.kind == "word"}
    return to_many(path) and bool(said & words.UNIVERSAL)


def _had_too(reading: Reading, start: int, table: TableRef, depth: int) -> Parses[Condition]:
    """ "… and reviews", "… but no reviews"."""
    return [
        state
        for after_but in accept(reading, start, "but")
        for state in _had(reading, after_but, table, depth)
    ]
