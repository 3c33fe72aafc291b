"""How long the one file takes to start: `python -m tools.bench_start`, after `tools/build`.

The rule: each number stands beside the bare interpreter's, measured in turn with it, because the
machine is never quiet for all of a run. Best and median of the runs, in milliseconds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.building import NAME
from tools.bytecode import find_pythons
from tools.postgres import free_port
from tools.serving import add_token, end

ROOT = Path(__file__).resolve().parent.parent
_REQUEST = json.dumps(
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "bench", "version": "1"},
        },
    }
).encode()

_VERSION_MS, _ANSWER_MS = 50, 150


@dataclass(frozen=True, slots=True)
class Door:
    """A configuration with a file of tokens, and one of them."""

    config: Path
    token: str


def main(arguments: Sequence[str]) -> int:
    """Measure with each Python; 1 when a start takes longer than it may."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench_start", description=__doc__)
    parser.add_argument("--program", type=Path, default=ROOT / "bin" / NAME, metavar="FILE")
    parser.add_argument("--python", action="append", metavar="PROGRAM")
    parser.add_argument("--runs", type=int, default=20, metavar="N")
    options = parser.parse_args(arguments)
    if not options.program.exists():
        parser.error(f"{options.program} is not there: run tools/build")
    cores = os.cpu_count()
    print(f"{platform.platform()}, {cores} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="pgmcp-start-") as folder:
        config = Path(folder) / "pgmcp.yaml"
        config.write_text(f"http: {{auth: {{token_file: {folder}/tokens.yaml}}}}\n")
        door = Door(config, add_token(config, "tools/bench_start"))
        slow = [
            measured
            for python in options.python or find_pythons()
            for measured in _measure(python, options.program, options.runs, door)
        ]
    return 1 if any(slow) else 0


def _measure(python: str, program: Path, runs: int, door: Door) -> list[bool]:
    """Print one Python's lines; for each limit whether the best run went over it."""
    cases: dict[str, Callable[[], float]] = {
        "bare interpreter": lambda: _ended([python, "-c", "pass"]),
        "-version": lambda: _ended([python, program, "-version"]),
        "first answer, stdio": lambda: _first_on_stdio([python, program]),
        "first answer, HTTP": lambda: _first_over_http([python, program, "-no-auth"]),
        "the same with a token": lambda: _first_over_http([python, program], door),
    }
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(runs):
        for name, case in cases.items():
            times[name].append(case())
    version = subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout
    print(f"\n{version.strip()} ({python})")
    bare = times["bare interpreter"]
    for name, taken in times.items():
        best, middle = min(taken), statistics.median(taken)
        print(
            f"  {name:<21} best {best:6.1f}  median {middle:6.1f}  "
            f"over bare {best - min(bare):6.1f}  ratio {best / min(bare):5.1f}"
        )
    slowest = max(min(times[name]) for name in list(cases)[2:])
    return [min(times["-version"]) - min(bare) > _VERSION_MS, slowest > _ANSWER_MS]


def _ended(command: Sequence[str | Path]) -> float:
    began = time.perf_counter()
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - began) * 1000


def _first_on_stdio(command: Sequence[str | Path]) -> float:
    began = time.perf_counter()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(_REQUEST + b"\n")
        server.stdin.flush()
        answer = server.stdout.readline()
        taken = (time.perf_counter() - began) * 1000
        assert b'"result"' in answer, answer
        server.stdin.close()
    return taken


def _first_over_http(command: Sequence[str | Path], door: Door | None = None) -> float:
    """The client waits in connect and tries again, as a health check does."""
    port = free_port()
    words: list[str | Path] = ["-http", "-addr", f"127.0.0.1:{port}"]
    headers = {"Content-Type": "application/json"}
    if door is not None:
        words += ["-config", door.config]
        headers["Authorization"] = f"Bearer {door.token}"
    request = urllib.request.Request(f"http://127.0.0.1:{port}/mcp/v1", _REQUEST, headers)
    began = time.perf_counter()
    with subprocess.Popen([*command, *words], stderr=subprocess.DEVNULL) as server:
        while server.poll() is None:
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            time.sleep(0.001)
        with urllib.request.urlopen(request, timeout=30) as answered:
            assert b'"result"' in answered.read()
        taken = (time.perf_counter() - began) * 1000
        end(server)
    return taken


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
