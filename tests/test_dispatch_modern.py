"""The stateless era: the checks in their order, and its envelope, against the official types."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from mcp_types.methods import CACHEABLE_METHODS, validate_server_result

from pgmcp.mcp.era import ALL_VERSIONS
from pgmcp.mcp.icon import ICONS
from tests.sample_features import (
    ANNOUNCED,
    LEGACY,
    META,
    MODERN,
    SERVED,
    SERVER_INFO,
    Client,
    no_nulls,
)

VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
REMOVED = {"initialize", "ping"}
STATELESS = {name: params for name, params in SERVED.items() if name not in REMOVED} | {
    "server/discover": {}
}


def headers_for(method: str, name: str | None = None, **changed: str | None) -> dict[str, str]:
    sent = {"mcp-protocol-version": "2026-07-28", "mcp-method": method, "mcp-name": name}
    sent |= {key.replace("_", "-"): value for key, value in changed.items()}
    return {key: value for key, value in sent.items() if value is not None}


def base64_word(text: str) -> str:
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


@pytest.mark.parametrize("method", STATELESS)
def test_results_have_the_shape_of_the_specification(method: str) -> None:
    result = MODERN.result(method, STATELESS[method])
    validate_server_result(method, "2026-07-28", result)
    assert no_nulls(result)
    assert result["resultType"] == "complete"
    icons = {"icons": ICONS} if method == "server/discover" else {}
    assert result["_meta"]["io.modelcontextprotocol/serverInfo"] == SERVER_INFO | icons
    cacheable = method in CACHEABLE_METHODS
    assert ("ttlMs" in result) is ("cacheScope" in result) is cacheable
    if cacheable:
        assert isinstance(result["ttlMs"], int) and result["cacheScope"] == "private"


def test_both_eras_list_the_same() -> None:
    for method, member in (("tools/list", "tools"), ("prompts/list", "prompts")):
        assert MODERN.result(method)[member] == LEGACY.result(method)[member]


def test_discovery_names_the_version_and_what_is_offered() -> None:
    result = MODERN.result("server/discover")
    assert result["supportedVersions"] == list(ALL_VERSIONS)
    assert result["capabilities"] == ANNOUNCED
    assert "PostgreSQL" in result["instructions"]


@pytest.mark.parametrize(
    "method",
    [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "subscriptions/listen",
        "tools/unheard-of",
    ],
)
def test_removed_and_unknown_methods_are_404(method: str) -> None:
    for headers in (None, headers_for(method)):
        status, error = MODERN.error(method, {"protocolVersion": "2025-11-25"}, headers)
        assert (status, error["code"]) == (404, -32601)


@pytest.mark.parametrize(
    "meta",
    [
        {VERSION_KEY: "2026-07-28"},
        {VERSION_KEY: "2026-07-28", CAPABILITIES_KEY: []},
        {VERSION_KEY: 20260728, CAPABILITIES_KEY: {}},
        {VERSION_KEY: None, CAPABILITIES_KEY: {}},
    ],
)
def test_incomplete_meta_is_400(meta: dict[str, Any]) -> None:
    status, error = Client(meta=meta).error("tools/list", headers=headers_for("tools/list"))
    assert (status, error["code"]) == (400, -32602)
    assert "io.modelcontextprotocol/" in error["message"]


@pytest.mark.parametrize("meta", [None, {}, {CAPABILITIES_KEY: {}}, {"progressToken": 1}])
def test_the_version_header_alone_asks_for_meta(meta: dict[str, Any] | None) -> None:
    status, error = Client(meta=meta).error("tools/list", headers=headers_for("tools/list"))
    assert (status, error["code"]) == (400, -32602)


def test_client_info_is_not_required_and_a_progress_token_is_ignored() -> None:
    assert Client(meta=META | {"progressToken": "p"}).result("tools/list")["tools"]


@pytest.mark.parametrize("version", ["2027-01-01", "2025-11-25", "", "x"])
def test_a_version_that_is_not_served_is_named_with_those_that_are(version: str) -> None:
    meta = META | {VERSION_KEY: version}
    sent = headers_for("tools/list", mcp_protocol_version=version)
    for headers in (None, sent):
        status, error = Client(meta=meta).error("tools/list", headers=headers)
        assert (status, error["code"]) == (400, -32022)
        assert error["data"] == {"supported": list(ALL_VERSIONS), "requested": version}


def test_what_a_client_names_is_repeated_only_as_far_as_people_read_it() -> None:
    long = "x" * 100_000
    version = Client(meta=META | {VERSION_KEY: long}).error("tools/list")[1]
    tool = LEGACY.error("tools/call", {"name": long})[1]
    prompt = LEGACY.error("prompts/get", {"name": long})[1]
    for error in (version, tool, prompt):
        assert len(json.dumps(error)) < 400 and "x" * 50 in json.dumps(error)


def test_an_unknown_version_in_the_header_alone_is_named_too() -> None:
    status, error = LEGACY.error("initialize", headers={"mcp-protocol-version": "1.0"})
    assert (status, error["code"], error["data"]["requested"]) == (400, -32022, "1.0")


@pytest.mark.parametrize(
    "changed",
    [
        {"mcp_protocol_version": None},
        {"mcp_protocol_version": "2025-11-25"},
        {"mcp_protocol_version": "2026-07-28, 2026-07-28"},
        {"mcp_method": None},
        {"mcp_method": "tools/list"},
        {"mcp_method": "TOOLS/CALL"},
        {"mcp_name": None},
        {"mcp_name": "Echo"},
        {"mcp_name": ""},
        {"mcp_name": "=?base64?ZWNobw?="},
        {"mcp_name": "=?base64?ZWNobx==?="},
        {"mcp_name": "=?base64?ZWNo bw==?="},
        {"mcp_name": "=?base64?/w==?="},
        {"mcp_name": "=?base64?é?="},
        {"mcp_name": "=?base64?="},
        {"mcp_protocol_version": "=?base64?!?="},
    ],
)
def test_headers_that_are_missing_or_differ_from_the_body_are_400(
    changed: dict[str, str | None],
) -> None:
    headers = headers_for("tools/call", **({"name": "echo"} | changed))
    status, error = MODERN.error("tools/call", SERVED["tools/call"], headers)
    assert (status, error["code"]) == (400, -32020)


@pytest.mark.parametrize("name", ["echo", "  echo\t", base64_word("echo")])
def test_header_values_are_trimmed_and_decoded(name: str) -> None:
    answer = MODERN.ask("tools/call", SERVED["tools/call"], headers_for("tools/call", name))
    assert answer.status == 200


@pytest.mark.parametrize(
    ("method", "name"),
    [("tools/call", "écho"), ("resources/read", "test://é"), ("prompts/get", "=?base64?eA==?=")],
)
def test_names_that_no_header_can_carry_travel_in_base64(method: str, name: str) -> None:
    params = {"uri": name} if method == "resources/read" else {"name": name}
    status, error = MODERN.error(method, params, headers_for(method, base64_word(name)))
    assert (status, error["code"]) == (200, -32602)


def test_a_name_that_only_looks_encoded_is_taken_as_it_is() -> None:
    uri = "=?base64?="
    status, error = MODERN.error("resources/read", {"uri": uri}, headers_for("resources/read", uri))
    assert (status, error["code"]) == (200, -32602)


def test_the_first_failure_answers() -> None:
    def code(meta: dict[str, Any], method: str, headers: dict[str, str]) -> int:
        error: dict[str, int] = Client(meta=meta).error(method, headers=headers)[1]
        return error["code"]

    old = {VERSION_KEY: "1999-01-01"}
    assert code(old, "unheard-of", {}) == -32602
    assert code(META | old, "unheard-of", {}) == -32020
    named = headers_for("unheard-of", mcp_protocol_version="1999-01-01")
    assert code(META | old, "unheard-of", named) == -32022
    assert code(META, "unheard-of", headers_for("unheard-of")) == -32601


def test_an_unknown_resource_is_invalid_params() -> None:
    status, error = MODERN.error("resources/read", {"uri": "test://none"})
    assert (status, error["code"], error["data"]) == (200, -32602, {"uri": "test://none"})


def test_a_tool_that_fails_is_a_complete_result() -> None:
    result = MODERN.result("tools/call", {"name": "refuse"})
    assert (result["resultType"], result["isError"]) == ("complete", True)


def test_a_malformed_meta_is_a_request_of_the_handshake_era() -> None:
    assert LEGACY.result("ping", {"_meta": 5}) == {}
