"""How many calls a second pgmcp answers on this machine, and how long one takes.

The rule: numbers only beside their yardstick, measured in turns with it, so that a busy machine
slows both.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pgmcp import __version__
from tools import bare, gate_cost, inside_cost
from tools.binaries import available
from tools.child import spawn
from tools.postgres import Server, free_port, running
from tools.serving import (
    ServingError,
    add_token,
    call,
    end,
    environment,
    post,
    wait_until_ready,
)

ROOT = Path(__file__).resolve().parent.parent
CONNECTIONS = (1, 8, 32)
_ROUNDS = 2
_ROWS = (
    "CREATE TABLE rows AS SELECT n AS id, md5(n::text) AS name, n * 1.25 AS amount, "
    "timestamptz '2025-01-01' + n * interval '1 minute' AS at, n % 2 = 0 AS flag, "
    "md5(n::text)::uuid AS reference FROM generate_series(1, 1000) AS n"
)


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of call. `sql` is what it comes to, empty when it needs no database."""

    name: str
    body: bytes
    sql: str = ""


@dataclass(slots=True)
class Sample:
    """Latencies in microseconds, and the seconds in which they were taken."""

    latencies: list[int] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, latencies: Sequence[int], seconds: float) -> None:
        """Take in one more round."""
        self.latencies += latencies
        self.seconds += seconds

    @property
    def calls_per_second(self) -> float:
        """The rate, 0 when nothing was answered."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def percentile_ms(self, share: float) -> float:
        """The latency in milliseconds that `share` of the calls did not exceed."""
        ordered = sorted(self.latencies)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] / 1000


def main(arguments: Sequence[str]) -> int:
    """Measure, and print Markdown tables."""
    parser = argparse.ArgumentParser(
        prog="tools/bench", description="Measure calls a second and latencies on this machine."
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="for each number (2)")
    parser.add_argument(
        "--connections", type=int, nargs="+", default=CONNECTIONS, help="keep-alive ones (1 8 32)"
    )
    options = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pgmcp-bench-")))
        folder.chmod(0o755)
        binaries = available()[0]
        postgres = stack.enter_context(running(folder / "postgres", binaries=binaries))
        postgres.psql(_ROWS)
        print(_about(postgres), flush=True)
        try:
            port, token = stack.enter_context(_pgmcp(folder, postgres))
            _print_table(port, token, options.connections, options.seconds)
        except ServingError as error:
            print(f"ERROR: {error}", file=sys.stderr)
            return 1
        _print_driver(postgres, options.seconds)
        _print_gate(postgres, options.seconds)
        _print_inside()
    return 0


def _cases() -> Iterator[Case]:
    yield Case("tools/list", call("tools/list", {}))
    for name, sql in (("SELECT 1", "SELECT 1"), ("1,000 rows of 6", "SELECT * FROM rows")):
        arguments = {"query": sql, "limit": 1000}
        parameters = {"name": "query_database", "arguments": arguments}
        yield Case(name, call("tools/call", parameters), sql)


@contextlib.contextmanager
def _pgmcp(folder: Path, postgres: Server) -> Iterator[tuple[int, str]]:
    """A server with one token; its port and the token."""
    port = free_port()
    config = folder / "pgmcp.yaml"
    password = folder / "password"
    password.touch(mode=0o600)
    password.write_text(postgres.password)
    config.write_text(
        f"""\
http:
  address: "127.0.0.1:{port}"
  auth: {{token_file: "{folder}/tokens.yaml", user_file: "{folder}/users.yaml"}}
databases:
  - {{name: bench, host: 127.0.0.1, port: {postgres.port}, database: postgres, user: postgres,
     password_file: "{password}", sslmode: disable}}
"""
    )
    token = add_token(config, "tools/bench")
    with (folder / "pgmcp.log").open("wb") as log:
        server = spawn(
            [sys.executable, "-m", "pgmcp", "-http", "-config", config],
            folder=ROOT,
            environment=environment(),
            output=log,
        )
    try:
        try:
            wait_until_ready(server, port)
        except ServingError as error:
            raise ServingError(f"{error}\n{(folder / 'pgmcp.log').read_text()}") from error
        yield port, token
    finally:
        end(server)


@contextlib.contextmanager
def _bare(answer_bytes: int) -> Iterator[int]:
    """The yardstick's server; its port."""
    server = spawn(
        [sys.executable, "-m", "tools.bare", str(answer_bytes)],
        folder=ROOT,
        environment=environment(),
        output=subprocess.PIPE,
    )
    try:
        assert server.stdout is not None
        with server.stdout:
            yield int(server.stdout.readline())
    finally:
        end(server)


def _print_table(port: int, token: str, connections: Sequence[int], seconds: float) -> None:
    print("| Call | Connections | Calls/s | p50 ms | p99 ms | Bare HTTP calls/s | Ratio |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for case in _cases():
        answer = post(port, token, case.body)
        with _bare(len(answer)) as bare_port:
            for count in connections:
                ours, base = _in_turns(
                    partial(load, port, token, case.body, count, seconds / _ROUNDS),
                    partial(load, bare_port, token, case.body, count, seconds / _ROUNDS),
                )
                print(
                    f"| {case.name} | {count} | {ours.calls_per_second:,.0f} | "
                    f"{ours.percentile_ms(0.5):.2f} | {ours.percentile_ms(0.99):.2f} | "
                    f"{base.calls_per_second:,.0f} | "
                    f"{ours.calls_per_second / base.calls_per_second:.2f} |",
                    flush=True,
                )


def _print_driver(postgres: Server, seconds: float) -> None:
    print("\n| Bare pg8000, 1 connection | Calls/s | p50 ms | p99 ms |")
    print("|---|--:|--:|--:|")
    for case in _cases():
        if case.sql:
            measured = Sample(*bare.query(postgres, "postgres", case.sql, seconds))
            print(
                f"| {case.name} | {measured.calls_per_second:,.0f} | "
                f"{measured.percentile_ms(0.5):.2f} | {measured.percentile_ms(0.99):.2f} |"
            )


def _print_gate(postgres: Server, seconds: float) -> None:
    print("\n| One read, in this process | p50 µs | Without gate and judge | Ratio |")
    print("|---|--:|--:|--:|")
    for kind, ours, base in gate_cost.measure(postgres, seconds):
        print(f"| {kind} | {ours:.0f} | {base:.0f} | {ours / base:.2f} |", flush=True)


def _print_inside() -> None:
    print("\n| Pure work, in this process | best µs | Yardstick µs | Ratio |")
    print("|---|--:|--:|--:|")
    for kind, ours, base in inside_cost.measure():
        print(f"| {kind} | {ours:.0f} | {base:.0f} | {ours / base:.2f} |", flush=True)


def _in_turns(first: Callable[[], Sample], second: Callable[[], Sample]) -> tuple[Sample, Sample]:
    """Both, a round of one and a round of the other, the order turned round each time."""
    samples = Sample(), Sample()
    for turn in range(_ROUNDS):
        order = (0, 1) if turn % 2 == 0 else (1, 0)
        for which in order:
            measured = (first, second)[which]()
            samples[which].add(measured.latencies, measured.seconds)
    return samples


def load(port: int, token: str, body: bytes, connections: int, seconds: float) -> Sample:
    """Run the clients, one process for each processor, and put their answers together."""
    head = (
        f"POST /mcp/v1 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    processes = min(connections, os.cpu_count() or 1)
    shares = [connections // processes + (n < connections % processes) for n in range(processes)]
    clients = [
        subprocess.Popen(
            [*(sys.executable, "-m", "tools.load", "127.0.0.1"), *map(str, (port, n, seconds))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
        )
        for n in shares
    ]
    for client in clients:
        assert client.stdin is not None
        client.stdin.write(head.encode() + body)
        client.stdin.close()
        client.stdin = None
    sample = Sample()
    for said, complained in [client.communicate() for client in clients]:
        if complained:
            raise ServingError(complained.decode(errors="replace").strip())
        measured = json.loads(said)
        sample.latencies += measured["latencies"]
        sample.seconds = max(sample.seconds, measured["seconds"])
    return sample


def _about(postgres: Server) -> str:
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    return (
        f"{processor}, {os.cpu_count()} processors, {platform.system()} {platform.release()}; "
        f"Python {platform.python_version()}, PostgreSQL {postgres.psql('SHOW server_version')}, "
        f"pgmcp {__version__}\n"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
