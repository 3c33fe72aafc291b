"""What a caller is told when PostgreSQL refuses a statement, or did not take it for one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from pgmcp.errors import (
    OutOfTimeError,
    PolicyRefusedError,
    StatementError,
    StatementRefusedError,
    ToolError,
)
from pgmcp.gate.session_role import refuses_role
from pgmcp.postgres.messages import Failure, Outcome, Step
from pgmcp.sql import lookalikes
from pgmcp.sql import text as sql

_log = logging.getLogger("pgmcp.pool")
_SYNTAX_ERROR = "42601"
# Syntax, and names that are not there: column, table, function, object.
_MISREAD = frozenset({_SYNTAX_ERROR, "42703", "42P01", "42883", "42704"})
_READ_ONLY_VIOLATION = "25006"
_QUERY_CANCELED = "57014"
_PROTOCOL_VIOLATION = "08P01"
# what the gate says of statements that are none: syntax, WITH … (INSERT …), cursor definition
_GATE_REFUSALS = frozenset({_SYNTAX_ERROR, "0A000", "42P11"})

_GENERIC = "GENERIC_PLAN"
_READS = "Write the question as one of these."


class ServerErrors:
    """The errors for one call.

    `database` is its name, for the log. `ask` runs steps as one transaction and returns all of its
    steps, and their outcome; `out_of_time` says whether the call has no time left.
    """

    def __init__(
        self,
        database: str,
        ask: Callable[[Sequence[Step]], tuple[Sequence[Step], Outcome]],
        out_of_time: Callable[[], bool],
    ) -> None:
        self._database = database
        self._ask = ask
        self._out_of_time = out_of_time

    def refusal(self, text: str, failure: Failure, steps: Sequence[Step]) -> ToolError:
        """The error for a caller's text: PostgreSQL's own, unless it was the gate that said no."""
        server = failure.server
        if failure.parsing and server.sqlstate in _GATE_REFUSALS:
            if failure.routine == "exec_parse_message":
                return _several_statements()
            if steps[failure.step].text.startswith(sql.GATE):
                return self._gate_refusal(text, failure)
        if server.sqlstate == _READ_ONLY_VIOLATION:
            stopped = StatementRefusedError(
                f"{server.message}. {sql.ALLOWED}, and it may only read.", "Nothing was changed."
            )
            stopped.gate = "transaction"
            return stopped
        if failure.routine == "exec_bind_message" and server.sqlstate == _PROTOCOL_VIOLATION:
            return StatementRefusedError(
                "the statement has a parameter such as $1, and nothing gives it a value",
                "Write the value itself in its place"
                + (", also for GENERIC_PLAN." if _GENERIC in steps[failure.step].text else "."),
            )
        return self.of(failure, steps, text)

    def _gate_refusal(self, text: str, failure: Failure) -> ToolError:
        """Ask PostgreSQL whether the bare text is a statement, which it parses and does not run.

        If it is one, it is no read; if not, its own syntax error says more than ours could.
        """
        bare, outcome = self._ask((Step(text, execute=False),))
        asked = outcome.failure
        if asked is not None and asked.step < len(bare) - 1:
            return self.of(asked, bare)
        if asked is not None and asked.routine == "exec_parse_message":
            return _several_statements()
        if asked is not None and asked.server.sqlstate in (_SYNTAX_ERROR, failure.server.sqlstate):
            return self.of(asked, bare, text)
        if sql.skip_empty(text) == len(text):
            return StatementRefusedError(f"There is no statement. {sql.ALLOWED}.", _READS)
        return StatementRefusedError(f"{sql.ALLOWED}.", "Nothing was run.")

    def of(self, failure: Failure, steps: Sequence[Step], text: str = "") -> ToolError:
        """PostgreSQL's error, with its position in the caller's text, where that is given."""
        server = failure.server
        if server.sqlstate == _QUERY_CANCELED and self._out_of_time():
            return OutOfTimeError(" while PostgreSQL was working on it")
        if refuses_role(failure, steps[failure.step]):
            _log.warning(
                "%s: the role or the settings of a policy are refused: %s",
                self._database,
                server.message,
            )
            return PolicyRefusedError(server)
        prefix = steps[failure.step].prefix
        position = server.position - prefix if server.position is not None else None
        unseen = lookalikes.first(text) if server.sqlstate in _MISREAD else ""
        return StatementError(
            replace(
                server,
                hint=" ".join(filter(None, (server.hint, unseen))),
                position=position if position is not None and position > 0 else None,
            )
        )


def _several_statements() -> StatementRefusedError:
    return StatementRefusedError(
        f"{sql.ALLOWED}: this text holds several statements.", "Send them one by one."
    )
