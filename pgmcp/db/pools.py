"""All pools: one for each owner and database, and together no more connections than allowed.

The rule: nothing is opened before it is used, and nothing is kept of an owner who is gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from pgmcp.call import Call
from pgmcp.config.model import Database
from pgmcp.db.connector import Connector
from pgmcp.db.database import ReadOnlyDatabase
from pgmcp.db.judge import Judge
from pgmcp.db.pool import Pool, PoolClosedError
from pgmcp.db.slots import Slots
from pgmcp.errors import ToolError

CLOSE_SECONDS = 3.0
"""How long an owner's running calls may take to end before their lines are cut."""
FORGET_SECONDS = 3600.0
"""How long a closed owner is remembered, for calls that were under way: longer than any call."""


class Pools:
    """Connections for everybody, at most `max_connections_total` at a time."""

    def __init__(
        self,
        databases: Sequence[Database],
        *,
        max_connections_total: int = 50,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._connectors = {database.name: Connector(database, clock) for database in databases}
        self._judges = {d.name: Judge(d.trusted_functions) for d in databases}
        self._slots = Slots(max_connections_total)
        self._pools: dict[tuple[str, str], Pool] = {}
        self._closed_owners: dict[str, tuple[float, str]] = {}
        self._closed: str | None = None

    def __repr__(self) -> str:
        pools = list(self._pools.values())
        return f"<Pools {len(pools)} pools, {self._slots!r}: {pools}>"

    @property
    def connections(self) -> int:
        """How many connections are open or being opened."""
        return self._slots.taken

    def database(self, owner: str, name: str, call: Call) -> ReadOnlyDatabase:
        """The database `name` for one call of `owner`; no connection is made yet.

        ToolError when there is no such database.
        """
        connector = self._connectors.get(name)
        if connector is None:
            raise ToolError(
                f"there is no database {name}", f"Configured: {', '.join(self._connectors)}."
            )
        began = self._clock()

        def pool() -> Pool:
            return self._pool(owner, connector, began)

        return ReadOnlyDatabase(connector.database, pool, self._judges[name], call)

    def _pool(self, owner: str, connector: Connector, began: float) -> Pool:
        """The pool for a call that began at this time; PoolClosedError when the owner is gone."""
        with self._slots.lock:
            if self._closed is not None:
                raise PoolClosedError(self._closed)
            closed = self._closed_owners.get(owner)
            if closed is not None and began <= closed[0]:
                raise PoolClosedError(closed[1])
            key = (owner, connector.database.name)
            pool = self._pools.get(key)
            if pool is None:
                pool = Pool(connector.database, connector.connect, self._slots, clock=self._clock)
                self._pools[key] = pool
            return pool

    def tick(self) -> None:
        """Housekeeping, for a thread that comes by every second or so."""
        for key, pool in list(self._pools.items()):
            pool.tick()
            if pool.retire():
                with self._slots.lock:
                    if self._pools.get(key) is pool:
                        del self._pools[key]
        with self._slots.lock:
            old = self._clock() - FORGET_SECONDS
            for owner, (when, _) in list(self._closed_owners.items()):
                if when < old:
                    del self._closed_owners[owner]

    def close_owner(self, owner: str, reason: str) -> None:
        """Cancel in PostgreSQL what runs for `owner` and close its connections, within a bound.

        Calls of the owner that are under way end with `reason`; later ones begin afresh, since
        whether they may is not decided here.
        """
        with self._slots.lock:
            self._closed_owners[owner] = (self._clock(), reason)
            gone = [self._pools.pop(key) for key in list(self._pools) if key[0] == owner]
        self._end(gone, reason, CLOSE_SECONDS)

    def close(self, timeout_seconds: float) -> None:
        """Cancel everything and close everything, in no more than this time."""
        reason = "the server is shutting down"
        with self._slots.lock:
            self._closed = reason
            gone = list(self._pools.values())
            self._pools.clear()
        self._end(gone, reason, timeout_seconds)

    def _end(self, pools: Sequence[Pool], reason: str, seconds: float) -> None:
        until = self._clock() + seconds
        for pool in pools:
            pool.close(reason)
        for pool in pools:
            pool.wait_ended(until)
