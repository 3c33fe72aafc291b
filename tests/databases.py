"""Settings, pools and waits for tests that talk to PostgreSQL."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

from pgmcp.calls.call import Call
from pgmcp.config.databases import DatabaseSettings
from pgmcp.config.sslmode import Ssl
from pgmcp.config.values import Host, Secret
from pgmcp.gate.databases import DatabaseSet, require_safe_role
from pgmcp.pool.pool import Pool
from pgmcp.pool.pools import Pools
from pgmcp.pool.slots import Slots
from pgmcp.postgres.connector import Connector
from pgmcp.postgres.driver import Connection
from tools.postgres import Server


def settings_for(server: Server, database: str = "postgres", **changes: Any) -> DatabaseSettings:
    """What the configuration would say of `database` on `server`."""
    place = {"hosts": (Host(server.host, server.port),), "passwords": (Secret(server.password),)}
    return unreachable(
        server.port, **{"user": server.user, "database": database, **place, **changes}
    )


def unreachable(port: int, **changes: Any) -> DatabaseSettings:
    """Settings of a database for which there need not be a server."""
    settings = DatabaseSettings(
        name="main",
        hosts=(Host("127.0.0.1", port),),
        database="postgres",
        user="postgres",
        passwords=(None,),
        ssl=Ssl("prefer", None, None, None),
        available_to_users=(),
        pool_max_conns=4,
        pool_min_conns=0,
        pool_max_conn_idle_seconds=1800.0,
        connect_timeout_seconds=5.0,
        statement_timeout_seconds=30.0,
        target_session_attrs="any",
    )
    return dataclasses.replace(settings, **changes)


def connect(settings: DatabaseSettings, seconds: float = 30.0) -> Connection:
    """One connection, outside any pool; the test closes it."""
    return Connector(settings, require_safe_role).connect(Call(seconds))


def pool_for(settings: DatabaseSettings, slots: Slots | None = None, **options: Any) -> Pool:
    """One pool, outside `Pools`."""
    return Pool(settings, Connector(settings, require_safe_role).connect, slots, **options)


def open_databases(
    databases: Sequence[DatabaseSettings], *, names_uses: bool = False, **options: Any
) -> DatabaseSet:
    """Databases as a server has them; the test closes their pools."""
    options = {"max_connections_total": 50} | options
    pools = Pools(databases, require_safe_role, **options)
    return DatabaseSet.of(pools, names_uses=names_uses)


def backends(server: Server, database: str) -> int:
    """How many sessions pgmcp has in `database`, as the server sees it."""
    return int(
        server.psql(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgmcp'"
            f" AND datname = '{database}'"
        )
    )


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether the condition comes true within the time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
