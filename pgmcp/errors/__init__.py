"""Every error that pgmcp raises on purpose, and how each boundary shows it.

The rule: `message` and `hint` are safe to show to whoever caused the error, so neither may hold a
secret or an inside detail. Anything that is not a `PgmcpError` is a defect, and a client sees only
"internal error" with an id that the log repeats.

One module for each side that raises them; import the classes from here.
"""

from pgmcp.errors.entry import (
    AuthError,
    HttpError,
    LoginError,
    TooManyAttemptsError,
    UnauthorizedError,
)
from pgmcp.errors.operator import (
    ConfigError,
    FileError,
    StoreError,
    UsageError,
)
from pgmcp.errors.protocol import (
    AuditError,
    HeaderMismatchError,
    InternalError,
    InvalidParamsError,
    InvalidRequestError,
    MethodNotFoundError,
    MissingCapabilityError,
    MissingMetaError,
    OverloadedError,
    ParseError,
    ResourceNotFoundError,
    RpcError,
    ToolExecutionError,
    UnsupportedVersionError,
)
from pgmcp.errors.root import (
    COMMAND,
    PgmcpError,
    shortened,
    visible,
)
from pgmcp.errors.tool import (
    ArgumentError,
    BudgetError,
    CallEndedError,
    ConnectionLostError,
    DatabaseRefusedError,
    DatabaseUnavailableError,
    MemoryBusyError,
    ModelError,
    NoConnectionLeftError,
    OutOfTimeError,
    PolicyRefusedError,
    PoolClosedError,
    PoolTimeoutError,
    ServerMessage,
    StatementError,
    StatementRefusedError,
    ToolError,
)

__all__ = [
    "COMMAND",
    "ArgumentError",
    "AuditError",
    "AuthError",
    "BudgetError",
    "CallEndedError",
    "ConfigError",
    "ConnectionLostError",
    "DatabaseRefusedError",
    "DatabaseUnavailableError",
    "FileError",
    "HeaderMismatchError",
    "HttpError",
    "InternalError",
    "InvalidParamsError",
    "InvalidRequestError",
    "LoginError",
    "MemoryBusyError",
    "MethodNotFoundError",
    "MissingCapabilityError",
    "MissingMetaError",
    "ModelError",
    "NoConnectionLeftError",
    "OutOfTimeError",
    "OverloadedError",
    "ParseError",
    "PgmcpError",
    "PolicyRefusedError",
    "PoolClosedError",
    "PoolTimeoutError",
    "ResourceNotFoundError",
    "RpcError",
    "ServerMessage",
    "StatementError",
    "StatementRefusedError",
    "StoreError",
    "TooManyAttemptsError",
    "ToolError",
    "ToolExecutionError",
    "UnauthorizedError",
    "UnsupportedVersionError",
    "UsageError",
    "shortened",
    "visible",
]
