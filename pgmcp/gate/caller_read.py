"""A caller's text as the steps of a transaction, by what is done with it.

The rule: the caller's text is parsed and bound by itself, in a step of its own, so that what is
judged can be looked at before anything runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pgmcp.postgres.messages import CATALOGUE_PATH, SESSION_PATH, Outcome, Step
from pgmcp.postgres.rows import Params
from pgmcp.sql import text as sql

_LOCK_NOT_AVAILABLE = "55P03"
_PORTAL = "pgmcp_bound"
_ESTIMATE = "pgmcp_estimate"
_EXPLAIN = "EXPLAIN (FORMAT JSON)\n"


@dataclass(frozen=True, slots=True)
class CallerRead:
    """A caller's text as steps: `bound` parse it, and bind it last; `opened` plans what was bound,
    and `fetched` reads it. An EXPLAIN plans and reads in one, `opened`.

    `only_planned`: it may be a write, since nothing of it runs but what the planner calls. `runs`:
    it is more than planned. `estimate` brings its plan, and is None where that is not wanted.
    `guessed`: it is no caller's, and looks for what a caller may mean.
    """

    text: str
    bound: tuple[Step, ...]
    opened: Step
    fetched: tuple[Step, ...] = ()
    only_planned: bool = False
    guessed: bool = False
    runs: bool = True
    estimate: Step | None = None

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


def estimated(reading: CallerRead) -> CallerRead:
    """The same, with an EXPLAIN of its text that is parsed and bound with it, and judged as it is;
    but before PostgreSQL 16, which shows no tree of an EXPLAIN."""
    *first, last = reading.bound
    gate = first or [last._replace(params=(), portal="")]
    prefix = len(_EXPLAIN) + gate[0].prefix - len(sql.GATE)
    text = _EXPLAIN + reading.text
    bound = Step(text, last.params, prefix=prefix, execute=False, portal=_ESTIMATE)
    estimate = Step("", prefix=prefix, portal=_ESTIMATE, parse=False)
    return replace(reading, bound=(*gate, bound, last), estimate=estimate)


def explained(
    options: str, text: str, params: Params, shift: int = 0, *, runs: bool = False
) -> CallerRead:
    """EXPLAIN (`options`) a text that has to be a single read by itself; `runs`: ANALYZE is among
    the options."""
    head = f"EXPLAIN ({options or 'FORMAT TEXT'})\n"
    gate = Step(sql.GATE + text, prefix=len(sql.GATE) + shift, execute=False)
    prefix = len(head) + shift
    bound = Step(head + text, params, prefix=prefix, execute=False, portal=_PORTAL)
    opened = Step("", prefix=prefix, describe=True, portal=_PORTAL, parse=False)
    return CallerRead(text, (gate, bound), opened, runs=runs)


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


def must_wait(steps: Sequence[Step], outcome: Outcome, reading: CallerRead) -> bool:
    """Whether it was for want of a lock that the statement was not planned."""
    failure = outcome.failure
    return (
        failure is not None
        and failure.server.sqlstate == _LOCK_NOT_AVAILABLE
        and steps[failure.step] in (reading.opened, reading.estimate)
    )
