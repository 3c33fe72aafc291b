"""Results with parts, and answers that are streams: by raw messages and by the official client."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, get_args

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitResult, ImageContent
from mcp_types.methods import validate_server_result

from pgmcp.auth.principal import Principal, local
from pgmcp.calls.call import Call
from pgmcp.calls.stream import WAITING_BYTES, Stream
from pgmcp.config.values import Address
from pgmcp.mcp import result
from pgmcp.mcp.client import Client as Asking
from pgmcp.mcp.era import Era
from pgmcp.mcp.feature import Context, FeatureSet
from pgmcp.mcp.registry import Registry, output_schema
from pgmcp.mcp.result import Result
from pgmcp.rpc import jsonrpc
from pgmcp.rpc.jsonrpc import Request
from pgmcp.transport import stdio
from pgmcp.transport.caller_rules import CallerRules
from pgmcp.transport.endpoint import ClientInfo, Endpoint
from pgmcp.transport.http import HttpServer
from pgmcp.transport.inflight import InFlight
from pgmcp.transport.limits import HttpLimits
from tests import conforming, json_schema
from tests.sample_features import (
    META,
    Board,
    NoDatabases,
    context_for,
    no_nulls,
    trial_dispatcher,
    trial_tools,
)
from tests.serving import HEALTH, OneToken, Reader, Reply, post, until
from tools.serving import ROOT

ACCEPT = "Accept: application/json, text/event-stream"
TOKEN_META = {"progressToken": "t"}
FORMS: dict[str, Any] = {"elicitation": {"form": {}}}
LOG_LEVEL = "io.modelcontextprotocol/logLevel"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"


# -- values ----------------------------------------------------------------------------------------


def answered(name: str, meta: dict[str, Any] | None = None, **more: Any) -> Any:
    """The body of a call's answer, and the messages before it."""
    sent: list[Any] = []
    params = {"name": name, **more} | ({} if meta is None else {"_meta": meta})
    client = Asking(params, None, sent.append)
    context = Context(local(()), Call(60.0), NoDatabases(), client=client)
    answer = trial_dispatcher().answer(Request("tools/call", params, 7), context, None)
    assert answer.body is not None
    return answer.body, sent, answer.status


def test_a_result_has_its_parts_in_both_eras() -> None:
    for version, meta in (("2025-11-25", None), ("2026-07-28", META)):
        told = answered("paint", meta)[0]["result"]
        validate_server_result("tools/call", version, told)
        assert no_nulls(told)
        assert told["structuredContent"] == {"width": 1, "colours": ["red"]}
        kinds = ["text", "image", "resource_link", "resource"]
        assert [part["type"] for part in told["content"]] == kinds
        assert told["content"][0]["annotations"] == {"audience": ["assistant"], "priority": 1.0}
        assert "annotations" not in told["content"][2]
        assert told["content"][3]["resource"]["text"] == "more"


def listed_tools(registry: Registry, era: Era) -> list[dict[str, Any]]:
    page = registry.listed("tools", era)
    assert page is not None
    return list(page["tools"])


def test_the_output_schema_is_listed_and_old_clients_get_objects_only() -> None:
    registry = Registry(FeatureSet(trial_tools(Board())))
    schemas: dict[str, Any] = {
        era: {entry["name"]: entry.get("outputSchema") for entry in listed_tools(registry, era)}
        for era in get_args(Era)
    }
    assert schemas["legacy"]["paint"] == schemas["modern"]["paint"]
    json_schema.validate({"width": 1, "colours": ["red"]}, schemas["modern"]["paint"])
    assert schemas["modern"]["numbers"]["type"] == "array"
    assert schemas["legacy"]["numbers"] is None
    assert answered("numbers", META)[0]["result"]["structuredContent"] == [1, 2]
    assert "structuredContent" not in answered("numbers")[0]["result"]
    assert output_schema(registry.tools["choose"]) is None


def test_the_tests_refuse_a_result_that_does_not_conform() -> None:
    tool = trial_tools(Board())[0]
    with pytest.raises(AssertionError, match="wide"):
        conforming.check(tool, result.text("x", {"width": "wide"}))
    with pytest.raises(AssertionError, match="has an output"):
        conforming.check(tool, result.text("x"))


def test_a_number_that_is_none_and_null_never_go_out(caplog: pytest.LogCaptureFixture) -> None:
    assert answered("nan")[0]["error"]["code"] == -32603
    assert "structured.x: nan is not JSON" in caplog.text
    with pytest.raises(ValueError, match=r"structured\.a\[1\]: null"):
        result.plain({"a": [1, None]})
    with pytest.raises(TypeError, match="structured: set is not JSON"):
        result.plain({1})
    assert result.plain({"a": None, "b": (1.5, True)}) == {"b": [1.5, True]}


def test_progress_goes_only_to_who_asked_and_only_up() -> None:
    assert answered("paint")[1] == []
    for token in ("t", 0):
        messages = answered("paint", {"progressToken": token})[1]
        assert {message["method"] for message in messages} == {"notifications/progress"}
        assert [message["params"]["progress"] for message in messages] == [1, 2, 3]
        assert {message["params"]["progressToken"] for message in messages} == {token}
    for other in (None, True, 1.5, [1], {"a": 1}):
        assert answered("paint", {"progressToken": other})[1] == []


@pytest.mark.parametrize(("level", "count"), [("debug", 6), ("warning", 3), ("error", 0), ("x", 0)])
def test_log_messages_go_only_to_who_named_their_level(level: str, count: int) -> None:
    messages = answered("paint", META | {LOG_LEVEL: level})[1]
    assert [message["method"] for message in messages] == ["notifications/message"] * count
    assert answered("paint", {LOG_LEVEL: level})[1] == []  # the handshake era asks otherwise


def test_a_form_is_asked_for_and_answered_in_the_modern_era() -> None:
    told, _, status = answered("choose", META | {CAPABILITIES: FORMS})
    assert status == 200
    validate_server_result("tools/call", "2026-07-28", told["result"])
    assert told["result"]["resultType"] == "input_required"
    assert told["result"]["inputRequests"]["which"]["method"] == "elicitation/create"
    responses = {"which": {"action": "accept", "content": {"table": "orders"}}}
    told, _, _ = answered("choose", META | {CAPABILITIES: FORMS}, inputResponses=responses)
    assert told["result"]["content"][0]["text"] == "accept orders"


@pytest.mark.parametrize("capabilities", [{}, {"elicitation": {"url": {}}}, {"elicitation": None}])
def test_a_client_that_shows_no_forms_is_told_what_is_missing(capabilities: Any) -> None:
    told, _, status = answered("choose", META | {CAPABILITIES: capabilities})
    assert (status, told["error"]["code"]) == (400, -32021)
    assert told["error"]["data"] == {"requiredCapabilities": {"elicitation": {}}}
    assert answered("choose")[0]["error"]["code"] == -32021


# -- HTTP ------------------------------------------------------------------------------------------


@dataclass
class Streaming:
    """A server of the trial tools."""

    server: HttpServer
    board: Board
    inflight: InFlight

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.server.port), 20)


@contextmanager
def streaming(**limits: Any) -> Iterator[Streaming]:
    board, inflight = Board(), InFlight()

    def context(principal: Principal, call: Call, _: ClientInfo, client: Asking) -> Context:
        return Context(principal, call, NoDatabases(), client=client)

    endpoint = Endpoint(
        OneToken(),
        trial_dispatcher(board),
        context,
        CallerRules(allowed_origins=("https://app.example",)),
        inflight=inflight,
        call_timeout_seconds=30,
        health=HEALTH,
    )
    server = HttpServer(Address("127.0.0.1", 0), endpoint, limits=HttpLimits(**limits))
    server.start()
    try:
        yield Streaming(server, board, inflight)
    finally:
        server.stop(0, inflight.cancel_all, 1)


class Events(Reader):
    """Reads an answer that is a stream of events."""

    def head(self) -> Reply:
        return self.reply(head_only=True)

    def event(self) -> str | None:
        """The next event as it is, None at the end of the answer."""
        while b"\r\n" not in self._buffer:
            self._more()
        size, _, self._buffer = self._buffer.partition(b"\r\n")
        length = int(size, 16)
        while len(self._buffer) < length + 2:
            self._more()
        data, self._buffer = self._buffer[:length], self._buffer[length + 2 :]
        return data.decode() if length else None

    def message(self) -> Any:
        event = self.event()
        assert event is not None and event.startswith("event: message\ndata: "), event
        assert event.endswith("\n\n")
        return json.loads(event.removeprefix("event: message\ndata: "))


def request(name: str, meta: Any = None, *headers: str, accept: str = ACCEPT, **more: Any) -> bytes:
    params = {"name": name, **more} | ({} if meta is None else {"_meta": meta})
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    if meta is not None and CAPABILITIES in meta:
        headers = (
            *headers,
            "MCP-Protocol-Version: 2026-07-28",
            "Mcp-Method: tools/call",
            f"Mcp-Name: {name}",
        )
    return post(json.dumps(body).encode(), accept, *headers)


@pytest.mark.parametrize("meta", [TOKEN_META, META | TOKEN_META], ids=["legacy", "modern"])
def test_the_first_message_makes_the_answer_a_stream_and_the_answer_ends_it(meta: Any) -> None:
    with streaming() as served, served.connect() as sock:
        events = Events(sock)
        for _ in range(2):  # the connection is kept
            sock.sendall(request("paint", meta))
            head = events.head()
            assert head.status == 200
            assert head.headers["content-type"] == "text/event-stream"
            assert head.headers["cache-control"] == "no-cache"
            assert head.headers["x-accel-buffering"] == "no"
            told = [events.message() for _ in range(4)]
            assert [message.get("method") for message in told[:3]] == ["notifications/progress"] * 3
            assert told[3]["id"] == 1 and len(told[3]["result"]["content"]) == 4
            assert events.event() is None


def test_a_page_that_may_call_can_read_a_stream() -> None:
    asked = request("paint", META | TOKEN_META)
    page = asked.replace(b"\r\n", b"\r\nOrigin: https://app.example\r\n", 1)
    with streaming() as served:
        for sent, allowed in ((page, "https://app.example"), (asked, None)):
            with served.connect() as sock:
                sock.sendall(sent)
                head = Events(sock).head()
                assert head.headers["content-type"] == "text/event-stream"
                assert head.headers.get("access-control-allow-origin") == allowed


@pytest.mark.parametrize(
    ("meta", "accept"),
    [(None, ACCEPT), (TOKEN_META, "Accept: application/json"), (TOKEN_META, "X: y")],
)
def test_an_answer_with_nothing_before_it_is_json(meta: Any, accept: str) -> None:
    with streaming() as served, served.connect() as sock:
        sock.sendall(request("paint", meta, accept=accept))
        reply = Reader(sock).reply()
    assert reply.headers["content-type"] == "application/json"
    assert reply.json["result"]["structuredContent"]["width"] == 1


def test_a_client_that_does_not_read_loses_messages_and_never_the_answer() -> None:
    with streaming() as served, served.connect() as sock:
        sock.sendall(request("flood", {"progressToken": "t" * 20_000}))
        assert served.board.flooded.wait(20)
        events, told = Events(sock), []
        assert events.head().status == 200
        while (event := events.event()) is not None:
            told.append(json.loads(event.partition("data: ")[2]))
    assert "result" in told[-1]
    progress = [message["params"]["progress"] for message in told[:-1]]
    assert progress == sorted(set(progress)) and len(progress) < 1000


def test_a_held_answer_takes_no_thread_and_is_woken_by_whoever_has_a_message() -> None:
    with streaming(worker_idle_seconds=0.05) as served:
        socks = [served.connect() for _ in range(40)]
        events = [Events(sock) for sock in socks]
        for sock in socks:
            sock.sendall(request("follow"))
        for reader in events:
            assert reader.head().headers["content-type"] == "text/event-stream"
        until(lambda: len(served.board.streams) == 40)
        until(lambda: served.server.threads <= HttpLimits().workers)  # more leave after a rest
        assert served.server.calls._requests.taken == 0
        served.board.tell("first")
        assert {reader.message()["params"]["text"] for reader in events} == {"first"}
        with served.connect() as sock:  # others are served meanwhile
            sock.sendall(request("paint"))
            assert Reader(sock).reply().status == 200
        served.board.tell("second")
        served.board.end(result.text("over"))
        for reader in events:
            assert reader.message()["params"]["text"] == "second"
            assert reader.message()["result"]["content"][0]["text"] == "over"
            assert reader.event() is None
        until(lambda: served.inflight.count == 0)
        socks[0].sendall(request("paint"))
        assert events[0].reply().json["id"] == 1
        for sock in socks:
            sock.close()


def test_a_message_that_comes_just_before_the_connection_waits_is_not_lost() -> None:
    class Late(Stream):
        """Has its message when all was taken, and nobody waits yet who could be woken."""

        late = True

        def take(self) -> tuple[list[bytes], tuple[Any] | None]:
            taken = super().take()
            if self.late:
                self.late = False
                self.send(jsonrpc.encode(jsonrpc.notification("notifications/told", {"text": "x"})))
            return taken

    with streaming(keep_alive_seconds=600) as served, served.connect() as sock:
        served.board.kind = Late
        sock.sendall(request("follow"))
        events = Events(sock)
        events.head()
        assert events.message()["params"]["text"] == "x"


def test_new_rules_for_connections_end_an_answer_that_is_only_now_held_open() -> None:
    with streaming(keep_alive_seconds=600) as served, served.connect() as sock:

        class Renewed(Stream):
            """Comes with new rules, which close what waits: this one does not yet."""

            def attach(self, wake: Callable[[], None]) -> None:
                super().attach(wake)
                served.server.renew()

        served.board.kind = Renewed
        sock.sendall(request("follow"))
        events = Events(sock)
        events.head()
        assert events.ended()
        until(lambda: not served.board.streams)


def test_a_held_answer_ends_with_its_client_its_call_and_its_credential() -> None:
    with streaming() as served:
        for end in ("closes", "speaks", "cancelled", "revoked", "stopped"):
            with served.connect() as sock:
                sock.sendall(request("follow"))
                events = Events(sock)
                events.head()
                until(lambda: served.board.streams and served.server.calls._requests.taken == 0)
                if end == "closes":
                    sock.close()
                elif end == "speaks":
                    sock.sendall(b"x")
                elif end == "cancelled":
                    served.inflight.cancel("key-1@127.0.0.1", 1, "the client cancelled the request")
                elif end == "revoked":
                    served.inflight.cancel_keys({"key-1": "revoked"})
                else:
                    served.server.renew()
                until(lambda: not served.board.streams)
                until(lambda: served.inflight.count == 0)
                if end != "closes":
                    assert events.ended()
        until(lambda: served.server.open_connections == 0)


def test_a_held_answer_says_now_and_then_that_it_is_there() -> None:
    with streaming(keep_alive_seconds=0.05) as served, served.connect() as sock:
        sock.sendall(request("follow"))
        events = Events(sock)
        events.head()
        assert [events.event() for _ in range(3)] == [": keep-alive\n\n"] * 3


def test_a_reader_that_lags_is_ended_and_holds_nobody_up() -> None:
    with streaming(write_seconds=60) as served, served.connect() as sock:
        sock.sendall(request("follow"))
        until(lambda: served.board.streams)
        stream = served.board.streams[0]
        while served.board.streams:  # each of these returns at once
            served.board.tell("x" * 10_000)
        assert stream.closed and stream._waiting == []


def test_a_held_answer_is_refused_to_who_cannot_take_events() -> None:
    with streaming() as served, served.connect() as sock:
        sock.sendall(request("follow", accept="Accept: application/json"))
        assert Reader(sock).reply().status == 406
        assert served.board.streams == []


def test_a_stream_takes_so_many_bytes_and_then_no_more() -> None:
    closed: list[str] = []
    stream = Stream(on_close=lambda: closed.append("closed"))
    assert stream.send(b"x" * WAITING_BYTES)
    assert not stream.send(b"x")
    assert closed == ["closed"] and stream.take() == ([], None)
    assert not stream.send(b"y")
    stream.end("never")
    stream.close()
    assert closed == ["closed"] and stream.take() == ([], None)


# -- stdio -----------------------------------------------------------------------------------------


def test_stdio_has_the_same_messages_as_lines() -> None:
    board, stop = Board(), threading.Event()
    here, there = os.pipe()
    back, out = os.pipe()
    reader, writer = os.fdopen(here, "rb"), os.fdopen(out, "wb")
    typed, told = os.fdopen(there, "wb"), os.fdopen(back, "rb")

    def ask(request_id: int, name: str, meta: Any = None) -> None:
        params = {"name": name} | ({} if meta is None else {"_meta": meta})
        message = {"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": params}
        typed.write(json.dumps(message).encode() + b"\n")
        typed.flush()

    serving = threading.Thread(
        target=lambda: stdio.serve(reader, writer, trial_dispatcher(board), context_for, stop=stop)
    )
    serving.start()
    ask(1, "paint", TOKEN_META)
    lines = [json.loads(told.readline()) for _ in range(4)]
    assert [line.get("method") for line in lines[:3]] == ["notifications/progress"] * 3
    assert lines[3]["id"] == 1
    for number in (2, 3):
        ask(number, "follow")
    until(lambda: len(board.streams) == 2)
    board.tell("news")
    assert {json.loads(told.readline())["params"]["text"] for _ in range(2)} == {"news"}
    cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2}}
    typed.write(json.dumps(cancel).encode() + b"\n")
    typed.flush()
    until(lambda: len(board.streams) == 1)
    board.end(Result(()))
    assert json.loads(told.readline()) == {"jsonrpc": "2.0", "id": 3, "result": {"content": []}}
    ask(4, "follow")
    until(lambda: board.streams)
    typed.close()  # which ends what would never end by itself
    serving.join(20)
    assert not serving.is_alive() and board.streams == []
    for file in (reader, writer, told):
        file.close()


# -- the official client ---------------------------------------------------------------------------

Connect = Callable[..., AbstractAsyncContextManager[Client]]


@asynccontextmanager
async def over_http(**options: Any) -> AsyncIterator[Client]:
    with streaming() as served:
        async with httpx2.AsyncClient(headers={"Authorization": "Bearer right"}) as http:
            url = f"http://127.0.0.1:{served.server.port}/mcp/v1"
            transport = streamable_http_client(url, http_client=http)
            async with Client(transport, **options) as client:
                yield client


@asynccontextmanager
async def over_stdio(**options: Any) -> AsyncIterator[Client]:
    arguments = ["-m", "tests.stdio_server", "trial"]
    server = StdioServerParameters(command=sys.executable, args=arguments, cwd=ROOT)
    async with Client(server, **options) as client:
        yield client


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize(
    "connect", [over_http, pytest.param(over_stdio, marks=pytest.mark.starts_process)]
)
def test_the_official_client_gets_all_of_it(connect: Connect, mode: str) -> None:
    async def use() -> None:
        told: list[float] = []

        async def progress(progress: float, total: float | None, message: str | None) -> None:
            assert total == 3 and message is not None
            told.append(progress)

        async def choose(*_: Any) -> ElicitResult:
            return ElicitResult(action="accept", content={"table": "orders_old"})

        async with connect(mode=mode, elicitation_callback=choose) as client:
            await client.list_tools()
            painted = await client.call_tool("paint", {}, progress_callback=progress)
            assert painted.structured_content == {"width": 1, "colours": ["red"]}
            image = painted.content[1]
            assert isinstance(image, ImageContent) and image.data.startswith("iVBOR")
            assert told == [1, 2, 3]
            if mode == "auto":
                chosen = await client.call_tool("choose", {})
                assert "accept orders_old" in str(chosen.content[0])

    async def limited() -> None:
        await asyncio.wait_for(use(), 30)

    asyncio.run(limited())
