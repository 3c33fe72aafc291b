"""What the judge says of a statement, and where that holds.

The rule: a verdict holds in the state that it was found in. Where it holds longer, it says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from pgmcp.calls.trail import UsedNames
from pgmcp.errors import StatementRefusedError
from pgmcp.gate.bodies import SqlBody
from pgmcp.gate.dependencies import Dependencies
from pgmcp.gate.state import State
from pgmcp.judging.effects import Objection
from pgmcp.policy.facts import Facts


@dataclass(frozen=True, slots=True)
class Contents:
    """Whether a database has, in a state, what no statement names and any may meet:
    `lookups.ODD_RELATIONS`, policies, and foreign tables."""

    state: State
    odd_relations: bool
    policies: bool
    foreign_tables: bool


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a verdict holds."""

    contents: Contents
    """The state that it was found in, and what the database has there."""
    exact: bool
    """Whether the tree is that of the statement which is bound, and not only of another with the
    same text: before PostgreSQL 16 the tree in an EXPLAIN is not shown. Without it, only a state
    that stays the same says so."""
    lasting: bool
    """Whether it holds wherever the state is the same."""
    everywhere: bool = False
    """Whether it holds in any state, as the text names nothing that could be looked up."""
    dependencies: Dependencies | None = None
    """What it depends on, where that is known: it holds in any state in which that is unchanged."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of a text, and where that holds.

    A refusal is remembered too: to examine a statement again is work for the server, and for some
    roles an entry in its log.
    """

    scope: Scope
    objection: Objection | None
    """Why it may not run, None when it may."""
    bodies: tuple[SqlBody, ...] = ()
    """The functions in SQL that it runs, which read relations of their own."""
    reads_relations: bool = True
    """Whether it, or a body, names any."""
    rewritten: bool = True
    """Whether PostgreSQL puts something in their place or beside them when it runs the text, as for
    a view. What that reads is locked by then only if the bare text was parsed before."""
    leaves_nothing: bool = False
    """Whether what it calls is PostgreSQL's own, and no more than the judge lets through by itself.
    That has no effect but on settings, cursors and locks of its transaction, which ROLLBACK undoes.
    A type of users may be among it, where only PostgreSQL's functions read and write it.
    Nothing like that is known of functions of users and extensions, of foreign tables, or of what
    the operator vouches for: they may leave a lock of the session, for example."""
    facts: Facts | None = None
    """What it uses; None where nobody asked, or where it is too large to be read."""
    used: UsedNames | None = None
    """The names of that, for the audit; None likewise."""

    @property
    def state(self) -> State:
        """The state in which it was found."""
        return self.scope.contents.state

    def require_harmless(self) -> None:
        """StatementRefusedError unless the statement may run."""
        if self.objection is not None:
            raise refusal(self.objection)


class StateChangedError(Exception):
    """Something was committed while a statement was judged, so that the verdict is void."""


def refusal(objection: Objection) -> StatementRefusedError:
    """The error of a statement that may not run."""
    error = StatementRefusedError(
        f"This statement may not run here: {objection.reason}.",
        objection.hint or "Nothing was run: send the statement without that.",
    )
    error.gate = "judge"
    return error
