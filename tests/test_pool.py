"""One pool: bounded, in order, and nobody gets what they no longer wait for."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from pgmcp.calls.call import Call
from pgmcp.errors import CallEndedError, DatabaseUnavailableError, PoolTimeoutError
from pgmcp.gate.databases import require_safe_role
from pgmcp.pool.pool import Pool
from pgmcp.postgres.connector import Connector
from pgmcp.postgres.driver import Connection
from pgmcp.postgres.messages import Step
from tests.databases import backends, eventually, pool_for, settings_for, unreachable
from tools.postgres import Server


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = time.monotonic()

    def __call__(self) -> float:
        return self.now


def ask(connection: Connection, text: str, call: Call) -> bytes | None:
    outcome = connection.run([Step(text)], call, limit_bytes=100_000)
    assert outcome.failure is None, outcome.failure
    return outcome.replies[0].rows[0][0]


def shows(pool: Pool, text: str) -> bool:
    return text in repr(pool)


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_nothing_is_opened_before_it_is_asked_for_and_what_is_idle_is_used_again(
    postgres: Server, database: str
) -> None:
    pool = pool_for(settings_for(postgres, database))
    assert repr(pool) == "<Pool main: 0 idle, 0 leased, 0 connecting, 0 waiting, max 4>"
    seen = []
    for _ in range(3):
        with pool.lease(Call(10)) as connection:
            seen.append(ask(connection, "SELECT pg_backend_pid()", Call(10)))
    assert len(set(seen)) == 1
    assert repr(pool) == "<Pool main: 1 idle, 0 leased, 0 connecting, 0 waiting, max 4>"
    pool.close("the test is over")
    assert eventually(lambda: backends(postgres, database) == 0)


def test_two_hundred_callers_share_two_connections(postgres: Server, database: str) -> None:
    pool = pool_for(settings_for(postgres, database, pool_max_conns=2))

    def one(number: int) -> bool:
        call = Call(60)
        with pool.lease(call) as connection:
            return ask(connection, f"SELECT {number}", call) == str(number).encode()

    with ThreadPoolExecutor(200) as executor:
        assert all(executor.map(one, range(1000)))
    assert repr(pool).startswith("<Pool main: ")
    assert "0 leased, 0 connecting, 0 waiting" in repr(pool)
    assert backends(postgres, database) <= 2
    pool.close("the test is over")


def test_a_full_pool_gives_an_error_at_the_deadline_that_says_so(
    postgres: Server, database: str
) -> None:
    pool = pool_for(settings_for(postgres, database, pool_max_conns=1))
    with pool.lease(Call(10)) as held:
        began = time.monotonic()
        with pytest.raises(PoolTimeoutError, match="1 of 1 are in use"), pool.lease(Call(0.2)):
            pass
        assert 0.15 < time.monotonic() - began < 8.0
        assert not held.closed
    with pool.lease(Call(1)) as again:
        assert again is held
    pool.close("the test is over")


def test_waiters_are_served_in_the_order_they_came(postgres: Server, database: str) -> None:
    pool = pool_for(settings_for(postgres, database, pool_max_conns=1))
    served: list[int] = []

    def wait(number: int) -> None:
        with pool.lease(Call(20)):
            served.append(number)

    threads = []
    with pool.lease(Call(10)):
        for number in range(8):
            threads.append(in_thread(partial(wait, number)))
            assert eventually(partial(shows, pool, f"{number + 1} waiting"))
    for thread in threads:
        thread.join(20)
    assert served == list(range(8))
    pool.close("the test is over")


def test_a_waiter_that_gave_up_is_never_handed_a_connection(
    postgres: Server, database: str
) -> None:
    pool = pool_for(settings_for(postgres, database, pool_max_conns=1))
    failed: list[str] = []

    def wait(call: Call) -> None:
        try:
            with pool.lease(call):
                failed.append("it got one")
        except CallEndedError as error:
            failed.append(error.message)

    call = Call(20)
    with pool.lease(Call(10)):
        thread = in_thread(lambda: wait(call))
        assert eventually(lambda: "1 waiting" in repr(pool))
        call.cancel("the client left")
        thread.join(5)
        assert failed == ["the call was cancelled: the client left"]
        assert "1 leased, 0 connecting, 0 waiting" in repr(pool)
    assert "1 idle, 0 leased" in repr(pool)
    pool.close("the test is over")


def test_waiters_that_come_and_go_lose_no_connection(postgres: Server, database: str) -> None:
    pool = pool_for(settings_for(postgres, database, pool_max_conns=2))

    def one(number: int) -> None:
        call = Call(0.001 * (number % 7))
        try:
            with pool.lease(call) as connection:
                connection.run([Step("SELECT 1")], Call(5), limit_bytes=1000)
        except (PoolTimeoutError, CallEndedError):
            pass

    with ThreadPoolExecutor(16) as executor:
        list(executor.map(one, range(600)))
    assert "0 leased, 0 connecting, 0 waiting" in repr(pool)
    with pool.lease(Call(5)) as first, pool.lease(Call(5)) as second:
        assert first is not second
    pool.close("the test is over")


def test_cancels_in_a_storm_hit_nobody_else(postgres: Server, database: str) -> None:
    pool = pool_for(settings_for(postgres, database, pool_max_conns=4))
    wrong: list[object] = []
    cancelled: list[int] = []

    def one(number: int) -> None:
        call = Call(30)
        to_close = number % 4 == 0
        timer = threading.Timer((number % 13) * 0.0004, lambda: call.cancel("storm"))
        if to_close:
            timer.start()
        try:
            with pool.lease(call) as connection:
                text = "SELECT pg_sleep(0.002)" if to_close else "SELECT pg_sleep(0.0005)"
                outcome = connection.run([Step(text)], call, limit_bytes=1000)
            if outcome.failure is not None:
                wrong.append(outcome.failure)
        except CallEndedError:
            cancelled.append(number)
            if not to_close:
                wrong.append(number)
        finally:
            timer.cancel()

    with ThreadPoolExecutor(12) as executor:
        list(executor.map(one, range(1500)))
    assert wrong == []
    assert len(cancelled) > 50
    assert "0 leased, 0 connecting, 0 waiting" in repr(pool)
    pool.close("the test is over")
    assert eventually(lambda: backends(postgres, database) == 0)


def test_idle_connections_are_closed_after_their_time_but_for_the_minimum(
    postgres: Server, database: str
) -> None:
    clock = Clock()
    settings = settings_for(postgres, database, pool_min_conns=1, pool_max_conn_idle_seconds=60.0)
    pool = pool_for(settings, clock=clock)
    with pool.lease(Call(10)), pool.lease(Call(10)), pool.lease(Call(10)):
        pass
    clock.now += 50
    pool.tick()
    assert "3 idle" in repr(pool)
    clock.now += 20
    pool.tick()
    assert "1 idle" in repr(pool)
    assert eventually(lambda: backends(postgres, database) == 1)
    pool.close("the test is over")


def test_a_connection_ends_at_its_age_and_not_under_a_lease(
    postgres: Server, database: str
) -> None:
    clock = Clock()
    pool = pool_for(
        settings_for(postgres, database, pool_max_conn_lifetime_seconds=100.0), clock=clock
    )
    with pool.lease(Call(10)) as connection:
        clock.now += 120
        pool.tick()
        assert connection.reusable
    assert "0 idle, 0 leased" in repr(pool)
    assert connection.closed
    pool.close("the test is over")


def test_a_session_in_doubt_is_closed_and_not_given_back(postgres: Server, database: str) -> None:
    pool = pool_for(settings_for(postgres, database))
    with pytest.raises(ZeroDivisionError), pool.lease(Call(10)) as connection:
        connection.run([Step("BEGIN")], Call(10), limit_bytes=1000, last=False)
        raise ZeroDivisionError
    assert connection.closed
    assert "0 idle, 0 leased" in repr(pool)
    pool.close("the test is over")


def test_a_database_that_hangs_fails_its_callers_together_and_not_one_after_the_other() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = unreachable(silent.getsockname()[1], connect_timeout_seconds=1.0)
        pool = pool_for(settings)
        began = time.monotonic()
        with ThreadPoolExecutor(20) as executor:
            errors = list(executor.map(lambda _: _error_of(pool, Call(20)), range(20)))
        assert time.monotonic() - began < 10.0
        assert all(isinstance(error, DatabaseUnavailableError) for error in errors)
        assert "timed out" in str(errors[0])
        assert "0 idle, 0 leased, 0 connecting, 0 waiting" in repr(pool)


def test_connecting_ends_with_the_call_and_names_the_stage() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        pool = pool_for(unreachable(silent.getsockname()[1], connect_timeout_seconds=30.0))
        error = _error_of(pool, Call(0.2))
        assert isinstance(error, CallEndedError)
        assert "while connecting to" in error.message
        call = Call(30)
        threading.Timer(0.1, lambda: call.cancel("gone")).start()
        began = time.monotonic()
        error = _error_of(pool, call)
        assert "cancelled: gone" in str(error)
        assert time.monotonic() - began < 15.0
        assert "0 connecting" in repr(pool)


def test_the_pool_is_whole_again_a_second_after_the_database_is(
    postgres: Server, database: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dead = unreachable(silent.getsockname()[1], connect_timeout_seconds=2.0)
        alive = settings_for(postgres, database)
        current = [Connector(dead, require_safe_role)]
        pool = Pool(alive, lambda call: current[0].connect(call))
        assert isinstance(_error_of(pool, Call(20)), DatabaseUnavailableError)
        current[0] = Connector(alive, require_safe_role)
        assert eventually(lambda: _error_of(pool, Call(5)) is None, 1.5)
    pool.close("the test is over")


def test_closing_cancels_what_runs_and_turns_away_who_waits(
    postgres: Server, database: str
) -> None:
    pool = pool_for(settings_for(postgres, database, pool_max_conns=1))
    errors: list[object] = []

    def sleep() -> None:
        call = Call(60)
        try:
            with pool.lease(call) as connection:
                connection.run([Step("SELECT pg_sleep(60)")], call, limit_bytes=1000)
        except CallEndedError as error:
            errors.append(error)

    threads = [in_thread(sleep), in_thread(sleep)]
    assert eventually(lambda: "1 leased, 0 connecting, 1 waiting" in repr(pool))
    running = f"select count(*) from pg_stat_activity where datname = '{database}' and wait_event"
    assert eventually(lambda: postgres.psql(f"{running} = 'PgSleep'") == "1")
    pool.close("the token was removed")
    pool.wait_ended(time.monotonic() + 5)
    for thread in threads:
        thread.join(5)
    assert [str(error).endswith("the token was removed") for error in errors] == [True, True]
    assert backends(postgres, database) == 0
    with pytest.raises(CallEndedError), pool.lease(Call(1)):
        pass


def _error_of(pool: Pool, call: Call) -> Exception | None:
    try:
        with pool.lease(call):
            return None
    except (DatabaseUnavailableError, CallEndedError) as error:
        return error
