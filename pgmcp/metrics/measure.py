"""What is measured when the metrics are asked for: pools, connections, threads, sessions, and what
the operating system says about this process, under the names that Prometheus clients use."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from pgmcp.metrics.metrics import MetricFamily, Sample, gauge, value
from pgmcp.pool.pools import Pools

_PROC = Path("/proc/self")
STATES = ("idle", "leased", "connecting", "stuck")


def pools(of: Pools) -> Iterator[MetricFamily]:
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
    *, in_flight: int, waiting: int, connections: int, threads: int, sessions: int | None
) -> Iterator[MetricFamily]:
    """The HTTP side and the process; `sessions` None where nobody can log in.

    `waiting` counts those of the `in_flight` requests that wait for their owner's turn.
    """
    yield gauge("pgmcp_in_flight", "Requests that run or wait now.", value(in_flight))
    yield gauge(
        "pgmcp_calls_waiting",
        "Calls that wait because their owner, or all together, run as many as they may.",
        value(waiting),
    )
    yield gauge("pgmcp_http_connections", "Clients that are connected.", value(connections))
    yield gauge("pgmcp_http_threads", "Threads that serve, at rest or at work.", value(threads))
    if sessions is not None:
        yield gauge("pgmcp_sessions", "Sessions that are open.", value(sessions))
    yield from process()


def process() -> Iterator[MetricFamily]:
    """Memory, descriptors, processor time and threads; what the system does not say is left out."""
    cpu = (Sample(time.process_time(), {}),)
    yield MetricFamily(
        "process_cpu_seconds_total", "counter", "Processor time used, in seconds.", cpu
    )
    yield gauge("process_threads", "Threads.", value(threading.active_count()))
    try:
        pages = int((_PROC / "statm").read_text().split()[1])
        descriptors = len(os.listdir(_PROC / "fd"))  # noqa: PTH208 - names only, no paths
    except (OSError, ValueError):
        return
    if sys.platform == "win32":
        return
    yield gauge(
        "process_resident_memory_bytes",
        "Memory in use, in bytes.",
        value(pages * os.sysconf("SC_PAGE_SIZE")),
    )
    yield gauge("process_open_fds", "Open file descriptors.", value(descriptors))
