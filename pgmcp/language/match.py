"""What a phrase can name in the catalogue: tables, columns, other tables, values, numbers, text.

The rule: every candidate is returned, with what the phrase cost to believe; none is preferred here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

from pgmcp.language import words
from pgmcp.language.index import spelt_out
from pgmcp.language.joins import describe, join_paths
from pgmcp.language.lexicon import Lexicon
from pgmcp.language.question import ColumnRef, Hop, Path, TableRef
from pgmcp.language.reading import (
    _LONGEST,
    Parses,
    Reading,
    accept,
    known_words,
    maybe,
    remembered,
    starts,
    word,
)
from pgmcp.language.stemming import MAX_CACHED_CHARS, is_plural, stem
from pgmcp.sql.names import fold


@remembered
def _spans(reading: Reading, start: int) -> list[tuple[tuple[str, ...], int, int]]:
    """The stems of the phrases that begin at `i`, the longest first: (stems, start, end)."""
    spans: list[tuple[tuple[str, ...], int, int]] = []
    for word_at in starts(reading, start):
        here = []
        key: tuple[str, ...] = ()
        for end in range(word_at + 1, min(word_at + 1 + _LONGEST, len(reading.tokens) + 1)):
            token = reading.tokens[end - 1]
            if token.kind not in ("word", "number") or (
                end == word_at + 1 and token.kind == "number"
            ):
                break
            key = (*key, *token.parts)
            here.append((key, word_at, end))
        spans.extend(reversed(here))
    return spans


@remembered
def tables(reading: Reading, start: int) -> Parses[TableRef]:
    """The tables that a phrase at `i` names."""
    parses: Parses[TableRef] = []
    for key, _, end in _spans(reading, start):
        for rank, refs in _lookup(reading.lexicon, key):
            parses.extend((ref, end, rank) for ref in _by_path(reading, refs))
    return _in_schema(reading, parses)


def _lookup(lexicon: Lexicon, key: tuple[str, ...]) -> Iterator[tuple[int, tuple[TableRef, ...]]]:
    named = lexicon.tables.get(key)
    joined = lexicon.tables.get(("".join(key),)) if len(key) > 1 else None
    if named or joined:
        yield from [each for each in (named, joined) if each][:1]
    elif len(key) == 1:
        # Plurals of other languages: "Kunden" of "Kunde".
        for ending in ("n", "en", "e", "er"):
            bare = (key[0].removesuffix(ending),)
            if bare != key and len(bare[0]) > 3 and (named := lexicon.tables.get(bare)):
                rank, refs = named
                yield rank + 1, refs


def _by_path(reading: Reading, refs: tuple[TableRef, ...]) -> tuple[TableRef, ...]:
    """Of tables of one name, the one that the bare name finds."""
    if len({ref.table for ref in refs}) == 1:
        listed = reading.lexicon.listed
        visible = tuple(ref for ref in refs if listed[ref].on_search_path)
        if len(visible) == 1:
            return visible
    return refs


def _in_schema(reading: Reading, parses: Parses[TableRef]) -> Parses[TableRef]:
    """Add the readings "T in schema S"; a schema that was named picks among all of that name."""
    more: Parses[TableRef] = []
    for ref, end, cost in parses:
        for named, start, after, plain in _schema_after(reading, end):
            other = TableRef(named, ref.table)
            if other in reading.lexicon.listed:
                value = not plain and _is_value(reading, start, other)
                more.append((other, after, cost + (CLAUSE if value else 0)))
    return list(dict.fromkeys([*more, *parses]))


CLAUSE = 2
"""What a clause costs: one clause that says it all is a plainer reading than two."""


def _is_value(reading: Reading, start: int, table: TableRef) -> bool:
    """Whether a schema's name at `i` is also a value of the table, so that both can be meant."""
    for column in reading.lexicon.value_columns(table):
        if column not in reading.values:
            reading.wanted[column] = None
    return bool(values(reading, start, table))


def _schema_after(reading: Reading, start: int) -> Iterator[tuple[str, int, int, bool]]:
    """ "in archive": (schema, start, end, whether the text says "schema")."""
    for after_in in word(reading, start, "in", "from", "of"):
        for after_schema in maybe(reading, after_in, "schema"):
            for name, end in schemas(reading, after_schema):
                for last in maybe(reading, end, "schema"):
                    yield name, after_schema, last, after_schema != after_in or last != end


def begins_with_schema(reading: Reading, start: int, end: int, table: TableRef) -> bool:
    """Whether the table's name from `i` to `end` begins with its schema's, as a word of its own.

    The values of the table are wanted then: the word may be one of them.
    """
    for name, after in schemas(reading, start):
        if name == table.schema and after < end:
            _is_value(reading, start, table)
            return True
    return False


def schemas(reading: Reading, start: int) -> list[tuple[str, int]]:
    """The schemas that the token at `i` names."""
    return [
        (name, word_at + 1)
        for word_at in starts(reading, start)
        if word_at < len(reading.tokens)
        for name in reading.lexicon.schemas
        if fold(name) == fold(reading.tokens[word_at].text)
    ]


@remembered
def columns(reading: Reading, start: int, table: TableRef) -> Parses[str]:
    """The columns of a table that a phrase at `i` names."""
    known = reading.lexicon.columns(table)
    parses: Parses[str] = []
    for key, _, end in _spans(reading, start):
        for candidate in (key, ("".join(key),) if len(key) > 1 else key):
            if candidate in known:
                rank, names = known[candidate]
                parses.extend((name, end, rank) for name in names)
                break
    return parses


@remembered
def related(reading: Reading, start: int, table: TableRef) -> Parses[Path]:
    """The ways from a table to what a phrase at `i` names: another table, or a key's role."""
    graph = reading.lexicon.graph
    parses: Parses[Path] = []
    for key, _, end in _spans(reading, start):
        roles = [
            hop
            for hop in graph.hops(table)
            if not hop.to_many and key in (hop.role, spelt_out(hop.role))
        ]
        comments = [
            hop
            for hop in graph.hops(table)
            if not hop.to_many and _comment_says(reading.lexicon, table, hop.on[0][0], key)
        ]
        parses.extend(
            ((hop,), end, 0)
            for hop in dict.fromkeys(roles + comments)
            if not (is_plural(reading.tokens[end - 1].lower) and _shared(reading, hop))
        )
    for ref, end, cost in tables(reading, start):
        if any(end == other and path[-1].target == ref for path, other, _ in parses):
            continue
        plural = is_plural(reading.tokens[end - 1].lower)
        joins = join_paths(graph, table, ref, plural=plural)
        if joins.path is not None:
            parses.append((joins.path, end, cost + len(joins.path) - 1))
        elif joins.candidates:
            listed = tuple(dict.fromkeys(describe(path) for path in joins.candidates[:4]))
            if len(listed) > 1:  # a key from a table to itself is one, seen from both ends
                note = f"{table.table} and {ref.table} are related in more than one way"
                reading.notes[f"{note}: {'; '.join(listed)}"] = None
    return parses


def _shared(reading: Reading, hop: Hop) -> bool:
    """Whether other keys lead to the same table, so that its plural means any of them."""
    hops = reading.lexicon.graph.hops(hop.source)
    return sum(other.target == hop.target for other in hops) > 1


def _comment_says(lexicon: Lexicon, table: TableRef, column: str, key: tuple[str, ...]) -> bool:
    comment = lexicon.column(table, column).comment
    return comment is not None and tuple(stem(part) for part in comment.lower().split()) == key


def values_of(reading: Reading, table: TableRef) -> dict[tuple[str, ...], tuple[ColumnRef, ...]]:
    """Lower-case words -> the columns of this table that hold such a value."""
    key = (values_of, table)
    if key not in reading.memo:
        index: dict[tuple[str, ...], list[tuple[str, str]]] = {}
        known = dict(reading.lexicon.known_values(table))
        for column in reading.lexicon.value_columns(table):
            if column in reading.values:
                known[column.column] = reading.values[column]
        for name, listed in known.items():
            for value in listed:
                index.setdefault(value_key(value), []).append((name, value))
        reading.memo[key] = index
    result: dict[tuple[str, ...], tuple[ColumnRef, ...]] = reading.memo[key]
    return result


def value_key(value: str) -> tuple[str, ...]:
    """How a stored value is looked up: its words in lower case, `in_progress` as two."""
    # Clients write values too, of any length: only short ones are remembered.
    return _short_key(value) if len(value) <= MAX_CACHED_CHARS else _key(value)


def _key(value: str) -> tuple[str, ...]:
    return tuple(value.lower().replace("_", " ").replace("-", " ").split())


_short_key = lru_cache(maxsize=4096)(_key)


@remembered
def values(reading: Reading, start: int, table: TableRef) -> Parses[tuple[str, str]]:
    """The (column, value) pairs of a table that a phrase at `i` names, as stored."""
    index: Any = values_of(reading, table)
    parses: Parses[tuple[str, str]] = []
    if not index:
        return parses
    for word_at in starts(reading, start):
        for end in range(min(word_at + _LONGEST, len(reading.tokens)), word_at, -1):
            chunk = reading.tokens[word_at:end]
            key = tuple(part for token in chunk for part in value_key(token.lower))
            parses.extend((pair, end, 0) for pair in index.get(key, ()))
    return parses


def number(reading: Reading, start: int) -> list[tuple[str, int]]:
    """A number in digits or words."""
    numbers = []
    for word_at in starts(reading, start):
        if word_at < len(reading.tokens):
            token = reading.tokens[word_at]
            if token.kind == "number":
                numbers.append((token.text, word_at + 1))
            elif token.kind == "word" and token.lower in words.NUMBERS:
                numbers.append((str(words.NUMBERS[token.lower]), word_at + 1))
    return numbers


def is_count(text: str) -> bool:
    """Whether a number can be one of rows."""
    return text.isdecimal() and len(text) < 10


def literal(reading: Reading, start: int, *, loose: bool = True) -> list[tuple[str, int, bool]]:
    """Text the user means as it stands: (text, end, whether it was quoted).

    Quoted, or a run of capitalised words, or (`loose`) one word that nothing else claims.
    """
    tokens = reading.tokens
    if start >= len(tokens):
        return []
    if tokens[start].kind == "string":
        return [(tokens[start].text, start + 1, True)]
    end = start
    while end < len(tokens) and tokens[end].kind == "word" and tokens[end].text[:1].isupper():
        end += 1
    if end > start:
        return [(" ".join(token.text for token in tokens[start:end]), end, False)]
    if (
        loose
        and tokens[start].kind in ("word", "number")
        and tokens[start].lower not in known_words()
    ):
        return [(tokens[start].text, start + 1, False)]
    return []


def item_list(
    reading: Reading, start: int, item: Callable[[Reading, int], Iterable[tuple[str, int]]]
) -> Iterator[tuple[list[str], int]]:
    """One or more items: "a", "a or b", "a, b and c", "(a, b)"."""
    if start < len(reading.tokens) and reading.tokens[start].lower == "(":
        for listed, end in item_list(reading, start + 1, item):
            if end < len(reading.tokens) and reading.tokens[end].lower == ")":
                yield listed, end + 1
        return
    for first, after_item in item(reading, start):
        yield [first], after_item
        for after_or in accept(reading, after_item, "or", "and"):
            for rest, end in item_list(reading, after_or, item):
                yield [first, *rest], end
