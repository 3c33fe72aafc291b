"""Which tables a phrase can mean, and which tables refer to which, over a list of tables.

The rule: a table is filed under the last words of its names; everything else about it is worked out
when a phrase asks for it. To work it all out first would take seconds for 20,000 tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeVar

from pgmcp.catalog.catalogue import ForeignKey
from pgmcp.catalog.tables import TableList
from pgmcp.language import naming
from pgmcp.language.joins import noun, role_of
from pgmcp.language.question import Hop, TableRef
from pgmcp.language.stemming import split_name, stem, stems

StemKey = tuple[str, ...]
_T = TypeVar("_T")
NAME, ALIAS, PART = 0, 1, 2
"""Ranks: the name itself; a comment, an abbreviation spelt out; the last word of a longer name."""
_MAX_LOOKED_UP = 10_000
_COMMENT_WORDS = 3
_PHRASE_END = re.compile(r"[.,;:(\n]| - | – ")


class TableIndex:
    """The tables of a list by the phrases that name them, and the foreign keys between them."""

    def __init__(self, tables: TableList) -> None:
        self._listed = tables.listed
        self._by_word: dict[str, list[TableRef]] = {}
        self._looked_up: dict[StemKey, tuple[int, tuple[TableRef, ...]] | None] = {}
        self._keys: dict[TableRef, list[tuple[TableRef, ForeignKey, bool]]] = {}
        self._hops: dict[TableRef, tuple[Hop, ...]] = {}
        self.schemas = frozenset(name[0] for name in tables.listed) | set(tables.schema_comments)
        for name, listed in tables.listed.items():
            if listed.partition_of is None:
                for word in _last_words(listed.name, listed.comment):
                    self._by_word.setdefault(word, []).append(TableRef(*name))
        for name, key in tables.references:
            self._refer(TableRef(*name), key)

    def _refer(self, source: TableRef, key: ForeignKey) -> None:
        target = TableRef(key.ref_schema, key.ref_table)
        if target in self._listed and self._listed[source].partition_of is None:
            self._keys.setdefault(source, []).append((source, key, False))
            self._keys.setdefault(target, []).append((source, key, True))

    def get(self, key: StemKey) -> tuple[int, tuple[TableRef, ...]] | None:
        """The best rank that a table has for the phrase, and the tables of that rank."""
        if key not in self._looked_up:
            if len(self._looked_up) >= _MAX_LOOKED_UP:
                self._looked_up.clear()
            self._looked_up[key] = self._look_up(key)
        return self._looked_up.get(key)

    def _look_up(self, key: StemKey) -> tuple[int, tuple[TableRef, ...]] | None:
        ranked = []
        for ref in self._by_word.get(key[-1], ()) if key else ():
            rank = table_keys(ref, self._listed[ref].comment).get(key)
            if rank is not None:
                ranked.append((rank, ref))
        return best(ranked) if ranked else None

    def __contains__(self, key: StemKey) -> bool:
        return self.get(key) is not None

    def words(self) -> Iterable[str]:
        """The words that may name a table by themselves."""
        return self._by_word.keys()

    def hops(self, table: TableRef) -> tuple[Hop, ...]:
        """The steps out of a table: along its own keys, and along those that refer to it."""
        if table not in self._hops:
            self._hops[table] = tuple(_hop(*each) for each in self._keys.get(table, ()))
        return self._hops[table]

    def key_count(self, table: TableRef) -> int:
        """How many foreign keys a table has to others of the list."""
        return sum(not back for _, _, back in self._keys.get(table, ()))


def _hop(source: TableRef, key: ForeignKey, back: bool) -> Hop:
    target = TableRef(key.ref_schema, key.ref_table)
    role = role_of(key.columns)
    pairs = tuple(zip(key.columns, key.ref_columns, strict=True))
    if back:
        return Hop(key.name, target, source, tuple((b, a) for a, b in pairs), True, role)
    return Hop(key.name, source, target, pairs, False, role)


def _last_words(table: str, comment: str | None) -> set[str]:
    """The last word of each phrase that `table_keys` makes of a table."""
    parts = split_name(table)
    if not parts:
        return set()
    words = {stem(parts[-1]), stem("".join(parts))}
    bare = noun(table) if parts[-1] in naming.TABLE_ENDINGS else ()
    spelt = spelt_out(noun(table)) if any(map(_is_abbreviated, parts)) else ()
    for key in (bare, spelt, comment_key(comment, _COMMENT_WORDS)):
        words.update(key[-1:])
    return words


def _is_abbreviated(word: str) -> bool:
    return (stem(word) if word[-1] == "s" else word) in naming.ABBREVIATIONS


def table_keys(ref: TableRef, comment: str | None) -> dict[StemKey, int]:
    """The phrases that can mean a table, each with its rank."""
    keys: dict[StemKey, int] = {}
    bare, full, schema = noun(ref.table), stems(ref.table), stems(ref.schema)
    for key in (bare, full, (stem("".join(split_name(ref.table))),), schema + bare, schema + full):
        keys.setdefault(key, NAME)
    for key in (comment_key(comment, _COMMENT_WORDS), spelt_out(bare)):
        if key:
            keys.setdefault(key, ALIAS)
    if len(bare) > 1:
        keys.setdefault(bare[-1:], PART)
    return keys


def comment_key(comment: str | None, longest: int) -> StemKey:
    """A comment that is no more than another name: `customers`, `sales price (net)`."""
    if not comment:
        return ()
    key = stems(_PHRASE_END.split(comment, maxsplit=1)[0])
    return key if len(key) <= longest else ()


def spelt_out(key: StemKey) -> StemKey:
    """A name with its abbreviations as words, () where it has none."""
    if not any(part in naming.ABBREVIATIONS for part in key):
        return ()
    return stems(" ".join(naming.ABBREVIATIONS.get(part, part) for part in key))


def best(ranked: list[tuple[int, _T]]) -> tuple[int, tuple[_T, ...]]:
    """The lowest rank, and what has it, each once."""
    rank = min(rank_of_value for rank_of_value, _ in ranked)
    return rank, tuple(
        dict.fromkeys(value for rank_of_value, value in ranked if rank_of_value == rank)
    )
