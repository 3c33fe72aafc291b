"""What a policy hides in a database, as the places that attempts name.

The rule: it reads the catalogue and one value of each secret, as the role of the database and not
under the policy; what is hidden is what the policy's own decisions say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from pgmcp.config.policies import Policy
from pgmcp.errors import ToolError
from pgmcp.gate.database import ReadOnlyDatabase
from pgmcp.policy.decision import decide, mask_of, may_read, may_use
from pgmcp.policy.facts import RELATIONS_SQL, UsedRelation, read_relations
from pgmcp.postgres.rows import texts
from pgmcp.sql.names import array_literal, qualified, quoted
from pgmcp.sql.text import quote_literal

_RELATIONS_SQL = """
SELECT c.oid, c.relkind, c.relkind <> 'f' AND pg_catalog.pg_relation_size(c.oid) <= 262144
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
  AND pg_catalog.has_table_privilege(c.oid, 'SELECT')"""
_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_VIEW = "v"
_TEXT, _NUMBER = "S", "N"  # pg_type.typcategory


class Protection(Enum):
    """How a policy keeps a column from being read."""

    TABLE = "in a table that is not there"
    COLUMN = "in a column that is not there"
    CHILDREN = "in the rows of a child"
    VIEW = "behind a view"
    MASKED = "in a masked column"


@dataclass(frozen=True, slots=True)
class ProtectedColumn:
    """A column whose values a policy keeps from its credentials, and the places of attempts.

    `name`: in full.
    """

    kind: Protection
    name: str
    places: Mapping[str, str]

    @property
    def absent(self) -> Mapping[str, str]:
        """The places with names of the same length that nothing has: what the policy must answer
        in the same way."""
        if self.kind is Protection.TABLE:
            name, other = self.places["name"], absent_name(self.places["name"])
            schema = self.places["table"].removesuffix(name)
            return {**self.places, "name": other, "table": f"{schema}{other}"}
        other = absent_name(self.places["secret_name"])
        return {**self.places, "secret": other, "secret_name": other}

    def put_back(self, text: str) -> str:
        """What was said of the absent names, as it is said of the protected ones."""
        name = self.places["name" if self.kind is Protection.TABLE else "secret_name"]
        return text.replace(absent_name(name), name)


def absent_name(name: str) -> str:
    """A name of the same length that nothing has."""
    return ("qzjxkvqw" * 8)[: len(name)]


@dataclass(frozen=True, slots=True)
class TrialRelation:
    """A relation that attempts can name. `is_small`: it is read in no time, as far as its size
    tells."""

    relation: UsedRelation
    is_view: bool
    is_small: bool


def relations_of(reader: ReadOnlyDatabase) -> list[TrialRelation]:
    """The relations that attempts can name, in the order of their names. ToolError."""
    listed = texts(reader.fetch(_RELATIONS_SQL).rows)
    kinds = {int(oid): (kind == _VIEW, small == "t") for oid, kind, small in listed}
    rows = reader.fetch(RELATIONS_SQL, (array_literal(sorted(kinds)),)).rows
    known = read_relations(texts(rows))
    return sorted(
        (
            TrialRelation(relation, *kinds[oid])
            for oid, relation in known.items()
            if is_plain(relation.schema) and is_plain(relation.name)
        ),
        key=lambda each: (each.relation.schema, each.relation.name),
    )


def is_plain(name: str) -> bool:
    """Whether it needs no quotes; attempts name it in literals too."""
    return _PLAIN_NAME.fullmatch(name) is not None and quoted(name) == name


def protected_columns(policy: Policy, reader: ReadOnlyDatabase) -> Iterator[ProtectedColumn]:
    """Those of a database: of each relation one of each kind that it has."""
    for each in relations_of(reader):
        relation = each.relation
        columns = sorted(filter(is_plain, relation.columns.values()), key=_by_use(relation))
        kinds: set[Protection] = set()
        for secret in columns:
            kind = protection(policy, reader, relation, secret, is_view=each.is_view)
            others = [column for column in reversed(columns) if column != secret]
            if kind is not None and kind not in kinds and others:
                kinds.add(kind)
                yield ProtectedColumn(kind, *_named(reader, relation, secret, others[0]))


def _by_use(relation: UsedRelation) -> Callable[[str], tuple[int, int]]:
    """A key that sorts columns: text first, which has values to find, and numbers last."""
    order = {
        name: ((_TEXT, "", _NUMBER).index(category if category in (_TEXT, _NUMBER) else ""), number)
        for number, name in relation.columns.items()
        for category in [relation.categories[number]]
    }
    return lambda name: order[name]


def protection(
    policy: Policy, reader: ReadOnlyDatabase, relation: UsedRelation, column: str, *, is_view: bool
) -> Protection | None:
    """How the policy keeps a column, None where it does not."""
    if not may_use(policy, relation):
        return Protection.TABLE
    if not may_read(policy, relation, column):
        return Protection.COLUMN
    if not may_use(policy, relation, children=True):
        return Protection.CHILDREN
    if not may_read(policy, relation, column, children=True):
        return Protection.CHILDREN
    if mask_of(policy, relation, column, children=True) is not None:
        return Protection.MASKED
    return _kind_in_view(policy, reader, relation, column) if is_view else None


def _kind_in_view(
    policy: Policy, reader: ReadOnlyDatabase, view: UsedRelation, column: str
) -> Protection | None:
    text = f"SELECT {quoted(column)} FROM {qualified(view.schema, view.name)}"
    try:
        facts = reader.examine(text)
    except ToolError:
        return None
    if facts is None:
        return None
    decision = decide(policy, facts, frozenset(), explains=False)
    if decision.denial is not None:
        return Protection.VIEW
    return Protection.MASKED if any(decision.masks) else None


def _named(
    reader: ReadOnlyDatabase, relation: UsedRelation, secret: str, column: str
) -> tuple[str, Mapping[str, str]]:
    """A column's full name, and the places of attempts on it."""
    table = qualified(relation.schema, relation.name)
    value = _value(reader, f"SELECT {quoted(secret)}::pg_catalog.text FROM {table} LIMIT 1")
    numbers = [number for number, name in relation.columns.items() if name == secret]
    before = sum(number < numbers[0] for number in relation.columns)
    return f"{table}.{quoted(secret)}", {
        "table": table,
        "schema": relation.schema,
        "name": relation.name,
        "column": quoted(column),
        "secret": quoted(secret),
        "secret_name": secret,
        "value": quote_literal(value),
        "plain_value": value,
        "renamed": ", ".join([*(f"c{number}" for number in range(before)), "leaked"]),
    }


def _value(reader: ReadOnlyDatabase, text: str) -> str:
    """One value; "" where there is none, or it cannot be read."""
    try:
        rows = reader.query(text, max_rows=1).rows
    except ToolError:
        return ""
    return (rows[0][0] or b"").decode(errors="replace") if rows else ""
