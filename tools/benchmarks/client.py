"""Closed loops of requests, over HTTP and over stdio, as cheap for the client as Python gets.

The rule: every server is measured by the same loops. An answer is looked at closely when its length
is new, and by its length alone from then on.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import ssl
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

ID = b"bench-0"
"""The id of every request. Over stdio a number of its own takes the place of the 0."""

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_CHUNKED = re.compile(rb"(?i)\r\ntransfer-encoding: *chunked")
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_UNTIL_LAST_CHUNK = float("inf")
_FAILED = re.compile(rb'"isError": ?true|"error": ?\{')
_ANSWERED = re.compile(rb'"bench-(\d+)"')
_WARM_UP_SECONDS, _WARM_UP_CONNECTION_SECONDS = 0.25, 0.004
_WAIT_SECONDS = 60.0
_READ_BYTES = 1 << 20

_UNVERIFIED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_UNVERIFIED.check_hostname = False
_UNVERIFIED.verify_mode = ssl.CERT_NONE


class ClientError(Exception):
    """An answer that is not what was asked for: the numbers would mean nothing."""


@dataclass(slots=True)
class Measured:
    """Latencies in seconds, the seconds in which they were taken, and those of the warm-up."""

    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0
    warm_up_seconds: float = 0.0

    @property
    def calls_with_warm_up(self) -> float:
        """All calls, when those of the warm-up are taken to be as many a second."""
        return len(self.latencies) + self.calls_per_second * self.warm_up_seconds

    @property
    def calls_per_second(self) -> float:
        """The rate, 0 when nothing was answered."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def percentile_ms(self, share: float) -> float:
        """The latency in milliseconds that `share` of the calls did not exceed, 0 without any."""
        ordered = sorted(self.latencies)
        if not ordered:
            return 0.0
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000


def check(answer: bytes) -> None:
    """ClientError for an answer that is an error. Errors stand at the start or the end."""
    if _FAILED.search(answer, 0, 4000) or _FAILED.search(answer[-400:]):
        raise ClientError(answer[:2000].decode(errors="replace"))


class HttpLine:
    """One connection with at most one request on its way.

    `tls`: over TLS, with whatever certificate it shows. `lengths` are those of whole answers, head
    included, that have been looked at and were fine.
    """

    def __init__(
        self, address: tuple[str, int], lengths: set[int], source: str = "", *, tls: bool = False
    ) -> None:
        self.socket = socket.create_connection(
            address, timeout=_WAIT_SECONDS, source_address=(source, 0) if source else None
        )
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = _UNVERIFIED.wrap_socket(self.socket)
        self.request = b""
        self.sent_at = 0.0
        self.answer = b""  # the last one that was looked at
        self._lengths = lengths
        self._parts: list[bytes] = []
        self._received = 0
        self._total: float | None = None

    def send(self, request: bytes, now: float) -> None:
        """Send one request."""
        self.sent_at = now
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Take what has arrived; True when the answer is whole. ClientError for an error."""
        data = self.socket.recv(_READ_BYTES)
        if not self._parts and len(data) in self._lengths:
            return True
        if not data:
            raise ClientError("the server closed the connection")
        self._parts.append(data)
        self._received += len(data)
        if self._total is None:
            self._total = _total_bytes(b"".join(self._parts))
        if self._total == _UNTIL_LAST_CHUNK:
            whole = b"".join(part[-7:] for part in self._parts[-7:]).endswith(_LAST_CHUNK)
        else:
            whole = self._total is not None and self._received >= self._total
        if whole:
            self._check()
        return whole

    def ask(self, request: bytes) -> bytes:
        """The whole answer to one request, head included; ClientError for an error."""
        self._lengths = set()
        self.send(request, 0.0)
        while not self.receive():
            pass
        return self.answer

    def _check(self) -> None:
        if self._received not in self._lengths:
            self.answer = b"".join(self._parts)
            check(self.answer)
            self._lengths.add(self._received)
        self._parts.clear()
        self._received, self._total = 0, None


def _total_bytes(began: bytes) -> float | None:
    """How long an answer will be that begins so; None while its head is not there."""
    end = began.find(b"\r\n\r\n")
    if end < 0:
        return None
    if not began.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 202 ")):
        raise ClientError(began[:800].decode(errors="replace"))
    head = began[: end + 2]
    if _CHUNKED.search(head):
        return _UNTIL_LAST_CHUNK
    length = _LENGTH.search(head)
    return end + 4 + (int(length[1]) if length else 0)


def over_http(
    address: tuple[str, int],
    requests: Sequence[bytes],
    connections: int,
    seconds: float,
    sources: Sequence[str] = ("",),
) -> Measured:
    """Ask over keep-alive connections, each again when it has its answer. A warm-up is not counted.

    `requests`, and the addresses in `sources`, belong to the connections in turn.
    """
    lengths: set[int] = set()
    with contextlib.ExitStack() as stack:
        poller = stack.enter_context(select.epoll())
        lines: dict[int, HttpLine] = {}
        for number in range(connections):
            line = HttpLine(address, lengths, sources[number % len(sources)])
            line.request = requests[number % len(requests)]
            stack.callback(line.socket.close)
            lines[line.socket.fileno()] = line
            poller.register(line.socket, select.EPOLLIN)
        return _http_loop(poller, lines, seconds)


def _http_loop(poller: select.epoll, lines: dict[int, HttpLine], seconds: float) -> Measured:
    clock = time.perf_counter
    latencies: list[float] = []
    now = clock()
    warm_up = _WARM_UP_SECONDS + _WARM_UP_CONNECTION_SECONDS * len(lines)
    counted_from = now + warm_up
    until = counted_from + seconds
    for line in lines.values():
        line.send(line.request, now)
    asked = len(lines)
    while asked:
        ready = poller.poll(_WAIT_SECONDS)
        if not ready:
            raise ClientError(f"no answer within {_WAIT_SECONDS:.0f} s")
        for number, _ in ready:
            line = lines[number]
            if not line.receive():
                continue
            now = clock()
            if counted_from <= now < until:
                latencies.append(now - line.sent_at)
            if now < until:
                line.send(line.request, now)
            else:
                asked -= 1  # its last answer: the server has nothing of ours left
    return Measured(latencies, seconds, warm_up)


class StdioLines:
    """A server's stdin and stdout, with any number of requests on their way."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin.fileno(), process.stdout.fileno()
        self._rest: list[bytes] = []
        self._lengths: set[int] = set()

    def send(self, lines: bytes) -> None:
        """Write whole lines."""
        while lines:
            lines = lines[os.write(self._in, lines) :]

    def receive(self) -> list[bytes]:
        """Wait for output; the lines that are whole now, notifications among them."""
        data = os.read(self._out, _READ_BYTES)
        if not data:
            raise ClientError("the server closed its output")
        first, *others = data.split(b"\n")
        self._rest.append(first)
        if not others:
            return []
        whole = [b"".join(self._rest), *others[:-1]]
        self._rest = [others[-1]]
        return whole

    def ask(self, request: bytes) -> bytes:
        """The answer to one request; ClientError for an error."""
        self.send(request)
        while True:
            for line in self.receive():
                if _ANSWERED.search(line):
                    check(line)
                    return line

    def measure(self, request: bytes, in_flight: int, seconds: float) -> Measured:
        """Keep `in_flight` requests on their way. A warm-up is not counted."""
        clock = time.perf_counter
        latencies: list[float] = []
        sent_at = [clock()] * in_flight
        counted_from = sent_at[0] + _WARM_UP_SECONDS
        until = counted_from + seconds
        self.send(b"".join(_numbered(request, number) for number in range(in_flight)))
        left = in_flight
        while left:
            again = []
            for line in self.receive():
                number = self._answered(line)
                if number is None:
                    continue
                now = clock()
                if counted_from <= now < until:
                    latencies.append(now - sent_at[number])
                if now < until:
                    sent_at[number] = now
                    again.append(_numbered(request, number))
                else:
                    left -= 1
            self.send(b"".join(again))
        return Measured(latencies, seconds, _WARM_UP_SECONDS)

    def _answered(self, line: bytes) -> int | None:
        """The number of the request that `line` answers, None when it answers none."""
        match = _ANSWERED.search(line)
        if match is None:
            return None
        if len(line) - len(match[1]) not in self._lengths:
            check(line)
            self._lengths.add(len(line) - len(match[1]))
        return int(match[1])


def _numbered(request: bytes, number: int) -> bytes:
    return request.replace(ID, b"bench-%d" % number, 1)
