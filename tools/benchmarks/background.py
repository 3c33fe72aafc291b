"""What goes on beside a measurement, in a process of its own: calls, or logins.

The rule: it goes on until it is ended, and a measurement beside one that ended by itself counts as
failed. `python -m tools.benchmarks.background` reads what to do from stdin, as JSON.
"""

from __future__ import annotations

import base64
import contextlib
import json
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from tools.benchmarks.client import ClientError, over_http
from tools.benchmarks.contender import HOST
from tools.serving import ROOT, end

_FOR_EVER_SECONDS = 3600.0
_ON_THEIR_WAY = 500


@contextlib.contextmanager
def calls(port: int, request: bytes, connections: int) -> Iterator[subprocess.Popen[bytes]]:
    """Ask over so many connections, without a pause."""
    with _running({"port": port, "connections": connections}, request) as process:
        yield process


@contextlib.contextmanager
def logins(port: int, request: bytes, rate: int, *, addresses: int) -> Iterator[None]:
    """So many requests a second, each on a new connection, from one address or from several."""
    with _running({"port": port, "rate": rate, "addresses": addresses}, request):
        yield


@contextlib.contextmanager
def _running(what: dict[str, Any], request: bytes) -> Iterator[subprocess.Popen[bytes]]:
    what["request"] = base64.b64encode(request).decode()
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.benchmarks.background"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        try:
            process.stdin.write(json.dumps(what).encode() + b"\n")
            process.stdin.flush()
            said = process.stdout.readline()
            yield process
            if process.poll() is not None or said != b"begins\n":
                said += process.stdout.read()
                raise ClientError(f"the load beside it ended: {said.decode(errors='replace')}")
        finally:
            end(process)


def _flood(port: int, request: bytes, rate: int, sources: Sequence[str]) -> None:
    """Begin requests at a fixed rate, whatever comes back and when."""
    poller = select.epoll()
    lines: dict[int, socket.socket] = {}
    began = time.monotonic()
    begun = 0
    while True:
        due = int((time.monotonic() - began) * rate)
        while begun < due:
            begun += 1
            if len(lines) < _ON_THEIR_WAY:
                source = sources[begun % len(sources)]
                line = socket.create_connection((HOST, port), 10, (source, 0))
                line.sendall(request)
                lines[line.fileno()] = line
                poller.register(line, select.EPOLLIN)
        for number, _ in poller.poll(1 / rate):
            with contextlib.suppress(OSError):
                lines[number].recv(1 << 16)
            lines.pop(number).close()


def main() -> None:
    """Do what stdin says, for ever."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    what = json.loads(sys.stdin.buffer.readline())
    request = base64.b64decode(what["request"])
    print("begins", flush=True)
    if "rate" in what:
        count = what["addresses"]
        sources = [f"127.0.{n // 200 + 1}.{n % 200 + 1}" for n in range(count)]
        _flood(what["port"], request, what["rate"], sources)
    else:
        try:
            over_http((HOST, what["port"]), [request], what["connections"], _FOR_EVER_SECONDS)
        except ClientError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
