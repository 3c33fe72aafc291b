"""What a caller is told of a statement that its policy does not allow.

The rule: no word of it tells of a table or a column that is hidden, but by what the caller wrote.
"""

from __future__ import annotations

from pgmcp.errors import (
    CallEndedError,
    ServerMessage,
    StatementError,
    StatementRefusedError,
    ToolError,
)
from pgmcp.policy.decision import Denial, DenialReason

_BY_POLICY = "the policy of your credential"
_UNDEFINED_TABLE, _UNDEFINED_COLUMN = "42P01", "42703"


class DeniedError(Exception):
    """A statement that the policy of the principal does not allow. It has not run."""

    def __init__(self, denial: Denial) -> None:
        super().__init__(denial.reason.value)
        self.denial = denial


def refusal(denial: Denial) -> ToolError:
    """The error for a denial. A hidden table or column is not there."""
    name = denial.name
    if denial.reason is DenialReason.CANARY:
        return _stopped()
    if denial.reason is DenialReason.TABLE:
        return _not_there(_UNDEFINED_TABLE, f'relation "{name}" does not exist')
    if denial.reason is DenialReason.COLUMN:
        return _not_there(_UNDEFINED_COLUMN, f'column "{name}" does not exist')
    message, hint = _TEXTS[denial.reason]
    columns = ", ".join(denial.readable) or "none"
    refused = StatementRefusedError(
        message.format(name=name, policy=_BY_POLICY), hint.format(name=name, columns=columns)
    )
    refused.gate = "policy"
    return refused


_TEXTS = {
    DenialReason.ALL_COLUMNS: (
        "you may not read all columns of {name}, which * and whole rows stand for",
        "Name the columns that you want, of these: {columns}",
    ),
    DenialReason.UNNAMED: (
        "a function or a type in this statement stands for rows that {policy} does not let you"
        " read",
        "Name the tables and columns that you want in the statement itself.",
    ),
    DenialReason.VIEW: (
        "{name} uses what {policy} does not let you read",
        "Name other columns of it, or ask for something else.",
    ),
    DenialReason.FUNCTION: (
        "{policy} does not let you call {name}",
        'The operator can allow it, in the policy: functions: ["{name}"]',
    ),
    DenialReason.SETTING: (
        "{name} could change the role or the settings that {policy} sets",
        "Leave it out of the statement.",
    ),
    DenialReason.LOOK_UP: (
        "{name} looks objects up by name, which {policy} does not allow",
        "Name the tables and columns in the statement itself.",
    ),
    DenialReason.MASK: (
        "{name} is masked: it may be shown, and not be compared, sorted, grouped or computed with",
        "Name it as a result column by itself.",
    ),
    DenialReason.MISFIT: (
        "{name} has a mask that does not suit its type, so that it is not shown",
        "Leave it out. The operator finds what to correct with -check.",
    ),
    DenialReason.PLAN: (
        "{policy} does not let you see the plan of a statement {name}",
        "Run the statement itself, without EXPLAIN.",
    ),
}


def _not_there(sqlstate: str, message: str) -> StatementError:
    return StatementError(ServerMessage("ERROR", sqlstate, message))


def verbose_plan() -> StatementRefusedError:
    """For EXPLAIN VERBOSE, which names all columns of the tables that a statement reads."""
    refused = StatementRefusedError(
        f"{_BY_POLICY} does not allow EXPLAIN with VERBOSE",
        "Leave it out: EXPLAIN shows the plan, without the columns of each step.",
    )
    refused.gate = "policy"
    return refused


def _stopped() -> CallEndedError:
    """For the use of a canary, whose name is not told."""
    stopped = CallEndedError(
        "your credential has been stopped: this statement uses what nobody should have a use for",
        "Nothing was run. Ask the operator of this server.",
    )
    stopped.gate = "policy"
    return stopped


def not_guessed() -> StatementRefusedError:
    """For a statement of pgmcp's own making that would use a canary."""
    return StatementRefusedError("This is not read without being asked for.", "Ask for it.")


def unreadable_names() -> StatementRefusedError:
    """For names that are written in a way that is not read here."""
    refused = StatementRefusedError(
        f'{_BY_POLICY} does not allow names with Unicode escapes (U&"…")',
        "Write the characters themselves.",
    )
    refused.gate = "policy"
    return refused


def unnamed_columns() -> StatementRefusedError:
    """For an error of PostgreSQL's that names a column which the caller has not named."""
    refused = StatementRefusedError(
        "PostgreSQL refuses this statement for a column that you have not named",
        "Name the columns that you want instead of *.",
    )
    refused.gate = "policy"
    return refused
