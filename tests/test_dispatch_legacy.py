"""The handshake era, and what both eras share, against the official types."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mcp_types.methods import validate_server_result

from pgmcp.calls.call import Call
from pgmcp.mcp.added import ADDED_BY_CLIENTS
from pgmcp.mcp.dispatch import Answer, Dispatcher
from pgmcp.mcp.feature import FeatureSet
from pgmcp.mcp.icon import ICONS
from pgmcp.mcp.registry import Registry
from pgmcp.rpc import jsonrpc
from pgmcp.rpc.jsonrpc import Notification, Request, Response
from tests.sample_features import (
    ANNOUNCED,
    LEGACY,
    META,
    MODERN,
    PNG,
    SERVED,
    SERVER_INFO,
    TOOLS,
    context_for,
    new_states,
    no_nulls,
    sample_dispatcher,
)
from tests.strategies import JSON

VERSIONS = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"]


@pytest.mark.parametrize("method", SERVED)
@pytest.mark.parametrize("version", VERSIONS)
def test_results_have_the_shape_of_the_specification(method: str, version: str) -> None:
    result = LEGACY.result(method, SERVED[method])
    validate_server_result(method, version, result)
    assert no_nulls(result)
    assert not {"resultType", "ttlMs", "cacheScope"} & result.keys()


@pytest.mark.parametrize("version", VERSIONS)
def test_initialize_agrees_on_the_version_asked_for(version: str) -> None:
    result = LEGACY.result("initialize", {"protocolVersion": version})
    assert result["protocolVersion"] == version
    assert result["serverInfo"] == SERVER_INFO | {"icons": ICONS}
    assert result["capabilities"] == ANNOUNCED


def test_the_icon_is_a_small_png_that_needs_no_network() -> None:
    (icon,) = ICONS
    kind, _, data = icon["src"].partition(",")
    assert (kind, icon["mimeType"]) == ("data:image/png;base64", "image/png")
    png = base64.b64decode(data, validate=True)
    assert len(png) < 2000 and png.startswith(b"\x89PNG\r\n")
    width, height = struct.unpack(">II", png[16:24])
    assert icon["sizes"] == [f"{width}x{height}"]


@pytest.mark.parametrize("version", ["2026-07-28", "1999-01-01", ""])
def test_initialize_never_agrees_on_a_version_without_a_handshake(version: str) -> None:
    assert LEGACY.result("initialize", {"protocolVersion": version})["protocolVersion"] == (
        "2025-11-25"
    )


def test_initialize_without_a_version_is_refused() -> None:
    status, error = LEGACY.error("initialize")
    assert (status, error["code"]) == (200, -32602)


def test_only_what_is_there_is_announced() -> None:
    bare = Dispatcher(Registry(FeatureSet(TOOLS[:1])), server_version="1", states=new_states())
    request = Request("initialize", {"protocolVersion": "2025-11-25"}, 1)
    answer = bare.answer(request, context_for(Call(1.0)), None)
    assert answer.body is not None
    assert answer.body["result"]["capabilities"] == {"tools": {}}
    assert "get_schema_info" not in answer.body["result"]["instructions"]


@pytest.mark.parametrize(
    "message",
    [
        Notification("notifications/initialized", {}),
        Notification("notifications/unheard-of", {"x": 1}),
        Notification("tools/call", {"name": "defect"}),
        Response(1),
        Response(None),
    ],
)
def test_notifications_and_responses_are_taken_without_a_word(message: jsonrpc.Message) -> None:
    assert sample_dispatcher().answer(message, context_for(Call(1.0)), {}) == Answer(202, None)


@pytest.mark.parametrize("header", [None, *VERSIONS, " 2025-11-25\t"])
def test_a_handshake_version_in_the_header_or_none_is_this_era(header: str | None) -> None:
    # Some clients of this era send the header Mcp-Method as well, whatever it says.
    headers = {"mcp-method": "other"} | ({} if header is None else {"mcp-protocol-version": header})
    assert LEGACY.ask("ping", headers=headers).body == {"jsonrpc": "2.0", "id": 7, "result": {}}


@pytest.mark.parametrize("method", ["logging/setLevel", "server/discover", "tools/cal", ""])
def test_an_unknown_method_is_an_error_but_no_dead_session(method: str) -> None:
    status, error = LEGACY.error(method)
    assert (status, error["code"]) == (200, -32601)


# -- what both eras share --------------------------------------------------------------------------


def test_tools_are_listed_in_order_without_the_hidden_ones() -> None:
    tools = LEGACY.result("tools/list")["tools"]
    assert [tool["name"] for tool in tools] == ["echo", "refuse", "defect", "wait"]
    assert tools[0] == {
        "name": "echo",
        "title": "Echo",
        "description": "Says it again.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "text": {"type": "string", "description": "What to say."},
                "times": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": 3,
                    "description": "How often.",
                    "default": 1,
                },
            },
            "required": ["text"],
            "additionalProperties": False,
        },
        "annotations": {
            "title": "Echo",
            "readOnlyHint": True,
            "destructiveHint": False,
            "idempotentHint": False,
            "openWorldHint": False,
        },
    }


def test_a_call_returns_text_and_no_is_error() -> None:
    result = LEGACY.result("tools/call", {"name": "echo", "arguments": {"text": "a", "times": 2}})
    assert result == {"content": [{"type": "text", "text": "aa"}]}


_NONE: list[Any] = [None, {}, [], "", "null", "{}"]


@pytest.mark.parametrize("arguments", [{}, *({"arguments": none} for none in _NONE)])
def test_a_tool_error_is_a_result_that_a_model_can_read(arguments: dict[str, Any]) -> None:
    assert LEGACY.result("tools/call", {"name": "refuse"} | arguments) == {
        "content": [{"type": "text", "text": "there is no database here\nHint: Configure one."}],
        "isError": True,
    }


def test_arguments_may_come_as_json_text_and_with_what_clients_add() -> None:
    sent = json.dumps({"text": "a", "times": "2"} | dict.fromkeys(ADDED_BY_CLIENTS, "x"))
    result = LEGACY.result("tools/call", {"name": "echo", "arguments": sent})
    plainly = LEGACY.result("tools/call", {"name": "echo", "arguments": {"text": "a", "times": 2}})
    assert result == plainly


def test_bad_arguments_are_a_result_that_names_them() -> None:
    result = LEGACY.result("tools/call", {"name": "echo", "arguments": {"text": "a", "times": 9}})
    assert result["isError"] is True
    assert result["content"][0]["text"] == (
        "arguments.times: expected an integer from 1 to 3, got 9"
    )


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"name": "drop_everything"}, "unknown tool: drop_everything"),
        ({}, "params.name"),
        ({"name": 3}, "params.name"),
        ({"name": "echo", "arguments": [1]}, "params.arguments"),
        ({"name": "echo", "arguments": "[]"}, "params.arguments"),
        ({"name": "echo", "arguments": '{"a": 1, "a": 2}'}, "params.arguments"),
        ({"name": "echo", "arguments": "x"}, "params.arguments"),
    ],
)
def test_a_call_that_names_no_tool_is_refused(params: dict[str, Any], named: str) -> None:
    status, error = LEGACY.error("tools/call", params)
    assert (status, error["code"]) == (200, -32602)
    assert named in error["message"]


def test_a_defect_shows_only_an_id_that_the_log_repeats(caplog: pytest.LogCaptureFixture) -> None:
    status, error = LEGACY.error("tools/call", {"name": "defect"})
    assert (status, error["code"]) == (200, -32603)
    assert "secret detail" not in str(error)
    incident = error["message"].removeprefix("internal error (id ").removesuffix(")")
    assert len(incident) == 8
    assert incident in caplog.text and "a secret detail" in caplog.text


def test_a_hidden_tool_answers_as_the_authentication_guide_says() -> None:
    def log_in(**arguments: object) -> Answer:
        params = {"name": "authenticate_user", "arguments": arguments}
        return LEGACY.ask("tools/call", params)

    done = log_in(username="alice", password="right")
    assert done.body is not None
    assert done.body["result"] == {"content": [{"type": "text", "text": '{"success": true}'}]}
    refused = log_in(username="alice", password="wrong")
    assert refused == Answer(
        200,
        {
            "jsonrpc": "2.0",
            "id": 7,
            "error": {
                "code": -32603,
                "message": "Tool execution error",
                "data": "authentication failed: invalid username or password",
            },
        },
    )
    flooding = log_in(username="flood", password="wrong")
    assert flooding.retry_after_seconds == 42
    broken = log_in(username="broken", password="right")
    assert broken.body is not None
    assert broken.body["error"]["data"] == "no accounts here"
    for arguments in ({"username": "alice"}, {"username": "alice", "password": 31337}):
        malformed = log_in(**arguments)
        assert malformed.body is not None
        assert malformed.body["error"]["code"] == -32602
        assert malformed.body["error"]["data"].startswith("arguments.password: ")
        assert "31337" not in str(malformed.body)


@pytest.mark.parametrize(
    "method", ["tools/list", "resources/list", "resources/templates/list", "prompts/list"]
)
def test_a_cursor_that_was_never_handed_out_is_refused(method: str) -> None:
    for cursor in ("", "x", 1):
        assert LEGACY.error(method, {"cursor": cursor})[1]["code"] == -32602
    assert "nextCursor" not in LEGACY.result(method, {"cursor": None})


def test_resources_are_listed_and_read() -> None:
    assert LEGACY.result("resources/list")["resources"][0] == {
        "uri": "test://doc",
        "name": "doc",
        "title": "Document",
        "description": "A text.",
        "mimeType": "text/plain",
    }
    assert LEGACY.result("resources/read", {"uri": "test://doc"})["contents"] == [
        {"uri": "test://doc", "mimeType": "text/plain", "text": "the text"}
    ]
    status, error = LEGACY.error("resources/read", {"uri": "test://none"})
    assert (status, error["code"], error["data"]) == (200, -32002, {"uri": "test://none"})
    status, error = LEGACY.error("resources/read", {"uri": "test://gone"})
    assert (status, error["code"]) == (200, -32603)
    assert "there is no database here" in error["message"]
    assert LEGACY.error("resources/read", {})[1]["code"] == -32602


def test_prompts_are_listed_and_rendered() -> None:
    explore, plain, _ = LEGACY.result("prompts/list")["prompts"]
    assert explore["arguments"] == [
        {"name": "topic", "description": "What to explore.", "required": True},
        {"name": "depth", "description": "How deep.", "required": False},
    ]
    assert "arguments" not in plain
    params = {"name": "explore", "arguments": {"topic": "sales"}}
    assert LEGACY.result("prompts/get", params) == {
        "description": "Explores.",
        "messages": [{"role": "user", "content": {"type": "text", "text": "sales, some"}}],
    }
    for wrong in ({"name": "none"}, {"name": "explore"}, {"name": "explore", "arguments": [1]}):
        assert LEGACY.error("prompts/get", wrong)[1]["code"] == -32602


def test_bytes_are_sent_as_base64_and_a_prompt_may_be_several_messages() -> None:
    (shown,) = LEGACY.result("resources/read", {"uri": "test://png"})["contents"]
    assert (base64.b64decode(shown["blob"]), shown["mimeType"]) == (PNG, "image/png")
    picture, text = LEGACY.result("prompts/get", {"name": "shown"})["messages"]
    assert (picture["role"], picture["content"]["type"]) == ("user", "image")
    assert text == {"role": "assistant", "content": {"type": "text", "text": "See?"}}


def test_resources_of_a_template_are_listed_as_one_and_read_by_its_values() -> None:
    (listed,) = LEGACY.result("resources/templates/list")["resourceTemplates"]
    assert (listed["uriTemplate"], listed["name"]) == ("test://doc/{section}/{page}", "page")
    (shown,) = LEGACY.result("resources/read", {"uri": "test://doc/a%2Fb/%C3%A9"})["contents"]
    assert shown["text"] == "a/b: é"
    for uri in ("test://doc/a", "test://doc/a/", "test://doc/a/b/c", "test://doc/a/b c", "x"):
        assert LEGACY.error("resources/read", {"uri": uri})[1]["code"] == -32002


def completed(name: str, value: str, **params: Any) -> Any:
    ref = params.pop("ref", {"type": "ref/prompt", "name": "explore"})
    asked = {"ref": ref, "argument": {"name": name, "value": value}, **params}
    return LEGACY.result("completion/complete", asked)["completion"]


def test_an_argument_is_completed_to_a_hundred_values_at_most() -> None:
    assert completed("topic", "2") == {
        "values": ["topic 0", "topic 1"],
        "total": 2,
        "hasMore": False,
    }
    many = completed("topic", "250")
    assert (len(many["values"]), many["total"], many["hasMore"]) == (100, 250, True)


@pytest.mark.parametrize(
    ("name", "value"), [("depth", "s"), ("topic", "gone"), ("topic", "9" * 1001)]
)
def test_what_cannot_be_completed_has_no_values(name: str, value: str) -> None:
    assert completed(name, value) == {"values": [], "total": 0, "hasMore": False}


def test_a_template_s_value_is_completed_by_those_given_before() -> None:
    page = {"type": "ref/resource", "uri": "test://doc/{section}/{page}"}
    shown = completed("page", "p", ref=page, context={"arguments": {"section": "s-", "n": 1}})
    assert shown["values"] == ["s-p1", "s-p2"]
    assert completed("page", "p", ref=page, context=7)["values"] == ["p1", "p2"]


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"ref": {"type": "ref/prompt", "name": "none"}, "argument": {"name": "a", "value": ""}},
        {"ref": {"type": "ref/resource", "uri": "x"}, "argument": {"name": "a", "value": ""}},
        {"ref": {"type": "ref/tool"}, "argument": {"name": "topic", "value": ""}},
        {"ref": {"type": "ref/prompt", "name": "explore"}, "argument": {"name": "a", "value": ""}},
        {"ref": {"type": "ref/prompt", "name": "explore"}, "argument": {"name": "topic"}},
        {"ref": {"type": "ref/prompt", "name": "explore"}, "argument": 3},
    ],
)
def test_a_completion_of_what_is_not_there_is_refused(params: dict[str, Any]) -> None:
    assert LEGACY.error("completion/complete", params)[1]["code"] == -32602


METHODS = st.sampled_from([*SERVED, "server/discover"]) | st.text()
PARAMS = st.dictionaries(
    st.sampled_from(["name", "arguments", "uri", "cursor", "_meta", "protocolVersion"]) | st.text(),
    JSON | st.sampled_from([tool.name for tool in TOOLS if tool.name != "wait"]) | st.just(META),
    max_size=4,
)
HEADERS = st.none() | st.dictionaries(
    st.sampled_from(["mcp-protocol-version", "mcp-method", "mcp-name"]),
    st.sampled_from(["2026-07-28", "2025-11-25", "tools/call", "=?base64?4pyT?=", "=?base64?"])
    | st.text(),
)


@given(METHODS, PARAMS, HEADERS)
@example("tools/call", {"name": "echo", "arguments": {"text": "\ud800"}}, None)
@example("ping", {}, {"mcp-protocol-version": "=?base64?!?="})
def test_any_request_gets_an_answer_with_its_id(
    method: str, params: dict[str, Any], headers: dict[str, str] | None
) -> None:
    for client in (LEGACY, MODERN):
        answer = client.ask(method, params, headers)
        assert answer.body is not None and answer.body["id"] == 7
        assert answer.status in (200, 400, 404)
        assert ("result" in answer.body) != ("error" in answer.body)
        jsonrpc.encode(answer.body)
