"""Room for connections: how many all pools together may hold, and whose turn it is for more.

The rule: its lock guards every pool that shares it, and nobody waits for a socket while holding it.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from pgmcp.calls.shares import Places
from pgmcp.config.databases import DatabaseSettings
from pgmcp.postgres.orphans import OrphanedBackend, OrphanedBackends

if TYPE_CHECKING:
    # The first connection loads it, so that a server starts sooner.
    from pgmcp.postgres.driver import Connection


class SlotUser(Protocol):
    """A pool as the slots see it; `pool.state.PoolState` is one."""

    owner: str
    database: DatabaseSettings

    @property
    def first_ticket(self) -> int:
        """The ticket of the first waiter."""

    def serve(self) -> bool:
        """Grant the first waiter what can be granted; whether anything was."""

    def give_up(self, connection: Connection) -> None:
        """Forget an idle connection."""


class Slots:
    """`maximum` connections over all pools. Every method is for holders of `lock`.

    `idle` is every idle connection with its pool, least recently used first. `places` are those
    that owners have in use or orphaned, with their shares. `ended` is notified when a lease or
    an attempt to connect has ended. `orphans` are the server's processes that outlive their
    connections, whose slots and places stay taken.
    """

    def __init__(self, maximum: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.lock = threading.Lock()
        self.ended = threading.Condition(self.lock)
        self.places = Places(maximum)
        self.taken = 0
        self.idle: OrderedDict[Connection, SlotUser] = OrderedDict()
        self._waiting: OrderedDict[str, list[SlotUser]] = OrderedDict()
        self.tickets = itertools.count()
        self.orphans = OrphanedBackends(self._give_back, clock)

    def __repr__(self) -> str:
        return f"<Slots {self.taken} of {self.maximum} taken, {len(self.idle)} idle>"

    @property
    def maximum(self) -> int:
        """How many connections there may be."""
        return self.places.size

    @maximum.setter
    def maximum(self, maximum: int) -> None:
        self.places.size = maximum

    @property
    def has_room(self) -> bool:
        """Whether one more connection can be had, if need be for an idle one."""
        return self.taken < self.maximum or bool(self.idle)

    def take(self) -> Connection | None:
        """Take a slot when `has_room` is true; the idle connection that makes way is for closing.

        It is the least recently used of the owner that has the most connections, or an owner
        could have those of all others closed.
        """
        if self.taken < self.maximum:
            self.taken += 1
            return None
        idle = Counter(pool.owner for pool in self.idle.values())
        largest_owner = max(idle, key=lambda owner: idle[owner] + self.places.held(owner))
        victim, pool = next(item for item in self.idle.items() if item[1].owner == largest_owner)
        pool.give_up(victim)
        self.taken += 1
        return victim

    def give_up_at(self, database: DatabaseSettings) -> Connection | None:
        """Give up an idle connection to one of the database's hosts, of the same user if there is
        one, for closing; None when there is none."""
        hosts = frozenset(database.hosts)
        there = [item for item in self.idle.items() if hosts.intersection(item[1].database.hosts)]
        if not there:
            return None
        victim, pool = min(there, key=lambda item: item[1].database.user != database.user)
        pool.give_up(victim)
        return victim

    def release(
        self, connection: Connection, pool: SlotUser, among: list[OrphanedBackend]
    ) -> OrphanedBackend | None:
        """Give back slot and place of a connection that is kept no longer. A process that may still
        be at work keeps them: it is put `among` the orphans of its pool, and has to be watched."""
        if not connection.at_work or connection.process_list is None:
            self.taken -= 1
            self.places.give_back(pool.owner)
            return None
        orphan = OrphanedBackend(
            pool.owner, pool.database.name, connection.process_list, connection.peer, among
        )
        among.append(orphan)
        return orphan

    def _give_back(self, gone: Sequence[OrphanedBackend]) -> None:
        """Give back the slots of processes that are gone. Takes the lock. Also when none is: who
        waits for one that is known to be stuck by now need not wait for it."""
        with self.lock:
            for orphan in gone:
                orphan.among.remove(orphan)
                self.taken -= 1
                self.places.give_back(orphan.owner)
            self.dispatch()
            self.ended.notify_all()

    def excess(self) -> list[Connection]:
        """The idle connections that go when `maximum` was lowered, for closing. Takes the lock."""
        to_close: list[Connection] = []
        with self.lock:
            while self.taken > self.maximum and self.idle:
                victim, pool = next(iter(self.idle.items()))
                pool.give_up(victim)
                to_close.append(victim)
        return to_close

    def begin_waiting(self, pool: SlotUser) -> None:
        """Note that a pool has waiters. May be repeated."""
        pools = self._waiting.setdefault(pool.owner, [])
        if pool not in pools:
            pools.append(pool)

    def end_waiting(self, pool: SlotUser) -> None:
        """Note that a pool has none any more. May be repeated."""
        pools = self._waiting.get(pool.owner, [])
        if pool in pools:
            pools.remove(pool)
            if not pools:
                del self._waiting[pool.owner]

    def dispatch(self) -> None:
        """Serve waiters as far as there is room: the owners in turn, and of one owner the longest
        wait first."""
        served = bool(self._waiting)
        while served:
            served = False
            for owner in list(self._waiting):
                if self._serve_owner(owner):
                    served = True
                    if owner in self._waiting:
                        self._waiting.move_to_end(owner)

    def _serve_owner(self, owner: str) -> bool:
        """Serve one waiter of an owner; whether there was one to serve."""
        pools = sorted(self._waiting.get(owner, ()), key=lambda pool: pool.first_ticket)
        return any(pool.serve() for pool in pools)
