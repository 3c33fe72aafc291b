"""A caller's text as the steps of a transaction, by what is done with it.

The rule: the caller's text is parsed and bound by itself, in a step of its own, so that what is
judged can be looked at before anything runs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pgmcp.postgres.messages import CATALOGUE_PATH, SESSION_PATH, Step
from pgmcp.postgres.rows import Params
from pgmcp.sql import text as sql

_PORTAL = "pgmcp_bound"


@dataclass(frozen=True, slots=True)
class CallerRead:
    """A caller's text as steps: `bound` parse it, and bind it last; `opened` plans what was bound,
    and `fetched` reads it. An EXPLAIN plans and reads in one, `opened`.

    `only_planned`: it may be a write, since nothing of it runs but what the planner calls.
    `guessed`: it is no caller's, and looks for what a caller may mean.
    """

    text: str
    bound: tuple[Step, ...]
    opened: Step
    fetched: tuple[Step, ...] = ()
    only_planned: bool = False
    guessed: bool = False

    @property
    def key(self) -> str:
        """What its verdict is kept under. No caller's text begins with NUL: a write that may be
        planned may still not run."""
        return "\0" + self.text if self.only_planned else self.text


def gated(text: str, params: Params, fetched: tuple[Step, ...], shift: int = 0) -> CallerRead:
    """A text that has to be a single read, by PostgreSQL's grammar, and how its cursor is read.

    `shift`: how many of its characters are not the caller's.
    """
    prefix = len(sql.GATE) + shift
    bound = Step(sql.GATE + text, params, prefix=prefix, execute=False, portal=_PORTAL)
    opened = Step("", prefix=prefix, portal=_PORTAL, parse=False)
    return CallerRead(text, (bound,), opened, fetched)


def read_rows(text: str, params: Params, max_rows: int, offset: int, shift: int = 0) -> CallerRead:
    """As `gated`, read from the row `offset` on."""
    prefix = len(sql.GATE) + shift
    fetch = Step(
        "", prefix=prefix, max_rows=max_rows, describe=True, portal=sql.CURSOR, parse=False
    )
    if not offset:
        return gated(text, params, (fetch,), shift)
    move = Step(f"MOVE FORWARD {offset:d} FROM {sql.CURSOR}", prefix=prefix)
    return gated(text, params, (move, fetch), shift)


def explained(options: str, text: str, params: Params, shift: int = 0) -> CallerRead:
    """EXPLAIN (`options`) a text that has to be a single read by itself."""
    head = f"EXPLAIN ({options or 'FORMAT TEXT'})\n"
    gate = Step(sql.GATE + text, prefix=len(sql.GATE) + shift, execute=False)
    prefix = len(head) + shift
    bound = Step(head + text, params, prefix=prefix, execute=False, portal=_PORTAL)
    opened = Step("", prefix=prefix, describe=True, portal=_PORTAL, parse=False)
    return CallerRead(text, (gate, bound), opened)


def planned(options: str, text: str, params: Params, shift: int = 0) -> CallerRead:
    """EXPLAIN (`options`) a text that may also be an INSERT, UPDATE, DELETE or MERGE. ANALYZE may
    not be among the options.

    The bare text has to be a single statement, which is parsed and not run: its tree has the rules,
    defaults, views and policies put in, and what that reads is locked.
    """
    reading = explained(options, text, params, shift)
    bare = Step(text, prefix=shift, execute=False)
    return replace(reading, bound=(bare, *reading.bound[1:]), only_planned=True)


def own(text: str, params: Params) -> tuple[Step, ...]:
    """The steps of a statement of pgmcp's own, which brings rows: its operators are looked up with
    PostgreSQL's own search_path, and it runs with the session's, for names that depend on it."""
    return (
        CATALOGUE_PATH,
        Step(text, params, execute=False, portal=_PORTAL),
        SESSION_PATH,
        Step("", describe=True, portal=_PORTAL, parse=False),
    )
