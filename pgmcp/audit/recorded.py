"""What calls have used, as the records of an audit name it.

The rule: only calls that were answered count, and none that used a canary: what somebody tried is
nothing to allow. Records of versions that did not name what a call used are counted and left out.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class DatabaseUse:
    """What was used of one database, as `calls.trail.UsedNames` has it."""

    relations: dict[str, set[str]] = field(default_factory=dict)
    behind_views: dict[str, set[str]] = field(default_factory=dict)
    first_columns: dict[str, str] = field(default_factory=dict)
    functions: set[str] = field(default_factory=set)

    def add(self, record: Mapping[str, Any]) -> None:
        """Count a record of a call."""
        for name, known in (("relations", self.relations), ("behind_views", self.behind_views)):
            for relation, columns in record.get(name, {}).items():
                known.setdefault(relation, set()).update(columns)
        self.first_columns |= record.get("first_columns", {})
        self.functions.update(record.get("functions", ()))

    def columns(self, relation: str, *sides: Mapping[str, set[str]]) -> list[str]:
        """The columns of a relation that are used on any of these sides; where none is, its first
        column, as far as it is known."""
        used = set().union(*(side.get(relation, set()) for side in sides))
        if not used and relation in self.first_columns:
            return [self.first_columns[relation]]
        return sorted(used)


@dataclass(slots=True)
class RecordedUse:
    """What was used, by the names of databases. `calls` were counted; `unnamed` are those that do
    not say what they used, and `baited` those that used a canary."""

    databases: dict[str, DatabaseUse] = field(default_factory=dict)
    tools: set[str] = field(default_factory=set)
    calls: int = 0
    unnamed: int = 0
    baited: int = 0

    def add(self, record: Mapping[str, Any]) -> None:
        """Count the record of a call that was answered."""
        if record.get("canaries"):
            self.baited += 1
            return
        if record.get("sql_fingerprints") and "relations" not in record:
            self.unnamed += 1
            return
        self.calls += 1
        if record.get("method") == "tools/call":
            self.tools.add(record["name"])
        if (database := record.get("database")) is not None:
            self.databases.setdefault(database, DatabaseUse()).add(record)


def recorded_use(
    records: Iterable[Mapping[str, Any]], kind: str | None = None, name: str | None = None
) -> RecordedUse:
    """What the calls of these records used. `kind` and `name`: of the principal, None for all."""
    use = RecordedUse()
    for record in records:
        if record.get("event") != "call" or record.get("outcome") != "ok":
            continue
        if kind is None or (record.get("kind"), record.get("principal")) == (kind, name):
            use.add(record)
    return use
