"""What stands behind a noun and says which row: "user 3", "orders 2, 3 and 5", "category Books".

The rule: a number is the primary key, a text the column that names a row.
"""

from __future__ import annotations

from collections.abc import Iterator

from pgmcp.language.match import literal, number, values
from pgmcp.language.phrase import Phrase
from pgmcp.language.question import Compare, Condition, OneOf
from pgmcp.language.reading import Reading, accept, word
from pgmcp.language.tokens import is_uuid


def apposition(
    reading: Reading, start: int, phrase: Phrase, depth: int
) -> list[tuple[Condition, int]]:
    """The conditions that the text at `i`, behind the noun of `phrase`, can mean, with their ends.

    `depth` is 0 for the subject of the request, which is not named by a bare text.
    """
    return [
        *_by_number(reading, start, phrase),
        *_by_value(reading, start, phrase, depth),
        *_by_name(reading, start, phrase, depth),
    ]


def _by_number(reading: Reading, start: int, phrase: Phrase) -> Iterator[tuple[Condition, int]]:
    """ "user 3", "orders 2, 3 and 5", "order #2"."""
    lexicon = reading.lexicon
    key = lexicon.relations[phrase.table].primary_key
    if len(key) != 1 or lexicon.column(phrase.table, key[0]).category != "N":
        return
    for position in [start, *word(reading, start, "#", "number", "no", "nr")]:
        for numbers, end in _numbers(reading, position):
            if len(numbers) == 1:
                yield Compare(key[0], "=", numbers[0]), end
            else:
                yield OneOf(key[0], numbers), end


def _numbers(reading: Reading, start: int) -> Iterator[tuple[tuple[str, ...], int]]:
    for text, after_number in number(reading, start):
        if not text.isdecimal():
            continue
        yield (text,), after_number
        for after_and in accept(reading, after_number, "and", "or"):
            for rest, end in _numbers(reading, after_and):
                yield (text, *rest), end


def _by_value(
    reading: Reading, start: int, phrase: Phrase, depth: int
) -> Iterator[tuple[Condition, int]]:
    """ "of category Books": a stored value, of a noun that is not the subject."""
    for (column, value), end, _ in values(reading, start, phrase.table) if depth else []:
        if not reading.lexicon.is_key(phrase.table, column):
            yield OneOf(column, (value,)), end


def _by_name(
    reading: Reading, start: int, phrase: Phrase, depth: int
) -> Iterator[tuple[Condition, int]]:
    """'user "Ada"', "of user Ada Byron", "order 6f9619ff-…": a key, or the label as typed."""
    if start >= len(reading.tokens):
        return
    table, lexicon = phrase.table, reading.lexicon
    key = lexicon.relations[table].primary_key
    key_column = lexicon.column(table, key[0]) if len(key) == 1 else None
    if is_uuid(reading.tokens[start].text):
        if key_column is not None and key_column.type == "uuid":
            yield OneOf(key_column.name, (reading.tokens[start].text,)), start + 1
        return
    label = lexicon.label(table)
    if label is None or (key_column is not None and key_column.category == "S"):
        return
    quoted = reading.tokens[start].kind == "string"
    for text, end, _ in literal(reading, start, loose=False):
        stored = any(stop == end for _, stop, _ in values(reading, start, table))
        named = quoted or (depth and not phrase.plural)
        if named and not (stored and depth):
            yield OneOf(label, (text,), fold=True), end
