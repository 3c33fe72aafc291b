"""Requests for some columns of a subject, and the columns that show which row is meant.

The rule: columns are shown only of rows that were named with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pgmcp.language.match import columns, tables
from pgmcp.language.phrase import Phrase
from pgmcp.language.question import Field, Order, Question, Select, TableRef, Term, both
from pgmcp.language.reading import Parses, Reading, accept, maybe, word
from pgmcp.language.subjects import followed, subject


def select_rows(reading: Reading, phrase: Phrase, show: tuple[Term, ...] = ()) -> Select:
    """The question for the rows of a phrase; without `show`, for every column or its figures."""
    order = phrase.order
    table = phrase.table
    key = reading.lexicon.relations[table].primary_key
    if phrase.limit is not None and not order and len(key) == 1:
        order = (Order(Field(key[0])),)
    measures = tuple(dict.fromkeys(phrase.measures))
    if measures and not show:
        show = (*identity(reading, table), *measures)
    return Select(
        table,
        both(phrase.where),
        show,
        phrase.beside,
        order=order,
        limit=phrase.limit,
        ties=phrase.ties,
    )


def identity(reading: Reading, table: TableRef) -> tuple[Field, ...]:
    """The columns that say which row it is: its key and its name, or else all of them."""
    relation = reading.lexicon.relations[table]
    label = reading.lexicon.label(table)
    if label is None or not relation.primary_key:
        return tuple(Field(name) for name in reading.lexicon.shown_columns(table))
    return tuple(Field(name) for name in dict.fromkeys((*relation.primary_key, label)))


def columns_shown(reading: Reading, p: int) -> Parses[Question]:
    """ "names and emails of active users", "user names", "users' names"."""
    parses: Parses[Question] = []
    for distinct, start in [
        (False, p),
        *((True, after_distinct) for after_distinct in accept(reading, p, "distinct")),
    ]:
        for names, phrase, end, cost in column_phrases(reading, start):
            show = tuple(Field(name) for name in names)
            if len(names) == 1 and "total" in names[0] and phrase.plural:
                cost += 0 if is_one_row(reading, phrase) else 3  # "total of all orders": their sum
            for last in maybe(reading, end, "exist"):
                select = replace(select_rows(reading, phrase, show), distinct=distinct)
                hidden = distinct and any(order.by not in show for order in select.order)
                if not (phrase.rank or phrase.beside or phrase.measures or hidden):
                    parses.append((select, last, cost))
    return parses


def column_phrases(reading: Reading, start: int) -> list[tuple[tuple[str, ...], Phrase, int, int]]:
    """Columns with the rows they are taken from: (columns, phrase, end, cost)."""
    return [*_columns_of_rows(reading, start), *_columns_behind_table(reading, start)]


def _columns_of_rows(
    reading: Reading, start: int
) -> Iterator[tuple[tuple[str, ...], Phrase, int, int]]:
    """ "names and emails of active users"."""
    for k in range(start + 1, min(start + 12, len(reading.tokens))):
        for q in accept(reading, k, "of") + accept(reading, k, "for each"):
            for phrase, end, cost in subject(reading, q):
                for names, stop, more in _column_list(reading, start, phrase.table):
                    if stop == k:
                        yield names, phrase, end, cost + more


def _columns_behind_table(
    reading: Reading, start: int
) -> Iterator[tuple[tuple[str, ...], Phrase, int, int]]:
    """ "user names of 2024", "users' names"."""
    for ref, after_tables, cost in tables(reading, start):
        for position in [after_tables, *word(reading, after_tables, "'s")]:
            for names, end, more in _column_list(reading, position, ref):
                if (
                    position == after_tables
                    and reading.tokens[end - 1].lower == reading.tokens[after_tables - 1].lower
                ):
                    continue
                for phrase, last, most in followed(reading, end, Phrase(ref)):
                    # "users created last week" is about users, "user names" about names.
                    yield names, phrase, last, cost + more + most + (position == after_tables)


def _column_list(reading: Reading, start: int, table: TableRef) -> Parses[tuple[str, ...]]:
    parses: Parses[tuple[str, ...]] = []
    for name, after_column, cost in columns(reading, start, table):
        parses.append(((name,), after_column, cost))
        for after_and in accept(reading, after_column, "and"):
            for rest, end, more in _column_list(reading, after_and, table):
                if name not in rest:
                    parses.append(((name, *rest), end, cost + more))
    # "first and last names": the noun belongs to both.
    for after_and in accept(reading, start + 1, "and"):
        if after_and + 1 < len(reading.tokens):
            first = (*reading.tokens[start].parts, *reading.tokens[after_and + 1].parts)
            _, names = reading.lexicon.columns(table).get(first, (0, ()))
            for name, end, cost in columns(reading, after_and, table):
                if len(names) == 1 and end == after_and + 2 and names[0] != name:
                    parses.append(((names[0], name), end, cost))
    return parses


def is_one_row(reading: Reading, phrase: Phrase) -> bool:
    """Whether the phrase is about the row with a certain key."""
    key = set(reading.lexicon.relations[phrase.table].primary_key)
    return any(getattr(condition, "column", None) in key for condition in phrase.where)
