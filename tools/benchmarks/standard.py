"""The standard cases: every server in turn, several rounds, and its start and memory.

The rule: all servers are up for the whole session and are asked in turn, each round in another
order, so that a busy machine slows all of them.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.benchmarks import figures
from tools.benchmarks.client import Measured
from tools.benchmarks.contender import Contender, Running, running
from tools.benchmarks.figures import Figure
from tools.postgres import Server

ROWS = 1000
_TABLE = (
    "CREATE TABLE rows AS SELECT n AS id, md5(n::text) AS name, n * 1.25 AS amount, "
    "timestamptz '2025-01-01' + n * interval '1 minute' AS at, n % 2 = 0 AS flag, "
    f"md5(n::text)::uuid AS reference FROM generate_series(1, {ROWS}) AS n"
)


@dataclass(frozen=True, slots=True)
class Effort:
    """How long each number is measured, how often, and with how many connections."""

    seconds: float = 1.0
    rounds: int = 3
    connections: tuple[int, ...] = (1, 8, 32)


def prepare(postgres: Server) -> None:
    """Make the table that the cases read."""
    postgres.psql(_TABLE)
    postgres.psql("VACUUM ANALYZE")


def request(server: Running, case: str) -> bytes:
    """The request of a standard case."""
    if case == "tools/list":
        return server.request("tools/list")
    return server.query("SELECT 1" if case == "SELECT 1" else "SELECT * FROM rows")


def measure(
    contenders: Sequence[Contender], cases: Sequence[str], effort: Effort, folder: Path
) -> Iterator[Figure]:
    """The figures of the standard cases, round by round; ClientError for a wrong answer."""
    yield from _starts(contenders, effort.rounds, folder)
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(running(contender, folder / f"{number}.log"))
            for number, contender in enumerate(contenders)
        ]
        for server in servers:
            name = server.contender.name
            yield Figure(name, figures.START, figures.AT_START, server.process.memory_mib())
        for number in range(effort.rounds):
            print(f"Round {number + 1} of {effort.rounds}", file=sys.stderr, flush=True)
            for case in cases:
                for connections in effort.connections:
                    for server in (*servers[number:], *servers[:number]):
                        yield from _one_round(server, case, connections, effort.seconds)
        for server in servers:
            name = server.contender.name
            yield Figure(name, figures.START, figures.UNDER_LOAD, server.process.peak_mib())


def _starts(contenders: Sequence[Contender], rounds: int, folder: Path) -> Iterator[Figure]:
    for _ in range(rounds):
        for contender in contenders:
            with running(contender, folder / "start.log") as server:
                taken = server.first_answer_seconds * 1000
            yield Figure(contender.name, figures.START, figures.FIRST_ANSWER, taken)


def _one_round(server: Running, case: str, connections: int, seconds: float) -> Iterator[Figure]:
    measured = server.measure(request(server, case), connections, seconds)
    yield from of_calls(server.contender.name, case, connections, measured)


def of_calls(name: str, case: str, connections: int, measured: Measured) -> Iterator[Figure]:
    """The figures of one closed loop."""
    for measure_name, value in (
        (figures.RATE, measured.calls_per_second),
        (figures.P50, measured.percentile_ms(0.5)),
        (figures.P99, measured.percentile_ms(0.99)),
    ):
        yield Figure(name, case, measure_name, value, connections)
