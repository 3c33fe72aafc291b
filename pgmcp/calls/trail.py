"""What a call did: each layer notes what it knows, and observers read it once at the end.

The rule: there is one trail for each call, and the audit, the metrics and the log all read it, so
they cannot tell different stories. A parameter's value never gets here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pgmcp.auth.principal import Principal
from pgmcp.errors import CallEndedError, PgmcpError, StatementError

CallOutcome = Literal["ok", "refused", "ended", "error"]
"""`refused` by a gate; `ended` before it was done: cancelled, out of time, or its right lost."""

OTHER = "other"
"""The name of every method, tool, resource or prompt that this server does not have."""
NOBODY = Principal("anonymous", "nobody", "nobody")


@dataclass(slots=True)
class Trail:
    """A call, from its request to its answer.

    `method` and `name` (the tool, the resource's URI or the prompt) are names of ours: what a
    client calls by another name is "other" here, so that no client writes into our records.
    `user` is the account that a login asked for, None when there is none. `statements` are the
    callers' SQL texts, each once; `rows` is how many rows went back. `gate` is which gate refused,
    "" when none did.
    """

    request_id: str = "-"
    principal: Principal = NOBODY
    address: str = ""
    method: str = OTHER
    name: str = ""
    user: str | None = None
    database: str | None = None
    statements: list[str] = field(default_factory=list)
    rows: int | None = None
    outcome: CallOutcome = "ok"
    error: str | None = None
    sqlstate: str | None = None
    gate: str = ""
    incident: str | None = None
    seconds: float = 0.0

    @property
    def limited(self) -> bool:
        """Whether it was turned away because its address had failed too often."""
        return self.gate == "limiter"

    def ran(self, text: str) -> None:
        """Note a caller's statement before it is sent anywhere."""
        if text not in self.statements:
            self.statements.append(text)

    def answered(self, rows: int) -> None:
        """Note how many rows a statement brought."""
        self.rows = rows if self.rows is None else self.rows + rows

    def failed(self, error: PgmcpError) -> None:
        """Note why the call failed. The first reason stays: what follows only wraps it."""
        if self.outcome != "ok":
            return
        self.error = type(error).__name__
        self.gate = error.gate
        if isinstance(error, StatementError):
            self.sqlstate = error.server.sqlstate
        if error.gate:
            self.outcome = "refused"
        else:
            self.outcome = "ended" if isinstance(error, CallEndedError) else "error"
