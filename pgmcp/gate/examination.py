"""Looking at a caller's text without running it: the steps that have PostgreSQL show what it makes
of the text, and what their replies say.

The rule: what is examined is parsed and bound by these very steps, so that what is bound can be run
afterwards in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pgmcp.errors import StatementRefusedError
from pgmcp.gate import trees
from pgmcp.gate.caller_read import CallerRead
from pgmcp.gate.state import READ_INVALIDATIONS, SHOW_STATE, State, state_of
from pgmcp.gate.verdict import refusal
from pgmcp.judging import effects, expansion
from pgmcp.judging.effects import Objection
from pgmcp.postgres.messages import Reply, Step


@dataclass(frozen=True, slots=True)
class Examined:
    """What PostgreSQL showed of a text, of which nothing has run.

    `trees`: the statement as it was analysed, several times where it was parsed several times.
    `state`: the state that was shown before, and `locks` what `state.all_invalidations_sent` takes.
    `exact`: the tree of the statement that is bound is among them. `same_relations`: all parses
    found the same tables by the names in the text, as far as the trees tell.
    """

    text: str
    server_major: int
    only_planned: bool
    trees: Sequence[str]
    state: State
    locks: str
    exact: bool
    same_relations: bool = True


@dataclass(frozen=True, slots=True)
class Examination:
    """The examination of a text on a server of this version: `steps`, for inside a transaction, and
    `read` for their replies."""

    reading: CallerRead
    server_major: int
    steps: tuple[Step, ...]

    @classmethod
    def of(cls, reading: CallerRead, server_major: int) -> Examination:
        """StatementRefusedError for a text that PostgreSQL could not even analyse at a bearable
        cost."""
        if (too_much := expansion.objection(reading.text)) is not None:
            raise refusal(Objection(too_much))
        # The order matters: what is parsed is no older than the state, and locked when looked at.
        before = (SHOW_STATE, READ_INVALIDATIONS, trees.show(server_major))
        return cls(reading, server_major, (*before, *reading.bound, *trees.HIDE))

    def read(self, replies: Sequence[Reply]) -> Examined:
        """`replies`: those of a transaction so far, in which the steps came last.

        StatementRefusedError where PostgreSQL did not show the statement, or may not plan it.
        """
        shown_state, _, _, *others = replies[-len(self.steps) :]
        bound = others[: len(self.reading.bound)]
        state, locks = state_of(shown_state.rows[0])
        by_reply = [trees.bound(reply) for reply in bound]
        same_relations = True
        if self.reading.only_planned:
            bare = trees.rewritten(bound[0])
            by_reply[0] = [bare]
            same_relations = self._check_planned(bare, by_reply[-1])
        shown = [tree for of_reply in by_reply for tree in of_reply]
        if not state.snapshot or not shown:
            raise not_shown()
        return Examined(
            self.reading.text,
            self.server_major,
            self.reading.only_planned,
            shown,
            state,
            locks,
            exact=bool(by_reply[-1]),
            same_relations=same_relations,
        )

    def _check_planned(self, bare: str, explained: Sequence[str]) -> bool:
        """Whether the text in EXPLAIN names no other tables than the bare text did when it was
        parsed; StatementRefusedError for what EXPLAIN may not plan."""
        if not trees.can_be_planned("".join([bare, *explained]), self.server_major):
            raise StatementRefusedError(
                "EXPLAIN shows the plan of a SELECT, VALUES, TABLE, WITH, INSERT, UPDATE, DELETE or"
                " MERGE here, and of nothing else.",
                "Nothing was run. A rule of the table may have put something else in its place.",
            )
        again = effects.objects_in("".join(explained)).relations
        return again <= effects.objects_in(bare).relations


def not_shown() -> StatementRefusedError:
    """The error where nothing can be said of a statement."""
    return StatementRefusedError(
        "PostgreSQL did not show what this statement would do, so it was not run.",
        "Try again, or send a simpler statement.",
    )
