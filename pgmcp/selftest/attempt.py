"""Attempts as text that a person can read and add to.

A family begins with a line `# its name: what it tries`. Each further line is an attempt: SQL for
query_database, or another tool's name and its arguments as JSON. `reads:` before it says that an
answer is no failure, as long as nothing has changed afterwards. `<table>`, `<column>`, `<sequence>`
and `<witness>` (a backend's process id) stand for what the database has; so do the places that
attempts on a policy have.

The rule: pure; text in, values out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_TOOL = re.compile(r"([a-z]+_[a-z_]+) (\{.*\})")
_PLACE = re.compile(
    "<(table|column|sequence|witness"  # see `witness`
    "|schema|name|secret|secret_name|value|plain_value|renamed"  # see `leaks`
    "|number|text|other|other_number)>"  # see `ordinary`
)
_READS = "reads:"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of a tool. `may_answer`: an answer is expected, or at least no failure."""

    text: str
    tool: str
    arguments: Mapping[str, Any]
    may_answer: bool = False

    def needs(self) -> frozenset[str]:
        """The places that have to be filled before it can run."""
        return frozenset(_PLACE.findall(json.dumps(self.arguments)))

    def filled(self, places: Mapping[str, str]) -> dict[str, Any]:
        """The arguments with the places filled."""

        def fill(value: Any) -> Any:
            if isinstance(value, str):
                return _PLACE.sub(lambda place: places[place[1]], value)
            if isinstance(value, list):
                return [fill(item) for item in value]
            if isinstance(value, dict):
                return {key: fill(item) for key, item in value.items()}
            return value

        return {key: fill(value) for key, value in self.arguments.items()}


@dataclass(frozen=True, slots=True)
class AttemptFamily:
    """Attempts of one kind: what they try."""

    name: str
    tries: str
    attempts: tuple[Attempt, ...]


def parse(texts: Iterable[str]) -> tuple[AttemptFamily, ...]:
    """The families of several texts. ValueError for a line that is none."""
    families: list[tuple[str, str, list[Attempt]]] = []
    for line in (line.strip() for text in texts for line in text.splitlines()):
        if line.startswith("# "):
            name, _, tries = line[2:].partition(": ")
            families.append((name, tries, []))
        elif line:
            families[-1][2].append(_attempt(line))
    return tuple(AttemptFamily(name, tries, tuple(attempts)) for name, tries, attempts in families)


def _attempt(line: str) -> Attempt:
    may_answer = line.startswith(_READS)
    text = line.removeprefix(_READS).strip()
    named = _TOOL.fullmatch(text)
    if named is None:
        return Attempt(text, "query_database", {"query": text}, may_answer)
    return Attempt(text, named[1], json.loads(named[2]), may_answer)
