"""A language model's endpoint that behaves as a test wants: a real server on this machine."""

from __future__ import annotations

import json
import queue
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

Behaviour = Callable[[socket.socket], None]


@dataclass
class ModelServer:
    """`requests` holds the head and the body of each request, in the order they came."""

    port: int
    requests: queue.Queue[tuple[str, Any]] = field(default_factory=queue.Queue)
    over: threading.Event = field(default_factory=threading.Event)

    def request(self) -> tuple[str, Any]:
        return self.requests.get(timeout=20)


def http(body: bytes | str, status: str = "200 OK", *headers: str) -> bytes:
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(data)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + data


def saying(data: bytes) -> Behaviour:
    return lambda sock: sock.sendall(data)


def openai(content: object, finish_reason: str = "stop") -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish_reason}]}


def answering(text: str) -> Behaviour:
    return saying(http(json.dumps(openai(text))))


@contextmanager
def model_server(behave: Behaviour, context: ssl.SSLContext | None = None) -> Iterator[ModelServer]:
    """A thread for each connection: it reads one request, and then does what `behave` says."""
    threads: list[threading.Thread] = []

    def serve(sock: socket.socket) -> None:
        # a client that has had enough breaks off, which is what most of these tests are about
        with suppress(OSError), sock:
            sock.settimeout(30)
            line = context.wrap_socket(sock, server_side=True) if context else sock
            with line:
                server.requests.put(_read(line))
                behave(line)

    def accept() -> None:
        with suppress(OSError):
            while True:
                thread = threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True)
                threads.append(thread)
                thread.start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = ModelServer(listener.getsockname()[1])
        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield server
        finally:
            server.over.set()
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(20)
            for thread in threads:
                thread.join(20)


def _read(sock: socket.socket) -> tuple[str, Any]:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(sock)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length:")
    )
    while len(body) < length:
        body += _more(sock)
    return head.decode(), json.loads(body)


def _more(sock: socket.socket) -> bytes:
    data = sock.recv(65536)
    if not data:
        raise ConnectionError("the client is gone")
    return data
