"""What a pool notes of those who wait for a connection, of what they are granted, and of its age.

The rule: values of a pool, read and written by holders of its lock only.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from pgmcp.calls.call import Call
from pgmcp.errors import PgmcpError
from pgmcp.postgres.driver import Connection


@dataclass(slots=True, eq=False)
class Grant:
    """What a lease gets: a connection, or leave to open one in place of `victim`, or an error."""

    connection: Connection | None = None
    victim: Connection | None = None
    error: PgmcpError | None = None


@dataclass(slots=True, eq=False)
class Waiter:
    """A caller in the queue. `grant` is written once, under the lock, while it still waits."""

    ticket: int
    call: Call
    woken: threading.Event = field(default_factory=threading.Event)
    grant: Grant | None = None


@dataclass(slots=True)
class Age:
    """When a connection is too old, and since and until when it may be idle, by the clock."""

    expires: float
    idle_since: float = 0.0
    idle_until: float = 0.0
