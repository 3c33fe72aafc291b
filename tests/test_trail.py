"""What a call leaves behind: its first reason, and each statement once."""

from __future__ import annotations

import pytest

from pgmcp.calls.trail import Trail
from pgmcp.errors import (
    ArgumentError,
    AuditError,
    CallEndedError,
    DatabaseRefusedError,
    InvalidParamsError,
    LoginError,
    PgmcpError,
    ServerMessage,
    StatementError,
    StatementRefusedError,
    ToolExecutionError,
    UnauthorizedError,
)

SERVER = ServerMessage("ERROR", "22012", "division by zero")


@pytest.mark.parametrize(
    ("error", "outcome", "gate"),
    [
        (ArgumentError("x"), "error", ""),
        (InvalidParamsError("x"), "error", ""),
        (StatementError(SERVER), "error", ""),
        (CallEndedError("x"), "ended", ""),
        (StatementRefusedError("x", "y"), "refused", "grammar"),
        (DatabaseRefusedError("x", "y"), "refused", "database"),
        (UnauthorizedError(), "refused", "credential"),
        (LoginError("x"), "refused", "credential"),
        (LoginError("x", 60), "refused", "limiter"),
        (AuditError("x"), "refused", "audit"),
    ],
)
def test_an_error_becomes_an_outcome_and_a_gate(error: PgmcpError, outcome: str, gate: str) -> None:
    trail = Trail()
    trail.failed(error)
    assert (trail.outcome, trail.gate, trail.error) == (outcome, gate, type(error).__name__)
    assert trail.sqlstate == ("22012" if isinstance(error, StatementError) else None)
    assert trail.limited == (gate == "limiter")


def test_the_first_reason_stays() -> None:
    trail = Trail()
    trail.failed(StatementError(SERVER))
    trail.failed(ToolExecutionError("x"))
    assert (trail.error, trail.sqlstate) == ("StatementError", "22012")


def test_a_statement_is_noted_once_and_rows_add_up() -> None:
    trail = Trail()
    for text in ("SELECT 1", "SELECT 2", "SELECT 1"):
        trail.ran(text)
        trail.answered(2)
    assert trail.statements == ["SELECT 1", "SELECT 2"]
    assert trail.rows == 6
