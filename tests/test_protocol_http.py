"""What MCP demands of a server over Streamable HTTP, of the real program over raw sockets.

Each test names the rule; both eras are asked on the one endpoint, beside each other.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from pgmcp.mcp.era import ALL_VERSIONS
from tests.program import NOWHERE, Program, running, settings_of
from tests.sample_features import ANNOUNCED, META, no_nulls
from tests.serving import Reply, post, rpc, until
from tools.postgres import Server

VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
HANDSHAKES = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
LISTS = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}
ACCEPT = "Accept: application/json, text/event-stream"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """One server for all tests that need no database."""
    with running(tmp_path_factory.mktemp("program"), NOWHERE) as started:
        yield started


@pytest.fixture(scope="session")
def postgres(newest_postgres: Server) -> Server:
    """The newest server alone: test_clients.py speaks the protocol in front of each."""
    return newest_postgres


@pytest.fixture(scope="module")
def connected(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """One server with a database behind it."""
    folder = tmp_path_factory.mktemp("connected")
    with running(folder, settings_of(postgres, "postgres")) as started:
        yield started


def legacy(program: Program, method: str, params: Any = None, *headers: str) -> Reply:
    """Ask as a client of the handshake era does."""
    return program.ask(post(rpc(method, params, 7), ACCEPT, *headers, token=program.token))


def routed(method: str, params: Mapping[str, Any], **changed: str | None) -> list[str]:
    """The headers that repeat a request of the stateless era; `changed` ones differ or lack."""
    sent = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method}
    if method in NAMED:
        sent["Mcp-Name"] = params.get(NAMED[method], "")
    sent |= {name.replace("_", "-"): value for name, value in changed.items()}  # type: ignore[misc]
    return [f"{name}: {value}" for name, value in sent.items() if value is not None]


def modern_bytes(program: Program, method: str, params: Any = None, **changed: str | None) -> bytes:
    asked = {"_meta": META, **(params or {})}
    headers = routed(method, asked, **changed)
    return post(rpc(method, asked, 7), ACCEPT, *headers, token=program.token)


def modern(program: Program, method: str, params: Any = None, **changed: str | None) -> Reply:
    """Ask as a client of the stateless era does."""
    return program.ask(modern_bytes(program, method, params, **changed))


def result(reply: Reply) -> Any:
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert reply.json["id"] == 7
    assert "mcp-session-id" not in reply.headers
    return reply.json["result"]


def failure(reply: Reply, status: int) -> tuple[int, Any]:
    """Code and data of an error that says what it answers."""
    assert (reply.status, reply.headers["content-type"]) == (status, "application/json")
    assert reply.json["id"] == 7
    error = reply.json["error"]
    return error["code"], error.get("data")


# -- the handshake era -----------------------------------------------------------------------------


@pytest.mark.parametrize("version", HANDSHAKES)
def test_the_handshake_agrees_on_a_version_that_is_served(program: Program, version: str) -> None:
    client = {"capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    agreed = result(legacy(program, "initialize", {"protocolVersion": version, **client}))
    assert agreed["protocolVersion"] == version
    assert agreed["serverInfo"]["name"] == "pgedge-postgres-mcp"
    assert agreed["capabilities"] == ANNOUNCED


@pytest.mark.parametrize("version", ["2026-07-28", "2099-01-01", "1.0", ""])
def test_the_handshake_offers_its_newest_version_for_any_other(
    program: Program, version: str
) -> None:
    agreed = result(legacy(program, "initialize", {"protocolVersion": version}))
    assert agreed["protocolVersion"] == "2025-11-25"


def test_requests_may_come_without_a_handshake_or_pipelined_behind_it(program: Program) -> None:
    assert result(legacy(program, "ping")) == {}
    notes = rpc("notifications/initialized", request_id=None)
    reply = program.ask(post(notes, token=program.token))
    assert (reply.status, reply.body) == (202, b"")


@pytest.mark.parametrize("version", HANDSHAKES)
def test_a_handshake_version_in_the_header_is_accepted(program: Program, version: str) -> None:
    assert result(legacy(program, "ping", {}, f"MCP-Protocol-Version: {version}")) == {}


@pytest.mark.parametrize("version", ["2023-01-01", "x", "2025-11-25 2026-07-28"])
def test_an_unknown_version_in_the_header_is_400(program: Program, version: str) -> None:
    reply = legacy(program, "ping", {}, f"MCP-Protocol-Version: {version}")
    code, data = failure(reply, 400)
    assert (code, data["requested"]) == (-32022, version)


def test_a_session_that_was_never_given_out_is_ignored(program: Program) -> None:
    assert result(legacy(program, "ping", {}, "Mcp-Session-Id: dead")) == {}
    assert "tools" in result(modern(program, "tools/list", Mcp_Session_Id="dead"))


@pytest.mark.parametrize("method", ["nothing/at_all", "logging/setLevel", "resources/subscribe"])
def test_the_handshake_era_names_unknown_methods_in_the_body_only(
    program: Program, method: str
) -> None:
    # There a 404 means that the session is gone.
    assert failure(legacy(program, method), 200)[0] == -32601


# -- the stateless era -----------------------------------------------------------------------------


def test_discovery_needs_no_handshake(program: Program) -> None:
    found = result(modern(program, "server/discover"))
    assert found["supportedVersions"] == list(ALL_VERSIONS)
    assert found["capabilities"] == ANNOUNCED
    assert (found["resultType"], found["cacheScope"]) == ("complete", "private")
    assert found["ttlMs"] > 0


REMOVED = (
    "initialize",
    "ping",
    "logging/setLevel",
    "resources/subscribe",
    "resources/unsubscribe",
    "subscriptions/listen",
    "tasks/get",
    "nothing/at_all",
)


@pytest.mark.parametrize("method", REMOVED)
def test_the_stateless_era_answers_404_for_what_it_does_not_have(
    program: Program, method: str
) -> None:
    assert failure(modern(program, method, {"protocolVersion": "2025-11-25"}), 404)[0] == -32601


@pytest.mark.parametrize(
    "meta",
    [
        {VERSION_KEY: "2026-07-28"},
        {VERSION_KEY: "2026-07-28", CAPABILITIES_KEY: []},
        {CAPABILITIES_KEY: {}},
        {VERSION_KEY: 20260728, CAPABILITIES_KEY: {}},
        {},
        None,
    ],
)
def test_a_request_without_its_meta_is_400(program: Program, meta: Any) -> None:
    params = {} if meta is None else {"_meta": meta}
    reply = program.ask(
        post(rpc("tools/list", params, 7), *routed("tools/list", {}), token=program.token)
    )
    assert failure(reply, 400)[0] == -32602


def test_client_info_is_optional(program: Program) -> None:
    assert "io.modelcontextprotocol/clientInfo" not in META
    assert "tools" in result(modern(program, "tools/list"))


@pytest.mark.parametrize("version", ["2027-01-01", "2025-11-25", ""])
def test_a_version_that_is_not_served_is_answered_with_those_that_are(
    program: Program, version: str
) -> None:
    meta = META | {VERSION_KEY: version}
    reply = modern(program, "tools/list", {"_meta": meta}, MCP_Protocol_Version=version)
    code, data = failure(reply, 400)
    assert (code, data) == (-32022, {"supported": list(ALL_VERSIONS), "requested": version})


CALL = {"name": "query_database", "arguments": {"query": "select 1"}}


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tools/list", {}),
        ("tools/call", CALL),
        ("prompts/get", {"name": "explore-database"}),
        ("resources/read", {"uri": "pg://system_info"}),
    ],
)
def test_headers_must_be_there_and_repeat_the_body(
    program: Program, method: str, params: Any
) -> None:
    wrong: list[dict[str, str | None]] = [
        {"MCP_Protocol_Version": "2025-11-25"},
        {"MCP_Protocol_Version": None},
        {"Mcp_Method": None},
        {"Mcp_Method": "tools/lists"},
        {"Mcp_Method": method.upper()},
    ]
    if method in NAMED:
        wrong += [{"Mcp_Name": None}, {"Mcp_Name": "other"}, {"Mcp_Name": "=?base64?!!!?="}]
    for changed in wrong:
        assert failure(modern(program, method, params, **changed), 400)[0] == -32020, changed


def test_header_names_have_no_case_and_values_may_be_padded_or_encoded(program: Program) -> None:
    encoded = base64.b64encode(b"explore-database").decode()
    params = {"_meta": META, "name": "explore-database"}
    for name in ("explore-database", " \texplore-database \t", f"=?base64?{encoded}?="):
        reply = program.ask(
            post(
                rpc("prompts/get", params, 7),
                *("mcp-protocol-VERSION: 2026-07-28", "MCP-METHOD: prompts/get"),
                f"mcp-NAME:{name}",
                token=program.token,
            )
        )
        assert result(reply)["messages"], name


# -- both eras -------------------------------------------------------------------------------------

ERAS = pytest.mark.parametrize("ask", [legacy, modern])


@ERAS
@pytest.mark.parametrize("method", LISTS)
def test_lists_have_one_page_and_no_nulls(program: Program, ask: Any, method: str) -> None:
    listed = result(ask(program, method))
    assert isinstance(listed[LISTS[method]], list)
    assert "nextCursor" not in listed
    assert no_nulls(listed)
    if ask is modern:
        assert listed["resultType"] == "complete"
        assert listed["ttlMs"] >= 0 and listed["cacheScope"] == "private"


@ERAS
@pytest.mark.parametrize("method", LISTS)
def test_a_cursor_that_was_never_given_out_is_invalid(
    program: Program, ask: Any, method: str
) -> None:
    reply = ask(program, method, {"cursor": "x"})
    assert reply.json["error"]["code"] == -32602
    assert reply.status < 500


@ERAS
def test_every_tool_has_an_object_schema_and_a_short_name(program: Program, ask: Any) -> None:
    for tool in result(ask(program, "tools/list"))["tools"]:
        assert tool["inputSchema"]["type"] == "object"
        assert 1 <= len(tool["name"]) <= 60


@ERAS
def test_prompts_are_given_and_their_arguments_checked(program: Program, ask: Any) -> None:
    for prompt in result(ask(program, "prompts/list"))["prompts"]:
        required = [item["name"] for item in prompt.get("arguments", ()) if item["required"]]
        given = {"name": prompt["name"], "arguments": dict.fromkeys(required, "orders")}
        assert result(ask(program, "prompts/get", given))["messages"][0]["role"] == "user"
        if required:
            reply = ask(program, "prompts/get", {"name": prompt["name"]})
            assert reply.json["error"]["code"] == -32602


@ERAS
@pytest.mark.parametrize(
    ("method", "params"), [("tools/call", {"name": "nothing"}), ("prompts/get", {"name": "no"})]
)
def test_an_unknown_name_is_invalid_params(
    program: Program, ask: Any, method: str, params: Any
) -> None:
    reply = ask(program, method, params)
    assert (reply.json["error"]["code"], reply.json["id"]) == (-32602, 7)
    assert reply.status in (200, 400)


@ERAS
@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("query_database", {"query": "select 1", "database": "x" * 20_000}),
        ("get_schema_info", {"database": "x" * 20_000}),
        ("get_schema_info", {"x" * 2000: 1}),
        ("read_resource", {"uri": "x" * 1000}),
    ],
)
def test_a_long_name_is_not_repeated_whole(
    program: Program, ask: Any, tool: str, arguments: dict[str, Any]
) -> None:
    called = result(ask(program, "tools/call", {"name": tool, "arguments": arguments}))
    assert called["isError"] is True and len(called["content"][0]["text"]) < 400


@ERAS
def test_bad_arguments_are_a_result_that_a_model_can_read(program: Program, ask: Any) -> None:
    called = result(ask(program, "tools/call", {"name": "query_database", "arguments": {"q": 1}}))
    assert called["isError"] is True
    assert called["content"][0]["type"] == "text"


def test_a_missing_resource_has_the_code_of_its_era(program: Program) -> None:
    asked = {"uri": "pg://nothing"}
    assert failure(legacy(program, "resources/read", asked), 200)[0] == -32002
    reply = modern(program, "resources/read", asked)
    assert reply.status in (200, 400)
    assert failure(reply, reply.status) == (-32602, asked)


@pytest.mark.parametrize(
    ("body", "code", "known_id"),
    [
        (b"", -32700, None),
        (b"{", -32700, None),
        (b'{"jsonrpc":"2.0","id":7,"method":"ping","params":{"a":NaN}}', -32700, None),
        (b'"ping"', -32600, None),
        (b"[" + rpc("ping", request_id=7) + b"]", -32600, None),
        (b"[]", -32600, None),
        (b'{"jsonrpc":"1.0","id":7,"method":"ping"}', -32600, 7),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":[1],"method":"ping"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":7,"method":1}', -32600, 7),
        (b'{"jsonrpc":"2.0","id":7,"method":"ping","params":[]}', -32600, 7),
    ],
)
@pytest.mark.parametrize("version", ["2025-11-25", "2026-07-28"])
def test_what_is_no_message_is_400(
    program: Program, version: str, body: bytes, code: int, known_id: int | None
) -> None:
    headers = (f"MCP-Protocol-Version: {version}", "Mcp-Method: ping")
    reply = program.ask(post(body, *headers, token=program.token))
    assert (reply.status, reply.json["error"]["code"]) == (400, code)
    assert reply.json.get("id", None) == known_id
    assert ("id" in reply.json) is (known_id is not None)


@pytest.mark.parametrize("version", ["2025-11-25", "2026-07-28"])
def test_a_notification_gets_202_and_no_body(program: Program, version: str) -> None:
    body = rpc("notifications/cancelled", {"requestId": "unknown", "_meta": META}, request_id=None)
    header = f"MCP-Protocol-Version: {version}"
    reply = program.ask(post(body, header, token=program.token))
    assert (reply.status, reply.body) == (202, b"")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("version", ["2025-11-25", "2026-07-28"])
def test_there_is_no_stream_to_get_and_no_session_to_delete(
    program: Program, method: str, version: str
) -> None:
    headers = ("Accept: text/event-stream", f"MCP-Protocol-Version: {version}", "Last-Event-ID: 1")
    reply = program.ask(post(b"", *headers, method=method, token=program.token))
    assert (reply.status, reply.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("version", ["2025-11-25", "2026-07-28"])
def test_a_foreign_origin_or_host_is_403(program: Program, version: str) -> None:
    headers = (f"MCP-Protocol-Version: {version}", "Mcp-Method: ping")
    body = rpc("ping", {"_meta": META}, 7)
    foreign = post(body, *headers, "Origin: http://evil.example", token=program.token)
    assert program.ask(foreign).status == 403
    rebound = post(body, *headers, token=program.token)
    rebound = rebound.replace(b"Host: 127.0.0.1", b"Host: evil.example")
    assert program.ask(rebound).status == 403


@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/html"])
def test_the_answer_is_json_whatever_is_accepted(program: Program, accept: str) -> None:
    request = post(rpc("ping", {}, 7), f"Accept: {accept}", token=program.token)
    assert result(program.ask(request)) == {}


# -- authorization ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["ping", "initialize", "tools/list", "server/discover"])
def test_without_a_valid_token_every_request_is_401_with_a_challenge(
    program: Program, method: str
) -> None:
    body = rpc(method, {"_meta": META}, 7)
    headers = routed(method, {})
    for request in (
        post(body, *headers, token=None),
        post(body, *headers, token="wrong"),
        post(body, *headers, token=None, path=f"/mcp/v1?access_token={program.token}"),
        post(body, *headers, f"Authorization: Basic {program.token}", token=None),
    ):
        reply = program.ask(request)
        assert (reply.status, reply.headers["content-type"]) == (401, "application/json")
        assert reply.headers["www-authenticate"].startswith("Bearer")


def test_the_scheme_has_no_case(program: Program) -> None:
    for scheme in ("bearer", "BEARER"):
        request = post(rpc("ping", {}, 7), f"Authorization: {scheme} {program.token}", token=None)
        assert result(program.ask(request)) == {}


@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/oauth-protected-resource/mcp/v1",
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/register",
    ],
)
def test_nothing_suggests_an_authorization_server(program: Program, path: str) -> None:
    # Clients that find one leave the static token aside.
    for method in ("GET", "POST"):
        assert program.ask(post(b"", path=path, method=method, token=None)).status == 404


# -- cancelling ------------------------------------------------------------------------------------


def sleepers(server: Server) -> int:
    return int(server.psql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"))


def sleep(seconds: float) -> dict[str, Any]:
    return {"name": "query_database", "arguments": {"query": f"SELECT pg_sleep({seconds})"}}


def test_hanging_up_cancels_the_statement_in_the_stateless_era(
    postgres: Server, connected: Program
) -> None:
    with connected.connect() as sock:
        sock.sendall(modern_bytes(connected, "tools/call", sleep(25)))
        until(lambda: sleepers(postgres) == 1)
    until(lambda: sleepers(postgres) == 0, 5)


def test_hanging_up_ends_the_statement_in_the_handshake_era_too(
    postgres: Server, connected: Program
) -> None:
    with connected.connect() as sock:
        sock.sendall(post(rpc("tools/call", sleep(25), 7), token=connected.token))
        until(lambda: sleepers(postgres) == 1)
    until(lambda: sleepers(postgres) == 0, 5)


def test_a_call_can_be_cancelled_in_the_handshake_era(postgres: Server, connected: Program) -> None:
    with connected.connect() as sock:
        sock.sendall(post(rpc("tools/call", sleep(25), 7), token=connected.token))
        until(lambda: sleepers(postgres) == 1)
        note = rpc("notifications/cancelled", {"requestId": 7}, request_id=None)
        assert connected.ask(post(note, token=connected.token)).status == 202
        until(lambda: sleepers(postgres) == 0, 5)


def test_a_query_and_a_resource_are_answered_in_both_eras(connected: Program) -> None:
    for ask in (legacy, modern):
        called = result(ask(connected, "tools/call", CALL))
        assert "isError" not in called
        assert "1 row." in called["content"][0]["text"]
        read = result(ask(connected, "resources/read", {"uri": "pg://system_info"}))
        assert json.loads(read["contents"][0]["text"])
    refused = {"name": "query_database", "arguments": {"query": "select nothing"}}
    assert result(modern(connected, "tools/call", refused))["isError"] is True


def test_the_log_never_has_the_token(program: Program) -> None:
    assert program.token not in program.log.read_text()
