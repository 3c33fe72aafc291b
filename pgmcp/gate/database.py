"""A database as tools see it: each call is one read-only transaction on a leased connection.

The rule: a caller's text runs only behind `sql.GATE`, or as a SHOW, or inside EXPLAIN after the
gate has taken it; only after the judge has let through what it would call, and only the statement
that was judged; only over the extended protocol; and always inside BEGIN READ ONLY, with a snapshot
taken before it runs, and ROLLBACK.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from pgmcp.calls.call import Call
from pgmcp.calls.trail import Trail
from pgmcp.catalog import read as catalog_read
from pgmcp.catalog.catalogue import Catalogue
from pgmcp.catalog.tables import CatalogueTables, TablesCache
from pgmcp.config import databases
from pgmcp.errors import (
    StatementError,
    StatementRefusedError,
    ToolError,
)
from pgmcp.gate.caller_read import CallerRead, explained, gated, planned, read_rows
from pgmcp.gate.judge import Judge
from pgmcp.gate.leasing import Leasing
from pgmcp.gate.own_statements import OwnStatements
from pgmcp.gate.restriction import Restriction
from pgmcp.gate.session_role import verdict_key
from pgmcp.gate.transaction import Transactions
from pgmcp.gate.visible_catalogue import VisibleCatalogue
from pgmcp.judging import statistics
from pgmcp.judging.statistics import WithheldText
from pgmcp.policy.active import ActivePolicy
from pgmcp.policy.budget import CallBudget
from pgmcp.policy.facts import Facts
from pgmcp.policy.refusals import DeniedError, refusal, verbose_plan
from pgmcp.pool.pool import Pool
from pgmcp.postgres.messages import Failure, Outcome, Step
from pgmcp.postgres.rows import Params, Rows
from pgmcp.sql import text as sql

_VERBOSE = "verbose"
_ANALYZE = "analy"  # a part of each spelling of the option that runs the statement


class ReadOnlyDatabase:
    """`gate.port.Database` for one call; it leases a connection for each statement.

    `trail` is told of each statement of a caller before it is sent, and of the rows that came back:
    not of pgmcp's own look-ups, nor of any parameter. `policy`: what the principal may read, None
    where nothing restricts it. `most_rows`: that a statement returns, None as many as it wants.
    `budget`: what the call may take, None where nothing is counted.
    """

    def __init__(
        self,
        settings: databases.DatabaseSettings,
        pool: Callable[[], Pool],
        judge: Judge,
        catalogues: TablesCache,
        call: Call,
        trail: Trail,
        policy: ActivePolicy | None = None,
        most_rows: int | None = None,
        budget: CallBudget | None = None,
    ) -> None:
        self._settings = settings
        self._most_rows = most_rows
        self._budget = budget
        self._leasing = Leasing(pool, call)
        self._judge = judge
        self._transactions = Transactions(settings, judge, call, policy, trail=trail)
        self._own = OwnStatements(settings.name, self._leasing, self._transactions, call)
        self._policy = policy
        self._visible: VisibleCatalogue | None = None
        if policy is not None:
            action = policy.policy.canary_action
            self._visible = VisibleCatalogue(
                policy.policy, self._own.fetch, lambda canaries: trail.touched(canaries, action)
            )
        self._catalogues = catalogues
        self._trail = trail

    @property
    def name(self) -> str:
        """The name in the configuration."""
        return self._settings.name

    @property
    def label(self) -> str:
        """`user@host:port/database`, for people; never the password."""
        return self._settings.label

    @property
    def _restriction(self) -> Restriction | None:
        return None if self._policy is None else Restriction(self._policy.policy, self._own.fetch)

    # -- what tools ask ----------------------------------------------------------------------------

    def query(
        self,
        text: str,
        params: Params = (),
        *,
        max_rows: int,
        offset: int = 0,
        sent: bool = True,
    ) -> Rows:
        """Run a caller's SELECT, VALUES, TABLE or WITH, and return `max_rows` from `offset` on;
        `sent` False: for a look at them, which no budget counts."""
        self._trail.ran(text)
        if self._policy is not None:
            max_rows = self._policy.rows(max_rows)
        if self._most_rows is not None:
            max_rows = min(max_rows, self._most_rows)
        rows = self._read(
            lambda part: replace(
                read_rows(part.text, params, max_rows + 1, offset, part.shift), guessed=not sent
            ),
            text,
        )
        more = len(rows.rows) > max_rows
        rows = Rows(rows.columns, rows.rows[:max_rows], more, rows.cut_bytes)
        if sent and self._budget is not None:
            rows = self._budget.charge(rows)
        return self._noted(rows)

    def show(self, text: str) -> Rows:
        """Run a caller's SHOW: the grammar has no other statement that begins with this word."""
        self._trail.ran(text)
        if sql.first_word(text) != "show":
            raise StatementRefusedError("Only SHOW is allowed here", "Begin the text with SHOW.")
        steps = (Step(text, describe=True),)
        rows = self._rows(
            text, *self._own.run(steps, self._settings.max_result_bytes, counted=True)
        )
        if self._most_rows is not None and len(rows.rows) > self._most_rows:
            rows = Rows(rows.columns, rows.rows[: self._most_rows], True, rows.cut_bytes)
        return self._noted_text(rows)

    def explain(self, options: str, text: str, params: Params = ()) -> Rows:
        """EXPLAIN (`options`) a statement that the gate accepts, which ANALYZE among them runs;
        without it, an INSERT, UPDATE, DELETE or MERGE as well."""
        self._trail.ran(text)
        runs = _ANALYZE in options.lower()
        if self._policy is not None and _VERBOSE in options.lower():
            raise verbose_plan()
        only_planned = not runs and sql.may_write(text)

        def reading(part: WithheldText) -> CallerRead:
            if only_planned:
                return planned(options, part.text, params, part.shift)
            return explained(options, part.text, params, part.shift, runs=runs)

        try:
            rows = self._read(reading, text)
        except StatementRefusedError as refused:
            if runs and refused.gate == "grammar" and sql.may_write(text):
                refused.hint = (
                    "EXPLAIN without ANALYZE shows the plan of a write, and runs nothing."
                )
            raise
        return self._noted_text(rows)

    def examine(self, text: str) -> Facts | None:
        """What a caller's statement would use, of which nothing runs; None for SHOW.

        ToolError for what PostgreSQL or the judge refuses.
        """
        text = sql.without_empty(text)
        if sql.first_word(text) == "show":
            return None
        explain = sql.split_explain(text)
        inner = text if explain is None else text[explain.offset :]
        fetched = () if explain else (Step("", portal=sql.CURSOR, parse=False),)  # it is not sent
        reading = gated(inner, (), fetched)
        if sql.may_write(inner) and explain:
            reading = planned("", inner, ())
        sql.encode(inner)
        steps, said = self._leasing.run(lambda c: self._transactions.examine(c, reading))
        if isinstance(said, Failure):
            raise self._own.errors.refusal(inner, said, steps)
        said.require_harmless()
        return said.facts

    def fetch(self, text: str, params: Params = ()) -> Rows:
        """Run a statement of pgmcp's own, past no gate; all of its rows or an error. Of the
        catalogue, what the policy lets be seen."""
        visible = self._visible
        return self._own.fetch(text, params) if visible is None else visible.read(text, params)

    def catalogue(self) -> Catalogue:
        """The tables this principal may see, as they are now."""
        return catalog_read.read(self.fetch)

    def tables(self) -> CatalogueTables:
        """The same tables by name, each described when it is looked at; kept until they change."""
        return self._catalogues.get(self.fetch)

    def _noted_text(self, rows: Rows) -> Rows:
        """As `_noted`, of what is not cut: a plan or a setting."""
        return self._noted(rows if self._budget is None else self._budget.charge_text(rows))

    def _noted(self, rows: Rows) -> Rows:
        self._trail.answered(len(rows.rows))
        return rows

    # -- one transaction ---------------------------------------------------------------------------

    def _withheld(self, text: str) -> WithheldText:
        """The text with what other callers run withheld from the statistics views that it names."""
        judge = self._judge
        if not judge.withholds or not statistics.may_name_view(text):
            return WithheldText(text)
        withheld = statistics.withhold(text, judge.views or ())
        if judge.views is None or judge.known(verdict_key(self._policy, withheld.text)) is None:
            # They change when their extension is updated.
            rows = self._own.fetch(statistics.VIEWS_SQL).rows
            judge.views = statistics.read_views(
                [tuple((value or b"").decode() for value in row) for row in rows]
            )
            withheld = statistics.withhold(text, judge.views)
        return withheld

    def _read(self, reading_of: Callable[[WithheldText], CallerRead], sent: str) -> Rows:
        """Run a caller's text, once it is judged; the last step brings the rows. `sent`: the text
        as the caller sent it; `reading_of`: the way that a text goes."""
        reading = reading_of(self._withheld(sent))
        sql.encode(reading.text)
        if (restriction := self._restriction) is None:
            return self._run_read(reading, sent)
        try:
            if not self._transactions.knows_allowed(reading):
                restriction.require_readable(sent)
        except StatementRefusedError:  # whatever there is: it is neither parsed nor run
            self._note_tried(restriction, sent, bare=reading.only_planned)
            raise
        try:
            return self._run_read(reading, sent)
        except DeniedError as denied:
            error, denial = refusal(denied.denial), denied.denial
        except (StatementError, StatementRefusedError) as refused:
            error, denial = refused, None
            self._note_tried(restriction, sent, bare=reading.only_planned)
        bare = reading.only_planned
        instead = restriction.answer(sent, error, denial, lambda text: self._parsed(text, bare))
        if isinstance(instead, ToolError):
            raise instead
        reading = reading_of(self._withheld(instead.text))
        try:
            return instead.rows(self._run_read(reading, instead.text))
        except DeniedError as denied:
            error = refusal(denied.denial)
        except (StatementError, StatementRefusedError) as refused:
            error = refused
        raise restriction.answer_instead(sent, error, instead)

    def _note_tried(self, restriction: Restriction, sent: str, *, bare: bool) -> None:
        """Tell which canaries a text was meant for of which there need not be a tree."""
        bare = bare or sql.may_write(sent)
        tried = restriction.canaries_tried(sent, lambda text: self._parsed(text, bare))
        self._trail.touched(tried, restriction.policy.canary_action)

    def _run_read(self, reading: CallerRead, sent: str) -> Rows:
        return self._rows(sent, *self._leasing.run(lambda c: self._transactions.run(c, reading)))

    def _parsed(self, text: str, bare: bool) -> ToolError | None:
        """What PostgreSQL says against a caller's text when it parses it; nothing of it runs.
        `bare`: it may be a write."""
        gate = "" if bare else sql.GATE
        steps, outcome = self._own.run((Step(gate + text, prefix=len(gate), execute=False),))
        return (
            None
            if outcome.failure is None
            else self._own.errors.refusal(text, outcome.failure, steps)
        )

    def _rows(self, text: str, steps: Sequence[Step], outcome: Outcome) -> Rows:
        if outcome.failure is not None:
            raise self._own.errors.refusal(text, outcome.failure, steps)
        reply = outcome.replies[-1]
        cut_bytes = self._settings.max_result_bytes if reply.cut else None
        return Rows(reply.columns, reply.rows, cut_bytes=cut_bytes)
