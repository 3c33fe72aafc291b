"""Answering for what a policy denies as PostgreSQL answers for what is not there.

PostgreSQL finds the hidden tables and columns that a text names, and so says something else of it
than it would without them. Here their names are replaced by names of the same length that nothing
has; what PostgreSQL says of that text is the answer, once the names are put back. Where that text
may run (a hidden column stood in front of another of its name), what it brings is the answer.

The rule: it depends on the text, on what may be read, and on which names are hidden, and on nothing
else. Pure.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pgmcp.config.patterns import is_system
from pgmcp.config.policies import Policy
from pgmcp.errors import StatementError, StatementRefusedError, ToolError
from pgmcp.policy.decision import may_read, may_use
from pgmcp.policy.facts import UsedRelation
from pgmcp.policy.names import Names
from pgmcp.postgres.rows import Rows, Value

_SHORT = 8
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_RARE_LETTERS = "".join(map(chr, range(0x4E00, 0x9FA6)))  # three bytes each in UTF-8
_TRIES = 100
_NAME_BYTES = 63  # NAMEDATALEN - 1: PostgreSQL cuts a longer name there

NAMES_SQL = """
SELECT c.oid, NULL FROM pg_catalog.pg_class c
WHERE c.relname = ANY ($1::name[]) AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
UNION ALL
SELECT NULL, n.nspname FROM pg_catalog.pg_namespace n WHERE n.nspname = ANY ($1::name[])"""
"""Relations, by their OIDs, and schemas that have one of these names."""


def hidden(
    policy: Policy,
    relations: Iterable[UsedRelation],
    schemas: Iterable[str],
    words: frozenset[str],
) -> frozenset[str]:
    """Those of the words that stand for nothing but what is denied, of these relations and
    schemas, which they name."""
    denied: set[str] = set()
    open_names: set[str] = set()
    for schema in schemas:
        known = is_system(schema) or _may_name(policy, schema)
        (open_names if known else denied).add(schema)
    for relation in relations:
        usable = may_use(policy, relation)
        (open_names if usable else denied).add(relation.name)
        for column in words & frozenset(relation.columns.values()) if usable else ():
            readable = may_read(policy, relation, column)
            (open_names if readable else denied).add(column)
    return frozenset(denied - open_names)


def _may_name(policy: Policy, schema: str) -> bool:
    """Whether there is something in a schema for the policy."""
    return policy.read.has_schema(schema) or any(
        name.rpartition(".")[0] == schema for name in policy.functions
    )


@dataclass(frozen=True, slots=True)
class Disguise:
    """A text whose hidden names are replaced, and the way back."""

    text: str
    originals: Mapping[str, str] = field(default_factory=dict)

    def put_back(self, message: str) -> str:
        """A message about this text as one about the caller's."""
        for other, name in self.originals.items():
            message = message.replace(other, name)
        return message

    def error(self, said: ToolError) -> ToolError:
        """An error about this text as one about the caller's."""
        if isinstance(said, StatementError):
            message = self.put_back(said.server.message)
            return StatementError(replace(said.server, message=message))
        return said

    def rows(self, rows: Rows) -> Rows:
        """What this text brought as what the caller's brings: a plan, and a row as JSON, hold
        names too."""
        columns = tuple(replace(each, name=self.put_back(each.name)) for each in rows.columns)
        return replace(rows, columns=columns, rows=[tuple(map(self._value, r)) for r in rows.rows])

    def _value(self, value: Value) -> Value:
        return value and self.put_back(value.decode(errors="surrogateescape")).encode(
            errors="surrogateescape"
        )


def disguise(text: str, names: Names, replaced: Iterable[str]) -> Disguise:
    """The text with these of its names replaced by others of the same length."""
    pieces: list[tuple[int, int, str]] = []
    originals: dict[str, str] = {}
    for name in replaced:
        others: dict[int, str] = {}  # the same for each place, so that they still mean one thing
        for start, end in names.places.get(name, ()):
            other = others.setdefault(end - start, _other(end - start, text))
            originals[other] = name if end - start == len(name) else text[start:end]
            originals[_cut(other)] = _cut(originals[other])
            pieces.append((start, end, other))
    parts, at = [], 0
    for start, end, other in sorted(pieces):
        parts += [text[at:start], other]
        at = end
    return Disguise("".join([*parts, text[at:]]), originals)


def _other(length: int, text: str) -> str:
    """A name of so many characters that the text does not hold; StatementRefusedError for a text
    that holds too many of them."""
    letters = _LETTERS if length >= _SHORT else _RARE_LETTERS
    for _ in range(_TRIES):
        other = "".join(secrets.choice(letters) for _ in range(length))
        if other not in text or length == 0:
            return other
    raise StatementRefusedError(
        "the names in this text cannot be told apart", "Leave out the long lists of letters in it."
    )


def _cut(name: str) -> str:
    """A name as PostgreSQL keeps it."""
    return name.encode()[:_NAME_BYTES].decode(errors="ignore")
