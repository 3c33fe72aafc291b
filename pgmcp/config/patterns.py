"""The list `read` of a policy: patterns of tables and columns, of which the last match decides.

The rule: what no pattern matches may not be read, and `*` for a schema never means PostgreSQL's
own. Names are compared exactly; one that SQL would quote is quoted here too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

_PART = re.compile(r'"((?:[^"]|"")+)"|([^".*\s]+)|(\*)')
_NOT = re.compile(r"not\s+", re.IGNORECASE)
_SYSTEM_SCHEMAS = ("information_schema", "pg_")


class Access(Enum):
    """What a list says of a table or a column."""

    ALLOWED = "allowed"
    DENIED = "denied"
    """A `not` line names it."""
    UNNAMED = "unnamed"
    """No line matches it, so that it may not be read."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line. None matches every name; `column` None: the whole table."""

    text: str
    schema: str | None
    table: str | None
    column: str | None
    denies: bool

    def covers(self, schema: str, table: str) -> bool:
        """Whether it is about this table, or about one of its columns."""
        if self.schema is None and is_system(schema):
            return False
        return self.schema in (None, schema) and self.table in (None, table)


@dataclass(frozen=True, slots=True)
class ReadRules:
    """The lines of `read`, in their order."""

    patterns: tuple[Pattern, ...] = ()

    def column(self, schema: str, table: str, column: str) -> Access:
        """Whether this column may be read."""
        for pattern in reversed(self.patterns):
            if pattern.column in (None, column) and pattern.covers(schema, table):
                return Access.DENIED if pattern.denies else Access.ALLOWED
        return Access.UNNAMED

    def table(self, schema: str, table: str) -> Access:
        """Whether this table may be read: at least one of its columns, or that it has rows."""
        for pattern in reversed(self.patterns):
            if not pattern.covers(schema, table):
                continue
            if not pattern.denies:
                return Access.ALLOWED
            if pattern.column is None:
                return Access.DENIED
        return Access.UNNAMED

    def has_schema(self, schema: str) -> bool:
        """Whether a line allows something in a schema, if it is there."""
        return any(
            pattern.schema in (None, schema) and not pattern.denies for pattern in self.patterns
        )


@dataclass(frozen=True, slots=True)
class CanaryRules(ReadRules):
    """The lines of `canaries`: what they allow, nobody has a reason to read. False: without any."""

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def holds_table(self, schema: str, table: str) -> bool:
        """Whether the whole table is one; of a column `column` says it."""
        for pattern in reversed(self.patterns):
            if pattern.column is None and pattern.covers(schema, table):
                return not pattern.denies
        return False

    def names(self, schema: str, table: str, column: str | None = None) -> bool:
        """Whether a table is one, or this column of it."""
        if column is None:
            return self.holds_table(schema, table)
        return self.column(schema, table, column) is Access.ALLOWED


def is_system(schema: str) -> bool:
    """Whether a schema is PostgreSQL's own."""
    return schema.startswith(_SYSTEM_SCHEMAS)


def parse(line: str) -> Pattern:
    """A line as a pattern; ValueError with what is wrong."""
    text = line.strip()
    negation = _NOT.match(text)
    names = _names(text[negation.end() :] if negation else text)
    if not 2 <= len(names) <= 3 or (len(names) == 3 and None in names):
        raise ValueError(f"{line!r} names no table and no column")
    if names[0] is None and names[1] is not None:
        raise ValueError(f"{line!r} names a table without its schema")
    column = names[2] if len(names) == 3 else None
    return Pattern(text, names[0], names[1], column, denies=negation is not None)


def _names(text: str) -> list[str | None]:
    """The names between the dots, None for `*`; [] when the text is something else."""
    names: list[str | None] = []
    at = 0
    while part := _PART.match(text, at):
        in_quotes, bare, _ = part.groups()
        names.append(in_quotes.replace('""', '"') if in_quotes else bare)
        at = part.end()
        if at == len(text):
            return names
        if text[at] != ".":
            break
        at += 1
    return []
