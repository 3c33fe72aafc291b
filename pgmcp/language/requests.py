"""Whole requests: listings, descriptions, rows; and the opening and the end of a text.

The rule: a request is returned only with its end, so that what follows a reading is never lost.
"""

from __future__ import annotations

from dataclasses import replace

from pgmcp.language.figures import count_request, count_rows, figure_request, group_request, grouped
from pgmcp.language.match import is_count, number, schemas, tables
from pgmcp.language.projections import columns_shown, select_rows
from pgmcp.language.question import Describe, Listing, Question
from pgmcp.language.reading import Parses, Reading, accept, at_end, maybe, word
from pgmcp.language.simplify import simplified
from pgmcp.language.subjects import subject


def requests(reading: Reading) -> list[tuple[Question, int]]:
    """Every reading of the whole text, with its cost; "show me" is one word, not a request."""
    parses: list[tuple[Question, int]] = []
    for p in sorted(_openings(reading), reverse=True):
        for rule in _RULES:
            for question, end, cost in rule(reading, p):
                if any(at_end(reading, last) for last in _closings(reading, end)):
                    parses.append((simplified(question), cost))
        if parses:
            break
    return parses


def _openings(reading: Reading) -> list[int]:
    """Where the request can begin: behind politeness and "show me", in any number."""
    positions = [0]
    for p in positions:
        positions.extend(
            end
            for end in [*accept(reading, p, "polite", "show"), *word(reading, p, ",")]
            if end not in positions
        )
    return positions


def _closings(reading: Reading, end: int) -> list[int]:
    positions = [end]
    for p in positions:
        after = [*accept(reading, p, "polite"), *word(reading, p, ",")]
        positions.extend(q for q in after if q not in positions)
    return positions


def _listing(reading: Reading, p: int) -> Parses[Question]:
    parses: Parses[Question] = []
    for what in ("tables", "views", "schemas"):
        for q in accept(reading, p, what):
            for r in maybe(reading, q, "exist"):
                parses.append((Listing(what), r, 0))
                if what == "schemas":
                    continue
                for s in [
                    *word(reading, r, "in", "of", "from"),
                    *word(reading, q, "in", "of", "from"),
                ]:
                    for t in maybe(reading, s, "schema"):
                        for name, end in schemas(reading, t):
                            parses.extend(
                                (Listing(what, name), last, 0)
                                for last in maybe(reading, end, "schema")
                            )
        if what != "schemas":
            for name, q in schemas(reading, p):
                parses.extend((Listing(what, name), end, 0) for end in accept(reading, q, what))
    return parses


def _description(reading: Reading, p: int) -> Parses[Question]:
    parses: Parses[Question] = []
    for q in accept(reading, p, "describe"):
        for r in maybe(reading, q, "table"):
            for ref, end, cost in tables(reading, r):
                for last in maybe(reading, end, "table"):
                    parses.append((Describe(ref), last, cost))
                    parses.extend(
                        (Describe(ref), stop, cost) for stop in accept(reading, last, "have")
                    )
    for ref, q, cost in tables(reading, p):
        for r in maybe(reading, q, "table"):
            parses.extend((Describe(ref), end, cost) for end in accept(reading, r, "columns"))
    return parses


def _rows(reading: Reading, p: int) -> Parses[Question]:
    parses: Parses[Question] = []
    for q, limit in _rows_of(reading, p):
        for phrase, end, cost in subject(reading, q):
            if phrase.rank or (limit is not None and (phrase.limit or phrase.order)):
                continue
            if limit is not None:
                phrase = replace(phrase, limit=limit)
            for last in maybe(reading, end, "exist"):
                parses.append((select_rows(reading, phrase), last, cost))
                if not phrase.measures and not phrase.beside and not phrase.order:
                    parses.extend(grouped(reading, last, phrase, count_rows(), counted=False))
    return parses


def _rows_of(reading: Reading, p: int) -> list[tuple[int, int | None]]:
    """ "rows of users", "first 10 rows of users": where the noun begins, and how many."""
    openings: list[tuple[int, int | None]] = [(q, None) for q in maybe(reading, p, "rows in")]
    for q in maybe(reading, p, "first", "top"):
        for text, r in number(reading, q):
            if is_count(text) and int(text) > 0:
                openings.extend((end, int(text)) for end in accept(reading, r, "rows in"))
    return openings


_RULES = (
    _listing,
    _description,
    count_request,
    figure_request,
    columns_shown,
    _rows,
    group_request,
)
