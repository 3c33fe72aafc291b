"""What the protocol refuses: JSON-RPC errors, each with the HTTP status that it travels with."""

from __future__ import annotations

from typing import Any

from pgmcp.errors.root import PgmcpError


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
