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
    for after_openings in sorted(_openings(reading), reverse=True):
        for rule in _RULES:
            for question, end, cost in rule(reading, after_openings):
                if any(at_end(reading, last) for last in _closings(reading, end)):
                    parses.append((simplified(question), cost))
        if parses:
            break
    return parses


def _openings(reading: Reading) -> list[int]:
    """Where the request can begin: behind politeness and "show me", in any number."""
    positions = [0]
    for position in positions:
        positions.extend(
            end
            for end in [*accept(reading, position, "polite", "show"), *word(reading, position, ",")]
            if end not in positions
        )
    return positions


def _closings(reading: Reading, end: int) -> list[int]:
    positions = [end]
    for position in positions:
        after = [*accept(reading, position, "polite"), *word(reading, position, ",")]
        positions.extend(position for position in after if position not in positions)
    return positions


def _listing(reading: Reading, start: int) -> Parses[Question]:
    parses: Parses[Question] = []
    for what in ("tables", "views", "schemas"):
        for after_what in accept(reading, start, what):
            for after_exist in maybe(reading, after_what, "exist"):
                parses.append((Listing(what), after_exist, 0))
                if what == "schemas":
                    continue
                for after_in in [
                    *word(reading, after_exist, "in", "of", "from"),
                    *word(reading, after_what, "in", "of", "from"),
                ]:
                    for t in maybe(reading, after_in, "schema"):
                        for name, end in schemas(reading, t):
                            parses.extend(
                                (Listing(what, name), last, 0)
                                for last in maybe(reading, end, "schema")
                            )
        if what != "schemas":
            for name, after_schemas in schemas(reading, start):
                parses.extend(
                    (Listing(what, name), end, 0) for end in accept(reading, after_schemas, what)
                )
    return parses


def _description(reading: Reading, start: int) -> Parses[Question]:
    parses: Parses[Question] = []
    for after_describe in accept(reading, start, "describe"):
        for after_table in maybe(reading, after_describe, "table"):
            for ref, end, cost in tables(reading, after_table):
                for last in maybe(reading, end, "table"):
                    parses.append((Describe(ref), last, cost))
                    parses.extend(
                        (Describe(ref), stop, cost) for stop in accept(reading, last, "have")
                    )
    for ref, after_tables, cost in tables(reading, start):
        for after_table in maybe(reading, after_tables, "table"):
            parses.extend(
                (Describe(ref), end, cost) for end in accept(reading, after_table, "columns")
            )
    return parses


def _rows(reading: Reading, start: int) -> Parses[Question]:
    parses: Parses[Question] = []
    for after_rows_of, limit in _rows_of(reading, start):
        for phrase, end, cost in subject(reading, after_rows_of):
            if phrase.rank or (limit is not None and (phrase.limit or phrase.order)):
                continue
            if limit is not None:
                phrase = replace(phrase, limit=limit)
            for last in maybe(reading, end, "exist"):
                parses.append((select_rows(reading, phrase), last, cost))
                if not phrase.measures and not phrase.beside and not phrase.order:
                    parses.extend(grouped(reading, last, phrase, count_rows(), counted=False))
    return parses


def _rows_of(reading: Reading, start: int) -> list[tuple[int, int | None]]:
    """ "rows of users", "first 10 rows of users": where the noun begins, and how many."""
    openings: list[tuple[int, int | None]] = [
        (after_rows_in, None) for after_rows_in in maybe(reading, start, "rows in")
    ]
    for after_first in maybe(reading, start, "first", "top"):
        for text, after_number in number(reading, after_first):
            if is_count(text) and int(text) > 0:
                openings.extend(
                    (end, int(text)) for end in accept(reading, after_number, "rows in")
                )
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
