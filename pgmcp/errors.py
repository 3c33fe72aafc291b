"""Every error that pgmcp raises on purpose, and how each boundary shows it.

The rule: `message` and `hint` are safe to show to whoever caused the error, so neither may hold a
secret or an inside detail. Anything that is not a `PgmcpError` is a defect, and a client sees only
"internal error" with an id that the log repeats.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

COMMAND = "./pgedge-postgres-mcp"
"""How messages spell this program, as the guide does. Where it is called, the command line puts the
words that call it (`cli.invocation`)."""


def visible(text: str) -> str:
    r"""Text with everything that does not print (controls, line ends, bidi marks) as `\uXXXX`."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else _escape(ord(character)) for character in text
    )


def shortened(text: str) -> str:
    """What a client sent, as far as an error repeats it: 100 characters."""
    return text if len(text) <= 100 else text[:100] + "…"


def _escape(code: int) -> str:
    short = {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t"}.get(code)
    return short or (f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


class PgmcpError(Exception):
    """The root: what went wrong, and what to do next.

    `gate` names the gate that refused, for the audit; "" when it was no refusal.
    """

    gate = ""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def for_operator(self) -> str:
        """The lines a command prints on stderr: `ERROR: …`, then what to do next.

        They may repeat what a file or an argument says, which must not drive the terminal, nor
        begin a line in a message; a hint has lines of its own.
        """
        hints = self.hint.split("\n") if self.hint else []
        return "\n".join(map(visible, (f"ERROR: {self.message}", *hints)))

    def for_client(self) -> str:
        """The text of a tool result that failed."""
        return self.message + (f"\nHint: {self.hint}" if self.hint else "")


# -- what the operator's side gets wrong -----------------------------------------------------------


class UsageError(PgmcpError):
    """A command line that cannot be read. Exit status 2."""


class ConfigError(PgmcpError):
    """A configuration that cannot be served. Exit status 1."""


class StoreError(PgmcpError):
    """A store of credentials or sessions that cannot be read or written."""


class FileError(StoreError):
    """A credential or configuration file that cannot be read, trusted or written.

    `origin` names the file; `reason` is the message without it, for a line that names it already.
    """

    def __init__(self, reason: str, hint: str = "", *, origin: str = "") -> None:
        super().__init__(f"{origin}: {reason}" if origin else reason, hint)
        self.reason = reason


# -- who may come in -------------------------------------------------------------------------------


class AuthError(PgmcpError):
    """The root of what authentication refuses: a caller who may not come in."""

    gate = "credential"


class UnauthorizedError(AuthError):
    """No credential, or one that is not valid: HTTP 401, always with the same bytes."""

    def __init__(self) -> None:
        super().__init__("Unauthorized")


class TooManyAttemptsError(AuthError):
    """An address that failed too often. `retry_after_seconds` goes out as Retry-After."""

    gate = "limiter"

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class LoginError(AuthError):
    """A login that was refused, in the words of the authentication guide.

    It reaches the client as JSON-RPC error -32603 "Tool execution error" with `message` as data;
    `retry_after_seconds` is set when the address, not the password, is the reason.
    """

    def __init__(self, message: str, retry_after_seconds: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        if retry_after_seconds is not None:
            self.gate = "limiter"


# -- what the HTTP side refuses --------------------------------------------------------------------


class HttpError(PgmcpError):
    """A request refused before JSON-RPC saw it: the status and the headers of the answer."""

    def __init__(
        self, status: int, message: str, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


# -- what the protocol refuses ---------------------------------------------------------------------


class RpcError(PgmcpError):
    """A JSON-RPC error: its code, its optional `data`, and the HTTP status it travels with.

    `request_id` is set when the request was refused before it was read to the end, but far enough
    to know whose answer this is: a client waits in vain for an error without its id.
    """

    code = -32603
    status = 200

    def __init__(
        self, message: str, data: Any = None, *, request_id: str | int | None = None
    ) -> None:
        super().__init__(message)
        self.data = data
        self.request_id = request_id

    def body(self) -> dict[str, Any]:
        """The `error` member of a JSON-RPC response (JSON-RPC 2.0, section 5.1)."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            error["data"] = self.data
        return error


class ParseError(RpcError):
    """Bytes that are not JSON."""

    code, status = -32700, 400


class InvalidRequestError(RpcError):
    """JSON that is not one JSON-RPC 2.0 message."""

    code, status = -32600, 400


class MethodNotFoundError(RpcError):
    """A method that this server, or this era of the protocol, does not have."""

    code, status = -32601, 404


class InvalidParamsError(RpcError):
    """Parameters of the wrong shape, or a name that is not there."""

    code = -32602


class MissingMetaError(InvalidParamsError):
    """A request of the modern era without the `_meta` keys it needs (2026-07-28, lifecycle)."""

    status = 400


class ResourceNotFoundError(RpcError):
    """A resource URI that is not there, as the handshake era says it."""

    code = -32002


class HeaderMismatchError(RpcError):
    """An HTTP header that contradicts the body (2026-07-28, Streamable HTTP)."""

    code, status = -32020, 400


class MissingCapabilityError(RpcError):
    """A call that needs what its client does not declare to have (2026-07-28, lifecycle)."""

    code, status = -32021, 400


class UnsupportedVersionError(RpcError):
    """A protocol version that is not served (2026-07-28, lifecycle)."""

    code, status = -32022, 400


class ToolExecutionError(RpcError):
    """The documented answer of a hidden tool that failed: -32603 with the reason as data."""

    def __init__(self, data: str) -> None:
        super().__init__("Tool execution error", data)


class AuditError(RpcError):
    """A call that may not run, or whose answer is withheld, because it cannot be recorded."""

    gate = "audit"


class OverloadedError(RpcError):
    """No place or no memory for a request just now: its owner has its share (429), or there is
    none for anybody (503)."""

    gate = "share"
    retry_after_seconds = 1

    def __init__(
        self, message: str, status: int = 503, *, request_id: str | int | None = None
    ) -> None:
        super().__init__(message, request_id=request_id)
        self.status = status

    @classmethod
    def of_calls(cls, *, full: bool, request_id: str | int | None = None) -> OverloadedError:
        """A request too many; `full`: not of its owner alone, but of all together."""
        whose, status = ("this server has", 503) if full else ("you have", 429)
        message = f"{whose} too many calls under way: try again when some have ended"
        return cls(message, status, request_id=request_id)

    @classmethod
    def of_memory(cls, what: str, request_id: str | int | None = None) -> OverloadedError:
        """More than is left of the memory for `what`."""
        message = f"the server is busy with {what}, please try again"
        return cls(message, request_id=request_id)


class InternalError(RpcError):
    """What a client sees of a defect: an id to look up in the log, and nothing else."""

    def __init__(self, incident: str) -> None:
        super().__init__(f"internal error (id {incident})")


# -- what a tool can fail with ---------------------------------------------------------------------


class ToolError(PgmcpError):
    """A tool call that failed and says so in its result (`isError`)."""


class ArgumentError(ToolError):
    """Arguments that do not fit a tool. The message names the path and what is expected there."""


class DatabaseUnavailableError(ToolError):
    """PostgreSQL could not be reached, went away, or refused the connection."""


class NoConnectionLeftError(DatabaseUnavailableError):
    """The server has no connection left for this role or database, or none at all."""


class ConnectionLostError(DatabaseUnavailableError):
    """An open connection that broke. `answered`: some of the answer had come by then."""

    def __init__(self, message: str, hint: str = "", *, answered: bool = True) -> None:
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


class PoolClosedError(CallEndedError):
    """The pool has been closed; `unused` when only because nobody used it."""

    def __init__(self, reason: str, *, unused: bool = False) -> None:
        super().__init__(f"the call was ended: {reason}")
        self.unused = unused


class DatabaseRefusedError(ToolError):
    """A database that is not there for this caller."""

    gate = "database"


class ModelError(ToolError):
    """The configured language model could not be asked, or gave no SQL.

    `detail` is for the operator's log only. So is `said`, the endpoint's own words, which may
    repeat the question.
    """

    def __init__(self, message: str, hint: str = "", *, detail: str = "", said: str = "") -> None:
        super().__init__(message, hint)
        self.detail = detail
        self.said = said


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
        super().__init__(f"{server.severity}: {server.message} (SQLSTATE {server.sqlstate})")
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
