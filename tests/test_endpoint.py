"""Paths, methods, the order of the checks, and what anonymous callers are told: nothing."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from pgmcp.auth.no_authentication import NoAuthentication
from pgmcp.auth.principal import local
from pgmcp.calls.call import Call
from pgmcp.errors import CallEndedError
from pgmcp.mcp.dispatch import Answer
from pgmcp.transport.origin import networks
from tests.serving import HEALTH, OneToken, Reader, Reply, Served, ask, post, rpc, serving, until

UNAUTHORIZED = b'{"error": "Unauthorized"}'


def is_json_error(reply: Reply, status: int) -> bool:
    assert reply.status == status
    assert reply.headers["content-type"] == "application/json"
    assert list(reply.json) == ["error"]
    return True


def test_health_answers_everybody() -> None:
    with serving() as served:
        reply = ask(served, b"GET /health HTTP/1.1\r\nHost: anything\r\n\r\n")
        assert (reply.status, reply.json) == (200, HEALTH)
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["date"].endswith("GMT")
        assert len(reply.headers["x-request-id"]) == 12


def test_a_request_is_answered_with_the_dispatchers_words() -> None:
    with serving() as served:
        reply = ask(served, post(rpc("echo", {"a": "ü"}, 7), "Mcp-Method: echo"))
        assert (reply.status, reply.json["result"]) == (200, {"a": "ü"})
        assert reply.json["id"] == 7
        assert served.script.headers[0] is not None
        assert served.script.headers[0]["mcp-method"] == "echo"


def test_a_notification_and_a_response_get_202_and_no_body() -> None:
    with serving() as served:
        for body in (
            rpc("notifications/initialized", request_id=None),
            b'{"jsonrpc":"2.0","id":1,"result":{}}',
        ):
            reply = ask(served, post(body))
            assert (reply.status, reply.body) == (202, b"")
            assert "content-type" not in reply.headers


def test_retry_after_of_an_answer_becomes_a_header() -> None:
    with serving() as served:
        served.script.methods["login"] = lambda params, call: Answer(200, {"x": 1}, 42)
        reply = ask(served, post(rpc("login"), token=None))
        assert (reply.status, reply.headers["retry-after"]) == (200, "42")


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "PATCH", "OPTIONS", "TRACE", "FOO"])
def test_the_endpoint_takes_post_only(method: str) -> None:
    with serving() as served:
        reply = ask(served, post(method=method, token=None))
        assert is_json_error(reply, 405)
        assert reply.headers["allow"] == "POST"


def test_health_takes_get_and_head_only() -> None:
    with serving() as served:
        reply = ask(served, post(path="/health"))
        assert is_json_error(reply, 405)
        assert reply.headers["allow"] == "GET, HEAD"


WELL_KNOWN = (
    "/.well-known/oauth-protected-resource",
    "/.well-known/oauth-protected-resource/mcp/v1",
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
)


@pytest.mark.parametrize(
    "path",
    ["/", "/mcp", "/mcp/v1/", "//mcp/v1", "/mcp/v2", "/register", "*", *WELL_KNOWN],
)
def test_other_paths_are_not_found(path: str) -> None:
    with serving() as served:
        assert is_json_error(ask(served, post(path=path, method="GET", token=None)), 404)


REFUSED = {
    "no header": post(rpc(), token=None),
    "wrong token": post(rpc(), token="wrong"),
    "two headers": post(rpc(), "Authorization: Bearer right"),
    "another scheme": post(rpc(), "Authorization: Basic right", token=None),
    "no json": post(b"{", token=None),
    "a batch": post(b"[" + rpc("login") + b"]", token=None),
    "a doubled key": post(rpc("login")[:-1] + b', "method": "echo"}', token=None),
    "a notification": post(rpc("login", request_id=None), token=None),
    "nothing": post(b"", token=None),
    "a large body": post(rpc("login", {"x": "y" * 70_000}), token=None),
    "a huge body": post(rpc("login"), token=None, length=10**15),
    "a long chunk": post(b"fffff\r\n", "Transfer-Encoding: chunked", token=None, length=None),
    "broken chunks": post(b"x\r\n", "Transfer-Encoding: chunked", token=None, length=None),
    "a form": post(rpc("login"), "Content-Type: text/plain", token=None),
    "a token in the query": post(rpc(), token=None, path="/mcp/v1?token=right"),
}


@pytest.mark.parametrize("request_bytes", REFUSED.values(), ids=REFUSED.keys())
def test_every_anonymous_caller_gets_the_same_bytes_and_the_authenticator_hears_of_it(
    request_bytes: bytes,
) -> None:
    authenticator = OneToken()
    with serving(authenticator=authenticator) as served:
        reply = ask(served, request_bytes)
        assert (reply.status, reply.body) == (401, UNAUTHORIZED)
        assert reply.headers["www-authenticate"] == 'Bearer error="invalid_token"'
        assert served.script.seen == []
        assert authenticator.refused == 1


def test_an_anonymous_caller_may_log_in() -> None:
    with serving() as served:
        assert ask(served, post(rpc("login"), token=None)).status == 200


def test_a_server_without_authentication_takes_large_bodies_from_everybody() -> None:
    with serving(authenticator=NoAuthentication(local(("main",)))) as served:
        large = rpc("tools/call", {"x": "y" * 100_000})
        assert ask(served, post(large, token=None)).status == 200
        assert ask(served, post(large, token="any")).status == 200
        assert ask(served, post(b"{", token=None)).status == 400


def test_a_wrong_token_is_refused_before_the_body_is_there() -> None:
    with serving() as served:
        assert ask(served, post(b"", token="wrong", length=1000)).status == 401


def test_a_blocked_address_is_told_when_to_come_back() -> None:
    with serving() as served:
        reply = ask(served, post(rpc(), token="blocked"))
        assert is_json_error(reply, 429)
        assert reply.headers["retry-after"] == "17"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"", -32700),
        (b"[]", -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"x"}', -32600),
    ],
)
def test_a_known_caller_is_told_what_is_wrong(body: bytes, code: int) -> None:
    with serving() as served:
        reply = ask(served, post(body))
        assert reply.status == 400
        assert reply.json["error"]["code"] == code
        assert not reply.closes


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
    ],
)
def test_the_body_must_be_json_or_unnamed(content_type: str, status: int) -> None:
    with serving() as served:
        assert ask(served, post(rpc(), f"Content-Type: {content_type}")).status == status
        assert ask(served, post(rpc())).status == 200


def test_pages_of_other_origins_are_refused_first() -> None:
    with serving(allowed_origins=("https://app.example",)) as served:
        for sender in ("https://app.example", "http://127.0.0.1"):
            assert ask(served, post(rpc(), f"Origin: {sender}")).status == 200
        reply = ask(served, post(rpc(), "Origin: http://evil.example", token=None, method="GET"))
        assert is_json_error(reply, 403)


def test_pages_that_may_call_can_read_every_answer() -> None:
    page = "Origin: https://app.example"
    refused = {"Origin: https://app.example.evil", "Origin: http://127.0.0.1", "X-Other: 1"}
    requests = {
        200: post(rpc(), page),
        202: post(rpc(request_id=None), page),
        401: post(rpc(), page, token="wrong"),
        405: post(b"", page, method="GET"),
        413: post(b"", page, length=10**12),
        415: post(rpc(), page, "Content-Type: text/plain"),
        400: post(b"{", page),
        404: post(rpc(), page, path="/elsewhere"),
    }
    with serving(allowed_origins=("https://app.example",)) as served:
        for status, request in requests.items():
            reply = ask(served, request)
            assert reply.status == status
            assert reply.headers["access-control-allow-origin"] == "https://app.example"
            assert reply.headers["vary"] == "Origin"
            exposed = reply.headers["access-control-expose-headers"].lower().split(", ")
            assert {
                "mcp-session-id",
                "mcp-protocol-version",
                "www-authenticate",
                "retry-after",
            } <= set(exposed)
            assert "access-control-allow-credentials" not in reply.headers
            for other in refused:
                other_reply = ask(served, request.replace(page.encode(), other.encode()))
                assert not [name for name in other_reply.headers if "access-control" in name]


def preflight(page: str, *headers: str, path: str = "/mcp/v1") -> bytes:
    return post(
        b"",
        f"Origin: {page}",
        "Access-Control-Request-Method: POST",
        *headers,
        token=None,
        method="OPTIONS",
        path=path,
        length=None,
    )


def test_a_browser_is_told_what_a_page_may_send() -> None:
    asked = "Access-Control-Request-Headers: authorization,content-type,mcp-param-db,x-evil,mcp-é"
    with serving(allowed_origins=("https://app.example",)) as served, served.connect() as sock:
        sock.sendall(preflight("https://app.example", asked) + post(rpc()))
        reader = Reader(sock)
        reply = reader.reply(head_only=True)
        assert reply.status == 204 and "content-length" not in reply.headers
        assert reply.headers["access-control-allow-origin"] == "https://app.example"
        assert "POST" in reply.headers["access-control-allow-methods"].split(", ")
        names = reply.headers["access-control-allow-headers"].lower().split(", ")
        wanted = {"authorization", "content-type", "mcp-protocol-version", "mcp-session-id"}
        assert wanted | {"mcp-method", "mcp-name", "mcp-param-db"} <= set(names)
        assert "x-evil" not in names and "*" not in names
        assert reader.reply().status == 200, "the connection goes on"


def test_other_pages_are_told_nothing() -> None:
    with serving(allowed_origins=("https://app.example",), local=True) as served:
        for page in (
            "https://evil.example",
            "null",
            "https://app.example:8443",
            "http://localhost",
        ):
            reply = ask(served, preflight(page))
            assert reply.status in (401, 403, 405)
            assert not [name for name in reply.headers if "access-control" in name]
        rebound = preflight("https://app.example").replace(
            b"Host: 127.0.0.1", b"Host: evil.example"
        )
        assert ask(served, rebound).status == 403


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "OPTIONS"])
def test_a_token_that_is_not_valid_is_said_before_the_method_is_judged(method: str) -> None:
    with serving() as served:
        reply = ask(served, post(b"", token="wrong", method=method))
        assert reply.status == 401
        assert reply.headers["www-authenticate"] == 'Bearer error="invalid_token"'
        reply = ask(served, post(b"", method=method))
        assert (reply.status, reply.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip", "x"])
def test_a_body_that_is_coded_is_refused_as_such(coding: str) -> None:
    with serving() as served:
        reply = ask(served, post(rpc(), f"Content-Encoding: {coding}"))
        assert (reply.status, reply.headers["accept-encoding"]) == (415, "identity")
        assert ask(served, post(rpc(), f"Content-Encoding: {coding}", token=None)).status == 401
        assert ask(served, post(rpc(), "Content-Encoding: Identity")).status == 200


def test_on_loopback_a_foreign_host_is_refused() -> None:
    rebound = post(rpc()).replace(b"Host: 127.0.0.1", b"Host: evil.example")
    with serving(local=True) as served:
        assert ask(served, post(rpc())).status == 200
        assert is_json_error(ask(served, rebound), 403)
    with serving(local=True, trusted=networks(["127.0.0.1"])) as served:
        assert is_json_error(ask(served, rebound), 403), "a browser here has a proxy's address"
    with serving() as served:
        assert ask(served, rebound).status == 200


def test_the_address_behind_a_trusted_proxy_reaches_the_context() -> None:
    forwarded = post(rpc(), "X-Forwarded-For: 192.0.2.9")
    with serving(trusted=networks(["127.0.0.0/8"])) as served:
        ask(served, forwarded)
        assert [client.address for client in served.clients] == ["192.0.2.9"]
    with serving() as served:
        ask(served, forwarded)
        assert [client.address for client in served.clients] == ["127.0.0.1"]


def wait_for_cancel(params: Any, call: Call) -> str:
    ended = threading.Event()
    with call.on_cancel(ended.set):
        ended.wait(10)
    return call.cancelled or "not cancelled"


def test_a_call_is_cancelled_by_its_caller() -> None:
    with serving() as served:
        served.script.methods["wait"] = wait_for_cancel
        with served.connect() as sock:
            sock.sendall(post(rpc("wait", request_id=5)))
            until(lambda: served.inflight.count == 1)
            note = rpc("notifications/cancelled", {"requestId": 5}, request_id=None)
            assert ask(served, post(note)).status == 202
            assert b"the client cancelled the request" in sock.recv(65536)


def test_the_call_has_the_id_that_the_client_sees() -> None:
    with serving() as served:
        served.script.methods["id"] = lambda params, call: call.request_id
        reply = ask(served, post(rpc("id")))
        assert reply.json["result"] == reply.headers["x-request-id"]


def crash(params: Any, call: Call) -> None:
    raise RuntimeError("a secret detail")


def not_for_http(params: Any, call: Call) -> None:
    raise CallEndedError("a tool's error that no tool caught")


def time_out(params: Any, call: Call) -> None:
    raise TimeoutError("not the client's")


@pytest.mark.parametrize("defect", [crash, not_for_http, time_out])
def test_a_defect_is_an_id_for_the_client_and_a_traceback_for_the_log(
    defect: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with serving() as served:
        served.script.methods["crash"] = defect
        reply = ask(served, post(rpc("crash")))
        assert is_json_error(reply, 500)
        incident = reply.headers["x-request-id"]
        assert reply.json == {"error": f"internal error (id {incident})"}
        assert incident in caplog.text
        assert "Traceback" in caplog.text
        assert served.inflight.count == 0
        assert ask(served, post(rpc())).status == 200


def disconnected(served: Served, params: dict[str, Any], *headers: str) -> str | None:
    """Why a call was cancelled whose client hung up, None when it was not."""
    calls: list[Call] = []
    go_on = threading.Event()

    def wait(params: Any, call: Call) -> None:
        calls.append(call)
        with call.on_cancel(go_on.set):
            go_on.wait(10)

    served.script.methods["wait"] = wait
    with served.connect() as sock:
        sock.sendall(post(rpc("wait", params), *headers))
        until(lambda: calls)
    until(lambda: served.inflight.count == 0)
    return calls[0].cancelled


@pytest.mark.parametrize("version", ["2026-07-28", "2025-11-25", ""])
def test_hanging_up_cancels_the_call_in_every_era(version: str) -> None:
    meta = {"io.modelcontextprotocol/protocolVersion": version} if version > "2026" else {}
    headers = [f"MCP-Protocol-Version: {version}"] if version else []
    with serving() as served:
        assert disconnected(served, {"_meta": meta}, *headers) == "the client disconnected"


def test_json_is_compact_and_utf_8() -> None:
    with serving() as served:
        reply = ask(served, post(rpc("echo", {"a": "→"})))
        assert (
            reply.body == json.dumps(reply.json, ensure_ascii=False, separators=(",", ":")).encode()
        )
