"""What networks and servers do to a connection is its own caller's error, and nobody else's."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from pgmcp.calls.call import Call
from pgmcp.calls.trail import Trail
from pgmcp.catalog.tables import TablesCache
from pgmcp.config.databases import DatabaseSettings
from pgmcp.config.sslmode import Ssl
from pgmcp.config.values import Host, Secret
from pgmcp.errors import (
    CallEndedError,
    ConnectionLostError,
    DatabaseUnavailableError,
    NoConnectionLeftError,
    PgmcpError,
    StatementError,
)
from pgmcp.gate.database import ReadOnlyDatabase
from pgmcp.gate.databases import DatabaseSet
from pgmcp.gate.judge import Judge
from pgmcp.gate.leasing import RESTED_SECONDS
from pgmcp.pool.pool import Pool
from pgmcp.postgres.unavailable import Reason, unavailable
from tests.databases import eventually, open_databases, pool_for, settings_for
from tests.proxy import Proxy, proxy_to
from tools.postgres import Server

BIG = "select g, repeat('x', 1000) from generate_series(1, 5000) g"


@pytest.fixture
def proxy(postgres: Server) -> Iterator[Proxy]:
    with proxy_to(postgres.port) as made:
        yield made


@pytest.fixture
def databases(postgres: Server, database: str, proxy: Proxy) -> Iterator[DatabaseSet]:
    """Two connections at most, through the proxy."""
    settings = settings_for(
        postgres,
        database,
        hosts=(Host("127.0.0.1", proxy.port),),
        pool_max_conns=2,
        connect_timeout_seconds=1.0,
    )
    made = open_databases([settings])
    yield made
    made.pools.close(5.0)


def run(databases: DatabaseSet, text: str = "select 1", seconds: float = 20.0) -> int:
    return len(databases.database("ann", "main", Call(seconds)).query(text, max_rows=10_000).rows)


def assert_whole(databases: DatabaseSet) -> None:
    """Nothing is leased or waited for, and both places can be filled."""
    # A slow failure to connect speaks for the next second.
    assert eventually(lambda: _works(databases))
    assert "0 leased, 0 connecting, 0 waiting" in repr(databases.pools)
    with ThreadPoolExecutor(2) as executor:
        assert list(executor.map(lambda _: run(databases), range(2))) == [1, 1]


@pytest.mark.parametrize("size", [0, 1, 4, 5, 30, 3000, 200_000])
def test_a_line_cut_in_the_middle_of_an_answer_is_that_callers_error(
    databases: DatabaseSet, proxy: Proxy, size: int
) -> None:
    run(databases)
    proxy.answer_only(size, then_cut=True)
    with pytest.raises(DatabaseUnavailableError):
        run(databases, BIG)
    proxy.resume()
    assert_whole(databases)


@pytest.mark.parametrize("size", [0, 3, 100, 50_000])
def test_a_line_that_stalls_ends_with_the_callers_deadline(
    databases: DatabaseSet, proxy: Proxy, size: int
) -> None:
    run(databases)
    proxy.answer_only(size)
    began = time.monotonic()
    with pytest.raises(CallEndedError):
        run(databases, BIG, seconds=0.3)
    assert time.monotonic() - began < 15.0
    proxy.resume()
    assert_whole(databases)


def test_a_call_is_cancelled_while_its_line_stalls(databases: DatabaseSet, proxy: Proxy) -> None:
    run(databases)
    proxy.stall()
    call = Call(60)
    threading.Timer(0.1, lambda: call.cancel("gone")).start()
    with pytest.raises(CallEndedError, match="gone"):
        databases.database("ann", "main", call).query(BIG, max_rows=10)
    proxy.resume()
    assert_whole(databases)


def test_a_reset_on_connecting_is_an_error_at_once(databases: DatabaseSet, proxy: Proxy) -> None:
    proxy.refuse = True
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailableError, match=r"cannot connect to postgres@127\.0\.0\.1"):
        run(databases)
    assert time.monotonic() - began < 10.0
    proxy.resume()
    assert_whole(databases)


@pytest.mark.parametrize("size", [0, 1, 20, 60])
def test_a_server_that_stops_talking_while_it_lets_one_in_is_given_up_in_time(
    databases: DatabaseSet, proxy: Proxy, size: int
) -> None:
    proxy.answer_only(size)
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailableError, match="timed out after 1 s"):
        run(databases)
    assert time.monotonic() - began < 10.0
    proxy.resume()
    assert eventually(lambda: _works(databases))
    assert_whole(databases)


def test_connections_that_died_while_idle_are_not_the_callers_problem(
    databases: DatabaseSet, proxy: Proxy
) -> None:
    with ThreadPoolExecutor(2) as executor:
        list(executor.map(lambda _: run(databases, "select pg_sleep(0.1)"), range(2)))
    proxy.cut()
    assert [run(databases) for _ in range(5)] == [1] * 5
    assert_whole(databases)


def idle_pool(settings: DatabaseSettings) -> Pool:
    """A pool whose one connection has been idle for longer than `RESTED_SECONDS`."""
    now = [0.0]
    pool = pool_for(settings, clock=lambda: now[0])
    with pool.lease(Call(20)):
        pass
    now[0] += 2 * RESTED_SECONDS
    return pool


def one_row(settings: DatabaseSettings, pools: Sequence[Pool]) -> int:
    """How many rows SELECT 1 has, with a connection of the first pool, and of the next ones."""
    each = iter(pools)
    database = ReadOnlyDatabase(
        settings, lambda: next(each), Judge(), TablesCache(), Call(20), Trail()
    )
    try:
        return len(database.query("select 1", max_rows=10).rows)
    finally:
        for pool in pools:
            pool.close("end of the test")


def test_what_an_idle_connection_did_not_answer_is_asked_again(
    postgres: Server, database: str, proxy: Proxy
) -> None:
    direct = settings_for(postgres, database)
    settings = dataclasses.replace(direct, hosts=(Host("127.0.0.1", proxy.port),))
    pools = [idle_pool(settings), idle_pool(direct)]
    proxy.answer_only(0, then_cut=True)
    assert one_row(settings, pools) == 1


def test_a_second_connection_that_died_while_idle_is_an_error_of_the_connection(
    postgres: Server, database: str, proxy: Proxy
) -> None:
    settings = settings_for(postgres, database, hosts=(Host("127.0.0.1", proxy.port),))
    pools = [idle_pool(settings), idle_pool(settings)]
    proxy.answer_only(0, then_cut=True)
    with pytest.raises(ConnectionLostError, match="was lost"):
        one_row(settings, pools)


def test_two_hundred_callers_survive_a_line_that_is_cut_again_and_again(
    databases: DatabaseSet, proxy: Proxy
) -> None:
    text = "select g from generate_series(1, $1::int) g"
    answered = itertools.count(1)

    def rows_of(number: int) -> str:
        try:
            database = databases.database("ann", "main", Call(30))
            rows = database.query(text, (str(number),), max_rows=1000).rows
        except PgmcpError as error:
            return type(error).__name__
        if next(answered) % 25 == 0:
            proxy.cut()
        return str(len(rows))

    with ThreadPoolExecutor(200) as executor:
        answers = list(executor.map(rows_of, range(1, 601)))
    wrong = [
        answer
        for number, answer in enumerate(answers, 1)
        if answer not in (str(number), "ConnectionLostError", "DatabaseUnavailableError")
    ]
    assert wrong == []
    assert sum(answer.isdigit() for answer in answers) > 100
    assert eventually(lambda: _works(databases))
    assert_whole(databases)


def test_a_restart_of_the_server_goes_unnoticed_by_who_asks_afterwards(
    private_postgres: Server,
) -> None:
    databases = open_databases([settings_for(private_postgres, pool_max_conns=2)])
    with ThreadPoolExecutor(2) as executor:
        list(executor.map(lambda _: run(databases, "select pg_sleep(0.1)"), range(2)))
    private_postgres.restart()
    assert [run(databases) for _ in range(4)] == [1] * 4
    databases.pools.close(5)


def test_a_server_that_is_down_is_an_error_and_works_again_when_it_is_back(
    private_postgres: Server,
) -> None:
    databases = open_databases([settings_for(private_postgres, pool_max_conns=2)])
    errors: list[PgmcpError] = []

    def sleep() -> None:
        try:
            run(databases, "select pg_sleep(60)", 120)
        except PgmcpError as error:
            errors.append(error)

    thread = threading.Thread(target=sleep)
    thread.start()
    assert eventually(lambda: "PgSleep" in private_postgres.psql(
        "select wait_event from pg_stat_activity where application_name = 'pgmcp'"))  # fmt: skip
    private_postgres.stop()
    thread.join(10)
    assert isinstance(errors[0], ConnectionLostError)
    with pytest.raises(DatabaseUnavailableError):
        run(databases)
    private_postgres.start()
    assert eventually(lambda: _works(databases), 2.0)
    assert_whole(databases)
    databases.pools.close(5)


def test_too_many_connections_is_said_and_passes(postgres: Server, database: str) -> None:
    postgres.psql(
        "create role crowded login password 'p'; alter role crowded connection limit 1", database
    )
    try:
        changes = {"user": "crowded", "passwords": (Secret("p"),), "pool_max_conns": 2}
        first = open_databases([settings_for(postgres, database, **changes)])
        second = open_databases([settings_for(postgres, database, **changes)])
        assert run(first) == 1
        with pytest.raises(DatabaseUnavailableError, match="53300"):
            run(second)
        first.pools.close(5)
        assert eventually(lambda: _works(second))
        second.pools.close(5)
    finally:
        postgres.psql("drop role crowded")


def test_the_one_connection_of_a_role_goes_to_who_asks(postgres: Server, database: str) -> None:
    postgres.psql("create role single login password 'p' connection limit 1", database)
    settings = {"user": "single", "passwords": (Secret("p"),), "pool_max_conns": 2}
    databases = open_databases([settings_for(postgres, database, **settings)])
    try:
        for owner in ("ann", "bob", "ann"):
            reader = databases.database(owner, "main", Call(20))
            assert reader.query("select 1", max_rows=1).rows == [(b"1",)]
        assert databases.pools.connections == 1
        call = Call(20)
        pool = databases.pools.for_call("ann", databases.pools.sources["main"], call)()
        with pool.lease(call):
            with pytest.raises(NoConnectionLeftError, match="53300") as refused:
                databases.database("bob", "main", Call(20)).fetch("select 1")
            assert "CONNECTION LIMIT" in refused.value.hint
        databases.pools.drop_idle("ann")
        assert databases.pools.connections == 0
    finally:
        databases.pools.close(5)
        postgres.psql("drop role single")


def refusal(postgres: Server, database: str, **changes: Any) -> DatabaseUnavailableError:
    databases = open_databases([settings_for(postgres, database, **changes)])
    try:
        with pytest.raises(DatabaseUnavailableError) as refused:
            run(databases)
        return refused.value
    finally:
        databases.pools.close(5)


def test_each_reason_to_be_refused_has_its_own_hint(postgres: Server, database: str) -> None:
    wrong = {"user": "hinted", "passwords": (Secret("wrong-secret"),)}
    postgres.psql("create role hinted login password 'p'; create role nobody nologin", database)
    try:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            nowhere = (Host("127.0.0.1", closed.getsockname()[1]),)
            refusals = {
                "The password is wrong": refusal(postgres, database, **wrong),
                "no database of this name": refusal(postgres, "not_there"),
                "Nothing answers there": refusal(postgres, database, hosts=nowhere),
                "sslmode": refusal(postgres, database, ssl=Ssl("require", None, None, None)),
            }
        for hint, error in refusals.items():
            assert hint in error.hint
            assert "wrong-secret" not in error.for_client()
    finally:
        postgres.psql("drop role hinted; drop role nobody", database)


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        (Reason("Kein pg_hba.conf-Eintrag für …", "28000"), "pg_hba.conf lets nobody in"),
        (Reason("role does not exist", "28000"), "may log in"),
        (Reason("the database system is starting up", "57P03"), "in a moment"),
        (Reason("too many clients already", "53300"), "no connection left"),
        (Reason("permission denied for database", "42501"), "GRANT CONNECT"),
        (Reason("x", "XX000"), "accepts this user"),
    ],
)
def test_the_hint_goes_by_the_sqlstate(
    postgres: Server, database: str, reason: Reason, hint: str
) -> None:
    settings = settings_for(postgres, database)
    gone = Reason("10.0.0.1: connection refused")
    assert hint in unavailable(settings, [gone, reason, gone]).hint


def test_a_pooler_without_transactions_is_told_as_what_it_is(postgres: Server) -> None:
    """PgBouncer's statement mode: it ends the session at the first BEGIN."""
    with statement_pooler() as port:
        plain = Ssl("disable", None, None, None)
        error = refusal(postgres, "any", hosts=(Host("127.0.0.1", port),), ssl=plain)
    assert "statement mode" in error.hint and "pool_mode" in error.hint
    assert "again" not in error.hint


@contextmanager
def statement_pooler() -> Iterator[int]:
    """The protocol as PgBouncer speaks it in statement mode, for one client after the other."""
    refused = b"SFATAL\0VFATAL\0C08P01\0M" + (
        b"transaction blocks not allowed in statement pooling mode\0\0"
    )
    begin = message(b"R", struct.pack("!i", 0)) + message(b"S", b"server_encoding\0UTF8\0")
    begin += message(b"S", b"server_version\x0015.1\0") + message(b"Z", b"I")

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client:
                    client.recv(65536)
                    client.sendall(begin)
                    client.recv(65536)
                    client.sendall(message(b"E", refused))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def _works(databases: DatabaseSet) -> bool:
    try:
        return run(databases) == 1
    except (DatabaseUnavailableError, StatementError):
        return False
