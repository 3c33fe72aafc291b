"""What is left of a request that ended badly: nothing, without waiting for the garbage collector.

The rule: each case ends a request in its way, with the collector off; what only the collector can
free afterwards (a frame, a traceback, a generator, a handler) fails the test.
"""

from __future__ import annotations

import gc
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, FunctionType, GeneratorType, TracebackType
from typing import Any

import pytest
import trustme

from pgmcp.calls.call import Call
from pgmcp.errors import HttpError
from pgmcp.features.tools import query_database
from pgmcp.mcp.feature import Context, Tool
from pgmcp.rpc.schema import build
from pgmcp.transport.connection import ClientConnection
from pgmcp.transport.handler import RequestHandler
from pgmcp.transport.limits import HttpLimits
from pgmcp.transport.tls import ServerTls
from tests.serving import Reader, Served, ask, post, rpc, serving, until
from tests.test_tls import write_pair
from tests.tool_calls import PRINCIPAL, Calls, Reach, calls
from tools.postgres import Server

LIMITS = HttpLimits(
    connections=4,
    head_seconds=0.3,
    body_seconds=0.3,
    write_seconds=0.3,
    linger_seconds=0.3,
    share=1,
    waiting=1,
)


@contextmanager
def no_garbage() -> Iterator[None]:
    """Fail when the block leaves something of ours that only the collector can free."""
    gc.collect()
    gc.freeze()  # what was there before is not looked through again
    gc.disable()
    try:
        yield
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = [item for item in gc.garbage if _is_ours(item)]
        kinds = sorted({_name(item) for item in left})
        assert not kinds
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def _code(item: object) -> Any:
    if isinstance(item, TracebackType):
        return item.tb_frame.f_code
    if isinstance(item, FrameType):
        return item.f_code
    if isinstance(item, FunctionType):
        return item.__code__
    return item.gi_code if isinstance(item, GeneratorType) else None


def _is_ours(item: object) -> bool:
    code = _code(item)
    if code is not None:
        return "/pgmcp/" in code.co_filename
    return isinstance(item, RequestHandler | ClientConnection | Call)


def _name(item: object) -> str:
    code = _code(item)
    kind = type(item).__name__
    return kind if code is None else f"{kind} of {code.co_qualname}"


def _dial(served: Served) -> socket.socket:
    """A client that resets its connection when it closes, and has little room for an answer."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.settimeout(10)
    sock.connect(("127.0.0.1", served.server.port))
    return sock


def _all_gone(served: Served) -> None:
    until(lambda: not served.server.open_connections)


def hang_up_during_an_answer(served: Served) -> None:
    with _dial(served) as sock:
        sock.sendall(post(rpc("much")))
        sock.recv(100)


def read_nothing(served: Served) -> None:
    with _dial(served) as sock:
        sock.sendall(post(rpc("much")))
        _all_gone(served)


def hang_up_in_a_head(served: Served) -> None:
    with _dial(served) as sock:
        sock.sendall(post()[:30])
        until(lambda: served.server.open_connections)


def hang_up_in_a_body(served: Served) -> None:
    with _dial(served) as sock:
        sock.sendall(post(b"{", length=900_000))
        until(lambda: served.server.open_connections)


def end_in_a_body(served: Served) -> None:
    with served.connect() as sock:
        sock.sendall(post(b"{", length=900_000))


def send_a_head_too_slowly(served: Served) -> None:
    with served.connect() as sock:
        sock.sendall(post()[:30])
        assert Reader(sock).reply().status == 408


def send_a_body_too_slowly(served: Served) -> None:
    with served.connect() as sock:
        sock.sendall(post(b"{", length=900_000))
        assert Reader(sock).reply().status == 408


def send_too_much(served: Served) -> None:
    assert ask(served, post(b"", length=10**12)).status == 413


def send_broken_chunks(served: Served) -> None:
    request = post(b"x\r\n", "Transfer-Encoding: chunked", length=None)
    assert ask(served, request).status == 400


def send_no_json(served: Served) -> None:
    assert ask(served, post(b"{" * 1000)).status == 400


def be_anonymous(served: Served) -> None:
    assert ask(served, post(rpc(), token=None)).status == 401
    assert ask(served, post(b"{", token=None)).status == 401
    assert ask(served, post(rpc(), "Content-Type: text/plain", token=None)).status == 401
    assert ask(served, post(rpc(), token="wrong")).status == 401


def meet_a_defect(served: Served) -> None:
    assert ask(served, post(rpc("defect"))).status == 500


def meet_a_refusal(served: Served) -> None:
    assert ask(served, post(rpc("refuse"))).status == 418


def hang_up_during_a_call(served: Served) -> None:
    with _dial(served) as sock:
        sock.sendall(post(rpc("wait")))
        until(lambda: served.inflight.count)


def hang_up_before_a_turn(served: Served) -> None:
    with _dial(served) as running:
        running.sendall(post(rpc("wait")))
        until(lambda: served.inflight.count == 1)
        with _dial(served) as waiting:
            waiting.sendall(post(rpc("wait")))
            until(lambda: served.server.calls.waiting == 1)
        until(lambda: served.server.calls.waiting == 0)


def ask_too_often(served: Served) -> None:
    with _dial(served) as running, _dial(served) as waiting:
        running.sendall(post(rpc("wait")))
        until(lambda: served.inflight.count == 1)
        waiting.sendall(post(rpc("wait")))
        until(lambda: served.server.calls.waiting == 1)
        assert ask(served, post(rpc("wait"))).status == 429


def make_room_for_others(served: Served) -> None:
    """Connections in every state, closed by the server because others come."""
    old = [_dial(served) for _ in range(4)]
    old[0].sendall(post(b"{", length=900_000))
    old[1].sendall(post()[:30])
    old[2].sendall(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
    new = [served.connect() for _ in range(4)]
    for sock in old + new:
        sock.close()


CASES: list[Callable[[Served], None]] = [
    hang_up_during_an_answer,
    read_nothing,
    hang_up_in_a_head,
    hang_up_in_a_body,
    end_in_a_body,
    send_a_head_too_slowly,
    send_a_body_too_slowly,
    send_too_much,
    send_broken_chunks,
    send_no_json,
    be_anonymous,
    meet_a_defect,
    meet_a_refusal,
    hang_up_during_a_call,
    hang_up_before_a_turn,
    ask_too_often,
    make_room_for_others,
]


def _script(served: Served) -> None:
    def wait(params: Any, call: Call) -> str:
        ended = threading.Event()
        with call.on_cancel(ended.set):
            ended.wait(10)
        return "ended"

    def refuse(params: Any, call: Call) -> str:
        raise HttpError(418, "a teapot")

    served.script.methods |= {
        "much": lambda params, call: "r" * 8_000_000,
        "wait": wait,
        "refuse": refuse,
        "defect": lambda params, call: 1 / 0,
    }


@pytest.mark.parametrize("case", CASES)
def test_a_request_that_ends_badly_leaves_nothing_alive(case: Callable[[Served], None]) -> None:
    with serving(LIMITS) as served:
        _script(served)
        assert ask(served, post(rpc())).status == 200
        _all_gone(served)
        with no_garbage():
            case(served)
            _all_gone(served)


def _speak_http(sock: socket.socket) -> None:
    sock.sendall(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
    sock.recv(4096)


def _speak_nonsense(sock: socket.socket) -> None:
    sock.sendall(b"\x16\x03\x01\x00\x05hello")
    sock.recv(4096)


def _say_nothing(sock: socket.socket) -> None:
    assert sock.recv(1) == b""


@pytest.mark.parametrize("say", [_speak_http, _speak_nonsense, _say_nothing, lambda _: None])
def test_a_broken_handshake_leaves_nothing_alive(
    say: Callable[[socket.socket], None], tmp_path: Path
) -> None:
    limits = HttpLimits(handshake_seconds=0.3, linger_seconds=0.3)
    tls = ServerTls(write_pair(tmp_path, trustme.CA()))
    with serving(limits, tls=tls.context) as served, no_garbage():
        with _dial(served) as sock:
            until(lambda: served.server.open_connections)
            say(sock)
        _all_gone(served)


@pytest.fixture(scope="module")
def call(postgres: Server) -> Iterator[Calls]:
    with calls(postgres, "postgres") as ready:
        yield ready


MUCH = "select repeat('r', 4000000)"


@pytest.mark.parametrize(
    "query", ["select pg_sleep(20)", "select 1/0", "drop table x", "selec", MUCH, f"{MUCH}, {MUCH}"]
)
def test_a_call_that_fails_leaves_nothing_alive(call: Calls, query: str, postgres: Server) -> None:
    tool: Tool = query_database.TOOL
    call(tool, query="select 1")
    with no_garbage():
        ended = Call(30, keep=lambda count, _: count < 5_000_000)
        context = Context(PRINCIPAL, ended, Reach(call._pools, ended))
        threading.Timer(0.2, ended.cancel, ["the client disconnected"]).start()
        try:
            tool.run(build(tool.args, {"query": query}), context)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not stay
            assert error.__traceback__ is not None
        del context, ended
