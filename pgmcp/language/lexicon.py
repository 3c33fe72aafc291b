"""The catalogue's own words: which table, column or value a phrase can mean.

The rule: a phrase's candidates are those of its best rank only, and all of them; choosing between
equals is not done here. A table's columns are looked at when it is first spoken of.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from pgmcp.catalog.catalogue import Catalogue, Column, Listed, QualifiedName, Relation
from pgmcp.catalog.tables import CatalogueTables
from pgmcp.language import naming, words
from pgmcp.language.index import (
    ALIAS,
    NAME,
    PART,
    StemKey,
    TableIndex,
    best,
    comment_key,
    spelt_out,
)
from pgmcp.language.joins import Graph, is_bridge, noun
from pgmcp.language.question import ColumnRef, TableRef
from pgmcp.language.stemming import split_name, stem, stems

_T = TypeVar("_T")

_QUOTED = re.compile(r"'((?:[^']|'')*)'")
_MAX_EXPECTED = 200


@dataclass(frozen=True, slots=True)
class Lexicon:
    """What the words of one catalogue mean: `tables` by their names, `relations` in detail."""

    relations: CatalogueTables
    tables: TableIndex

    @classmethod
    def of(cls, catalogue: Catalogue | CatalogueTables) -> Lexicon:
        """The lexicon of a catalogue, or of tables of which each is described when it is needed."""
        tables = CatalogueTables(catalogue) if isinstance(catalogue, Catalogue) else catalogue
        return cls(tables, tables.derived(TableIndex))

    @property
    def listed(self) -> Mapping[QualifiedName, Listed | Relation]:
        """Every table by schema and name, without its columns."""
        return self.relations.list.listed

    @property
    def schemas(self) -> frozenset[str]:
        """The schemas that have tables."""
        return self.tables.schemas

    @property
    def graph(self) -> Graph:
        """The foreign keys between the tables."""
        return Graph(self.tables.hops, self._is_bridge)

    def _is_bridge(self, table: TableRef) -> bool:
        return self.tables.key_count(table) == 2 and self._once(
            table, "bridge", lambda: is_bridge(self.relations[table])
        )

    def expect(self, tables: Iterable[TableRef]) -> None:
        """Have these described in one go, with what a question about them may lead to: what they
        refer to, what may be a bridge to them, and what is on its other side."""
        hops = [hop for table in tables for hop in self.tables.hops(table)]
        bridges = [
            hop.target for hop in hops if hop.to_many and self.tables.key_count(hop.target) == 2
        ]
        near = [hop.target for hop in hops if not hop.to_many]
        far = [hop.target for table in bridges for hop in self.tables.hops(table)]
        wanted = dict.fromkeys([*tables, *near, *bridges, *far])
        self.relations.expect(itertools.islice(wanted, _MAX_EXPECTED))

    def _once(self, table: TableRef, what: str, make: Callable[[], _T]) -> _T:
        """What `make` makes of a table, kept as long as what is known of the table."""
        memo = self.relations.memo
        if (what, table) not in memo:
            memo[what, table] = make()
        result: _T = memo[what, table]
        return result

    def columns(self, table: TableRef) -> Mapping[StemKey, tuple[int, tuple[str, ...]]]:
        """The phrases that mean columns of a table."""
        return self._once(table, "columns", lambda: self._columns(table))

    def _columns(self, table: TableRef) -> Mapping[StemKey, tuple[int, tuple[str, ...]]]:
        entries: dict[StemKey, list[tuple[int, str]]] = {}
        relation = self.relations[table]
        for column in relation.columns:
            for key, rank in _column_keys(relation, column).items():
                comment = comment_key(column.comment, 4)
                if rank == NAME or key == comment or not self._names_table(key):
                    entries.setdefault(key, []).append((rank, column.name))
        return {key: best(ranked) for key, ranked in entries.items()}

    def _names_table(self, key: StemKey) -> bool:
        """Whether a word is a table's name, so that it is not a fragment of a column's."""
        named = self.tables.get(key)
        return named is not None and named[0] == NAME

    def column(self, table: TableRef, name: str) -> Column:
        """A column's value in the catalogue."""
        return next(column for column in self.relations[table].columns if column.name == name)

    def is_key(self, table: TableRef, name: str) -> bool:
        """Whether a column is part of the primary key or of a foreign key."""
        relation = self.relations[table]
        return name in relation.primary_key or any(
            name in key.columns for key in relation.foreign_keys
        )

    def label(self, table: TableRef) -> str | None:
        """The column that names a row, if one does."""
        relation = self.relations[table]
        names = {column.name for column in relation.columns if column.category == "S"}
        own = tuple(f"{relation.name.rstrip('s')}_{part}" for part in ("name", "title"))
        rank, spelt = self.columns(table).get(("name",), (NAME, ()))
        likely = (*naming.LABELS, *own, *(spelt if rank < PART and len(spelt) == 1 else ()))
        if any(naming.PERSON_NAMES & {"_".join(split_name(name))} for name in names):
            names -= {"title"}  # a person's title is no name
        return next((name for name in likely if name in names), None)

    def shown_columns(self, table: TableRef) -> tuple[str, ...]:
        """The columns that a row is shown with: no secrets, no pictures or other bytes.

        All of them when nothing would be left.
        """
        relation = self.relations[table]
        listed = tuple(column.name for column in relation.columns if not _is_hidden(column))
        return listed or tuple(column.name for column in relation.columns)

    def name_parts(self, table: TableRef) -> tuple[str, ...]:
        """The columns of text that hold a name or a part of one: `first_name`, `company_name`."""
        return tuple(
            column.name
            for column in self.relations[table].columns
            if column.category == "S"
            and (
                "name" in split_name(column.name)
                or "_".join(split_name(column.name)) in naming.PERSON_NAMES
            )
        )

    def known_values(self, table: TableRef) -> dict[str, tuple[str, ...]]:
        """The values of columns that the catalogue itself holds."""
        return self._once(table, "values", lambda: self._read_values(table))

    def _read_values(self, table: TableRef) -> dict[str, tuple[str, ...]]:
        relation = self.relations[table]
        return {
            column.name: values
            for column in relation.columns
            if column.category in "SE"
            and (
                values := column.labels or checked_values(relation, column) or column.common_values
            )
        }

    def value_columns(self, table: TableRef) -> tuple[ColumnRef, ...]:
        """The columns whose values a question may name though the catalogue does not hold them."""
        return self._once(table, "askable", lambda: tuple(self._unknown_values(table)))

    def _unknown_values(self, table: TableRef) -> Iterator[ColumnRef]:
        relation = self.relations[table]
        known = self.known_values(table)
        alone = {key[0] for key in (relation.primary_key, *relation.unique_keys) if len(key) == 1}
        for column in relation.columns:
            if (
                column.category == "S"
                and column.name not in known
                and column.name not in alone
                and not naming.LONG_TEXT & set(split_name(column.name))
            ):
                yield ColumnRef(table.schema, table.table, column.name)


def checked_values(relation: Relation, column: Column) -> tuple[str, ...]:
    """The values that a CHECK constraint on this column alone lists."""
    name = re.compile(rf'(?<![\w"]){re.escape(column.name)}(?![\w"])|"{re.escape(column.name)}"')
    for check in relation.checks:
        bare = _QUOTED.sub("", check)
        others = (other.name for other in relation.columns if other.name != column.name)
        if (
            name.search(bare)
            and ("ANY" in bare or " IN " in bare or bare.count("=") >= 1)
            and not re.search(r"<|>|~|\bNOT\b|\bALL\b", bare)
            and not any(re.search(rf"(?<!\w){re.escape(other)}(?!\w)", bare) for other in others)
        ):
            return tuple(value.replace("''", "'") for value in _QUOTED.findall(check))
    return ()


def _is_hidden(column: Column) -> bool:
    parts = split_name(column.name)
    secret = bool(naming.SECRETS & set(parts)) or any(
        first in naming.SECRET_KEYS and second == "key"
        for first, second in itertools.pairwise(parts)
    )
    return column.type == "bytea" or (secret and column.category in "SU")


def _column_keys(relation: Relation, column: Column) -> dict[StemKey, int]:
    """The phrases that can mean a column, each with its rank."""
    full = stems(column.name)
    keys: dict[StemKey, int] = {full: NAME, (stem("".join(split_name(column.name))),): NAME}
    refers = any(column.name in key.columns for key in relation.foreign_keys)
    own = noun(relation.name)
    bare = full[len(own) :] if len(full) > len(own) and full[: len(own)] == own else full
    for key in (bare, stripped(full), stripped(bare), comment_key(column.comment, 4)):
        if key and key != own and not (refers and key != comment_key(column.comment, 4)):
            keys.setdefault(key, ALIAS)
    for key in list(keys):
        for alias in _aliases(key, column.category, stripped(full) if key != full else ()):
            keys.setdefault(alias, ALIAS)
    if set(full) & {"msrp", "rrp", "srp"}:
        keys.setdefault(("price",), PART)
    last = stripped(full)[-1:] or full[-1:]
    if not refers and last[0] not in naming.KEY_PARTS:
        keys.setdefault(last, PART)
    return keys


def _aliases(key: StemKey, category: str, without_kind: StemKey) -> Iterator[StemKey]:
    """Other ways to say a column's name. `without_kind`: the name less `_at`, () when it has none.

    `release_year` is also "released", `ship_date` "shipped" and "ship date".
    """
    spelt = spelt_out(key)
    if spelt:
        yield spelt
    if len(key) == 2 and key[1] == "year":
        yield from (_past(key[:1]), key[:1])
    if category == "N" and key[-1].endswith("e"):
        yield _past(key)
    if category == "D" and key == without_kind:
        if len(key) == 1:
            yield _past(key)
        yield (*key, "date")
    if key[0] in naming.BIRTH:
        yield ("born",)


def _past(key: StemKey) -> StemKey:
    """The participle of a name's last word: `hired` of `hire`."""
    return (*key[:-1], key[-1] + ("d" if key[-1].endswith("e") else "ed"))


def stripped(key: StemKey) -> StemKey:
    """A column's stems without what only says its kind: `is_`, `_at`, `_minutes`."""
    if len(key) > 1 and key[0] in naming.FLAG_PARTS:
        key = key[1:]
    if len(key) > 1 and key[-1] in _ENDINGS:
        key = key[:-1]
    return key


_UNIT_STEMS = frozenset(
    stem(word) for unit, forms in words.UNIT_PARTS.items() for word in (unit, *forms)
)


_ENDINGS = naming.FACT_PARTS | naming.KIND_PARTS | _UNIT_STEMS
