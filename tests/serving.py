"""A server on a free port with a scripted dispatcher behind it, and raw sockets to talk to it."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pgmcp.auth.principal import ANONYMOUS, Principal
from pgmcp.calls.call import Call
from pgmcp.config.values import Address
from pgmcp.errors import TooManyAttemptsError, UnauthorizedError
from pgmcp.mcp.client import Client
from pgmcp.mcp.dispatch import Answer
from pgmcp.mcp.feature import Context
from pgmcp.rpc import jsonrpc
from pgmcp.rpc.jsonrpc import Message, Request
from pgmcp.transport.caller_rules import CallerRules
from pgmcp.transport.endpoint import Authenticator, ClientInfo, Endpoint
from pgmcp.transport.http import HttpServer
from pgmcp.transport.inflight import InFlight
from pgmcp.transport.limits import HttpLimits

TOKEN = "right"
ALICE = Principal("token", "token-1", "key-1", ("main",))
HEALTH = {"status": "ok", "server": "pgedge-postgres-mcp", "version": "1"}


class OneToken:
    """An authenticator for one token; another blocks its address. It counts whom it refused."""

    def __init__(self) -> None:
        self.refused = 0

    def authenticate(
        self, authorization: Sequence[str], address: str, subject: str | None
    ) -> Principal | None:
        return self.credential(authorization) if authorization else None

    def credential(self, authorization: Sequence[str]) -> Principal:
        if tuple(authorization) == ("Bearer blocked",):
            raise TooManyAttemptsError("too many bad tokens", 17)
        if tuple(authorization) != (f"Bearer {TOKEN}",):
            self.refused += 1
            raise UnauthorizedError
        return ALICE

    def anonymous(self, method: str, params: object, address: str) -> Principal:
        if method != "login":
            self.refused += 1
            raise UnauthorizedError
        return ANONYMOUS


def _echo(params: Any, call: Call) -> Any:
    return params


@dataclass
class Script:
    """A dispatcher whose methods are functions of (params, call)."""

    methods: dict[str, Callable[[Any, Call], Any]] = field(default_factory=dict)
    seen: list[Message] = field(default_factory=list)
    headers: list[Mapping[str, str] | None] = field(default_factory=list)

    def answer(
        self, message: Message, context: Context, headers: Mapping[str, str] | None
    ) -> Answer:
        self.seen.append(message)
        self.headers.append(headers)
        if not isinstance(message, Request):
            return Answer(202, None)
        method = self.methods.get(message.method, _echo)
        value = method(message.params, context.call)
        if isinstance(value, Answer):
            return value
        return Answer(200, jsonrpc.result(message.id, value))


class NoDatabases:
    """What a context needs and these tests do not."""

    def names(self) -> tuple[str, ...]:
        return ()

    def get(self, name: str | None = None) -> Any:
        raise AssertionError


@dataclass
class Served:
    """A running server and what is behind it."""

    server: HttpServer
    script: Script
    inflight: InFlight
    clients: list[ClientInfo]

    def connect(self, timeout_seconds: float = 10) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.server.port), timeout_seconds)


def endpoint(
    authenticator: Authenticator,
    script: Script,
    inflight: InFlight,
    clients: list[ClientInfo],
    **options: Any,
) -> Endpoint:
    def context(principal: Principal, call: Call, source: ClientInfo, client: Client) -> Context:
        clients.append(source)
        return Context(principal, call, NoDatabases(), client=client)

    return Endpoint(
        authenticator,
        script,
        context,
        CallerRules(**options),
        inflight=inflight,
        call_timeout_seconds=30,
        health=HEALTH,
    )


@contextmanager
def serving(
    limits: HttpLimits | None = None,
    tls: Callable[[], ssl.SSLContext] | None = None,
    host: str = "127.0.0.1",
    authenticator: Authenticator | None = None,
    **options: Any,
) -> Iterator[Served]:
    script, inflight, clients = Script(), InFlight(), list[ClientInfo]()
    served = endpoint(authenticator or OneToken(), script, inflight, clients, **options)
    server = HttpServer(Address(host, 0), served, tls=tls, limits=limits)
    server.start()
    try:
        yield Served(server, script, inflight, clients)
    finally:
        server.stop(0, inflight.cancel_all, 1)


def rpc(method: str = "echo", params: Any = None, request_id: int | None = 1) -> bytes:
    message = {"jsonrpc": "2.0", "method": method, "params": params or {}}
    return json.dumps(message if request_id is None else message | {"id": request_id}).encode()


def post(
    body: bytes = b"",
    *headers: str,
    token: str | None = TOKEN,
    path: str = "/mcp/v1",
    method: str = "POST",
    length: int | None = -1,
) -> bytes:
    """A request's bytes. `length` None leaves Content-Length out."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    if length is not None:
        lines.append(f"Content-Length: {len(body) if length < 0 else length}")
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(frozen=True)
class Reply:
    """One answer, taken apart."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def closes(self) -> bool:
        return self.headers["connection"] == "close"


class Reader:
    """Reads answers from a socket, one after the other."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._buffer = b""

    def reply(self, *, head_only: bool = False) -> Reply:
        while b"\r\n\r\n" not in self._buffer:
            self._more()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (x.partition(": ") for x in lines)}
        length = 0 if head_only else int(headers.get("content-length", "0"))
        while len(self._buffer) < length:
            self._more()
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return Reply(int(status.split()[1]), headers, body)

    def ended(self) -> bool:
        """Whether the server closes without another byte."""
        try:
            return not self._buffer and self._socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def _more(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise EOFError(f"the server closed after {self._buffer!r}")
        self._buffer += data


def ask(served: Served, request: bytes) -> Reply:
    """One request on a connection of its own."""
    with served.connect() as sock:
        sock.sendall(request)
        return Reader(sock).reply()


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        threading.Event().wait(0.005)
