"""Orphaned backends: server processes that run on although their connection was closed.

PostgreSQL looks for an interruption in most places, not in all. `position` in a long text and `&&`
on large arrays run to their end, past timeout, cancel and terminate; hanging up ends none of them.

The rule: the slot of such a process is given back when the server itself, asked over a connection
of its own, does not list the process any more. What cannot be asked counts as at work, and is
given up after `UNCONFIRMED_SECONDS`: a server that is lost ends its processes sooner or later.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from pgmcp.errors import PoolTimeoutError

log = logging.getLogger("pgmcp.pool")

UNCONFIRMED_SECONDS = 60.0
"""How long a slot is kept for a process of which nothing can be learned: behind a pooler such as
PgBouncer, which bounds its own connections, or while the server cannot be reached."""
FIRST_ASK_SECONDS = 0.1
LAST_ASK_SECONDS = 5.0
"""Between two questions: from the first, doubled each time, to the last."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A server process: on which server, since when that has been running, and since when it."""

    pid: int
    began: str
    address: str
    server_began: str


class ProcessList(Protocol):
    """The processes of a server, to be asked for; equal when the same server is asked."""

    def running(self, backends: Collection[Backend]) -> frozenset[Backend] | None:
        """Those that the server still has; None when it could not be asked."""


@dataclass(slots=True, eq=False)
class OrphanedBackend:
    """A process that outlived `owner`'s connection to `database`; `among` those of its pool.

    `backend` is None where a pooler hides it. `confirmed`: the server said that it is there.
    `counted_until`: until then it counts also while the server cannot be asked.
    """

    owner: str
    database: str
    process_list: ProcessList
    backend: Backend | None
    among: list[OrphanedBackend]
    confirmed: bool = False
    counted_until: float = 0.0


class OrphanedBackends:
    """All orphaned backends of a server. It has a thread only while there are any.

    `give_back` is called after each question with those that are gone, each once; often none.
    """

    def __init__(
        self, give_back: Callable[[Sequence[OrphanedBackend]], None], clock: Callable[[], float]
    ) -> None:
        self._give_back = give_back
        self._clock = clock
        self._orphans: list[OrphanedBackend] = []
        self._changed = threading.Condition()
        self._asking = False
        self._closed = False
        self._pause = FIRST_ASK_SECONDS

    def watch(self, orphan: OrphanedBackend) -> None:
        """Ask for this one until it is gone."""
        orphan.counted_until = self._clock() + UNCONFIRMED_SECONDS
        with self._changed:
            if self._closed:
                return
            self._orphans.append(orphan)
            self._pause = FIRST_ASK_SECONDS
            self._changed.notify()
            start, self._asking = not self._asking, True
        if start:
            threading.Thread(
                target=self._ask_until_none, name="orphaned backends", daemon=True
            ).start()

    def close(self) -> None:
        """Ask no more: the program ends."""
        with self._changed:
            self._closed = True
            self._orphans.clear()
            self._changed.notify()

    def _ask_until_none(self) -> None:
        while True:
            with self._changed:
                if not self._orphans:
                    self._asking = False  # under the lock: who adds one now starts a thread
                    return
                orphans = self._orphans.copy()
            gone = self._ask(orphans)
            with self._changed:
                self._orphans = [item for item in self._orphans if item not in gone]
            self._give_back(gone)
            with self._changed:
                if self._orphans:
                    self._changed.wait(self._pause)
                    self._pause = min(LAST_ASK_SECONDS, 2 * self._pause)

    def _ask(self, orphans: Collection[OrphanedBackend]) -> list[OrphanedBackend]:
        """Those whose slots are to be given back. One question for each server."""
        gone = []
        for process_list in {item.process_list for item in orphans}:
            here = [item for item in orphans if item.process_list == process_list]
            known = {item.backend for item in here if item.backend is not None}
            there = process_list.running(known) if known else None
            gone += [item for item in here if self._is_over(item, there)]
        return gone

    def _is_over(self, item: OrphanedBackend, there: frozenset[Backend] | None) -> bool:
        now = self._clock()
        if there is None or item.backend is None:
            if now < item.counted_until:
                return False
            log.warning(
                "%s: whether a statement has ended could not be learned for %g s; its connection "
                "counts no more",
                item.database,
                UNCONFIRMED_SECONDS,
            )
            return True
        pid = item.backend.pid
        if item.backend in there:
            item.counted_until = now + UNCONFIRMED_SECONDS
            if not item.confirmed:
                item.confirmed = True
                log.warning(
                    "%s: process %d did not stop when it was told to: PostgreSQL cannot interrupt "
                    "what it does. Its connection stays counted until it ends",
                    item.database,
                    pid,
                )
            return False
        if item.confirmed:
            log.info("%s: process %d has ended", item.database, pid)
        return True


def all_uninterruptible(number: int, database: str) -> PoolTimeoutError:
    """What a caller is told for whom only such processes are there."""
    return PoolTimeoutError(
        f"all {number} connections to {database} are held by earlier statements that PostgreSQL "
        "cannot interrupt and that still run",
        "Try again when they have ended; the log of this server names their processes.",
    )
