"""A principal's policy at one database: what is refused before a text is sent, and what is said of
a text that PostgreSQL or the policy refused.

The rule: a hidden table or column is answered as PostgreSQL answers without it. Whatever the reason
of a refusal, the answer is looked for in the same way, so that the way tells nothing either.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from pgmcp.config.policies import Policy
from pgmcp.errors import StatementError, ToolError
from pgmcp.policy import absence, refusals
from pgmcp.policy.decision import Denial, DenialReason
from pgmcp.policy.names import Names, names_in
from pgmcp.postgres.rows import Fetch, texts
from pgmcp.sql.names import array_literal

_ABOUT_NAMES = "42"  # SQLSTATE class: syntax error or access rule violation


@dataclass(frozen=True, slots=True)
class Restriction:
    """`fetch` runs a statement of pgmcp's own; `parse` has PostgreSQL parse a caller's text, and
    returns what it says against it, None when nothing."""

    policy: Policy
    fetch: Fetch
    parse: Callable[[str], ToolError | None]

    def require_readable(self, text: str) -> None:
        """ToolError for a text whose names cannot be told from it, whatever there is."""
        names = names_in(text)
        if names.escaped:
            raise refusals.unreadable_names()
        if (name := names.looking_up(self.policy.functions)) is not None:
            raise refusals.refusal(Denial(DenialReason.LOOK_UP, name))

    def answer(self, text: str, error: ToolError, denial: Denial | None = None) -> ToolError:
        """What to say of a text that may not run. `error`: what would be said without a policy;
        `denial`: what the policy has against it."""
        names = names_in(text)
        known = (array_literal(sorted(names.words)),)
        rows = self._texts(absence.NAMES_SQL, known)
        hidden = absence.hidden(self.policy, [(s, t, c or None) for s, t, c in rows])
        if denial is not None:
            hidden |= denial.tables | denial.columns
        if hidden:
            disguise = absence.disguise(text, names, hidden & names.words)
            said = self.parse(disguise.text)
            if said is not None:
                error = _put_back(said, disguise)
        return self._told(error, names, known)

    def _told(self, error: ToolError, names: Names, known: tuple[str]) -> ToolError:
        """The error without what tells of names that the caller has not named."""
        if not isinstance(error, StatementError) or error.server.sqlstate[:2] != _ABOUT_NAMES:
            return error
        columns = {column for (column,) in self._texts(absence.COLUMNS_SQL, known)}
        unnamed = columns - names.words
        message = error.server.message
        if unnamed & set(re.findall(r"\w+", message)) or any(
            name in message for name in unnamed if not name.isidentifier()
        ):
            return refusals.unnamed_columns()
        return StatementError(replace(error.server, detail="", hint=""))

    def _texts(self, sql: str, params: tuple[str]) -> list[tuple[str, ...]]:
        return texts(self.fetch(sql, params).rows)


def _put_back(said: ToolError, disguise: absence.Disguise) -> ToolError:
    """An error about a disguised text as one about the caller's."""
    if isinstance(said, StatementError):
        message = disguise.put_back(said.server.message)
        return StatementError(replace(said.server, message=message))
    return said
