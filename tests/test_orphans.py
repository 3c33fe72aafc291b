"""A slot comes back when its server process is gone, and a process that stays is told of."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pgmcp.calls.call import Call
from pgmcp.cli.database_findings import database_findings
from pgmcp.config.databases import DatabaseSettings
from pgmcp.config.values import Host
from pgmcp.errors import CallEndedError, ConnectionLostError, PoolTimeoutError, ToolError
from pgmcp.gate.databases import DatabaseSet
from pgmcp.postgres.orphans import UNCONFIRMED_SECONDS
from tests.databases import eventually, open_databases, settings_for
from tests.proxy import Proxy, proxy_to
from tests.test_pool import Clock
from tools.postgres import Server

BUSY = (
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'pgmcp' AND wait_event = 'PgSleep'"
)


def settings(server: Server, database: str, **changes: object) -> DatabaseSettings:
    return settings_for(server, database, pool_max_conns=1, **changes)


def run(databases: DatabaseSet, text: str, seconds: float = 30.0) -> int:
    return len(databases.database("ann", "main", Call(seconds)).query(text, max_rows=5).rows)


def counted(databases: DatabaseSet) -> tuple[int, int]:
    return databases.pools.connections, databases.pools.counts()["main"]["stuck"]


def frozen(server: Server, database: str) -> int:
    """Make the process at work one that does not answer to anything, as PostgreSQL's are inside
    of some functions; its number."""
    query = f"{BUSY} AND datname = '{database}'"
    assert eventually(lambda: server.psql(query) != "")
    pid = int(server.psql(query))
    os.kill(pid, signal.SIGSTOP)
    return pid


@pytest.fixture
def stuck(postgres: Server, database: str) -> Iterator[tuple[DatabaseSet, int]]:
    """A pool of one connection, whose process does not stop, and that process."""
    databases = open_databases([settings(postgres, database)])
    call = Call(60)
    with ThreadPoolExecutor(1) as executor:
        sleeping = executor.submit(
            databases.database("ann", "main", call).query, "select pg_sleep(300)", max_rows=1
        )
        pid = frozen(postgres, database)
        try:
            call.cancel("gone")
            with pytest.raises(CallEndedError):
                sleeping.result(30)
            yield databases, pid
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
            databases.pools.close(5)


def test_a_process_that_does_not_stop_keeps_its_slot_until_it_is_gone(
    stuck: tuple[DatabaseSet, int], postgres: Server, caplog: pytest.LogCaptureFixture
) -> None:
    databases, pid = stuck
    assert eventually(lambda: f"process {pid} did not stop" in caplog.text)
    assert counted(databases) == (1, 1)
    assert databases.pools._slots.places.held("ann") == 1
    with pytest.raises(PoolTimeoutError, match="all 1 connections to main are held"):
        run(databases, "select 1")
    os.kill(pid, signal.SIGCONT)
    assert eventually(lambda: counted(databases) == (0, 0))
    assert databases.pools._slots.places.held("ann") == 0
    assert run(databases, "select 1") == 1
    assert postgres.psql(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}") == "0"


def test_a_process_past_its_time_is_a_finding(
    stuck: tuple[DatabaseSet, int], postgres: Server, database: str
) -> None:
    _, pid = stuck
    checked = settings(postgres, database, statement_timeout_seconds=1.0)

    def said() -> bool:
        findings = database_findings(checked, grace_seconds=0.0)
        return any(f"process {pid} has worked" in finding.message for finding in findings)

    assert eventually(said)


def test_a_statement_that_stops_when_told_gives_its_slot_back_at_once(
    postgres: Server, database: str
) -> None:
    databases = open_databases([settings(postgres, database, max_result_bytes=1_000_000)])
    call = Call(60)
    with ThreadPoolExecutor(1) as executor:
        sleeping = executor.submit(
            databases.database("ann", "main", call).query, "select pg_sleep(300)", max_rows=1
        )
        assert eventually(lambda: postgres.psql(f"{BUSY} AND datname = '{database}'") != "")
        call.cancel("gone")
        with pytest.raises(CallEndedError):
            sleeping.result(30)
    assert counted(databases) == (0, 0)
    assert run(databases, "select repeat('x', 5000000) from generate_series(1, 5)") < 5  # is cut
    assert counted(databases) == (0, 0)
    databases.pools.close(5)


@pytest.fixture
def proxy(postgres: Server) -> Iterator[Proxy]:
    with proxy_to(postgres.port) as made:
        yield made


def test_a_process_behind_a_lost_line_is_asked_for_and_given_up_after_a_time(
    postgres: Server, database: str, proxy: Proxy
) -> None:
    clock = Clock()
    databases = open_databases(
        [settings(postgres, database, hosts=(Host("127.0.0.1", proxy.port),))], clock=clock
    )
    with ThreadPoolExecutor(1) as executor:
        sleeping = executor.submit(run, databases, "select pg_sleep(300)")
        pid = frozen(postgres, database)
        try:
            proxy.refuse = True
            proxy.cut()
            with pytest.raises(ConnectionLostError):
                sleeping.result(30)
            assert counted(databases) == (1, 1)
            with pytest.raises(ToolError, match="statements that do not end hold 1"):
                run(databases, "select 1", seconds=0.3)
            clock.now += UNCONFIRMED_SECONDS
            assert eventually(lambda: counted(databases) == (0, 0))
        finally:
            os.kill(pid, signal.SIGCONT)
            postgres.psql(f"SELECT pg_terminate_backend({pid})")
            databases.pools.close(5)
