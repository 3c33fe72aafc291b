"""One bounded pool of connections, for one owner and one database.

The rule: decide under the lock, act outside it. A connection belongs to a lease from the moment
the lock says so, and a waiter that has given up can never be handed one. What is decided is in
`state`; here it is acted upon.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from pgmcp.calls.call import Call
from pgmcp.config.databases import DatabaseSettings
from pgmcp.errors import ConnectionLostError, DatabaseUnavailableError, PoolTimeoutError
from pgmcp.pool.lease import Grant, Waiter
from pgmcp.pool.making_room import connect_making_room
from pgmcp.pool.slots import Slots
from pgmcp.pool.state import PoolState
from pgmcp.postgres.driver import Connection

log = logging.getLogger("pgmcp.pool")


class Pool:
    """At most `database.pool_max_conns` connections, given out in the order they are asked for.

    It starts no thread and opens nothing until asked; `tick` is its housekeeping, for whoever has
    a thread for it. `draining`: no connection is kept once its lease is over.
    """

    def __init__(
        self,
        database: DatabaseSettings,
        connect: Callable[[Call], Connection],
        slots: Slots | None = None,
        *,
        owner: str = "",
        draining: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._connect = connect
        self._slots = slots or Slots(database.pool_max_conns)
        self._lock = self._slots.lock
        self._clock = clock
        self._state = PoolState(database, owner, self._slots, clock)
        self._state.draining = draining

    def __repr__(self) -> str:
        counts = self.counts
        states = ", ".join(
            f"{counts[name]} {name}" for name in ("idle", "leased", "connecting", "waiting")
        )
        closed = ", closed" if self._state.closed else ""
        most = self._database.pool_max_conns
        return f"<Pool {self._database.name}: {states}, max {most}{closed}>"

    @property
    def counts(self) -> dict[str, int]:
        """How many connections are in which state, and how many callers wait for one."""
        with self._lock:
            return self._state.counts

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
            with self._lock:
                answer = self._state.request(call)
            grant = self._await_turn(answer, call) if isinstance(answer, Waiter) else answer
            if grant.error is not None:
                raise grant.error
            if grant.connection is None:
                return self._open(call, grant.victim)
            if self._is_alive(grant.connection, call):
                return grant.connection

    def _await_turn(self, waiter: Waiter, call: Call) -> Grant:
        """The waiter's grant; PoolTimeoutError, CallEndedError."""
        with call.waiting, call.on_cancel(waiter.woken.set):
            waiter.woken.wait(call.remaining())
        with self._lock:
            # A grant may have come between the end of the wait and this lock: it is taken.
            if waiter.grant is not None:
                return waiter.grant
            # From here on nobody can grant it a connection, which it would not take.
            waited_for = self._state.withdraw(waiter)
        if call.cancelled is not None:
            call.check()
        raise PoolTimeoutError(
            f"no connection to {self._database.name} came free in time: {waited_for}",
            "Try again when other calls have ended.",
        )

    def _is_alive(self, connection: Connection, call: Call) -> bool:
        """Whether an idle connection is as good as new; back in its pool if not."""
        alive = False
        try:
            call.check()
            connection.ensure_clean(call)
            alive = True
        except ConnectionLostError as error:
            log.info("%s: an idle connection was dead: %s", self._database.name, error)
        finally:
            if not alive:
                self._release(connection)
        return alive

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
                        self._database, self._connect, self._slots, call
                    )
            except DatabaseUnavailableError as error:
                with self._lock:
                    self._state.connect_failed(error, self._clock() - started)
                raise
            on_failure.pop_all()
        with self._lock:
            self._state.opened(connection, call)
            closed = self._state.closed
        # The pool was closed while this connected: `close` saw a connection to come, not this one.
        if closed is not None:
            self._release(connection)
            raise closed
        return connection

    def _not_opened(self, call: Call) -> None:
        with self._lock:
            self._state.not_opened(call)

    def _release(self, connection: Connection) -> None:
        with self._lock:
            kept, orphan = self._state.take_back(connection)
        if not kept:
            connection.close()
        if orphan is not None:
            self._slots.orphans.watch(orphan)

    # -- housekeeping ------------------------------------------------------------------------------

    def tick(self) -> None:
        """Close what is idle for too long (but for `pool_min_conns`) or too old."""
        with self._lock:
            to_close = self._state.give_up_overdue()
        _close_all(to_close)

    def drop_idle(self) -> None:
        """Close every idle connection: one of them was found dead without a sign."""
        with self._lock:
            to_close = self._state.give_up_idle()
        _close_all(to_close)

    def drain(self) -> None:
        """Close what is idle, and from now on every connection once its lease is over."""
        with self._lock:
            self._state.draining = True
        self.drop_idle()

    def retire(self) -> bool:
        """Close the pool if nobody uses it and nothing is open; says whether it is closed."""
        with self._lock:
            return self._state.retire()

    def close(self, reason: str) -> None:
        """Cancel what runs, turn away who waits, close what is idle; then comes `wait_ended`."""
        with self._lock:
            calls = self._state.close(reason)
        self.drop_idle()
        for call in calls:
            call.cancel(reason)

    def end_calls(self, ended: Mapping[str, str]) -> None:
        """Cancel the calls with these credentials, each with its reason, wherever they are, and
        close what is idle."""
        with self._lock:
            calls = self._state.calls_of(ended)
        self.drop_idle()
        for call in calls:
            call.cancel(ended[call.key])

    def wait_ended(self, until: float) -> None:
        """After `close`: wait for the leases to end until this time, then cut their lines."""
        state = self._state
        with self._slots.ended:
            self._slots.ended.wait_for(
                lambda: not state.leased and not state.connecting,
                timeout=max(0.0, until - self._clock()),
            )
            stuck = list(state.leased)
        for connection in stuck:
            connection.wire.cut()


def _close_all(connections: Iterable[Connection]) -> None:
    for connection in connections:
        connection.close()
