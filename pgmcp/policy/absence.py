"""Answering for what a policy denies as PostgreSQL answers for what is not there.

PostgreSQL finds the hidden tables and columns that a text names, and so says something else of it
than it would without them. Here their names are replaced by names of the same length that nothing
has; what PostgreSQL says of that text is the answer, once the names are put back.

The rule: it depends on the text, on what may be read, and on which names are hidden, and on nothing
else. Pure.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pgmcp.config.patterns import Access
from pgmcp.config.policies import Policy
from pgmcp.policy.names import Names

_SHORT = 8
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_RARE_LETTERS = "".join(map(chr, range(0x450, 0x460)))  # two bytes each in UTF-8

NAMES_SQL = """
SELECT n.nspname, c.relname, a.attname
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
  AND NOT a.attisdropped AND a.attname = ANY ($1::name[])
WHERE c.relname = ANY ($1::name[]) AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')"""
"""Relations that have one of these names, each with its columns of these names; schema, relation,
and column or NULL."""

COLUMNS_SQL = """
SELECT DISTINCT a.attname FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relname = ANY ($1::name[]) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"""
"""The columns of all relations that have one of these names."""


def hidden(policy: Policy, rows: Iterable[tuple[str, str, str | None]]) -> frozenset[str]:
    """The names among the answer to NAMES_SQL that stand for nothing but what is denied."""
    denied: set[str] = set()
    open_names: set[str] = set()
    for schema, relation, column in rows:
        usable = policy.read.table(schema, relation) is Access.ALLOWED
        (open_names if usable else denied).add(relation)
        if usable and column is not None:
            readable = policy.read.column(schema, relation, column) is Access.ALLOWED
            (open_names if readable else denied).add(column)
    return frozenset(denied - open_names)


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


def disguise(text: str, names: Names, replaced: Iterable[str]) -> Disguise:
    """The text with these of its names replaced by others of the same length."""
    pieces: list[tuple[int, int, str]] = []
    originals = {}
    for name in replaced:
        for start, end in names.places.get(name, ()):
            other = _other(end - start, text)
            originals[other] = name if end - start == len(name) else text[start:end]
            pieces.append((start, end, other))
    parts, at = [], 0
    for start, end, other in sorted(pieces):
        parts += [text[at:start], other]
        at = end
    return Disguise("".join([*parts, text[at:]]), originals)


def _other(length: int, text: str) -> str:
    """A name of so many characters that the text does not hold."""
    letters = _LETTERS if length >= _SHORT else _RARE_LETTERS
    while True:
        other = "".join(secrets.choice(letters) for _ in range(length))
        if other not in text or length == 0:
            return other
