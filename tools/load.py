"""A closed loop of HTTP requests over keep-alive connections, as cheap for the client as it gets.

The rule: a process of its own, so that the client does not share an interpreter with what it
measures. `python -m tools.load HOST PORT CONNECTIONS SECONDS` reads the request from stdin and
prints the latencies, in microseconds, as JSON.
"""

from __future__ import annotations

import contextlib
import json
import re
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_FAILED = re.compile(rb'"isError": ?true|"error": ?\{')
_WARM_UP_SECONDS = 0.25


class LoadError(Exception):
    """An answer that is not what was asked for: the numbers would mean nothing."""


@dataclass(slots=True)
class Line:
    """One connection: what has arrived, how much is to come, when the request left."""

    socket: socket.socket
    sent_at: float = 0.0
    received: bytearray = field(default_factory=bytearray)
    expected: int = 0

    def send(self, request: bytes) -> None:
        """Start one request."""
        self.received.clear()
        self.expected = 0
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Take what has arrived; True when the answer is whole."""
        data = self.socket.recv(1 << 18)
        if not data:
            raise LoadError("the server closed the connection")
        self.received += data
        if not self.expected:
            end = self.received.find(b"\r\n\r\n")
            if end < 0:
                return False
            head = bytes(self.received[: end + 2])
            length = _LENGTH.search(head)
            if not head.startswith(b"HTTP/1.1 200 ") or length is None:
                raise LoadError(bytes(self.received[:500]).decode(errors="replace"))
            self.expected = end + 4 + int(length[1])
        return len(self.received) >= self.expected


def measure(
    host: str, port: int, request: bytes, connections: int, seconds: float
) -> tuple[list[int], float]:
    """The latencies in microseconds, and the seconds they were taken in, after a warm-up."""
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        lines = []
        for _ in range(connections):
            connection = socket.create_connection((host, port), timeout=30)
            stack.callback(connection.close)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            lines.append(Line(connection))
            selector.register(connection, selectors.EVENT_READ, lines[-1])
        return _loop(selector, lines, request, seconds)


def _loop(
    selector: selectors.BaseSelector, lines: list[Line], request: bytes, seconds: float
) -> tuple[list[int], float]:
    latencies: list[int] = []
    counted_from = time.perf_counter() + _WARM_UP_SECONDS
    for line in lines:
        line.send(request)
    while (now := time.perf_counter()) < counted_from + seconds:
        for key, _ in selector.select(timeout=1):
            line = key.data
            if line.receive():
                now = time.perf_counter()
                if now >= counted_from:
                    latencies.append(int((now - line.sent_at) * 1e6))
                if _FAILED.search(line.received, 0, 4000):
                    raise LoadError(bytes(line.received[:2000]).decode(errors="replace"))
                line.send(request)
    return latencies, now - counted_from


def main() -> None:
    """Measure, and print the result as one line of JSON."""
    host, port, connections, seconds = sys.argv[1:5]
    request = sys.stdin.buffer.read()
    try:
        latencies, took = measure(host, int(port), request, int(connections), float(seconds))
    except LoadError as error:
        sys.exit(f"ERROR: an answer was not a result:\n{error}")
    print(json.dumps({"latencies": latencies, "seconds": took}))


if __name__ == "__main__":
    main()
