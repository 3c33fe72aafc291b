"""One bounded pool of connections, for one owner and one database.

The rule: decide under the lock, act outside it. A connection belongs to a lease from the moment
the lock says so, and a waiter that has given up can never be handed one.
"""

from __future__ import annotations

import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from pgmcp.calls.call import Call
from pgmcp.config.databases import DatabaseSettings
from pgmcp.errors import (
    ConnectionLostError,
    DatabaseUnavailableError,
    PoolClosedError,
    PoolTimeoutError,
)
from pgmcp.pool.back_off import BACK_OFF_SECONDS, BackOff, remember
from pgmcp.pool.lease import Age, Grant, Waiter
from pgmcp.pool.making_room import connect_making_room
from pgmcp.pool.slots import Slots
from pgmcp.postgres.orphans import OrphanedBackend, all_uninterruptible

if TYPE_CHECKING:
    # pg8000 takes longer to load than the rest of the server: the first connection loads it.
    from pgmcp.postgres.driver import Connection

log = logging.getLogger("pgmcp.pool")

JITTER = 0.1
"""Limits of age vary by this part, so that connections opened together do not end together."""


class Pool:
    """At most `database.pool_max_conns` connections, given out in the order they are asked for.

    It starts no thread and opens nothing until asked; `tick` is its housekeeping, for whoever has
    a thread for it.
    """

    def __init__(
        self,
        database: DatabaseSettings,
        connect: Callable[[Call], Connection],
        slots: Slots | None = None,
        *,
        owner: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.database = database
        self._connect = connect
        self.owner = owner
        self._slots = slots or Slots(database.pool_max_conns)
        self._lock = self._slots.lock
        self._clock = clock
        self._ages: dict[Connection, Age] = {}
        self._idle: list[Connection] = []
        self._leased: dict[Connection, Call] = {}
        self._orphans: list[OrphanedBackend] = []
        self._connecting: dict[Call, float] = {}
        self._waiters: deque[Waiter] = deque()
        self._closed: PoolClosedError | None = None
        self.draining = False
        """Whether no connection is kept: the settings it is for are not in force any more."""
        self._back_off = BackOff()

    def __repr__(self) -> str:
        with self._lock:
            return (
                f"<Pool {self.database.name}: {len(self._idle)} idle, {len(self._leased)} leased, "
                f"{len(self._connecting)} connecting, {len(self._waiters)} waiting, "
                f"max {self.database.pool_max_conns}{', closed' if self._closed else ''}>"
            )

    @property
    def counts(self) -> dict[str, int]:
        """How many connections are in which state, and how many callers wait for one."""
        with self._lock:
            return {
                "idle": len(self._idle),
                "leased": len(self._leased),
                "connecting": len(self._connecting),
                "stuck": len(self._orphans),
                "waiting": len(self._waiters),
            }

    # -- leasing -----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def lease(self, call: Call) -> Iterator[Connection]:
        """A connection, clean and alive as far as can be known, for the length of the block.

        PoolTimeoutError when none came free in the call's time, CallEndedError,
        DatabaseUnavailableError, PoolClosedError.
        """
        connection = self._acquire(call)
        try:
            yield connection
        finally:
            self._release(connection)

    def _acquire(self, call: Call) -> Connection:
        while True:
            call.check()
            grant = self._ask(call)
            if grant.error is not None:
                raise grant.error
            if grant.connection is None:
                return self._open(call, grant.victim)
            if self._is_alive(grant.connection, call):
                return grant.connection

    def _is_alive(self, connection: Connection, call: Call) -> bool:
        """Whether an idle connection is as good as new; back in its pool if not."""
        alive = False
        try:
            call.check()
            connection.ensure_clean(call)
            alive = True
        except ConnectionLostError as error:
            log.info("%s: an idle connection was dead: %s", self.database.name, error)
        finally:
            if not alive:
                self._release(connection)
        return alive

    def _ask(self, call: Call) -> Grant:
        """A grant, at once or in turn."""
        with self._lock:
            if self._closed is not None:
                raise self._closed
            if not self._waiters:
                grant = self._grant(call)
                if grant is not None:
                    return grant
            waiter = Waiter(next(self._slots.tickets), call)
            self._waiters.append(waiter)
            self._slots.begin_waiting(self)
            while self.serve():
                pass
        with call.waiting, call.on_cancel(waiter.woken.set):
            waiter.woken.wait(call.remaining())
        with self._lock:
            # A grant may have come between the end of the wait and this lock: it is taken.
            if waiter.grant is not None:
                return waiter.grant
            # From here on nobody can grant it a connection, which it would not take.
            self._waiters.remove(waiter)
            if not self._waiters:
                self._slots.end_waiting(self)
            waited_for = self._waited_for()
        if call.cancelled is not None:
            call.check()
        raise PoolTimeoutError(
            f"no connection to {self.database.name} came free in time: {waited_for}",
            "Try again when other calls have ended.",
        )

    def _waited_for(self) -> str:
        if self._connecting and not self._leased:
            return "connecting to the database takes too long"
        used = f"{len(self._leased)} of {self.database.pool_max_conns} are in use"
        if self._orphans:
            used += f", and statements that do not end hold {len(self._orphans)}"
        if self._size < self.database.pool_max_conns and not self._slots.has_room:
            used += f", and all {self._slots.maximum} that this server may open are taken"
        elif not self._slots.places.may_take(self.owner):
            used += f", and of the {self._slots.maximum} for everybody you have your share"
        if self._back_off.message:
            used += f"; opening another failed: {self._back_off.message}"
        return used

    def _open(self, call: Call, victim: Connection | None) -> Connection:
        """The connection that a grant gave leave to open."""
        if victim is not None:
            victim.close()
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(self._not_opened, call)
            started = self._clock()
            try:
                with call.waiting:
                    connection = connect_making_room(
                        self.database, self._connect, self._slots, call
                    )
            except DatabaseUnavailableError as error:
                now = self._clock()
                with self._lock:
                    self._back_off = remember(error, now - started, now)
                raise
            on_failure.pop_all()
        with self._lock:
            del self._connecting[call]
            self._back_off = BackOff()
            self._leased[connection] = call
            lifetime = self.database.pool_max_conn_lifetime_seconds
            self._ages[connection] = Age(self._clock() + _jittered(lifetime))
            self._slots.dispatch()
            closed = self._closed
        # The pool was closed while this connected: `close` saw a connection to come, not this one.
        if closed is not None:
            self._release(connection)
            raise closed
        return connection

    def _not_opened(self, call: Call) -> None:
        with self._lock:
            del self._connecting[call]
            self._slots.places.give_back(self.owner)
            self._slots.taken -= 1
            self._slots.dispatch()
            self._slots.ended.notify_all()

    def _release(self, connection: Connection) -> None:
        orphan: OrphanedBackend | None = None
        with self._lock:
            del self._leased[connection]
            age = self._ages[connection]
            now = self._clock()
            keep = connection.reusable and self._may_keep and now < age.expires
            if keep:
                self._slots.places.give_back(self.owner)
                age.idle_since = now
                age.idle_until = now + _jittered(self.database.pool_max_conn_idle_seconds)
                self._idle.append(connection)
                self._slots.idle[connection] = self
            else:
                del self._ages[connection]
                orphan = self._slots.release(connection, self, self._orphans)
            self._slots.dispatch()
            self._slots.ended.notify_all()
        if not keep:
            connection.close()
        if orphan is not None:
            self._slots.orphans.watch(orphan)

    # -- decisions: for holders of the lock --------------------------------------------------------

    @property
    def _size(self) -> int:
        return len(self._idle) + len(self._leased) + len(self._connecting) + len(self._orphans)

    @property
    def _may_keep(self) -> bool:
        unwanted = self._closed is not None or self.draining
        return not unwanted and self._slots.taken <= self._slots.maximum

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
        if self._idle and places.try_take(self.owner):
            connection = self._idle.pop()  # the last one used: the others can grow old
            del self._slots.idle[connection]
            self._leased[connection] = call
            connection.idle_seconds = now - self._ages[connection].idle_since
            return Grant(connection)
        if len(self._orphans) >= self.database.pool_max_conns and all(
            i.confirmed for i in self._orphans
        ):
            return Grant(error=all_uninterruptible(len(self._orphans), self.database.name))
        if self._back_off.active(now):
            # One of those in use may come free, and is a connection that works.
            return None if self._leased else Grant(error=self._back_off.error())
        if self._may_grow(now) and self._slots.has_room and places.try_take(self.owner):
            self._connecting[call] = now
            return Grant(victim=self._slots.take())
        return None

    def _may_grow(self, now: float) -> bool:
        """One at a time, so that a burst does not open more than it needs; but an attempt that
        hangs does not keep the next from trying when the database is back."""
        return self._size < self.database.pool_max_conns and all(
            now - started > BACK_OFF_SECONDS for started in self._connecting.values()
        )

    def give_up(self, connection: Connection) -> None:
        """Forget an idle connection, which the caller closes."""
        self._idle.remove(connection)
        del self._slots.idle[connection]
        del self._ages[connection]
        self._slots.taken -= 1

    # -- housekeeping ------------------------------------------------------------------------------

    def tick(self) -> None:
        """Close what is idle for too long (but for `pool_min_conns`) or too old."""
        with self._lock:
            now = self._clock()
            to_close: list[Connection] = []
            spare = self._size - self.database.pool_min_conns
            for connection in self._idle.copy():
                age = self._ages[connection]
                if now >= age.expires or (now >= age.idle_until and len(to_close) < spare):
                    self.give_up(connection)
                    to_close.append(connection)
            self._slots.dispatch()
        for connection in to_close:
            connection.close()

    def drop_idle(self) -> None:
        """Close every idle connection: one of them was found dead without a sign."""
        with self._lock:
            to_close = self._idle.copy()
            for connection in to_close:
                self.give_up(connection)
            self._slots.dispatch()
        for connection in to_close:
            connection.close()

    def drain(self) -> None:
        """Close what is idle, and from now on every connection once its lease is over."""
        with self._lock:
            self.draining = True
        self.drop_idle()

    def retire(self) -> bool:
        """Close the pool if nobody uses it and nothing is open; says whether it is closed."""
        with self._lock:
            busy = self._size or self._waiters or self._back_off.active(self._clock())
            if self._closed is None and not busy:
                self._closed = PoolClosedError("the pool was unused", unused=True)
            return self._closed is not None

    def close(self, reason: str) -> None:
        """Cancel what runs, turn away who waits, close what is idle; then comes `wait_ended`."""
        with self._lock:
            if self._closed is None:
                self._closed = PoolClosedError(reason)
            for waiter in self._waiters:
                waiter.grant = Grant(error=PoolClosedError(reason))
                waiter.woken.set()
            self._waiters.clear()
            self._slots.end_waiting(self)
            calls = [*self._leased.values(), *self._connecting]
        self.drop_idle()
        for call in calls:
            call.cancel(reason)

    def end_calls(self, ended: Mapping[str, str]) -> None:
        """Cancel the calls with these credentials, each with its reason, wherever they are, and
        close what is idle."""
        with self._lock:
            waiting = (waiter.call for waiter in self._waiters)
            running = (*self._leased.values(), *self._connecting, *waiting)
            calls = [call for call in running if call.key in ended]
        self.drop_idle()
        for call in calls:
            call.cancel(ended[call.key])

    def wait_ended(self, until: float) -> None:
        """After `close`: wait for the leases to end until this time, then cut their lines."""
        with self._slots.ended:
            self._slots.ended.wait_for(
                lambda: not self._leased and not self._connecting,
                timeout=max(0.0, until - self._clock()),
            )
            stuck = list(self._leased)
        for connection in stuck:
            connection.wire.cut()


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - nothing secret
