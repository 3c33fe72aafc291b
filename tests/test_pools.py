"""All pools together: apart from each other, within one maximum, gone when they are not used."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pgmcp.calls.call import Call
from pgmcp.errors import CallEndedError, PgmcpError, PoolTimeoutError, ToolError
from pgmcp.pool.pools import Pools
from tests.databases import backends, eventually, settings_for
from tools.postgres import Server


@pytest.fixture
def pools(postgres: Server, database: str) -> Iterator[Pools]:
    """Room for three connections, and two for each owner."""
    made = Pools([settings_for(postgres, database, pool_max_conns=2)], max_connections_total=3)
    yield made
    made.close(5.0)


def pid_of(pools: Pools, owner: str, call: Call | None = None) -> bytes | None:
    database = pools.database(owner, "main", call or Call(20))
    return database.query("select pg_backend_pid()", max_rows=1).rows[0][0]


def sleeper(pools: Pools, owner: str, errors: list[PgmcpError], seconds: float = 60) -> Call:
    """A call of `owner` that sleeps in PostgreSQL, and tells how it ended."""
    call = Call(120)

    def sleep() -> None:
        try:
            pools.database(owner, "main", call).query(f"select pg_sleep({seconds})", max_rows=1)
        except PgmcpError as error:
            errors.append(error)

    threading.Thread(target=sleep).start()
    return call


def sleeping(postgres: Server, database: str) -> int:
    return int(
        postgres.psql(
            "select count(*) from pg_stat_activity where wait_event = 'PgSleep'"
            f" and datname = '{database}'"
        )
    )


def open_descriptors() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def test_owners_never_share_a_session(pools: Pools) -> None:
    first, second = pid_of(pools, "ann"), pid_of(pools, "ben")
    assert first != second
    assert pid_of(pools, "ann") == first
    assert pid_of(pools, "ben") == second


def test_an_unknown_database_is_named(pools: Pools) -> None:
    with pytest.raises(ToolError, match="no database nosuch"):
        pools.database("ann", "nosuch", Call(1))


def test_many_owners_stay_within_the_maximum(pools: Pools, postgres: Server, database: str) -> None:
    most = 0
    with ThreadPoolExecutor(20) as executor:
        answers = [
            executor.submit(pid_of, pools, f"owner-{number}", Call(60)) for number in range(200)
        ]
        while not all(answer.done() for answer in answers):
            most = max(most, pools.connections)
            time.sleep(0.001)
    assert all(answer.result() for answer in answers)
    assert most <= 3
    assert pools.connections <= 3
    assert eventually(lambda: backends(postgres, database) <= 3)


def test_the_least_recently_used_idle_connection_makes_way(pools: Pools) -> None:
    ann, ben, eve = (pid_of(pools, owner) for owner in ("ann", "ben", "eve"))
    assert pid_of(pools, "ann") == ann
    pid_of(pools, "new")
    assert pid_of(pools, "ann") == ann
    assert pid_of(pools, "eve") == eve
    assert pid_of(pools, "ben") != ben


def test_busy_pools_keep_theirs_and_the_next_is_told_at_its_deadline(
    pools: Pools, postgres: Server, database: str
) -> None:
    errors: list[PgmcpError] = []
    calls = [sleeper(pools, owner, errors) for owner in ("ann", "ben", "eve")]
    assert eventually(lambda: sleeping(postgres, database) == 3)
    with pytest.raises(PoolTimeoutError, match="all 3 that this server may open"):
        pid_of(pools, "new", Call(0.3))
    for call in calls:
        call.cancel("enough")
    assert pid_of(pools, "new") is not None


def test_a_busy_owner_does_not_starve_another(pools: Pools) -> None:
    stop = threading.Event()

    def busy(owner: str) -> None:
        while not stop.is_set():
            pid_of(pools, owner)

    threads = [
        threading.Thread(target=busy, args=(owner,))
        for owner in ("ann", "ann", "ann", "ben", "ben", "ben")
    ]
    for thread in threads:
        thread.start()
    try:
        quiet = [pid_of(pools, f"quiet-{number}", Call(20)) for number in range(10)]
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
    assert len(quiet) == 10


def test_closing_an_owner_cancels_what_runs_for_it_and_for_nobody_else(
    pools: Pools, postgres: Server, database: str
) -> None:
    errors: list[PgmcpError] = []
    other = sleeper(pools, "ben", [])
    sleeper(pools, "ann", errors)
    assert eventually(lambda: sleeping(postgres, database) == 2)
    began = time.monotonic()
    pools.close_owner("ann", "the token was removed")
    assert time.monotonic() - began < 15.0
    assert sleeping(postgres, database) == 1
    assert eventually(lambda: bool(errors))
    assert isinstance(errors[0], CallEndedError)
    assert "the token was removed" in errors[0].message
    other.cancel("enough")


def test_a_call_that_was_under_way_gets_no_connection_after_its_owner_is_closed(
    pools: Pools,
) -> None:
    before = pools.database("ann", "main", Call(10))
    pools.close_owner("ann", "the token was removed")
    with pytest.raises(CallEndedError, match="the token was removed"):
        before.query("select 1", max_rows=1)
    assert pid_of(pools, "ann") is not None


def test_unused_pools_leave_nothing_behind(postgres: Server, database: str) -> None:
    now = [time.monotonic()]
    pools = Pools([settings_for(postgres, database)], clock=lambda: now[0])
    for number in range(20):
        pid_of(pools, f"owner-{number}")
    assert repr(pools).startswith("<Pools 20 pools, <Slots 20 of 50 taken, 20 idle>")
    now[0] += 3600
    pools.tick()
    assert repr(pools) == "<Pools 0 pools, <Slots 0 of 50 taken, 0 idle>: []>"
    assert eventually(lambda: backends(postgres, database) == 0)
    assert pid_of(pools, "owner-1") is not None
    pools.close(5)


def test_closing_leaves_no_session_no_thread_and_no_descriptor(
    postgres: Server, database: str
) -> None:
    gc.collect()
    threads = threading.active_count()
    descriptors = open_descriptors()
    pools = Pools([settings_for(postgres, database)])
    errors: list[PgmcpError] = []
    for number in range(4):
        sleeper(pools, f"owner-{number % 2}", errors)
    assert eventually(lambda: sleeping(postgres, database) == 4)
    began = time.monotonic()
    pools.close(30.0)
    assert time.monotonic() - began < 15.0
    assert eventually(lambda: len(errors) == 4)
    assert all("shutting down" in error.message for error in errors)
    assert backends(postgres, database) == 0
    with pytest.raises(CallEndedError):
        pid_of(pools, "owner-1")
    assert eventually(lambda: threading.active_count() <= threads)
    assert eventually(lambda: open_descriptors() <= descriptors)


# -- shares ----------------------------------------------------------------------------------------


@pytest.fixture
def many(postgres: Server, database: str) -> Iterator[Pools]:
    """Room for six connections, and four databases with four for each owner."""
    settings = [
        settings_for(postgres, database, name=name, pool_max_conns=4)
        for name in ("main", "second", "third", "fourth")
    ]
    made = Pools(settings, max_connections_total=6)
    yield made
    made.close(5.0)


def asleep(pools: Pools, owner: str, name: str = "main", key: str = "") -> Call:
    """A call of `owner` that sleeps in PostgreSQL until it is cancelled."""
    call = Call(120, owner=owner, key=key)

    def sleep() -> None:
        with contextlib.suppress(CallEndedError):
            pools.database(owner, name, call).query("select pg_sleep(120)", max_rows=1)

    threading.Thread(target=sleep, daemon=True).start()
    return call


def test_an_owner_of_every_database_leaves_connections_for_others(
    many: Pools, postgres: Server, database: str
) -> None:
    calls = [
        asleep(many, "ann", name) for name in ("main", "second", "third", "fourth") for _ in "1234"
    ]
    assert eventually(lambda: sleeping(postgres, database) == 4)
    assert eventually(lambda: sum(c["waiting"] for c in many.counts().values()) == 12)
    assert many.connections == 4
    with pytest.raises(PoolTimeoutError, match="of the 6 for everybody you have your share"):
        pid_of(many, "ann", Call(0.3))
    assert pid_of(many, "ben") is not None
    assert pid_of(many, "eve") is not None
    for call in calls:
        call.cancel("enough")
    assert eventually(lambda: many._slots.places.taken == 0)


def test_connections_kept_idle_are_no_way_around_a_share(
    many: Pools, postgres: Server, database: str
) -> None:
    for name in ("main", "second", "third", "fourth"):
        many.database("ann", name, Call(20)).query("select 1", max_rows=1)
    for name in ("main", "second"):
        asleep(many, "ann", name)
        asleep(many, "ann", name)
    assert eventually(lambda: sleeping(postgres, database) == 4)
    assert many.connections == 6  # two of them idle
    asleep(many, "ann", "third")
    assert eventually(lambda: sum(c["waiting"] for c in many.counts().values()) == 1)
    assert sleeping(postgres, database) == 4
    assert pid_of(many, "ben") is not None


def test_owners_take_turns_for_the_only_connection(postgres: Server, database: str) -> None:
    pools = Pools([settings_for(postgres, database)], max_connections_total=1)
    served: list[str] = []
    holder = asleep(pools, "eve")
    assert eventually(lambda: sleeping(postgres, database) == 1)

    def ask(owner: str) -> None:
        pools.database(owner, "main", Call(60)).query("select 1", max_rows=1)
        served.append(owner)

    threads = []
    for number, owner in enumerate(("ann", "ann", "ann", "ann", "ben", "joe"), 1):
        threads.append(threading.Thread(target=ask, args=(owner,)))
        threads[-1].start()
        assert eventually(lambda n=number: pools.counts()["main"]["waiting"] == n)  # type: ignore[misc]
    holder.cancel("enough")
    for thread in threads:
        thread.join(30)
    pools.close(5.0)
    # Who gave a connection back may note it after the next one has: a place to and fro.
    assert served.index("ben") <= 2
    assert served.index("joe") <= 3


def test_an_owner_that_needs_another_connection_gives_up_its_own_idle_one(many: Pools) -> None:
    ben = pid_of(many, "ben")
    for name in ("main", "second", "third", "fourth"):
        many.database("ann", name, Call(20)).query("select 1", max_rows=1)
    with contextlib.ExitStack() as held:  # two at once in one database, and again
        for name in ("main", "second"):
            pools = [many._pool("ann", many.current.sources[name], 1e12, "") for _ in "12"]
            for pool in pools:
                held.enter_context(pool.lease(Call(20)))
    assert many.connections == 6
    assert pid_of(many, "ben") == ben


def test_a_credential_that_ends_takes_its_calls_and_nobody_elses(
    pools: Pools, postgres: Server, database: str
) -> None:
    first = asleep(pools, "user:ann", key="session:ann:1")
    second = asleep(pools, "user:ann", key="session:ann:2")
    assert eventually(lambda: sleeping(postgres, database) == 2)
    waiter = asleep(pools, "user:ann", key="session:ann:1")
    assert eventually(lambda: pools.counts()["main"]["waiting"] == 1)
    began = pools.database("user:ann", "main", Call(20, key="session:ann:1"))
    gone = {f"session:ben:{number}": "the user was removed" for number in range(20_000)}
    pools.end_calls(gone | {"session:ann:1": "logged out"}, {"user:ann", "user:ben"})
    assert (first.cancelled, waiter.cancelled) == ("logged out", "logged out")
    assert second.cancelled is None
    assert eventually(lambda: sleeping(postgres, database) == 1)
    with pytest.raises(CallEndedError, match="logged out"):
        began.query("select 1", max_rows=1)
    assert pid_of(pools, "user:ann", Call(20, key="session:ann:2")) is not None
    second.cancel("enough")
