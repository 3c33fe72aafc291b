"""authenticate_user: the answer of the authentication guide, and a password that goes nowhere."""

from __future__ import annotations

import pytest

from pgmcp.auth.principal import ANONYMOUS, anonymous_may
from pgmcp.calls.call import Call
from pgmcp.errors import LoginError, ToolError
from pgmcp.features.tools import authenticate_user
from pgmcp.mcp.feature import Context
from pgmcp.rpc.schema import build
from tests.sample_features import NoDatabases
from tests.tool_calls import text_of

TOOL = authenticate_user.TOOL
PASSWORD = "SecurePassword123!"


class OneUser:
    """Accounts that know alice."""

    def log_in(self, username: str, password: str) -> tuple[str, str]:
        if (username, password) != ("alice", PASSWORD):
            raise LoginError("invalid username or password")
        return "AQz9XfK...", "2024-11-15T09:30:00Z"

    def log_out(self) -> bool:
        return False


def log_in(context: Context, **arguments: object) -> str:
    return text_of(TOOL.run(build(TOOL.args, arguments), context))


CONTEXT = Context(ANONYMOUS, Call(10), NoDatabases(), OneUser())


def test_the_answer_is_the_guides_to_the_last_space() -> None:
    assert log_in(CONTEXT, username="alice", password=PASSWORD) == (
        '{"success": true, "session_token": "AQz9XfK...", '
        '"expires_at": "2024-11-15T09:30:00Z", "message": "Authentication successful"}'
    )


def test_an_anonymous_caller_may_call_it_and_no_list_shows_it() -> None:
    assert TOOL.hidden
    assert anonymous_may("tools/call", {"name": TOOL.name})


def test_a_refusal_is_the_accounts_own() -> None:
    with pytest.raises(LoginError, match="invalid username or password"):
        log_in(CONTEXT, username="alice", password="wrong")


def test_without_accounts_it_says_that_authentication_is_disabled() -> None:
    without = Context(ANONYMOUS, Call(10), NoDatabases())
    with pytest.raises(LoginError, match="authentication is disabled on this server"):
        log_in(without, username="alice", password=PASSWORD)


@pytest.mark.parametrize(
    "arguments",
    [
        {"username": "alice", "password": [PASSWORD]},
        {"username": {"name": PASSWORD}, "password": PASSWORD},
        {"password": PASSWORD},
        {"username": 5, "password": PASSWORD, "extra": 1},
    ],
)
def test_no_error_and_no_repr_shows_the_password(arguments: dict[str, object]) -> None:
    with pytest.raises(ToolError) as failed:
        log_in(CONTEXT, **arguments)
    assert PASSWORD not in failed.value.for_client()
    assert PASSWORD not in repr(authenticate_user.Args("alice", PASSWORD))
