"""A principal's policy at one database: what is refused before a text is sent, and what is said of
a text that PostgreSQL or the policy refused.

The rule: a hidden table or column is answered as PostgreSQL answers without it. Whatever the reason
of a refusal, the answer is looked for in the same way, so that the way tells nothing either.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from pgmcp.config.policies import Policy
from pgmcp.errors import StatementError, ToolError
from pgmcp.gate.inspection import CHECKED_DOMAINS_SQL
from pgmcp.policy import absence, refusals
from pgmcp.policy.absence import Disguise
from pgmcp.policy.canaries import UTILITIES, looked_up, named_canaries
from pgmcp.policy.decision import Denial, DenialReason
from pgmcp.policy.facts import RELATIONS_SQL, UsedRelation, read_relations
from pgmcp.policy.names import Names, names_in
from pgmcp.postgres.rows import Fetch, texts
from pgmcp.sql import text as sql
from pgmcp.sql.names import array_literal

_UNDEFINED_TABLE = "42P01"
_ABOUT_NAMES = "42"  # SQLSTATE class: syntax error or access rule violation
# Classes of what PostgreSQL says before a statement runs: a literal that its column's type does not
# take, a feature that its tables do not have.
_BEFORE_RUNNING = frozenset({_ABOUT_NAMES, "22", "0A"})


@dataclass(frozen=True, slots=True)
class Restriction:
    """`fetch` runs a statement of pgmcp's own."""

    policy: Policy
    fetch: Fetch

    def require_readable(self, text: str) -> None:
        """ToolError for a text whose names cannot be told from it, whatever there is."""
        names = names_in(text)
        if names.escaped:
            raise refusals.unreadable_names()
        if (name := names.looking_up(self.policy.functions)) is not None:
            raise refusals.refusal(Denial(DenialReason.LOOK_UP, name))

    def canaries_tried(
        self, text: str, parse: Callable[[str], ToolError | None]
    ) -> tuple[str, ...]:
        """The canaries that a text was meant for of which PostgreSQL has made no tree: tables that
        it looks for by their names, or names to look up. `parse` as in `answer`."""
        rules = self.policy.canaries
        if not rules:
            return ()
        names = names_in(text)
        literals = looked_up(text, names)
        tables = named_canaries(rules, self._named(names.words | literals)[0])
        surely = literals
        if sql.first_word(text) in UTILITIES:  # PostgreSQL looks for nothing until it runs
            surely |= names.words
        return tuple(
            sorted(
                name
                for name, word in tables.items()
                if word in surely or _looks_for(absence.disguise(text, names, {word}), parse)
            )
        )

    def answer(
        self,
        text: str,
        error: ToolError,
        denial: Denial | None,
        parse: Callable[[str], ToolError | None],
    ) -> ToolError | Disguise:
        """What to say of a text that may not run, or the text to run instead of it: the same one
        where nothing that is hidden is there.

        `error`: what would be said without a policy; `denial`: what the policy has against it;
        `parse` has PostgreSQL parse a text, and returns what it says against it, None when nothing.
        """
        names = names_in(text)
        relations, schemas = self._named(names.words)
        hidden = absence.hidden(self.policy, relations, schemas, names.words)
        if denial is not None:
            hidden |= denial.tables | denial.columns
        if replaced := hidden & names.words:
            disguise = absence.disguise(text, names, replaced)
            said = parse(disguise.text)
            if said is not None:
                error = disguise.error(said)
            elif denial is not None or _is_before_running(error):
                return disguise
        elif denial is None and self._may_call_unseen(error) and parse(text) is not None:
            return refusals.refusal(Denial(DenialReason.UNNAMED, ""))
        return _told(error, names, relations)

    def _may_call_unseen(self, error: ToolError) -> bool:
        """Whether an error may come of a function that PostgreSQL calls before there is a tree: the
        check of a domain, which it makes for literals inside arrays and rows."""
        if not isinstance(error, StatementError) or error.server.sqlstate[:2] == _ABOUT_NAMES:
            return False
        return bool(self.fetch(CHECKED_DOMAINS_SQL, ()).rows)

    def answer_instead(self, text: str, error: ToolError, disguise: Disguise) -> ToolError:
        """What to say of a text that `disguise` was run for, with this error."""
        names = names_in(text)
        return _told(disguise.error(error), names, self._named(names.words)[0])

    def _named(self, words: frozenset[str]) -> tuple[list[UsedRelation], list[str]]:
        """The relations and the schemas that have one of these names."""
        known = self._texts(absence.NAMES_SQL, (array_literal(sorted(words)),))
        oids = array_literal(oid for oid, _ in known if oid)
        relations = read_relations(self._texts(RELATIONS_SQL, (oids,)))
        return list(relations.values()), [schema for _, schema in known if schema]

    def _texts(self, sql: str, params: tuple[str]) -> list[tuple[str, ...]]:
        return texts(self.fetch(sql, params).rows)


def _told(error: ToolError, names: Names, relations: Iterable[UsedRelation]) -> ToolError:
    """The error without what tells of columns of these relations that the caller has not named."""
    if not isinstance(error, StatementError) or error.server.sqlstate[:2] != _ABOUT_NAMES:
        return error
    columns = frozenset(name for each in relations for name in each.columns.values())
    unnamed = columns - names.words
    message = error.server.message
    if unnamed & set(re.findall(r"\w+", message)) or any(
        name in message for name in unnamed if not name.isidentifier()
    ):
        return refusals.unnamed_columns()
    return StatementError(replace(error.server, detail="", hint=""))


def _looks_for(disguise: Disguise, parse: Callable[[str], ToolError | None]) -> bool:
    """Whether PostgreSQL looks for a table by the name that is replaced, when it reads a text."""
    said = parse(disguise.text)
    return (
        isinstance(said, StatementError)
        and said.server.sqlstate == _UNDEFINED_TABLE
        and any(other in said.server.message for other in disguise.originals)
    )


def _is_before_running(error: ToolError) -> bool:
    return not isinstance(error, StatementError) or error.server.sqlstate[:2] in _BEFORE_RUNNING
