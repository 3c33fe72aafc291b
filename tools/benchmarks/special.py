"""The special cases that every server over HTTP is measured in: idle, quiet and writes.

The rule: a case starts its servers anew, one after the other, and each figure that is compared
stands beside the same one without what the case is about.
"""

from __future__ import annotations

import contextlib
import resource
import select
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.benchmarks import background
from tools.benchmarks.client import HttpLine
from tools.benchmarks.contender import HOST, Contender, Running, running
from tools.benchmarks.figures import Figure
from tools.benchmarks.ours import Source
from tools.postgres import PostgresError, Server

IDLE_CONNECTIONS = 5000
_MANY = 256
_SOURCES = tuple(f"127.0.0.{n}" for n in range(2, 52))
_SETTLE_SECONDS = 1.0
_COMMITS_A_SECOND = 2000
_WRITER = "tools/bench writer"
JOIN = (
    "SELECT count(*) FROM rows a JOIN rows b ON a.id = b.id JOIN rows c ON b.id = c.id "
    "JOIN rows d ON c.id = d.id JOIN rows e ON d.id = e.id WHERE a.id < 10"
)


@dataclass(frozen=True, slots=True)
class Bench:
    """What the cases work with. `contenders` are those over HTTP, ours first.

    `sources` are the commits of ours, for the cases that need a configuration of their own.
    """

    folder: Path
    postgres: Server
    contenders: Sequence[Contender]
    sources: Sequence[Source]
    seconds: float = 2.0


def each(bench: Bench) -> Iterator[Running]:
    """Every contender, started anew, while it is measured."""
    for contender in bench.contenders:
        with running(contender, bench.folder / "special.log") as server:
            yield server


def quiet(bench: Bench) -> Iterator[Figure]:
    """A client with small calls, beside four of another user that read 1,000 rows each."""
    for server in each(bench):
        name, small = server.contender.name, server.query("SELECT 1")
        alone = server.measure(small, 1, bench.seconds)
        yield Figure(name, "quiet", "alone, p99 ms", alone.percentile_ms(0.99))
        large = server.query("SELECT * FROM rows", user=1)
        with background.calls(server.port, large, 4):
            beside = server.measure(small, 1, bench.seconds)
        yield Figure(
            name, "quiet", "beside four with 1,000 rows, p99 ms", beside.percentile_ms(0.99)
        )


def idle(bench: Bench) -> Iterator[Figure]:
    """Many connections that ask, and very many that ask for nothing."""
    _allow_descriptors()
    for server in each(bench):
        name, request = server.contender.name, server.query("SELECT 1")
        requests = [server.query("SELECT 1", user) for user in range(len(server.contender.users))]
        many = server.measure(requests, _MANY, bench.seconds, _SOURCES)
        yield Figure(name, "idle", f"{_MANY} connections, p99 ms", many.percentile_ms(0.99))
        yield Figure(name, "idle", f"{_MANY} connections, calls a second", many.calls_per_second)
        with contextlib.ExitStack() as stack:
            still_open = _open_idle(server, stack)
            yield Figure(name, "idle", f"open of {IDLE_CONNECTIONS:,} idle", still_open)
            yield Figure(name, "idle", "MiB with them", server.process.memory_mib())
            yield Figure(name, "idle", "threads with them", server.process.threads())
            beside = server.measure(request, 1, bench.seconds)
            yield Figure(name, "idle", "a call beside them, p99 ms", beside.percentile_ms(0.99))


def _open_idle(server: Running, stack: contextlib.ExitStack) -> int:
    """Open idle connections, each after one call; how many are open after a moment."""
    poller = stack.enter_context(select.epoll())
    request, lengths = server.request("tools/list"), set[int]()
    still_open = 0
    for number in range(IDLE_CONNECTIONS):
        with contextlib.suppress(OSError):
            source = _SOURCES[number % len(_SOURCES)]
            line = HttpLine((HOST, server.port), lengths, source)
            stack.callback(line.socket.close)
            if number % 50 == 0:  # a call on each would only take time
                line.send(request, 0.0)
                while not line.receive():
                    pass
            poller.register(line.socket, select.EPOLLIN | select.EPOLLRDHUP)
            still_open += 1
    time.sleep(_SETTLE_SECONDS)
    return still_open - len(poller.poll(0, IDLE_CONNECTIONS))


def _allow_descriptors() -> None:
    """Let this process and the servers that it starts have as many files as the system lets."""
    _, highest = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest, highest))


def writes(bench: Bench) -> Iterator[Figure]:
    """Statements that were judged before, while others commit."""
    bench.postgres.psql("CREATE TABLE IF NOT EXISTS written (n int)")
    kinds = (("SELECT 1", "SELECT 1"), ("join of five tables", JOIN))
    for server in each(bench):
        name = server.contender.name
        for kind, sql in kinds:
            alone = server.measure(server.query(sql), 1, bench.seconds)
            yield Figure(name, "writes", f"{kind}, quiet, p50 ms", alone.percentile_ms(0.5))
            with _commits(bench.postgres):
                before, began = _committed(bench.postgres), time.monotonic()
                beside = server.measure(server.query(sql), 1, bench.seconds)
                rate = (_committed(bench.postgres) - before) / (time.monotonic() - began)
            yield Figure(
                name, "writes", f"{kind}, beside commits, p50 ms", beside.percentile_ms(0.5)
            )
            yield Figure(name, "writes", f"{kind}, commits a second beside it", rate)


@contextlib.contextmanager
def _commits(postgres: Server) -> Iterator[None]:
    """Commit at the case's rate, in one session of another client."""
    sql = (
        f"SET application_name = '{_WRITER}'; SET synchronous_commit = off;\n"
        "DO $$ DECLARE began timestamptz := clock_timestamp(); done int := 0; BEGIN LOOP "
        "INSERT INTO written VALUES (done); COMMIT; done := done + 1; IF done % 20 = 0 THEN "
        f"PERFORM pg_sleep(greatest(0, done / {_COMMITS_A_SECOND}.0 - "
        "extract(epoch FROM clock_timestamp() - began))); END IF; END LOOP; END $$"
    )

    def write() -> None:
        with contextlib.suppress(PostgresError):  # it ends by being ended
            postgres.psql(sql)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        time.sleep(_SETTLE_SECONDS)
        yield
    finally:
        postgres.psql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE application_name = '{_WRITER}'"
        )
        writer.join()


def _committed(postgres: Server) -> int:
    """How many transactions have written something so far."""
    return int(postgres.psql("SELECT pg_current_xact_id()"))
