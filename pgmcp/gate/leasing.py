"""Work on a leased connection, once more where the connection had died without a sign.

The rule: only a read is done twice, and only if the server had answered nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pgmcp.calls.call import Call
from pgmcp.errors import ConnectionLostError, PoolClosedError
from pgmcp.pool.pool import Pool
from pgmcp.postgres.driver import Connection

T = TypeVar("T")

RESTED_SECONDS = 1.0
"""A connection idle for longer may have died without a sign; one used just now has not."""


class Leasing:
    """The connections of one call. `pool` gives the pool that is current; it may be another one
    each time, since a pool that nobody used is closed."""

    def __init__(self, pool: Callable[[], Pool], call: Call) -> None:
        self._pool = pool
        self._call = call

    def run(self, work: Callable[[Connection], T]) -> T:
        """What `work` gives on a connection; once more when one that had been idle turns out to
        have died unnoticed. Raises what `work` raises, and as `Pool.lease`."""
        try:
            return self._run_once(work)
        except _DiedIdleError as died:
            died.pool.drop_idle()  # the others may have died of the same
        try:
            return self._run_once(work)
        except _DiedIdleError as died:
            raise died.lost from None

    def _run_once(self, work: Callable[[Connection], T]) -> T:
        while True:
            pool = self._pool()
            try:
                with pool.lease(self._call) as connection:
                    try:
                        return work(connection)
                    except ConnectionLostError as lost:
                        if not lost.answered and connection.idle_seconds > RESTED_SECONDS:
                            raise _DiedIdleError(lost, pool) from lost
                        raise
            except PoolClosedError as closed:
                if not closed.unused:  # else another pool takes its place
                    raise


class _DiedIdleError(Exception):
    """A connection was lost before it answered, after it had been idle."""

    def __init__(self, lost: ConnectionLostError, pool: Pool) -> None:
        super().__init__(str(lost))
        self.lost = lost
        self.pool = pool
