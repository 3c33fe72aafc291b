"""What the gate and the judge cost: a read with them beside the same transaction without.

The rule: both are one connection's work in this process, call by call in turns, so that nothing
but the gate and the judge differs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count

from pgmcp.calls.call import Call
from pgmcp.config.databases import DatabaseSettings
from pgmcp.config.sslmode import Ssl
from pgmcp.config.values import Host, Secret
from pgmcp.gate.databases import DatabaseSet, require_safe_role
from pgmcp.pool.pools import Pools
from pgmcp.postgres.connector import Connector
from pgmcp.postgres.messages import Step
from tools.postgres import Server

_WITHOUT = (
    Step("BEGIN READ ONLY"),
    Step(
        "SELECT pg_catalog.set_config('statement_timeout', $1, true),"
        " pg_catalog.set_config('lock_timeout', $2, true)",
        ("30000", "5000"),
    ),
)


def measure(postgres: Server, seconds: float) -> Iterator[tuple[str, float, float]]:
    """Kinds of call, each with its median in microseconds and that of the call without."""
    settings = DatabaseSettings(
        name="bench",
        hosts=(Host(postgres.host, postgres.port),),
        database="postgres",
        user=postgres.user,
        passwords=(Secret(postgres.password),),
        ssl=Ssl("disable", None, None, None),
        available_to_users=(),
        pool_max_conns=1,
        pool_min_conns=0,
        pool_max_conn_idle_seconds=60.0,
        connect_timeout_seconds=5.0,
        statement_timeout_seconds=30.0,
        target_session_attrs="any",
    )
    pools = Pools([settings], require_safe_role)
    databases = DatabaseSet.of(pools)
    connection = Connector(settings, require_safe_role).connect(Call(60.0))

    def read(text: str) -> None:
        databases.database("bench", "bench", Call(60.0)).query(text, max_rows=100)

    def without(text: str) -> None:
        call = Call(60.0)
        connection.ensure_clean(call)
        step = Step(text, max_rows=101, describe=True)
        connection.run([*_WITHOUT, step], call, limit_bytes=2**20)

    try:
        for kind, text in (("judged before", _always), ("never seen before", _never_before())):
            ours, base = _in_turns(partial(_on, read, text), partial(_on, without, text), seconds)
            yield f"SELECT 1, {kind}", ours, base
    finally:
        connection.close()
        pools.close(5.0)


def _on(run: Callable[[str], None], text: Callable[[], str]) -> None:
    run(text())


def _always() -> str:
    return "SELECT 1"


def _never_before() -> Callable[[], str]:
    numbers = count()
    return lambda: f"SELECT 1 -- {next(numbers)}"


def _in_turns(
    first: Callable[[], None], second: Callable[[], None], seconds: float
) -> tuple[float, float]:
    taken: tuple[list[float], list[float]] = [], []
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        for run, into in zip((first, second), taken, strict=True):
            at = time.perf_counter()
            run()
            into.append(time.perf_counter() - at)
    ours, base = (statistics.median(times) * 1e6 for times in taken)
    return ours, base
