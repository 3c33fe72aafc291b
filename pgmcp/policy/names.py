"""The names that a statement's text holds, as PostgreSQL's lexer reads them. Pure, and linear."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pgmcp.policy.facts import LOOKING_UP, looks_up
from pgmcp.sql import lexer
from pgmcp.sql.names import clipped


@dataclass(frozen=True, slots=True)
class Names:
    """The names that a text holds: where each stands, by what PostgreSQL takes it for."""

    places: Mapping[str, Sequence[tuple[int, int]]]
    called: frozenset[str] = frozenset()
    """Those in front of an opening parenthesis."""
    escaped: bool = False
    """Whether there is one that is written with Unicode escapes, which are not read here."""

    @property
    def words(self) -> frozenset[str]:
        """The names."""
        return frozenset(self.places)

    def looking_up(self, allowed: Collection[str]) -> str | None:
        """A name in the text of a type or a function that looks objects up by name, None without
        one. PostgreSQL looks up what a literal names before there is a tree. `allowed`: functions,
        `schema.name` each."""
        allowed = {name.rpartition(".")[2] for name in allowed}
        types = sorted(self.words & frozenset(LOOKING_UP.values()))
        calls = sorted(name for name in self.called - allowed if looks_up(name))
        return next(iter(types + calls), None)


def names_in(text: str) -> Names:
    """The names in a text; linear in it."""
    places: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    called: set[str] = set()
    escaped, last = False, None
    for lexeme in lexer.lexemes(text):
        piece = text[lexeme.start : lexeme.end]
        if lexeme.kind == "word":
            last = clipped(_lowered(piece))
            places[last].append((lexeme.start, lexeme.end))
        elif lexeme.kind == "name":
            escaped = escaped or not piece.startswith('"')
            last = clipped(piece[1:-1].replace('""', '"'))
            places[last].append((lexeme.start + 1, lexeme.end - 1))
        else:
            if piece == "(" and last is not None:
                called.add(last)
            last = None
    return Names(places, frozenset(called), escaped)


def _lowered(word: str) -> str:
    """As PostgreSQL folds a bare word: ASCII letters only."""
    return re.sub("[A-Z]+", lambda capitals: capitals.group().lower(), word)
