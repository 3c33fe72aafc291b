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
from pgmcp.gate.databases import DatabaseSet
from tests.databases import backends, eventually, open_databases, settings_for
from tools.postgres import Server


@pytest.fixture(scope="session")
def postgres(newest_postgres: Server) -> Server:
    """The newest server alone: which connections owners have is decided before each of them."""
    return newest_postgres


@pytest.fixture
def databases(postgres: Server, database: str) -> Iterator[DatabaseSet]:
    """Room for three connections, and two for each owner."""
    made = open_databases(
        [settings_for(postgres, database, pool_max_conns=2)], max_connections_total=3
    )
    yield made
    made.pools.close(5.0)


def pid_of(databases: DatabaseSet, owner: str, call: Call | None = None) -> bytes | None:
    database = databases.database(owner, "main", call or Call(20))
    return database.query("select pg_backend_pid()", max_rows=1).rows[0][0]


def sleeper(
    databases: DatabaseSet, owner: str, errors: list[PgmcpError], seconds: float = 60
) -> Call:
    """A call of `owner` that sleeps in PostgreSQL, and tells how it ended."""
    call = Call(120)

    def sleep() -> None:
        try:
            databases.database(owner, "main", call).query(f"select pg_sleep({seconds})", max_rows=1)
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


def test_owners_never_share_a_session(databases: DatabaseSet) -> None:
    first, second = pid_of(databases, "ann"), pid_of(databases, "ben")
    assert first != second
    assert pid_of(databases, "ann") == first
    assert pid_of(databases, "ben") == second


def test_an_unknown_database_is_named(databases: DatabaseSet) -> None:
    with pytest.raises(ToolError, match="no database nosuch"):
        databases.database("ann", "nosuch", Call(1))


def test_many_owners_stay_within_the_maximum(
    databases: DatabaseSet, postgres: Server, database: str
) -> None:
    most = 0
    with ThreadPoolExecutor(20) as executor:
        answers = [
            executor.submit(pid_of, databases, f"owner-{number}", Call(60)) for number in range(100)
        ]
        while not all(answer.done() for answer in answers):
            most = max(most, databases.pools.connections)
            time.sleep(0.001)
    assert all(answer.result() for answer in answers)
    assert most <= 3
    assert databases.pools.connections <= 3
    assert eventually(lambda: backends(postgres, database) <= 3)


def test_the_least_recently_used_idle_connection_makes_way(databases: DatabaseSet) -> None:
    ann, ben, eve = (pid_of(databases, owner) for owner in ("ann", "ben", "eve"))
    assert pid_of(databases, "ann") == ann
    pid_of(databases, "new")
    assert pid_of(databases, "ann") == ann
    assert pid_of(databases, "eve") == eve
    assert pid_of(databases, "ben") != ben


def test_busy_pools_keep_theirs_and_the_next_is_told_at_its_deadline(
    databases: DatabaseSet, postgres: Server, database: str
) -> None:
    errors: list[PgmcpError] = []
    calls = [sleeper(databases, owner, errors) for owner in ("ann", "ben", "eve")]
    assert eventually(lambda: sleeping(postgres, database) == 3)
    with pytest.raises(PoolTimeoutError, match="all 3 that this server may open"):
        pid_of(databases, "new", Call(0.3))
    for call in calls:
        call.cancel("enough")
    assert pid_of(databases, "new") is not None


def test_a_busy_owner_does_not_starve_another(databases: DatabaseSet) -> None:
    stop = threading.Event()

    def busy(owner: str) -> None:
        while not stop.is_set():
            pid_of(databases, owner)

    threads = [
        threading.Thread(target=busy, args=(owner,))
        for owner in ("ann", "ann", "ann", "ben", "ben", "ben")
    ]
    for thread in threads:
        thread.start()
    try:
        quiet = [pid_of(databases, f"quiet-{number}", Call(20)) for number in range(10)]
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
    assert len(quiet) == 10


def test_closing_an_owner_cancels_what_runs_for_it_and_for_nobody_else(
    databases: DatabaseSet, postgres: Server, database: str
) -> None:
    errors: list[PgmcpError] = []
    other = sleeper(databases, "ben", [])
    sleeper(databases, "ann", errors)
    assert eventually(lambda: sleeping(postgres, database) == 2)
    began = time.monotonic()
    databases.pools.close_owners({"ann": "the token was removed"})
    assert time.monotonic() - began < 15.0
    assert sleeping(postgres, database) == 1
    assert eventually(lambda: bool(errors))
    assert isinstance(errors[0], CallEndedError)
    assert "the token was removed" in errors[0].message
    other.cancel("enough")


def test_a_call_that_was_under_way_gets_no_connection_after_its_owner_is_closed(
    databases: DatabaseSet,
) -> None:
    before = databases.database("ann", "main", Call(10))
    databases.pools.close_owners({"ann": "the token was removed"})
    with pytest.raises(CallEndedError, match="the token was removed"):
        before.query("select 1", max_rows=1)
    assert pid_of(databases, "ann") is not None


def test_unused_pools_leave_nothing_behind(postgres: Server, database: str) -> None:
    now = [time.monotonic()]
    databases = open_databases([settings_for(postgres, database)], clock=lambda: now[0])
    for number in range(20):
        pid_of(databases, f"owner-{number}")
    assert repr(databases.pools).startswith("<Pools 20 pools, <Slots 20 of 50 taken, 20 idle>")
    now[0] += 3600
    databases.pools.tick()
    assert repr(databases.pools) == "<Pools 0 pools, <Slots 0 of 50 taken, 0 idle>: []>"
    assert eventually(lambda: backends(postgres, database) == 0)
    assert pid_of(databases, "owner-1") is not None
    databases.pools.close(5)


def test_closing_leaves_no_session_no_thread_and_no_descriptor(
    postgres: Server, database: str
) -> None:
    gc.collect()
    threads = threading.active_count()
    descriptors = open_descriptors()
    databases = open_databases([settings_for(postgres, database)])
    errors: list[PgmcpError] = []
    for number in range(4):
        sleeper(databases, f"owner-{number % 2}", errors)
    assert eventually(lambda: sleeping(postgres, database) == 4)
    began = time.monotonic()
    databases.pools.close(30.0)
    assert time.monotonic() - began < 15.0
    assert eventually(lambda: len(errors) == 4)
    assert all("shutting down" in error.message for error in errors)
    assert backends(postgres, database) == 0
    with pytest.raises(CallEndedError):
        pid_of(databases, "owner-1")
    assert eventually(lambda: threading.active_count() <= threads)
    assert eventually(lambda: open_descriptors() <= descriptors)


# -- shares ----------------------------------------------------------------------------------------


@pytest.fixture
def many(postgres: Server, database: str) -> Iterator[DatabaseSet]:
    """Room for six connections, and four databases with four for each owner."""
    settings = [
        settings_for(postgres, database, name=name, pool_max_conns=4)
        for name in ("main", "second", "third", "fourth")
    ]
    made = open_databases(settings, max_connections_total=6)
    yield made
    made.pools.close(5.0)


def asleep(databases: DatabaseSet, owner: str, name: str = "main", key: str = "") -> Call:
    """A call of `owner` that sleeps in PostgreSQL until it is cancelled."""
    call = Call(120, owner=owner, key=key)

    def sleep() -> None:
        with contextlib.suppress(CallEndedError):
            databases.database(owner, name, call).query("select pg_sleep(120)", max_rows=1)

    threading.Thread(target=sleep, daemon=True).start()
    return call


def test_an_owner_of_every_database_leaves_connections_for_others(
    many: DatabaseSet, postgres: Server, database: str
) -> None:
    calls = [
        asleep(many, "ann", name) for name in ("main", "second", "third", "fourth") for _ in "1234"
    ]
    assert eventually(lambda: sleeping(postgres, database) == 4)
    assert eventually(lambda: sum(c["waiting"] for c in many.pools.counts().values()) == 12)
    assert many.pools.connections == 4
    with pytest.raises(PoolTimeoutError, match="of the 6 for everybody you have your share"):
        pid_of(many, "ann", Call(0.3))
    assert pid_of(many, "ben") is not None
    assert pid_of(many, "eve") is not None
    for call in calls:
        call.cancel("enough")
    assert eventually(lambda: many.pools._slots.places.taken == 0)


def test_connections_kept_idle_are_no_way_around_a_share(
    many: DatabaseSet, postgres: Server, database: str
) -> None:
    for name in ("main", "second", "third", "fourth"):
        many.database("ann", name, Call(20)).query("select 1", max_rows=1)
    for name in ("main", "second"):
        asleep(many, "ann", name)
        asleep(many, "ann", name)
    assert eventually(lambda: sleeping(postgres, database) == 4)
    assert many.pools.connections == 6  # two of them idle
    asleep(many, "ann", "third")
    assert eventually(lambda: sum(c["waiting"] for c in many.pools.counts().values()) == 1)
    assert sleeping(postgres, database) == 4
    assert pid_of(many, "ben") is not None


def test_owners_take_turns_for_the_only_connection(postgres: Server, database: str) -> None:
    databases = open_databases([settings_for(postgres, database)], max_connections_total=1)
    served: list[str] = []
    holder = asleep(databases, "eve")
    assert eventually(lambda: sleeping(postgres, database) == 1)

    def ask(owner: str) -> None:
        databases.database(owner, "main", Call(60)).query("select 1", max_rows=1)
        served.append(owner)

    threads = []
    for number, owner in enumerate(("ann", "ann", "ann", "ann", "ben", "joe"), 1):
        threads.append(threading.Thread(target=ask, args=(owner,)))
        threads[-1].start()
        assert eventually(lambda n=number: databases.pools.counts()["main"]["waiting"] == n)  # type: ignore[misc]
    holder.cancel("enough")
    for thread in threads:
        thread.join(30)
    databases.pools.close(5.0)
    # Who gave a connection back may note it after the next one has: a place to and fro.
    assert served.index("ben") <= 2
    assert served.index("joe") <= 3


def test_an_owner_that_needs_another_connection_gives_up_its_own_idle_one(
    many: DatabaseSet,
) -> None:
    ben = pid_of(many, "ben")
    for name in ("main", "second", "third", "fourth"):
        many.database("ann", name, Call(20)).query("select 1", max_rows=1)
    with contextlib.ExitStack() as held:  # two at once in one database, and again
        for name in ("main", "second"):
            databases = [many.pools._pool("ann", many.pools.sources[name], 1e12, "") for _ in "12"]
            for pool in databases:
                held.enter_context(pool.lease(Call(20)))
    assert many.pools.connections == 6
    assert pid_of(many, "ben") == ben


def test_a_credential_that_ends_takes_its_calls_and_nobody_elses(
    databases: DatabaseSet, postgres: Server, database: str
) -> None:
    first = asleep(databases, "user:ann", key="session:ann:1")
    second = asleep(databases, "user:ann", key="session:ann:2")
    assert eventually(lambda: sleeping(postgres, database) == 2)
    waiter = asleep(databases, "user:ann", key="session:ann:1")
    assert eventually(lambda: databases.pools.counts()["main"]["waiting"] == 1)
    began = databases.database("user:ann", "main", Call(20, key="session:ann:1"))
    gone = {f"session:ben:{number}": "the user was removed" for number in range(20_000)}
    databases.pools.end_calls(gone | {"session:ann:1": "logged out"}, {"user:ann", "user:ben"})
    assert (first.cancelled, waiter.cancelled) == ("logged out", "logged out")
    assert second.cancelled is None
    assert eventually(lambda: sleeping(postgres, database) == 1)
    with pytest.raises(CallEndedError, match="logged out"):
        began.query("select 1", max_rows=1)
    assert pid_of(databases, "user:ann", Call(20, key="session:ann:2")) is not None
    second.cancel("enough")
