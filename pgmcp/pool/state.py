"""What one pool has, and what is decided about it: who is lent which connection, which are closed.

The rule: every method is for holders of the lock of the slots, and none waits, connects or closes:
what is to be closed is returned. `pool.Pool` acts on it, once it has let go of the lock.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from pgmcp.calls.call import Call
from pgmcp.config.databases import DatabaseSettings
from pgmcp.errors import DatabaseUnavailableError, PoolClosedError
from pgmcp.pool.back_off import BACK_OFF_SECONDS, BackOff, remember
from pgmcp.pool.lease import Age, Grant, Waiter
from pgmcp.pool.slots import Slots
from pgmcp.postgres.driver import Connection
from pgmcp.postgres.orphans import OrphanedBackend, all_uninterruptible

JITTER = 0.1
"""Limits of age vary by this part, so that connections opened together do not end together."""


class Returned(NamedTuple):
    """What becomes of a connection whose lease is over: it is kept, or it is for closing.

    `orphan`: the server's process behind it that may still be at work, which is to be watched.
    """

    kept: bool
    orphan: OrphanedBackend | None = None


class PoolState:
    """The connections of one owner to one database, at most `database.pool_max_conns`, and those
    who wait for one. `clock` gives seconds."""

    def __init__(
        self, database: DatabaseSettings, owner: str, slots: Slots, clock: Callable[[], float]
    ) -> None:
        self.database = database
        self.owner = owner
        self.idle: list[Connection] = []
        self.leased: dict[Connection, Call] = {}
        self.connecting: dict[Call, float] = {}
        self.closed: PoolClosedError | None = None
        self.draining = False
        """Whether no connection is kept: the settings it is for are not in force any more."""
        self._slots = slots
        self._clock = clock
        self._ages: dict[Connection, Age] = {}
        self._orphans: list[OrphanedBackend] = []
        self._waiters: deque[Waiter] = deque()
        self._back_off = BackOff()

    @property
    def counts(self) -> dict[str, int]:
        """How many connections are in which state, and how many callers wait for one."""
        return {
            "idle": len(self.idle),
            "leased": len(self.leased),
            "connecting": len(self.connecting),
            "stuck": len(self._orphans),
            "waiting": len(self._waiters),
        }

    @property
    def size(self) -> int:
        """How many connections count: those that are there, are to come, or have not ended yet."""
        return len(self.idle) + len(self.leased) + len(self.connecting) + len(self._orphans)

    # -- asking for a connection -------------------------------------------------------------------

    def request(self, call: Call) -> Grant | Waiter:
        """A grant if there is one at once, or else the call's place in the queue; PoolClosedError.

        A grant may be there by the time the waiter is returned.
        """
        if self.closed is not None:
            raise self.closed
        if not self._waiters:
            grant = self._grant(call)
            if grant is not None:
                return grant
        waiter = Waiter(next(self._slots.tickets), call)
        self._waiters.append(waiter)
        self._slots.begin_waiting(self)
        while self.serve():
            pass
        return waiter

    def withdraw(self, waiter: Waiter) -> str:
        """Take a waiter without a grant out of the queue; what it has waited for, in words."""
        self._waiters.remove(waiter)
        if not self._waiters:
            self._slots.end_waiting(self)
        return self._waited_for()

    @property
    def first_ticket(self) -> int:
        """The ticket of the first waiter: the lower, the longer it has waited."""
        return self._waiters[0].ticket

    def serve(self) -> bool:
        """Grant the first waiter what can be granted; whether anything was."""
        grant = self._grant(self._waiters[0].call) if self._waiters else None
        if grant is None:
            return False
        waiter = self._waiters.popleft()
        waiter.grant = grant
        waiter.woken.set()
        if not self._waiters:
            self._slots.end_waiting(self)
        return True

    def _grant(self, call: Call) -> Grant | None:
        now = self._clock()
        places = self._slots.places
        if self.idle and places.try_take(self.owner):
            connection = self.idle.pop()  # the last one used: the others can grow old
            del self._slots.idle[connection]
            self.leased[connection] = call
            connection.idle_seconds = now - self._ages[connection].idle_since
            return Grant(connection)
        if len(self._orphans) >= self.database.pool_max_conns and all(
            orphan.confirmed for orphan in self._orphans
        ):
            return Grant(error=all_uninterruptible(len(self._orphans), self.database.name))
        if self._back_off.active(now):
            # One of those in use may come free, and is a connection that works.
            return None if self.leased else Grant(error=self._back_off.error())
        if self._may_grow(now) and self._slots.has_room and places.try_take(self.owner):
            self.connecting[call] = now
            return Grant(victim=self._slots.take())
        return None

    def _may_grow(self, now: float) -> bool:
        """One at a time, so that a burst does not open more than it needs; but an attempt that
        hangs does not keep the next from trying when the database is back."""
        return self.size < self.database.pool_max_conns and all(
            now - started > BACK_OFF_SECONDS for started in self.connecting.values()
        )

    def _waited_for(self) -> str:
        if self.connecting and not self.leased:
            return "connecting to the database takes too long"
        used = f"{len(self.leased)} of {self.database.pool_max_conns} are in use"
        if self._orphans:
            used += f", and statements that do not end hold {len(self._orphans)}"
        if self.size < self.database.pool_max_conns and not self._slots.has_room:
            used += f", and all {self._slots.maximum} that this server may open are taken"
        elif not self._slots.places.may_take(self.owner):
            used += f", and of the {self._slots.maximum} for everybody you have your share"
        if self._back_off.message:
            used += f"; opening another failed: {self._back_off.message}"
        return used

    # -- opening one, and the end of a lease -------------------------------------------------------

    def opened(self, connection: Connection, call: Call) -> None:
        """Note that the connection that a grant gave leave to open is there, and lent to `call`."""
        del self.connecting[call]
        self._back_off = BackOff()
        self.leased[connection] = call
        lifetime = self.database.pool_max_conn_lifetime_seconds
        self._ages[connection] = Age(self._clock() + _jittered(lifetime))
        self._slots.dispatch()

    def connect_failed(self, failure: DatabaseUnavailableError, seconds: float) -> None:
        """Note what may speak for the next attempts; `not_opened` is to follow."""
        self._back_off = remember(failure, seconds, self._clock())

    def not_opened(self, call: Call) -> None:
        """Note that the connection that a grant gave leave to open does not come."""
        del self.connecting[call]
        self._slots.places.give_back(self.owner)
        self._slots.taken -= 1
        self._slots.dispatch()
        self._slots.ended.notify_all()

    def take_back(self, connection: Connection) -> Returned:
        """End a lease."""
        del self.leased[connection]
        age = self._ages[connection]
        now = self._clock()
        if connection.reusable and self._may_keep and now < age.expires:
            self._slots.places.give_back(self.owner)
            age.idle_since = now
            age.idle_until = now + _jittered(self.database.pool_max_conn_idle_seconds)
            self.idle.append(connection)
            self._slots.idle[connection] = self
            returned = Returned(kept=True)
        else:
            del self._ages[connection]
            orphan = self._slots.release(connection, self, self._orphans)
            returned = Returned(kept=False, orphan=orphan)
        self._slots.dispatch()
        self._slots.ended.notify_all()
        return returned

    @property
    def _may_keep(self) -> bool:
        unwanted = self.closed is not None or self.draining
        return not unwanted and self._slots.taken <= self._slots.maximum

    # -- what is closed ----------------------------------------------------------------------------

    def give_up(self, connection: Connection) -> None:
        """Forget an idle connection, which the caller closes."""
        self.idle.remove(connection)
        del self._slots.idle[connection]
        del self._ages[connection]
        self._slots.taken -= 1

    def give_up_overdue(self) -> list[Connection]:
        """Give up what is too old, and what is idle for too long but for `pool_min_conns`."""
        now = self._clock()
        to_close: list[Connection] = []
        spare = self.size - self.database.pool_min_conns
        for connection in self.idle.copy():
            age = self._ages[connection]
            if now >= age.expires or (now >= age.idle_until and len(to_close) < spare):
                self.give_up(connection)
                to_close.append(connection)
        self._slots.dispatch()
        return to_close

    def give_up_idle(self) -> list[Connection]:
        """Give up all that is idle."""
        to_close = self.idle.copy()
        for connection in to_close:
            self.give_up(connection)
        self._slots.dispatch()
        return to_close

    def retire(self) -> bool:
        """Close the pool if nobody uses it and nothing is open; says whether it is closed."""
        busy = self.size or self._waiters or self._back_off.active(self._clock())
        if self.closed is None and not busy:
            self.closed = PoolClosedError("the pool was unused", unused=True)
        return self.closed is not None

    def close(self, reason: str) -> list[Call]:
        """Turn away who waits, and whoever comes; the calls that are to be cancelled."""
        if self.closed is None:
            self.closed = PoolClosedError(reason)
        for waiter in self._waiters:
            waiter.grant = Grant(error=PoolClosedError(reason))
            waiter.woken.set()
        self._waiters.clear()
        self._slots.end_waiting(self)
        return [*self.leased.values(), *self.connecting]

    def calls_of(self, credentials: Mapping[str, object]) -> list[Call]:
        """The calls with these credentials, wherever they are."""
        waiting = (waiter.call for waiter in self._waiters)
        everywhere = (*self.leased.values(), *self.connecting, *waiting)
        return [call for call in everywhere if call.key in credentials]


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - nothing secret
