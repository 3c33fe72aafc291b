"""Who may not come in, and what HTTP refuses before JSON-RPC sees it."""

from __future__ import annotations

from pgmcp.errors.root import PgmcpError


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


class HttpError(PgmcpError):
    """A request refused before JSON-RPC saw it: the status and the headers of the answer."""

    def __init__(
        self, status: int, message: str, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
