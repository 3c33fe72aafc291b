"""What a tool can fail with: its result says so, and what PostgreSQL said of a statement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pgmcp.errors.root import PgmcpError


class ToolError(PgmcpError):
    """A tool call that failed and says so in its result (`isError`).

    `hint`: what the caller can do next. "" only where the message says it.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message, hint)


class ArgumentError(ToolError):
    """Arguments that do not fit a tool. The message names the path and what is expected there."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "")


class DatabaseUnavailableError(ToolError):
    """PostgreSQL could not be reached, went away, or refused the connection.

    `lasting`: another attempt made now would fail alike, so that this error holds for others too.
    """

    def __init__(self, message: str, hint: str, *, lasting: bool = False) -> None:
        super().__init__(message, hint)
        self.lasting = lasting


class NoConnectionLeftError(DatabaseUnavailableError):
    """The server has no connection left for this role or database, or none at all."""


class ConnectionLostError(DatabaseUnavailableError):
    """An open connection that broke. `answered`: some of the answer had come by then."""

    def __init__(self, message: str, hint: str, *, answered: bool = True) -> None:
        super().__init__(message, hint)
        self.answered = answered


class PoolTimeoutError(ToolError):
    """No connection became free before the call's deadline."""


class MemoryBusyError(ToolError):
    """No memory for a large result became free within the time that a call waits for it."""

    def __init__(self) -> None:
        super().__init__(
            "The server is busy with large results.",
            "Read the answers that you have asked for, select fewer rows or columns, or try again.",
        )


class CallEndedError(ToolError):
    """The call was cancelled, ran out of time, or lost the right to go on."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)


class OutOfTimeError(CallEndedError):
    """The call took longer than it may."""

    def __init__(self, doing: str = "") -> None:
        super().__init__(
            f"the call ran out of time{doing}",
            "Ask for less: fewer rows, a condition that an index serves, or a part at a time.",
        )


class PoolClosedError(CallEndedError):
    """The pool has been closed; `unused` when only because nobody used it."""

    def __init__(self, reason: str, *, unused: bool = False) -> None:
        super().__init__(f"the call was ended: {reason}")
        self.unused = unused


class DatabaseRefusedError(ToolError):
    """A database that is not there for this caller."""

    gate = "database"


class PolicyRefusedError(DatabaseRefusedError):
    """A database that does not accept the role or the settings of the caller's policy.

    `server`: why, for the operator only.
    """

    def __init__(self, server: ServerMessage) -> None:
        super().__init__(
            "the database does not accept the role or the settings that your policy sets",
            "Tell the operator: the server's log has the reason, and -check shows what is missing.",
        )
        self.server = server


class BudgetError(ToolError):
    """A call that would take more than the policy of its credential allows: of a day, of a minute,
    or for one statement by the planner's estimate."""

    gate = "budget"


class ModelError(ToolError):
    """The configured language model could not be asked, or gave no SQL.

    `detail` is for the operator's log only. So is `endpoint_words`, what the endpoint answered,
    which may repeat the question.
    """

    def __init__(
        self, message: str, hint: str, *, detail: str = "", endpoint_words: str = ""
    ) -> None:
        super().__init__(message, hint)
        self.detail = detail
        self.endpoint_words = endpoint_words


class StatementRefusedError(ToolError):
    """SQL that may not run here. The message says what is allowed.

    `gate`: "grammar" for what is no single read, "judge" for what the read would call,
    "transaction" for what PostgreSQL stopped in the read-only transaction.
    """

    gate = "grammar"


@dataclass(frozen=True, slots=True)
class ServerMessage:
    """An ErrorResponse of PostgreSQL (protocol, "Error and Notice Message Fields").

    `position` counts characters from 1 in the text that the caller sent, None when unknown.
    """

    severity: str
    sqlstate: str
    message: str
    detail: str = ""
    hint: str = ""
    position: int | None = None

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> ServerMessage:
        """From the fields of the message, by their one-letter codes."""
        position = fields.get("P", "")
        return cls(
            severity=fields.get("V") or fields.get("S", "ERROR"),
            sqlstate=fields.get("C", "XX000"),
            message=fields.get("M", ""),
            detail=fields.get("D", ""),
            hint=fields.get("H", ""),
            position=int(position) if position.isdigit() else None,
        )


class StatementError(ToolError):
    """SQL that PostgreSQL refused or could not finish, in PostgreSQL's own words."""

    def __init__(self, server: ServerMessage) -> None:
        message = f"{server.severity}: {server.message} (SQLSTATE {server.sqlstate})"
        super().__init__(message, server.hint)
        self.server = server

    def for_client(self) -> str:
        """The server's message with its detail, hint and position, one a line."""
        lines = [self.message]
        if self.server.detail:
            lines.append(f"Detail: {self.server.detail}")
        if self.server.hint:
            lines.append(f"Hint: {self.server.hint}")
        if self.server.position is not None:
            lines.append(f"Position: {self.server.position}")
        return "\n".join(lines)
