"""All pools: one for each owner and database, and together no more connections than allowed.

The rule: nothing is opened before it is used, and nothing is kept of an owner who is gone. That
goes for code as well: what asks a database is loaded with the first call that does.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from pgmcp.calls.call import Call
from pgmcp.config.databases import DatabaseSettings
from pgmcp.config.values import Host
from pgmcp.errors import PoolClosedError
from pgmcp.net.outbound import OnResolved
from pgmcp.pool.slots import Slots

if TYPE_CHECKING:
    from pgmcp.pool.pool import Pool
    from pgmcp.postgres.connector import Admit, Connector

CLOSE_SECONDS = 3.0
"""How long an owner's running calls may take to end before their lines are cut."""
FORGET_SECONDS = 3600.0
"""How long a closed owner or an ended credential is remembered, for calls that were under way:
longer than any call."""


class Source:
    """One configured database, and the way to connect to it, made when it is first asked for."""

    def __init__(
        self,
        database: DatabaseSettings,
        admit: Admit,
        clock: Callable[[], float],
        on_resolved: OnResolved,
    ) -> None:
        self.database = database
        self._admit = admit
        self._clock = clock
        self._on_resolved = on_resolved

    @cached_property
    def connector(self) -> Connector:
        """How it is connected to."""
        from pgmcp.postgres.connector import Connector

        return Connector(self.database, self._admit, self._clock, self._on_resolved)


class Pools:
    """Connections for everybody, at most `max_connections_total` at a time, None for no such limit.

    `admit` is asked whether a new connection may be used. `on_resolved` is told where a host is
    before it is connected to.
    """

    def __init__(
        self,
        databases: Sequence[DatabaseSettings],
        admit: Admit,
        *,
        max_connections_total: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_resolved: OnResolved = lambda _host, _addresses: None,
    ) -> None:
        self._admit = admit
        self._clock = clock
        self._on_resolved = on_resolved
        most = sys.maxsize if max_connections_total is None else max_connections_total
        self._slots = Slots(most, clock)
        self._pools: dict[tuple[str, Source], Pool] = {}
        self.sources: Mapping[str, Source] = {d.name: self._source(d) for d in databases}
        """By name, those of the current configuration in its order."""
        self._closed_owners: dict[str, tuple[float, str]] = {}
        self._closed: str | None = None

    def __repr__(self) -> str:
        pools = list(self._pools.values())
        return f"<Pools {len(pools)} pools, {self._slots!r}: {pools}>"

    @property
    def connections(self) -> int:
        """How many connections are open or being opened."""
        return self._slots.taken

    def counts(self) -> dict[str, Counter[str]]:
        """By database, over all owners: connections by state, and callers who wait (`waiting`)."""
        counts = {name: Counter[str]() for name in self.sources}
        for (_, source), pool in list(self._pools.items()):
            counts.setdefault(source.database.name, Counter()).update(pool.counts)
        return counts

    def hosts(self) -> Iterable[Host]:
        """Every place that a connection may be made to now, for calls on older settings too."""
        sources = [*self.sources.values(), *(source for _, source in list(self._pools))]
        return (host for source in sources for host in source.database.hosts)

    def for_call(self, owner: str, source: Source, call: Call) -> Callable[[], Pool]:
        """The way to the pool for a call of `owner` that begins now; no connection is made yet.

        It raises PoolClosedError when the owner or the call's credential ended after that.
        """
        began = self._clock()
        return lambda: self._pool(owner, source, began, call.key)

    def replace(self, databases: Sequence[DatabaseSettings], *, max_connections_total: int) -> None:
        """Serve these from now on. What did not change keeps its connections, and reads its
        certificates again for new ones.

        Of what changed or went, idle connections are closed; calls under way end as they began.
        """
        before = self.sources
        kept = {
            database.name: before[database.name]
            for database in databases
            if database.name in before and before[database.name].database == database
        }
        sources = {d.name: kept.get(d.name) or self._source(d) for d in databases}
        for source in kept.values():
            source.connector.renew()
        current = set(sources.values())
        with self._slots.lock:
            self.sources = sources
            self._slots.maximum = max_connections_total
            leaving = [pool for key, pool in self._pools.items() if key[1] not in current]
        for pool in leaving:
            pool.drain()
        for connection in self._slots.excess():
            connection.close()

    def _source(self, database: DatabaseSettings) -> Source:
        return Source(database, self._admit, self._clock, self._on_resolved)

    def _pool(self, owner: str, source: Source, began: float, key: str) -> Pool:
        """The pool for a call that began at this time with the credential `key`; PoolClosedError
        when that or the owner is gone."""
        from pgmcp.pool.pool import Pool

        connect = source.connector.connect
        with self._slots.lock:
            if self._closed is not None:
                raise PoolClosedError(self._closed)
            for ended in (owner, key):
                closed = self._closed_owners.get(ended)
                if closed is not None and began <= closed[0]:
                    raise PoolClosedError(closed[1])
            pool = self._pools.get((owner, source))
            if pool is None:
                pool = self._pools[owner, source] = Pool(
                    source.database,
                    connect,
                    self._slots,
                    owner=owner,
                    draining=source not in self.sources.values(),
                    clock=self._clock,
                )
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

    def drop_idle(self, owner: str) -> None:
        """Close what is idle of an owner who will not ask again soon."""
        with self._slots.lock:
            pools = [pool for key, pool in self._pools.items() if key[0] == owner]
        for pool in pools:
            pool.drop_idle()

    def close_owners(self, owners: Mapping[str, str]) -> None:
        """Cancel in PostgreSQL what runs for these owners and close their connections, within a
        bound; each has the reason.

        Calls of an owner that are under way end with the reason; later ones begin afresh, since
        whether they may is not decided here.
        """
        with self._slots.lock:
            now = self._clock()
            self._closed_owners |= {owner: (now, reason) for owner, reason in owners.items()}
            keys = [key for key in self._pools if key[0] in owners]
            gone = [(self._pools.pop(key), owners[key[0]]) for key in keys]
        self._end(gone, CLOSE_SECONDS)

    def end_calls(self, ended: Mapping[str, str], owners: Container[str]) -> None:
        """Cancel in PostgreSQL what runs with these credentials, each with its reason, and close
        idle connections of their owners, whose calls with other credentials go on."""
        with self._slots.lock:
            now = self._clock()
            self._closed_owners |= {key: (now, reason) for key, reason in ended.items()}
            pools = [pool for (owner, _), pool in self._pools.items() if owner in owners]
        for pool in pools:
            pool.end_calls(ended)

    def close(self, timeout_seconds: float) -> None:
        """Cancel everything and close everything, in no more than this time."""
        reason = "the server is shutting down"
        with self._slots.lock:
            self._closed = reason
            gone = [(pool, reason) for pool in self._pools.values()]
            self._pools.clear()
        self._slots.orphans.close()
        self._end(gone, timeout_seconds)

    def _end(self, pools: Sequence[tuple[Pool, str]], seconds: float) -> None:
        until = self._clock() + seconds
        for pool, reason in pools:
            pool.close(reason)
        for pool, _ in pools:
            pool.wait_ended(until)
