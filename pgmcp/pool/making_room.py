"""Connecting where the server has no connection left but those that idle here.

The rule: one more attempt, and no more than one idle connection is given up for it.
"""

from __future__ import annotations

from collections.abc import Callable

from pgmcp.calls.call import Call
from pgmcp.config.databases import DatabaseSettings
from pgmcp.errors import NoConnectionLeftError
from pgmcp.pool.slots import Slots
from pgmcp.postgres.driver import Connection

GOODBYE_SECONDS = 2.0
"""How long the server's process may take to end that makes room for another."""


def connect_making_room(
    database: DatabaseSettings,
    open_connection: Callable[[Call], Connection],
    slots: Slots,
    call: Call,
) -> Connection:
    """A new connection; if need be, in the place of an idle one of any owner there: with a
    CONNECTION LIMIT on the role that may be the only one there is. Raises as `open_connection`."""
    try:
        return open_connection(call)
    except NoConnectionLeftError:
        with slots.lock:
            victim = slots.give_up_at(database)
        if victim is None:
            raise
    victim.close_and_wait(min(GOODBYE_SECONDS, call.remaining()))
    return open_connection(call)
