"""A server that is measured: how it is started, asked and ended, the same for all.

The rule: nothing stands between the start of a server's own process and its first answer.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tools.benchmarks.client import ID, ClientError, HttpLine, Measured, StdioLines, over_http
from tools.benchmarks.process import Process
from tools.postgres import free_port
from tools.serving import end

HOST = "127.0.0.1"
_START_SECONDS = 60.0
_SESSION = re.compile(r"(?i)\r\n(mcp-session-id: *[^\r]+)\r\n")
_INITIALIZE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "tools/bench", "version": "1"},
}


@dataclass(frozen=True, slots=True)
class Contender:
    """A server to measure. `command` makes the words from a port, 0 for stdio.

    `query` makes the parameters of `tools/call` for a statement.
    """

    name: str
    version: str
    command: Callable[[int], Sequence[str | Path]]
    query: Callable[[str], Mapping[str, object]]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    stdio: bool = False
    path: str = "/mcp"
    tls: bool = False
    users: tuple[tuple[str, ...], ...] = ((),)
    """For each user the headers that he sends; one without any where there are no users."""


class Running:
    """A contender that has answered its first request, after `first_answer_seconds`."""

    def __init__(self, contender: Contender, log: Path) -> None:
        self.contender = contender
        self.port = 0 if contender.stdio else free_port()
        began = time.perf_counter()
        with log.open("ab") as output:
            self.child = subprocess.Popen(
                contender.command(self.port),
                cwd=contender.folder,
                env=dict(contender.environment),
                stdin=subprocess.PIPE if contender.stdio else subprocess.DEVNULL,
                stdout=subprocess.PIPE if contender.stdio else output,
                stderr=output,
            )
        self.process = Process(self.child.pid)
        try:
            self._session: tuple[str, ...] = ()
            self._stdio = StdioLines(self.child) if contender.stdio else None
            if self._stdio is None:
                self._wait_until_it_listens()
            answer = self.ask("initialize", _INITIALIZE)
            self.first_answer_seconds = time.perf_counter() - began
            self._session = tuple(_SESSION.findall(answer.decode(errors="replace")))
            self._notify()
        except (ClientError, OSError) as error:
            self.close()
            said = log.read_text(errors="replace")[-2000:]
            raise ClientError(f"{contender.name}: {error}\n{said}".rstrip()) from error

    def _wait_until_it_listens(self) -> None:
        """Try to connect again and again, as a health check does."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                self.line().socket.close()
                return
            except ConnectionRefusedError:
                if self.child.poll() is not None:
                    raise ClientError(f"ended with status {self.child.returncode}") from None
                if time.monotonic() > deadline:
                    raise ClientError("does not listen") from None
                time.sleep(0.001)

    def _notify(self) -> None:
        message = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
        if self._stdio is not None:
            self._stdio.send(message + b"\n")
        elif self._session:  # where there is none, nobody needs to know
            self._ask_http(self._http(message))

    def request(
        self,
        method: str,
        parameters: Mapping[str, object] | None = None,
        user: int | None = 0,
        more: Sequence[str] = (),
    ) -> bytes:
        """The bytes of a request, a line or an HTTP request, of a user by number or of nobody.
        `more` are further header fields.
        """
        message = {"jsonrpc": "2.0", "id": ID.decode(), "method": method}
        if parameters is not None:
            message["params"] = parameters  # type: ignore[assignment]
        body = json.dumps(message).encode()
        return body + b"\n" if self.contender.stdio else self._http(body, user, more)

    def query(self, sql: str, user: int = 0) -> bytes:
        """The bytes of a request that runs a statement."""
        return self.request("tools/call", self.contender.query(sql), user)

    def _http(self, body: bytes, user: int | None = 0, more: Sequence[str] = ()) -> bytes:
        users = self.contender.users
        headers = () if user is None else users[user % len(users)]
        fields = [
            f"POST {self.contender.path} HTTP/1.1",
            f"Host: {HOST}:{self.port}",
            "Content-Type: application/json",
            "Accept: application/json, text/event-stream",
            f"Content-Length: {len(body)}",
            *headers,
            *more,
            *self._session,
        ]
        return "\r\n".join([*fields, "", ""]).encode() + body

    def line(self) -> HttpLine:
        """A new connection to it."""
        return HttpLine((HOST, self.port), set(), tls=self.contender.tls)

    def ask(self, method: str, parameters: Mapping[str, object] | None = None) -> bytes:
        """The answer to a request, by itself; ClientError when it is an error."""
        request = self.request(method, parameters)
        if self._stdio is not None:
            return self._stdio.ask(request)
        return self._ask_http(request)

    def _ask_http(self, request: bytes) -> bytes:
        line = self.line()
        with contextlib.closing(line.socket):
            return line.ask(request)

    def measure(
        self,
        request: bytes | Sequence[bytes],
        connections: int,
        seconds: float,
        sources: Sequence[str] = ("",),
    ) -> Measured:
        """A closed loop over so many connections, or so many requests on their way over stdio.

        Several requests, and several addresses that they come from, belong to the connections in
        turn.
        """
        requests = [request] if isinstance(request, bytes) else request
        if self._stdio is not None:
            return self._stdio.measure(requests[0], connections, seconds)
        return over_http((HOST, self.port), requests, connections, seconds, sources)

    def close(self) -> None:
        """End the server."""
        for pipe in (self.child.stdin, self.child.stdout):
            if pipe is not None:
                pipe.close()
        end(self.child)


@contextlib.contextmanager
def running(contender: Contender, log: Path) -> Iterator[Running]:
    """Start a contender; it is ended with the block."""
    server = Running(contender, log)
    try:
        yield server
    finally:
        server.close()
