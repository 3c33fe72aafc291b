"""Room for connections: how many all pools together may hold, and whose turn it is for more.

The rule: its lock guards every pool that shares it, and nobody waits for a socket while holding it.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    # pg8000 takes longer to load than the rest of the server: the first connection loads it.
    from pgmcp.postgres.driver import Connection


class Pool(Protocol):
    """A pool as the slots see it; `db.pool` has it."""

    @property
    def turn(self) -> int:
        """The ticket of the first waiter."""

    def serve(self) -> None:
        """Grant waiters what can be granted."""

    def give_up(self, connection: Connection) -> None:
        """Forget an idle connection."""


class Slots:
    """`maximum` connections over all pools. Every method is for holders of `lock`.

    `idle` is every idle connection with its pool, least recently used first. `waiting` is every
    pool with waiters. `ended` is notified when a lease or an attempt to connect has ended.
    """

    def __init__(self, maximum: int) -> None:
        self.lock = threading.Lock()
        self.ended = threading.Condition(self.lock)
        self.maximum = maximum
        self.taken = 0
        self.idle: OrderedDict[Connection, Pool] = OrderedDict()
        self.waiting: dict[Pool, None] = {}
        self.tickets = itertools.count()

    def __repr__(self) -> str:
        return f"<Slots {self.taken} of {self.maximum} taken, {len(self.idle)} idle>"

    @property
    def room(self) -> bool:
        """Whether one more connection can be had, if need be for an idle one."""
        return self.taken < self.maximum or bool(self.idle)

    def take(self) -> Connection | None:
        """Take a slot when there is `room`; the idle connection that makes way is for closing."""
        if self.taken < self.maximum:
            self.taken += 1
            return None
        victim, pool = next(iter(self.idle.items()))
        pool.give_up(victim)
        self.taken += 1
        return victim

    def excess(self) -> list[Connection]:
        """The idle connections that go when `maximum` was lowered, for closing. Takes the lock."""
        doomed: list[Connection] = []
        with self.lock:
            while self.taken > self.maximum and self.idle:
                victim, pool = next(iter(self.idle.items()))
                pool.give_up(victim)
                doomed.append(victim)
        return doomed

    def dispatch(self) -> None:
        """Serve waiters of every pool, the longest wait first, as far as there is room."""
        if self.waiting:
            for pool in sorted(self.waiting, key=lambda pool: pool.turn):
                pool.serve()
