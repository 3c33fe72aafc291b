"""The catalogue as a policy lets it be seen: the rows of the catalogue's statements, less what it
hides.

The rule: each statement of the catalogue that tells of relations stands in the table below. What
would name a hidden column or table in a text of PostgreSQL's own making (a definition, a condition,
an index) is left out with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pgmcp.catalog import facts, statements
from pgmcp.config.masks import Mask
from pgmcp.config.patterns import Access
from pgmcp.config.policies import Policy
from pgmcp.policy.decision import mask_of, may_read, may_use
from pgmcp.policy.facts import RELATIONS_SQL, UsedRelation, read_relations
from pgmcp.postgres.rows import Fetch, Rows, Value, texts
from pgmcp.sql.names import array_literal, qualified

Name = tuple[str, str]

_INHERITED_SQL = """
SELECT cn.nspname, c.relname, pn.nspname, p.relname
FROM pg_catalog.pg_inherits i
JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
JOIN pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace
JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace"""
_ROW_SECURITY_SQL = "SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relrowsecurity"
_ALL = "2147483647"
_HARMLESS_PROPERTIES = frozenset({b"partition key", b"row security"})
_HARMLESS_TYPES = frozenset({b"domain", b"range", b"enum"})
_ESTIMATE, _PARENT, _COLUMNS = 4, 6, 8  # places in a row of a list of relations
_GENERATED, _COMMENT = 7, 8  # places in a row of statements.COLUMNS
_KEY_KINDS = frozenset({b"p", b"u", b"f"})  # those that are told by their columns alone


@dataclass(slots=True)
class VisibleCatalogue:
    """`fetch` runs a statement of pgmcp's own; it lasts as long as a call. `tried` is told the
    canaries that were asked for by name and are hidden."""

    policy: Policy
    fetch: Fetch
    tried: Callable[[Iterable[str]], None] = lambda _: None
    _relations: dict[int, UsedRelation] = field(default_factory=dict)
    _parents: Mapping[Name, Sequence[Name]] | None = None
    _secured: frozenset[Value] | None = None

    def read(self, text: str, params: tuple[str | None, ...] = ()) -> Rows:
        """As `fetch`, less what the policy hides."""
        narrow = _NARROWED.get(text)
        if narrow is None:
            return self.fetch(text, params)
        return narrow(self, text, params)

    # -- what is visible ---------------------------------------------------------------------------

    def sees(self, schema: Value, name: Value) -> bool:
        """Whether a relation may be used; its name as PostgreSQL sends it."""
        own = (_text(schema), _text(name))
        return may_use(self.policy, UsedRelation(*own, {}, ancestors=tuple(self._ancestors(own))))

    def relation(self, oid: Value) -> UsedRelation:
        """A relation among those that were asked for with `expect`."""
        return self._relations[int(oid or b"0")]

    def expect(self, oids: str) -> None:
        """Look the relations of these OIDs up; an array's text."""
        wanted = {int(oid) for oid in oids.strip("{}").replace('"', "").split(",") if oid}
        if missing := sorted(wanted - self._relations.keys()):
            rows = texts(self.fetch(RELATIONS_SQL, (array_literal(missing),)).rows)
            self._relations |= read_relations(rows)

    def sees_column(self, oid: Value, column: Value, *, children: bool = False) -> bool:
        """Whether a column of an expected relation may be read; `children`: with theirs."""
        relation, name = self.relation(oid), _text(column)
        return may_use(self.policy, relation, children=children) and may_read(
            self.policy, relation, name, children=children
        )

    def mask(self, oid: Value, column: Value, *, children: bool = False) -> Mask | None:
        """How a column of an expected relation is shown."""
        return mask_of(self.policy, self.relation(oid), _text(column), children=children)

    def shows_values(self, oid: Value, column: Value) -> bool:
        """Whether statistics of a column may be shown: a parent's are of its children too."""
        return (
            self.sees_column(oid, column, children=True)
            and self.mask(oid, column, children=True) is None
        )

    def sees_parents(self, schema: Value, name: Value) -> bool:
        """Whether the relations that a relation is a child of may be used."""
        rules = self.policy.read
        above = self._ancestors((_text(schema), _text(name)))
        return all(rules.table(*parent) is Access.ALLOWED for parent in above)

    def hides_child(self, schema: Value, name: Value) -> bool:
        """Whether a relation has a child that may not be used, whose rows an estimate counts."""
        own = (_text(schema), _text(name))
        return any(
            self.policy.read.table(*child) is Access.DENIED and own in self._ancestors(child)
            for child in self._above()
        )

    def is_canary(self, oid: Value, column: Value) -> bool:
        """Whether a column of an expected relation is one, or the relation is."""
        relation, canaries = self.relation(oid), self.policy.canaries
        return any(
            canaries.names(*name, _text(column))
            for name in ((relation.schema, relation.name), *relation.ancestors)
        )

    def sees_all(self, oid: Value) -> bool:
        """Whether an expected relation has no column that may not be read."""
        relation = self.relation(oid)
        return may_use(self.policy, relation) and all(
            may_read(self.policy, relation, column) for column in relation.columns.values()
        )

    def is_secured(self, oid: Value) -> bool:
        """Whether a relation has row security."""
        if self._secured is None:
            self._secured = frozenset(oid for (oid,) in self.fetch(_ROW_SECURITY_SQL, ()).rows)
        return oid in self._secured

    def _above(self) -> Mapping[Name, Sequence[Name]]:
        """The parents of each relation that has some."""
        if self._parents is None:
            parents: dict[Name, list[Name]] = {}
            for schema, child, parent_schema, parent in texts(self.fetch(_INHERITED_SQL, ()).rows):
                parents.setdefault((schema, child), []).append((parent_schema, parent))
            self._parents = parents
        return self._parents

    def _ancestors(self, name: Name) -> Iterator[Name]:
        parents = self._above()
        pending = list(parents.get(name, ()))
        while pending:
            above = pending.pop()
            yield above
            pending += parents.get(above, ())


_Narrow = Callable[[VisibleCatalogue, str, tuple[str | None, ...]], Rows]


def _kept(rows: Rows, keep: Callable[[tuple[Value, ...]], bool]) -> Rows:
    return Rows(rows.columns, [row for row in rows.rows if keep(row)])


def _listed(catalogue: VisibleCatalogue, text: str, params: tuple[str | None, ...]) -> Rows:
    """Rows that begin with an OID, a schema and a name. What is counted of a relation tells nothing
    of what it hides."""
    rows = _kept(catalogue.fetch(text, params), lambda row: catalogue.sees(row[1], row[2]))
    return Rows(rows.columns, [_counted(catalogue, row) for row in rows.rows])


def _counted(catalogue: VisibleCatalogue, row: tuple[Value, ...]) -> tuple[Value, ...]:
    """As `_told`, with one column more than it has, as if one were dropped, so that none is known
    to be whole."""
    shown = list(_told(catalogue, row))
    shown[_COLUMNS] = b"%d" % (int(row[_COLUMNS] or b"0") + 1)
    return tuple(shown)


def _told(catalogue: VisibleCatalogue, row: tuple[Value, ...]) -> tuple[Value, ...]:
    """Without an estimate that counts the rows of a hidden child, or that row security may hide,
    and without a hidden parent."""
    shown = list(row)
    if catalogue.hides_child(row[1], row[2]) or catalogue.is_secured(row[0]):
        shown[_ESTIMATE] = None
    if row[_PARENT] is not None and not catalogue.sees_parents(row[1], row[2]):
        shown[_PARENT] = None
    return tuple(shown)


def _named(catalogue: VisibleCatalogue, text: str, params: tuple[str | None, ...]) -> Rows:
    """Relations that a caller has asked for by name."""
    rows = catalogue.fetch(text, params)
    kept = _kept(rows, lambda row: catalogue.sees(row[1], row[2]))
    if rows.rows and not kept.rows:
        hidden = [(_text(row[1]), _text(row[2])) for row in rows.rows]
        canaries = catalogue.policy.canaries
        catalogue.tried(qualified(*name) for name in hidden if canaries.holds_table(*name))
    return Rows(kept.columns, [_told(catalogue, row) for row in kept.rows])


def _shown(catalogue: VisibleCatalogue, text: str, params: tuple[str | None, ...]) -> Rows:
    at_most = int(params[2] or 0)
    rows = _listed(catalogue, text, (*params[:2], _ALL))
    return Rows(rows.columns, rows.rows[:at_most])


def _counts(catalogue: VisibleCatalogue, _: str, params: tuple[str | None, ...]) -> Rows:
    """How many relations each schema has; what is left out of a list is not counted."""
    rows = _listed(catalogue, statements.SHOWN, (*params[:2], _ALL))
    counts: dict[Value, int] = {}
    for row in rows.rows:
        counts[row[1]] = counts.get(row[1], 0) + 1
    return Rows(
        rows.columns[:3],
        [(b"schema", schema, str(count).encode()) for schema, count in counts.items()],
    )


def _names(catalogue: VisibleCatalogue, text: str, params: tuple[str | None, ...]) -> Rows:
    return _kept(catalogue.fetch(text, params), lambda row: catalogue.sees(row[0], row[1]))


def _schemas(catalogue: VisibleCatalogue, text: str, params: tuple[str | None, ...]) -> Rows:
    used = {row[0] for row in catalogue.read(statements.NAMES).rows}
    return _kept(catalogue.fetch(text, params), lambda row: row[0] in used)


def _nothing(catalogue: VisibleCatalogue, text: str, params: tuple[str | None, ...]) -> Rows:
    return _kept(catalogue.fetch(text, params), lambda _: False)


def _of_relations(keep: Callable[[VisibleCatalogue, tuple[Value, ...]], bool]) -> _Narrow:
    """A statement about the relations whose OIDs are its first parameter, and its rows' first
    value."""

    def narrow(catalogue: VisibleCatalogue, text: str, params: tuple[str | None, ...]) -> Rows:
        catalogue.expect(params[0] or "{}")
        return _kept(catalogue.fetch(text, params), lambda row: keep(catalogue, row))

    return narrow


def _columns(catalogue: VisibleCatalogue, text: str, params: tuple[str | None, ...]) -> Rows:
    """A generated column's expression names others."""
    catalogue.expect(params[0] or "{}")
    rows = catalogue.fetch(text, params)
    kept = []
    for row in rows.rows:
        if catalogue.sees_column(row[0], row[1]):
            if (mask := catalogue.mask(row[0], row[1])) is not None:
                row = (*row[:_COMMENT], _noted(mask, row[_COMMENT]), *row[_COMMENT + 1 :])
            hides = row[_GENERATED] not in (None, b"") and not catalogue.sees_all(row[0])
            kept.append((*row[:5], None, *row[6:]) if hides else row)
    return Rows(rows.columns, kept)


def _noted(mask: Mask, comment: Value) -> bytes:
    """The comment on a masked column."""
    note = f"masked ({mask}): it may be shown, and used for nothing else".encode()
    return note if not comment else note + b". " + comment


def _column_counts(catalogue: VisibleCatalogue, text: str, params: tuple[str | None, ...]) -> Rows:
    rows = catalogue.fetch(text, params)
    counts: dict[Value, int] = {row[0]: 0 for row in rows.rows}
    for row in catalogue.read(statements.COLUMNS, params[:1]).rows:
        counts[row[0]] = counts.get(row[0], 0) + 1
    return Rows(rows.columns, [(oid, str(count).encode()) for oid, count in counts.items()])


def _references(catalogue: VisibleCatalogue, text: str, params: tuple[str | None, ...]) -> Rows:
    rows = catalogue.fetch(text, params)
    catalogue.expect(array_literal({_text(oid) for row in rows.rows for oid in row[:2]}))

    def keep(row: tuple[Value, ...]) -> bool:
        source, target, _, column, other, columns, others = row
        return all(
            catalogue.sees_column(relation, name)
            for relation, several, single in ((source, columns, column), (target, others, other))
            for name in (_list(several) or [single or b""])
        )

    return _kept(rows, keep)


def _sees_key(catalogue: VisibleCatalogue, row: tuple[Value, ...]) -> bool:
    oid, kind, _, _, columns, schema, table, ref_columns = row
    if kind not in _KEY_KINDS or not columns:
        return catalogue.sees_all(oid)
    if not all(catalogue.sees_column(oid, column) for column in _list(columns)):
        return False
    if kind != b"f":
        return True
    policy, other = catalogue.policy, UsedRelation(_text(schema), _text(table), {})
    return catalogue.sees(schema, table) and all(
        may_read(policy, other, _text(column)) for column in _list(ref_columns)
    )


_NARROWED: Mapping[str, _Narrow] = {
    statements.EVERYTHING: _listed,
    statements.SHOWN: _shown,
    statements.COUNTS: _counts,
    statements.NAMED: _named,
    statements.NAMES: _names,
    statements.OTHER_OBJECTS: _nothing,
    statements.SCHEMAS: _schemas,
    statements.COLUMN_COUNTS: _column_counts,
    statements.COLUMNS: _columns,
    statements.KEYS: _of_relations(_sees_key),
    statements.REFERENCES: _references,
    statements.COMMON_VALUES: _of_relations(
        lambda catalogue, row: (
            catalogue.shows_values(row[0], row[1]) and not catalogue.is_canary(row[0], row[1])
        )
    ),
    facts.PROPERTIES: _of_relations(
        lambda catalogue, row: row[1] in _HARMLESS_PROPERTIES and catalogue.sees_all(row[0])
    ),
    facts.TYPES: _of_relations(
        lambda catalogue, row: row[2] in _HARMLESS_TYPES and catalogue.sees_all(row[0])
    ),
    facts.DEFINITIONS: _nothing,
    statements.DATABASE_SIZE: _nothing,
}


def _text(value: Value) -> str:
    return (value or b"").decode("utf-8", "replace")


def _list(value: Value) -> list[bytes]:
    return [str(item).encode() for item in json.loads(value)] if value else []
