"""One transaction of a call: how it begins, and how a caller's text is judged and run in it.

The rule: what was judged is what runs. The text is parsed and bound first, which takes the locks on
all that it reads; then the state of the judgement, or what that depends on, is confirmed; then what
was bound is run, which is not analysed again. A function found only afterwards to be another one
has run already.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from threading import Event

from pgmcp.calls.call import Call
from pgmcp.calls.trail import Trail
from pgmcp.config.databases import DatabaseSettings
from pgmcp.errors import PgmcpError, StatementRefusedError
from pgmcp.gate import bodies
from pgmcp.gate.caller_read import CallerRead, must_wait
from pgmcp.gate.estimate import cost_limit, split, too_costly, with_estimate
from pgmcp.gate.examination import Examination
from pgmcp.gate.judge import Judge
from pgmcp.gate.object_lookup import Run
from pgmcp.gate.session_role import session_steps, verdict_key
from pgmcp.gate.state import altered, check, check_dependencies
from pgmcp.gate.transaction_settings import (
    LIMITED,
    LIMITED_GENERIC,
    NO_LOCK,
    NO_LOCK_NOT_GENERIC,
    PATH_AND_NO_LOCK,
    SETTINGS,
    WAIT_FOR_LOCKS,
    milliseconds,
)
from pgmcp.gate.trees import RESTORE_PATH
from pgmcp.gate.verdict import StateChangedError, Verdict
from pgmcp.policy import refusals
from pgmcp.policy.active import ActivePolicy
from pgmcp.policy.decision import UNKNOWN, UNRESTRICTED, Decision, decided
from pgmcp.policy.refusals import DeniedError
from pgmcp.postgres.driver import Connection
from pgmcp.postgres.messages import READ_ONLY, Failure, Outcome, Reply, Step

OWN_RESULT_BYTES = 128 * 1024 * 1024
"""The most that a statement of pgmcp's own may bring; the catalogue of a huge database fits."""
_NOT_ALLOWED = "42501"

LOCK_RETRY_SECONDS = 0.05
"""The pause before a statement is tried again that would have waited for such a lock."""
_ATTEMPTS = 10  # to judge a text in a state that stays


class Transactions:
    """The transactions of one call on one database, for any number of connections.

    `policy`: that of the principal, None without one. `trail` is told what each text uses, where
    the judge says it, and which canaries.
    """

    def __init__(
        self,
        settings: DatabaseSettings,
        judge: Judge,
        call: Call,
        policy: ActivePolicy | None = None,
        *,
        trail: Trail | None = None,
    ) -> None:
        self._settings = settings
        self._judge = judge
        self._call = call
        self._policy = policy
        self._begin = (READ_ONLY, *session_steps(policy))
        self._trail = trail or Trail()

    def _limits(self, connection: Connection) -> tuple[float, float]:
        """Seconds for statement_timeout and lock_timeout: the strictest of the role's and the
        database's (as the session began with them), the configuration's, the policy's and the
        call's."""
        own = connection.limits
        seconds = min(
            self._settings.statement_timeout_seconds or float("inf"),
            own.statement_timeout_seconds,
            self._call.remaining(),
            self._policy.statement_timeout_seconds if self._policy is not None else float("inf"),
        )
        lock = min(self._settings.lock_timeout_seconds, own.lock_timeout_seconds, seconds)
        return seconds, lock

    def _milliseconds(self, connection: Connection) -> tuple[str, str]:
        statement, lock = self._limits(connection)
        return milliseconds(statement), milliseconds(lock)

    def opening(self, connection: Connection, *, shows_trees: bool = False) -> tuple[Step, ...]:
        """What each transaction begins with."""
        begin = self._begin
        if shows_trees:
            begin = (READ_ONLY, *session_steps(self._policy, trees_of=connection.server_major))
        return (*begin, LIMITED._replace(params=self._milliseconds(connection)))

    def examine(
        self, connection: Connection, reading: CallerRead
    ) -> tuple[Sequence[Step], Failure | Verdict]:
        """What PostgreSQL says against a text, of which nothing runs, or else what the judge says
        of it, and the steps that were sent. StatementRefusedError, and StateChangedError."""
        examination = Examination.of(reading, connection.server_major)
        steps = [*self.opening(connection, shows_trees=True), *examination.steps]
        try:
            outcome = self._go_on(connection, steps)
            if outcome.failure is not None:
                return steps, outcome.failure
            verdict = self._judge.judge(
                examination.read(outcome.replies),
                lambda questions: self._go_on(connection, questions),
                strict=False,
                with_facts=True,
            )
            if verdict.objection is None and self._decision(reading, verdict).denial is None:
                # What the role may not read shows when the statement is opened, not before.
                steps = [check(NO_LOCK, verdict.state, after=RESTORE_PATH), reading.opened]
                failure = self._go_on(connection, steps).failure
                if failure is not None and failure.server.sqlstate == _NOT_ALLOWED:
                    return steps, failure
            return steps, verdict
        finally:
            connection.finish(self._call)

    def run(self, connection: Connection, reading: CallerRead) -> tuple[Sequence[Step], Outcome]:
        """The steps' outcome: as long as only a lock that the planner asks for is in the way, and
        no longer than lock_timeout, they are tried again."""
        reading = with_estimate(reading, self._policy)
        steps, outcome = self._run_known(connection, reading)
        if not must_wait(steps, outcome, reading):
            return steps, outcome
        tries = int(self._limits(connection)[1] / LOCK_RETRY_SECONDS)
        while tries > 0 and must_wait(steps, outcome, reading):
            tries -= 1
            connection.ensure_clean(self._call)
            self._pause(LOCK_RETRY_SECONDS)
            steps, outcome = self._run_known(connection, reading)
        return steps, outcome

    def _run_known(
        self, connection: Connection, reading: CallerRead
    ) -> tuple[Sequence[Step], Outcome]:
        """In one write if the text was judged in this state, or its refusal, or if nothing that it
        depends on has changed since; else see `_run_unknown`."""
        verdict = self._known(reading)
        everywhere = verdict is not None and verdict.scope.everywhere
        expects_same_state = everywhere or not self._judge.expects_commits()
        if verdict is None:
            return self._run_unknown(connection, reading, strict=expects_same_state)
        ways = [self._confirmed] if expects_same_state else []
        if verdict.scope.dependencies is not None and self._policy is None:
            ways.append(self._confirmed_by_dependencies)
        for way in ways:
            steps = way(connection, reading, verdict)
            try:
                steps, outcome = self._last(connection, reading, steps, verdict)
            except PgmcpError:
                self._note(verdict)  # it may have run, and ended with the call
                raise
            if not altered(steps, outcome):
                self._note(verdict)
                if outcome.failure is None:
                    self._require_allowed(reading, verdict)
                return steps, outcome
            connection.ensure_clean(self._call)
            if verdict.scope.dependencies is not None:
                self._judge.note_commits()
        return self._run_unknown(connection, reading, strict=expects_same_state)

    def _note(self, verdict: Verdict) -> None:
        """Tell what a text uses on which there is this verdict."""
        if verdict.used is not None:
            self._trail.used(verdict.used)

    def _note_canaries(self, reading: CallerRead, verdict: Verdict) -> None:
        """Tell which canaries a text uses; StatementRefusedError for one that is no caller's."""
        canaries = self._decision(reading, verdict).canaries
        if canaries and reading.guessed:
            raise refusals.not_guessed()
        if canaries and self._policy is not None:
            self._trail.touched(canaries, self._policy.policy.canary_action)

    def knows_allowed(self, reading: CallerRead) -> bool:
        """Whether a text was judged before, and the policy let it pass."""
        verdict = self._known(reading)
        return verdict is not None and self._decision(reading, verdict).denial is None

    def _known(self, reading: CallerRead) -> Verdict | None:
        """The verdict on a text, None where it was not judged, or not for a policy. What uses a
        canary is judged each time, so that whoever is stopped did use it."""
        verdict = self._judge.known(verdict_key(self._policy, reading.key))
        if verdict is None or self._policy is None:
            return verdict
        unknown = verdict.facts is None or self._decision(reading, verdict).canaries
        return None if unknown else verdict

    def _decision(self, reading: CallerRead, verdict: Verdict) -> Decision:
        """What the policy says of a statement."""
        if self._policy is None:
            return UNRESTRICTED
        if verdict.facts is None:  # too large to be read, which the judge refuses
            return UNRESTRICTED if verdict.objection is not None else UNKNOWN
        policy, plan = self._policy.policy, not reading.fetched
        return decided(policy, verdict.facts, reading.text, explains=plan)

    def _require_allowed(self, reading: CallerRead, verdict: Verdict) -> None:
        """DeniedError or StatementRefusedError unless the statement may run. The policy comes
        first: what is refused of a hidden table would tell that there is one."""
        if (denial := self._decision(reading, verdict).denial) is not None:
            raise DeniedError(denial)
        verdict.require_harmless()

    def _confirmed(
        self, connection: Connection, reading: CallerRead, verdict: Verdict
    ) -> Sequence[Step]:
        """One transaction that parses and binds, then confirms the state, then runs the portal; of
        a text that is refused, nothing but the state is sent.

        Whatever another session commits before the check ends the transaction there. What it
        commits later is too late: the portal's tree is fixed when it is bound, and the relations
        that the tree names, or that rewriting it brings in, cannot change while they are locked.
        """
        limits = self._milliseconds(connection)
        if verdict.objection is not None or self._decision(reading, verdict).denial is not None:
            return [*self._begin, check(SETTINGS, verdict.state, limits)]
        if verdict.scope.everywhere:
            limited = LIMITED._replace(params=limits)
            return [*self._begin, limited, *reading.bound, reading.opened, *reading.fetched]
        if not verdict.reads_relations:  # there is no lock to wait for
            same = check(SETTINGS, verdict.state, limits)
            return [*self._begin, *reading.bound, same, reading.opened, *reading.fetched]
        locks = [Step(reading.text, execute=False)] if verdict.rewritten else []
        locks += map(bodies.lock, verdict.bodies)
        opening = (*self._begin, LIMITED._replace(params=limits))
        same = check(NO_LOCK, verdict.state)
        return [*opening, *locks, *reading.bound, same, *self._ran(reading, limits)]

    def _confirmed_by_dependencies(
        self, connection: Connection, reading: CallerRead, verdict: Verdict
    ) -> Sequence[Step]:
        """As `_confirmed`, for a verdict whose dependencies are known: these are confirmed, and
        what else was committed does not matter."""
        limits, depends = self._milliseconds(connection), verdict.scope.dependencies
        assert depends is not None
        opening = (*self._begin, LIMITED_GENERIC._replace(params=limits))
        same = check_dependencies(NO_LOCK_NOT_GENERIC, verdict.state, depends)
        return [*opening, *reading.bound, same, *self._ran(reading, limits)]

    def _ran(self, reading: CallerRead, limits: tuple[str, str]) -> Sequence[Step]:
        """The steps behind the check; once everything is planned, locks may be waited for again."""
        if not reading.fetched:
            return [reading.opened]
        wait = WAIT_FOR_LOCKS._replace(params=limits[1:])
        return [reading.opened, wait, *reading.fetched]

    def _run_unknown(
        self, connection: Connection, reading: CallerRead, *, strict: bool
    ) -> tuple[Sequence[Step], Outcome]:
        """The examination, the judge's questions and the statement: one transaction, several
        writes.

        What was bound first is what runs last. The state is confirmed before it runs. On a server
        where others commit all the time, that cannot be had: there the judge's questions are asked
        again instead, and their answers must be the same. `strict`: try the first.
        """
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(StateChangedError):
                return self._examine_and_run(connection, reading, strict=strict)
            if strict:
                self._judge.note_commits()
            strict = False
            connection.finish(self._call)
            connection.ensure_clean(self._call)
        refused = StatementRefusedError(
            "What this statement reads or calls was changed each time that it was judged.",
            "Try again when the database's objects are not being changed.",
        )
        refused.gate = "judge"
        raise refused

    def _examine_and_run(
        self, connection: Connection, reading: CallerRead, *, strict: bool
    ) -> tuple[Sequence[Step], Outcome]:
        asked: list[tuple[Sequence[Step], Outcome]] = []

        def ask(questions: Sequence[Step]) -> Outcome:
            outcome = self._go_on(connection, questions)
            asked.append((questions, outcome))
            return outcome

        examination = Examination.of(reading, connection.server_major)
        steps: Sequence[Step] = [*self.opening(connection, shows_trees=True), *examination.steps]
        outcome = self._go_on(connection, steps)
        if outcome.failure is not None:
            connection.finish(self._call)
            return steps, outcome
        verdict = self._judged(connection, examination, outcome.replies, ask, strict=strict)
        strict = strict or not verdict.scope.exact
        if not strict and any(
            self._go_on(connection, questions).replies != before.replies
            for questions, before in asked
        ):
            raise StateChangedError
        confirmed = PATH_AND_NO_LOCK
        if strict:
            confirmed = check(NO_LOCK, verdict.state, after=RESTORE_PATH)
        steps = [confirmed, *self._ran(reading, self._milliseconds(connection))]
        steps, outcome = self._last(connection, reading, steps, verdict)
        if strict and altered(steps, outcome):
            raise StateChangedError
        if strict or verdict.scope.everywhere or verdict.scope.dependencies is not None:
            key = verdict_key(self._policy, reading.key)
            self._judge.remember(key, verdict, confirmed=strict)
        return steps, outcome

    def _go_on(self, connection: Connection, steps: Sequence[Step]) -> Outcome:
        """Run steps of a transaction that goes on behind them."""
        return connection.run(steps, self._call, limit_bytes=OWN_RESULT_BYTES, last=False)

    def _judged(
        self,
        connection: Connection,
        examination: Examination,
        replies: Sequence[Reply],
        ask: Run,
        *,
        strict: bool,
    ) -> Verdict:
        """The verdict that lets the text run. StatementRefusedError for any other, which is
        remembered, and ends the transaction."""
        reading = examination.reading
        try:
            verdict = self._judge.judge(
                examination.read(replies),
                ask,
                strict=strict,
                with_facts=self._policy is not None,
            )
            self._note_canaries(reading, verdict)
            self._note(verdict)
            if verdict.objection is not None or self._decision(reading, verdict).denial is not None:
                key = verdict_key(self._policy, reading.key)
                self._judge.remember(key, verdict, confirmed=False)
            self._require_allowed(reading, verdict)
        except StatementRefusedError as refused:
            refused.gate = "judge"
            connection.finish(self._call)
            raise
        except DeniedError:
            connection.finish(self._call)
            raise
        return verdict

    def _last(
        self, connection: Connection, reading: CallerRead, steps: Sequence[Step], verdict: Verdict
    ) -> tuple[Sequence[Step], Outcome]:
        """Run the steps that end with the caller's rows, which are counted as the answer's; the
        steps that were sent, and their outcome. BudgetError for what costs too much."""
        limit = cost_limit(reading, self._policy, verdict)
        if limit is None or reading.opened not in steps:
            return steps, self._bring(connection, reading, steps, verdict)
        first, rest = split(steps, reading)
        outcome = self._go_on(connection, first)
        refused = too_costly(outcome, limit)
        if outcome.failure is None and refused is None:
            brought = self._bring(connection, reading, rest, verdict)
            return [*first, *rest], brought.behind(outcome)
        connection.finish(self._call)
        if refused is not None:
            raise refused
        return first, outcome

    def _bring(
        self, connection: Connection, reading: CallerRead, steps: Sequence[Step], verdict: Verdict
    ) -> Outcome:
        """Run the last steps of a transaction, and mask the rows that they bring."""
        most = self._settings.max_result_bytes
        masks = self._decision(reading, verdict).masks
        outcome = connection.run(
            steps,
            self._call,
            limit_bytes=most * (2 if masks else 1),  # some of which are not shown
            leaves_nothing=verdict.leaves_nothing,
            counted=True,
        )
        if masks and self._policy is not None and outcome.failure is None:
            self._policy.mask(outcome.replies[-1], masks, most)
        return outcome

    def _pause(self, seconds: float) -> None:
        """Wait, unless the call ends first."""
        ended = Event()
        with self._call.waiting, self._call.on_cancel(ended.set):
            ended.wait(min(seconds, self._call.remaining()))
        self._call.check()
