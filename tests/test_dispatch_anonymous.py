"""An anonymous caller may call a public tool, and nothing else, in either era."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest

from pgmcp.auth.principal import ANONYMOUS
from pgmcp.calls.call import Call
from pgmcp.errors import TooManyAttemptsError, UnauthorizedError
from pgmcp.mcp.dispatch import Dispatcher
from pgmcp.mcp.feature import Context, FeatureSet, Tool
from pgmcp.mcp.registry import Registry
from pgmcp.rpc.jsonrpc import Request
from tests.sample_features import ANONYMOUS_CLIENT, META, Client, NoArgs, context_for, new_states

MODERN_ANONYMOUS = Client(principal=ANONYMOUS, meta=META)


@pytest.mark.parametrize("client", [ANONYMOUS_CLIENT, MODERN_ANONYMOUS])
def test_an_anonymous_caller_may_log_in(client: Client) -> None:
    arguments = {"username": "alice", "password": "right"}
    result = client.result("tools/call", {"name": "authenticate_user", "arguments": arguments})
    assert result["content"][0]["text"] == '{"success": true}'


@pytest.mark.parametrize("client", [ANONYMOUS_CLIENT, MODERN_ANONYMOUS])
@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("initialize", {"protocolVersion": "2025-11-25"}),
        ("ping", {}),
        ("server/discover", {}),
        ("tools/list", {}),
        ("tools/call", {"name": "echo", "arguments": {"text": "x"}}),
        ("tools/call", {"name": "secret"}),
        ("tools/call", {"name": "unheard-of"}),
        ("tools/call", {"name": ["authenticate_user"]}),
        ("tools/call", {}),
        ("prompts/get", {"name": "authenticate_user"}),
        ("resources/read", {"name": "authenticate_user", "uri": "test://doc"}),
        ("unheard-of", {"name": "authenticate_user"}),
    ],
)
def test_an_anonymous_caller_may_do_nothing_else(
    client: Client, method: str, params: dict[str, Any]
) -> None:
    with pytest.raises(UnauthorizedError):
        client.ask(method, params)


@pytest.mark.parametrize("refusal", [UnauthorizedError(), TooManyAttemptsError("later", 3)])
def test_a_refusal_to_let_the_caller_in_is_the_transports_to_render(refusal: Exception) -> None:
    def refuse(_: Any, __: Context) -> NoReturn:
        raise refusal

    tool = Tool("refuse", "Refuse", "Refuses the caller.", NoArgs, refuse)
    dispatcher = Dispatcher(Registry(FeatureSet((tool,))), server_version="1", states=new_states())
    with pytest.raises(type(refusal)):
        dispatcher.answer(
            Request("tools/call", {"name": "refuse"}, 1), context_for(Call(1.0)), None
        )
