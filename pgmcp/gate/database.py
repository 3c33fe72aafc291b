"""A database as tools see it: each call is one read-only transaction on a leased connection.

The rule: a caller's text runs only behind `sql.GATE`, or as a SHOW, or inside EXPLAIN after the
gate has taken it; only after the judge has let through what it would call; only over the extended
protocol; and always inside BEGIN READ ONLY, with a snapshot taken first, and ROLLBACK.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from pgmcp.calls.call import Call
from pgmcp.catalog import read as catalog_read
from pgmcp.catalog.cache import CatalogueCache
from pgmcp.catalog.catalogue import Catalogue
from pgmcp.config import model
from pgmcp.errors import (
    CallEndedError,
    ConnectionLostError,
    ServerMessage,
    StatementError,
    StatementRefusedError,
    ToolError,
)
from pgmcp.gate.judge import ALTERED, SAME_STATE, Judge
from pgmcp.pool.pool import Pool, PoolClosedError
from pgmcp.postgres.messages import Failure, Outcome, Step
from pgmcp.postgres.port import Rows
from pgmcp.sql import text as sql

if TYPE_CHECKING:
    # pg8000 takes longer to load than the rest of the server: the first connection loads it.
    from pgmcp.postgres.driver import Connection

T = TypeVar("T")
Params = tuple[str | None, ...]

OWN_RESULT_BYTES = 128 * 1024 * 1024
"""The most that a statement of pgmcp's own may bring; the catalogue of a huge database fits."""
RESTED_SECONDS = 1.0
"""A connection idle for longer may have died without a sign; one used just now has not."""

_SYNTAX_ERROR = "42601"
_READ_ONLY_VIOLATION = "25006"
_QUERY_CANCELED = "57014"
_PROTOCOL_VIOLATION = "08P01"
# what the gate says of statements that are none: syntax, WITH … (INSERT …), cursor definition
_GATE_REFUSALS = frozenset({_SYNTAX_ERROR, "0A000", "42P11"})

_BEGIN = Step("BEGIN READ ONLY")
# A SELECT, and so the snapshot after which no SET TRANSACTION READ WRITE is accepted.
# cursor_tuple_fraction: plan a cursor for all of its rows, as the bare statement would be.
_SETTINGS = (
    "SELECT pg_catalog.set_config('statement_timeout', $1, true),"
    " pg_catalog.set_config('lock_timeout', $2, true),"
    " pg_catalog.set_config('cursor_tuple_fraction', '1', true)"
)
_SETTINGS_IF_UNALTERED = f"{_SETTINGS}, {SAME_STATE}"
_OPENING_STEPS = 2


class ReadOnlyDatabase:
    """`db.port.Database` for one call; it leases a connection for each statement."""

    def __init__(
        self,
        settings: model.Database,
        pool: Callable[[], Pool],
        judge: Judge,
        catalogues: CatalogueCache,
        call: Call,
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._judge = judge
        self._catalogues = catalogues
        self._call = call

    @property
    def name(self) -> str:
        """The name in the configuration."""
        return self._settings.name

    @property
    def label(self) -> str:
        """`user@host:port/database`, for people; never the password."""
        return self._settings.label

    # -- what tools ask ----------------------------------------------------------------------------

    def query(
        self,
        text: str,
        params: Params = (),
        *,
        max_rows: int,
        offset: int = 0,
    ) -> Rows:
        """Run a caller's SELECT, VALUES, TABLE or WITH, and return `max_rows` from `offset` on."""
        steps = [_gated(text, params)]
        if offset:
            steps.append(Step(f"MOVE FORWARD {offset:d} FROM {sql.CURSOR}", prefix=len(sql.GATE)))
        steps.append(
            Step(
                f"FETCH FORWARD {max_rows + 1:d} FROM {sql.CURSOR}",
                prefix=len(sql.GATE),
                describe=True,
            )
        )
        rows = self._read(text, steps)
        more = len(rows.rows) > max_rows
        return Rows(rows.columns, rows.rows[:max_rows], more, rows.cut_bytes)

    def show(self, text: str) -> Rows:
        """Run a caller's SHOW: the grammar has no other statement that begins with this word."""
        if sql.first_word(text) != "show":
            raise StatementRefusedError("Only SHOW is allowed here")
        steps = [*self._opening(), Step(text, describe=True)]
        with self._call.counting():
            return self._rows(text, steps, self._run(steps, self._settings.max_result_bytes))

    def explain(self, options: str, text: str, params: Params = ()) -> Rows:
        """EXPLAIN (`options`) a statement that the gate accepts; ANALYZE among them runs it."""
        head = f"EXPLAIN ({options or 'FORMAT TEXT'})\n"
        explain = Step(head + text, params, prefix=len(head), describe=True)
        return self._read(text, [_gate_only(text), explain])

    def fetch(self, text: str, params: Params = ()) -> Rows:
        """Run a statement of pgmcp's own, past no gate; all of its rows or an error."""
        steps = [*self._opening(), Step(text, params, describe=True)]
        outcome = self._run(steps, OWN_RESULT_BYTES)
        if outcome.failure is not None:
            raise self._statement_error(outcome.failure, steps)
        reply = outcome.replies[-1]
        if reply.cut:
            raise ToolError(f"the catalogue of {self.name} is over {OWN_RESULT_BYTES} bytes")
        return Rows(reply.columns, reply.rows)

    def catalogue(self) -> Catalogue:
        """The tables this principal may see, as they are now."""
        return catalog_read.read(self.fetch)

    def of_catalogue(self, make: Callable[[Catalogue], T]) -> T:
        """What `make` makes of the catalogue, kept until the catalogue changes."""
        return self._catalogues.get(make, self.fetch)

    # -- one transaction ---------------------------------------------------------------------------

    def _read(self, text: str, steps: Sequence[Step]) -> Rows:
        """Run the steps of a caller's text, once it is judged; the last one brings the rows."""
        sql.encode(text)

        def work(connection: Connection) -> tuple[Sequence[Step], Outcome]:
            return self._run_judged(connection, text, steps)

        return self._rows(text, *self._leased(work))

    def _run_judged(
        self, connection: Connection, text: str, steps: Sequence[Step]
    ) -> tuple[Sequence[Step], Outcome]:
        """The steps' outcome, in one write if the text was judged in this state, or its refusal;
        else the examination, the judge's questions and the steps are one transaction in several."""
        call, limit = self._call, self._settings.max_result_bytes
        known = self._judge.known(text)
        if known is not None:
            # What is refused is not sent: only that the state is still the same is asked.
            group = [*self._opening(known.state), *(steps if known.objection is None else ())]
            with call.counting():
                outcome = connection.run(group, call, limit_bytes=limit)
            if not _altered(outcome):
                if outcome.failure is None:
                    known.require_harmless()
                return group, outcome
            connection.settle(call)

        def ask(questions: Sequence[Step]) -> Outcome:
            return connection.run(questions, call, limit_bytes=OWN_RESULT_BYTES, last=False)

        examination = self._judge.examination(text, connection.server_major)
        group = [*self._opening(), _gate_only(text), *examination]
        outcome = ask(group)
        try:
            if outcome.failure is not None:
                connection.finish(call)
                return group, outcome
            self._judge.judge(text, outcome.replies[-len(examination) :], ask)
        except StatementRefusedError as refused:
            refused.gate = "judge"
            connection.finish(call)
            raise
        with call.counting():
            return steps, connection.run(steps, call, limit_bytes=limit)

    def _rows(self, text: str, steps: Sequence[Step], outcome: Outcome) -> Rows:
        if outcome.failure is not None:
            raise self._refusal(text, outcome.failure, steps)
        reply = outcome.replies[-1]
        cut_bytes = self._settings.max_result_bytes if reply.cut else None
        return Rows(reply.columns, reply.rows, cut_bytes=cut_bytes)

    def _opening(self, state: str | None = None) -> tuple[Step, Step]:
        """What each transaction begins with; with a state, it fails as ALTERED in another."""
        seconds = min(
            self._settings.statement_timeout_seconds or float("inf"), self._call.remaining()
        )
        lock_seconds = min(self._settings.lock_timeout_seconds, seconds)
        limits = (_milliseconds(seconds), _milliseconds(lock_seconds))
        if state is None:
            return _BEGIN, Step(_SETTINGS, limits)
        return _BEGIN, Step(_SETTINGS_IF_UNALTERED, (*limits, state))

    def _run(self, steps: Sequence[Step], limit_bytes: int) -> Outcome:
        """Run the steps as one transaction, in one write."""
        return self._leased(lambda c: c.run(steps, self._call, limit_bytes=limit_bytes))

    def _leased(self, work: Callable[[Connection], T]) -> T:
        """`work` on a connection.

        Once more when a connection that had been idle turns out to have died unnoticed: nothing
        came back, and a read does no harm twice.
        """
        try:
            return self._leased_once(work)
        except _DiedIdleError as died:
            died.pool.drop_idle()
        return self._leased_once(work)

    def _leased_once(self, work: Callable[[Connection], T]) -> T:
        while True:
            pool = self._pool()
            try:
                with pool.lease(self._call) as connection:
                    try:
                        return work(connection)
                    except ConnectionLostError as lost:
                        if not lost.answered and connection.rested_seconds > RESTED_SECONDS:
                            raise _DiedIdleError(lost, pool) from lost
                        raise
            except PoolClosedError as closed:
                if not closed.unused:
                    raise

    # -- what to say when PostgreSQL refuses -------------------------------------------------------

    def _refusal(self, text: str, failure: Failure, steps: Sequence[Step]) -> ToolError:
        """The error for a caller's text: PostgreSQL's own, unless it was the gate that said no."""
        server = failure.server
        if failure.parsing and server.sqlstate in _GATE_REFUSALS:
            if failure.routine == "exec_parse_message":
                return StatementRefusedError(f"{sql.ALLOWED}: this text holds several statements.")
            if steps[failure.step].text.startswith(sql.GATE):
                return self._gate_refusal(text, failure)
        if server.sqlstate == _READ_ONLY_VIOLATION:
            stopped = StatementRefusedError(
                f"{server.message}. {sql.ALLOWED}, and it may only read."
            )
            stopped.gate = "transaction"
            return stopped
        if failure.routine == "exec_bind_message" and server.sqlstate == _PROTOCOL_VIOLATION:
            return StatementRefusedError(
                "the statement has a parameter such as $1, and nothing gives it a value",
                "Write the value itself in its place.",
            )
        return self._statement_error(failure, steps)

    def _gate_refusal(self, text: str, failure: Failure) -> ToolError:
        """Ask PostgreSQL whether the bare text is a statement, which it parses and does not run.

        If it is one, it is no read; if not, its own syntax error says more than ours could.
        """
        bare = [*self._opening(), Step(text, execute=False)]
        asked = self._run(bare, OWN_RESULT_BYTES).failure
        if asked is not None and asked.step < _OPENING_STEPS:
            return self._statement_error(asked, bare)
        if asked is not None and asked.server.sqlstate in (_SYNTAX_ERROR, failure.server.sqlstate):
            return self._statement_error(asked, bare)
        if not text.strip(" \t\r\n;"):
            return StatementRefusedError(f"There is no statement. {sql.ALLOWED}.")
        return StatementRefusedError(f"{sql.ALLOWED}.", "Nothing was run.")

    def _statement_error(self, failure: Failure, steps: Sequence[Step]) -> ToolError:
        """PostgreSQL's error, with its position in the caller's text."""
        server = failure.server
        if server.sqlstate == _QUERY_CANCELED and self._call.remaining() < 0.05:
            return CallEndedError("the call ran out of time while PostgreSQL was working on it")
        prefix = steps[failure.step].prefix
        position = server.position - prefix if server.position is not None else None
        return StatementError(
            ServerMessage(
                server.severity,
                server.sqlstate,
                server.message,
                server.detail,
                server.hint,
                position if position is not None and position > 0 else None,
            )
        )


class _DiedIdleError(Exception):
    """A connection was lost before it answered, after it had been idle."""

    def __init__(self, lost: ConnectionLostError, pool: Pool) -> None:
        super().__init__(str(lost))
        self.pool = pool


def _gated(text: str, params: Params) -> Step:
    return Step(sql.GATE + text, params, prefix=len(sql.GATE))


def _gate_only(text: str) -> Step:
    return Step(sql.GATE + text, prefix=len(sql.GATE), execute=False)


def _altered(outcome: Outcome) -> bool:
    """Whether something was committed since the text was judged."""
    failure = outcome.failure
    return (
        failure is not None and failure.step < _OPENING_STEPS and failure.server.sqlstate == ALTERED
    )


def _milliseconds(seconds: float) -> str:
    """For a setting where 0 would mean without end."""
    return str(max(1, min(2_147_483_647, int(seconds * 1000))))
