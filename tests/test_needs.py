"""Which database a request will wait for, as far as its message says so."""

from __future__ import annotations

from typing import Any

import pytest

from pgmcp.auth.principal import ACCOUNT_TOOLS
from pgmcp.features import tools
from pgmcp.mcp.needs import database_needed
from pgmcp.rpc.jsonrpc import Request

BOTH = ("main", "second")


@pytest.mark.parametrize(
    ("method", "params", "database"),
    [
        ("tools/call", {"name": "query_database", "arguments": {"query": "SELECT 1"}}, "main"),
        ("tools/call", {"name": "count_rows", "arguments": {"database": "second"}}, "second"),
        ("tools/call", {"name": "count_rows", "arguments": {"database": "third"}}, None),
        ("tools/call", {"name": "count_rows", "arguments": {"database": ["main"]}}, None),
        ("tools/call", {"name": "count_rows", "arguments": '{"database": "second"}'}, "main"),
        ("tools/call", {"name": "query_database"}, "main"),
        ("tools/call", {"name": "logout_user", "arguments": {}}, None),
        ("tools/call", {"name": "authenticate_user"}, None),
        ("resources/read", {"uri": "pg://system_info"}, "main"),
        ("tools/call", {"name": ["logout_user"], "arguments": [1]}, "main"),
        ("tools/call", [], None),
        ("ping", {}, None),
        ("resources/subscribe", {"uri": "pg://system_info"}, None),
    ],
)
def test_what_a_message_says_it_needs(method: str, params: Any, database: str | None) -> None:
    request = Request(method, params, 1)
    assert database_needed(request, BOTH) == database
    assert database_needed(request, ()) is None


def test_the_tools_that_need_no_database_are_tools() -> None:
    assert {tool.name for tool in tools.ALL} >= ACCOUNT_TOOLS
