"""Which protection stopped an attempt, by what it raised.

The rule: read from the error's class, gate and SQLSTATE alone; nothing here knows the attempt.
"""

from __future__ import annotations

from pgmcp.errors import (
    ArgumentError,
    CallEndedError,
    DatabaseUnavailableError,
    StatementError,
    StatementRefusedError,
    ToolError,
)

_ABSENT = frozenset(
    "3F000 42703 42704 42883 42P01".split()  # no such object
)
_STATES = {
    "25006": "transaction",
    "25001": "PostgreSQL",
    "42501": "privileges",
    "42601": "grammar",
    "55P03": "lock timeout",
    "57014": "time limit",
}
_CLASSES = {"53": "server limits", "54": "server limits"}


def layer(error: ToolError) -> str:
    """A short name for the protection."""
    if isinstance(error, StatementRefusedError):
        return error.gate
    if isinstance(error, StatementError):
        state = error.server.sqlstate
        return _STATES.get(state) or _CLASSES.get(state[:2], f"PostgreSQL {state}")
    if isinstance(error, CallEndedError):
        return "time limit"
    if isinstance(error, ArgumentError):
        return "arguments"
    return "connection" if isinstance(error, DatabaseUnavailableError) else "tool"


def proves_nothing(error: ToolError) -> bool:
    """Whether the attempt failed only because something it names does not exist there."""
    return isinstance(error, StatementError) and error.server.sqlstate in _ABSENT
