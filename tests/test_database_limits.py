"""The stricter limit holds, whoever set it, and a transaction is what pgmcp says it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pgmcp.calls.call import Call
from pgmcp.config.values import Secret
from pgmcp.errors import StatementError
from pgmcp.gate.databases import DatabaseSet
from pgmcp.gate.port import Database
from tests.conftest import StartPostgres
from tests.databases import open_databases, settings_for
from tools.binaries import Binaries, available
from tools.postgres import Server

Open = Callable[..., Database]
SHOWN = (
    "select current_setting('statement_timeout'), current_setting('lock_timeout'),"
    " current_setting('transaction_isolation'), current_setting('transaction_read_only'),"
    " current_setting('transaction_deferrable')"
)


@pytest.fixture
def role(postgres: Server, database: str) -> Iterator[str]:
    name = f"limited_in_{database}"
    postgres.psql(f"CREATE ROLE {name} LOGIN PASSWORD 'p'")
    yield name
    postgres.psql(f"DROP ROLE {name}")


@pytest.fixture
def read(postgres: Server, database: str, role: str) -> Iterator[Open]:
    """Makes databases for `role` with 30 s for a statement and 5 s for a lock, or as told."""
    opened: list[DatabaseSet] = []

    def make(**changes: object) -> Database:
        who = {"user": role, "passwords": (Secret("p"),)}
        opened.append(open_databases([settings_for(postgres, database, **who, **changes)]))
        return opened[-1].database("owner", "main", Call(1000))

    yield make
    for databases in opened:
        databases.pools.close(5)


@pytest.mark.parametrize(
    ("set_by_role", "set_by_database", "configured", "holds"),
    [
        ("2s", "0", 30.0, b"2s"),
        ("0", "1500ms", 30.0, b"1500ms"),
        ("2min", "0", 30.0, b"30s"),
        ("0", "0", 30.0, b"30s"),
        ("1h", "0", 0.0, None),  # the call's own time is the strictest
    ],
)
def test_the_stricter_of_role_database_and_configuration_holds(
    read: Open,
    postgres: Server,
    database: str,
    role: str,
    set_by_role: str,
    set_by_database: str,
    configured: float,
    holds: bytes | None,
) -> None:
    for setting in ("statement_timeout", "lock_timeout"):
        if set_by_role != "0":
            postgres.psql(f"ALTER ROLE {role} SET {setting} = '{set_by_role}'")
        if set_by_database != "0":
            postgres.psql(f"ALTER DATABASE {database} SET {setting} = '{set_by_database}'")
    limited = read(
        statement_timeout_seconds=configured, lock_timeout_seconds=configured or 100_000.0
    )
    for _ in range(2):  # judged for the first time, and known
        shown = limited.query(SHOWN, max_rows=1).rows[0]
        if holds is not None:
            assert shown[:2] == (holds, holds)
        else:
            assert shown[0] not in (b"0", b"1h")


def test_a_role_that_may_work_for_a_moment_only_is_stopped_then(
    read: Open, postgres: Server, role: str
) -> None:
    postgres.psql(f"ALTER ROLE {role} SET statement_timeout = '1s'")
    with pytest.raises(StatementError, match="timeout"):
        read().query("select pg_sleep(60)", max_rows=1)


def test_what_the_role_would_begin_by_default_does_not_count(
    read: Open, postgres: Server, role: str
) -> None:
    for setting, value in (("isolation", "serializable"), ("deferrable", "on")):
        postgres.psql(f"ALTER ROLE {role} SET default_transaction_{setting} = '{value}'")
    reader = read()
    for _ in range(2):
        assert reader.query(SHOWN, max_rows=1).rows[0][2:] == (b"read committed", b"on", b"off")


@pytest.mark.parametrize("binaries", available(), ids=lambda binaries: f"pg{binaries.major}")
def test_a_role_of_serializable_default_reads_from_a_server_in_recovery(
    start_postgres: StartPostgres, binaries: Binaries
) -> None:
    server = start_postgres(binaries=binaries)
    server.psql(
        "CREATE ROLE reader LOGIN PASSWORD 'p'; REVOKE CREATE ON SCHEMA public FROM PUBLIC;"
        "REVOKE TEMPORARY ON DATABASE postgres FROM PUBLIC;"
        "ALTER ROLE reader SET default_transaction_isolation = 'serializable'; CHECKPOINT"
    )
    server.stop()
    (server.data / "standby.signal").touch()
    server.start()
    settings = settings_for(
        server,
        user="reader",
        passwords=(Secret("p"),),
        target_session_attrs="standby",
        require_safe_role=True,
    )
    databases = open_databases([settings])
    reader = databases.database("owner", "main", Call(30))
    assert reader.query("select pg_is_in_recovery()", max_rows=1).rows == [(b"t",)]
    assert reader.fetch("select 1").rows == [(b"1",)]
    databases.pools.close(5)
