"""What is measured when the metrics are asked for: pools, connections, threads, sessions."""

from __future__ import annotations

from collections.abc import Iterator

from pgmcp.metrics import process
from pgmcp.metrics.metrics import Family, gauge, value
from pgmcp.pool.pools import Pools

STATES = ("idle", "leased", "connecting", "stuck")


def pools(of: Pools) -> Iterator[Family]:
    """The connections to the databases."""
    counts = sorted(of.counts().items())
    yield gauge(
        "pgmcp_database_connections",
        "Connections by database and state, of all tokens and sessions together.",
        *(value(c[state], database=name, state=state) for name, c in counts for state in STATES),
    )
    yield gauge(
        "pgmcp_database_waiters",
        "Calls that wait for a connection.",
        *(value(c["waiting"], database=name) for name, c in counts),
    )
    yield gauge("pgmcp_connections", "Connections to all databases.", value(of.connections))


def server(
    *, in_flight: int, connections: int, threads: int, sessions: int | None
) -> Iterator[Family]:
    """The HTTP side and the process; `sessions` None where nobody can log in."""
    yield gauge("pgmcp_in_flight", "Requests that run now.", value(in_flight))
    yield gauge("pgmcp_http_connections", "Clients that are connected.", value(connections))
    yield gauge("pgmcp_http_threads", "Threads that serve, at rest or at work.", value(threads))
    if sessions is not None:
        yield gauge("pgmcp_sessions", "Sessions that are open.", value(sessions))
    yield from process.families()
