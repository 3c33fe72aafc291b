"""logout_user ends the session it is called with."""

from __future__ import annotations

import json

import pytest

from pgmcp.auth.principal import Principal, anonymous_may
from pgmcp.calls.call import Call
from pgmcp.errors import LoginError
from pgmcp.features.tools import logout_user
from pgmcp.mcp.feature import Context
from pgmcp.rpc.schema import build
from tests.sample_features import NoDatabases
from tests.tool_calls import text_of

TOOL = logout_user.TOOL
ALICE = Principal("session", "alice", "digest")


class OneSession:
    """Accounts with one session, until it ends."""

    open = True

    def log_in(self, username: str, password: str) -> tuple[str, str]:
        raise LoginError("invalid username or password")

    def log_out(self) -> bool:
        was, self.open = self.open, False
        return was


def test_it_ends_the_session_once() -> None:
    accounts = OneSession()
    context = Context(ALICE, Call(10), NoDatabases(), accounts)
    answer = json.loads(text_of(TOOL.run(build(TOOL.args, {}), context)))
    assert answer == {"success": True, "message": "Logged out"}
    assert not accounts.open
    with pytest.raises(LoginError, match="without a session"):
        TOOL.run(build(TOOL.args, {}), context)


def test_it_is_hidden_and_not_for_anonymous_callers() -> None:
    assert TOOL.hidden
    assert not anonymous_may("tools/call", {"name": TOOL.name})


def test_without_accounts_it_says_that_authentication_is_disabled() -> None:
    with pytest.raises(LoginError, match="authentication is disabled on this server"):
        TOOL.run(build(TOOL.args, {}), Context(ALICE, Call(10), NoDatabases()))
