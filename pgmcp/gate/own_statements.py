"""Statements of pgmcp's own for one call, past no gate, and what PostgreSQL says against them.

The rule: it knows nobody who uses it, so that a call leaves no cycle of objects behind.
"""

from __future__ import annotations

from collections.abc import Sequence

from pgmcp.calls.call import Call
from pgmcp.errors import ToolError
from pgmcp.gate.caller_read import own
from pgmcp.gate.leasing import Leasing
from pgmcp.gate.server_errors import ServerErrors
from pgmcp.gate.transaction import OWN_RESULT_BYTES, Transactions
from pgmcp.postgres.driver import Connection
from pgmcp.postgres.messages import Outcome, Step
from pgmcp.postgres.rows import Params, Rows

_OUT_OF_TIME_SECONDS = 0.05
"""With less left of a call, it was its deadline that ended the statement."""


class OwnStatements:
    """Runs them on the database called `name`, each as one read-only transaction."""

    def __init__(self, name: str, leasing: Leasing, transactions: Transactions, call: Call) -> None:
        self._name = name
        self._leasing = leasing
        self._transactions = transactions
        self._call = call

    @property
    def errors(self) -> ServerErrors:
        """What is said when PostgreSQL refuses a statement; made when it is needed."""
        return ServerErrors(self._name, self.run, self._is_out_of_time)

    def fetch(self, text: str, params: Params = ()) -> Rows:
        """All rows of a statement, or an error."""
        steps, outcome = self.run(own(text, params))
        if outcome.failure is not None:
            raise self.errors.of(outcome.failure, steps)
        reply = outcome.replies[-1]
        if reply.cut:
            raise ToolError(
                f"the catalogue of {self._name} is over {OWN_RESULT_BYTES} bytes",
                "Name the table, or the schema, that you ask about.",
            )
        return Rows(reply.columns, reply.rows)

    def run(
        self,
        steps: Sequence[Step],
        limit_bytes: int = OWN_RESULT_BYTES,
        *,
        counted: bool = False,
    ) -> tuple[Sequence[Step], Outcome]:
        """Run the steps as one transaction, in one write; all of its steps, and their outcome."""

        def work(connection: Connection) -> tuple[Sequence[Step], Outcome]:
            group = [*self._transactions.opening(connection), *steps]
            return group, connection.run(
                group, self._call, limit_bytes=limit_bytes, counted=counted
            )

        return self._leasing.run(work)

    def _is_out_of_time(self) -> bool:
        return self._call.remaining() < _OUT_OF_TIME_SECONDS
