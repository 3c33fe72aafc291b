"""What each token and user has used of this day, in memory, and what of it is not in the file yet.

The rule: a count never falls within a day, whoever saves it and however often. Who saves takes the
changes out (`unsaved`), adds them to the file, and reports what the file says then (`saved`), or
that it could not (`not_saved`).
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pgmcp.auth.usage import Used

_DAY_SECONDS = 86_400
_MINUTE_SECONDS = 60.0

UsageCounts = Sequence[int]
"""Rows, bytes and calls."""
UsageChanges = Mapping[str, tuple[UsageCounts, UsageCounts]]
"""By owner: what the file does not have yet, and what was used in all."""


@dataclass(slots=True)
class _Owner:
    """`used` in all of the day, of which `unsaved` is in no file; `begun` are the moments of the
    calls of the last minute."""

    used: list[int] = field(default_factory=lambda: [0, 0, 0])
    unsaved: list[int] = field(default_factory=lambda: [0, 0, 0])
    begun: deque[float] = field(default_factory=deque)


class MemoryUsageStore:
    """`auth.usage.UsageStore` in memory. `wall_clock` is in seconds since 1970 (UTC), `clock`
    monotonic."""

    def __init__(
        self,
        *,
        wall_clock: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall_clock = wall_clock
        self._clock = clock
        self._day = 0
        self._known = True
        self._owners: dict[str, _Owner] = {}
        self._saving: dict[int, dict[str, list[int]]] = {}
        self._owners_lock = threading.Lock()

    def begin(self, owner: str, rows: int | None, bytes_: int | None, calls: int | None) -> Used:
        """Count a call, unless so many `rows` or `bytes_` were used today or so many `calls` begun
        within a minute; what was used before it."""
        with self._owners_lock:
            day, known = self._today(), self._known
            entry = self._owner(owner)
            before = Used(day, entry.used[0], entry.used[1], 0, known)
            if rows is not None and (before.rows >= rows or not known):
                return before
            if bytes_ is not None and (before.bytes >= bytes_ or not known):
                return before
            if calls is not None and (seconds := self._wait(entry.begun, calls)):
                return before._replace(wait_seconds=seconds)
            _add(entry, 0, 0, 1)
            return before

    def take(self, owner: str, count: int, size: int, rows: int | None, bytes_: int | None) -> Used:
        """Count `count` rows and `size` bytes, each up to its limit; what was used before. Negative
        numbers take back."""
        with self._owners_lock:
            day = self._today()
            entry = self._owner(owner)
            before = Used(day, entry.used[0], entry.used[1], 0, self._known)
            _add(entry, _granted(count, before.rows, rows), _granted(size, before.bytes, bytes_), 0)
            return before

    # -- the file ----------------------------------------------------------------------------------

    def unsaved(self, saver: int = 0) -> tuple[int, UsageChanges]:
        """The day, and what the file does not have. `saver` is who will say what became of it."""
        with self._owners_lock:
            day = self._today()
            changes: dict[str, tuple[UsageCounts, UsageCounts]] = {}
            saving = self._saving.setdefault(saver, {})
            for name, entry in self._owners.items():
                if any(entry.unsaved):
                    more, entry.unsaved = entry.unsaved, [0, 0, 0]
                    saving[name] = _sum(saving.get(name, (0, 0, 0)), more)
                    changes[name] = (more, list(entry.used))
            return day, changes

    def saved(self, day: int, totals: Mapping[str, UsageCounts], saver: int = 0) -> None:
        """Take over what the file of this day says, in which the changes of the saver are."""
        with self._owners_lock:
            self._saving.pop(saver, None)
            self._known = True
            if day != self._today():
                return
            for name, counts in totals.items():
                entry = self._owner(name)
                # The larger: another saver's report may be older than what was counted since.
                entry.used = list(map(max, entry.used, _sum(counts, entry.unsaved)))

    def not_saved(self, saver: int = 0) -> None:
        """The changes that a saver took are still to be saved."""
        with self._owners_lock:
            for name, counts in self._saving.pop(saver, {}).items():
                entry = self._owner(name)
                entry.unsaved = _sum(entry.unsaved, counts)

    def unknown(self) -> None:
        """What was used today cannot be told: until the day is over, or `saved`, all of it."""
        with self._owners_lock:
            self._today()
            self._known = False

    # -- under the lock ----------------------------------------------------------------------------

    def _today(self) -> int:
        """The day now. A clock that is set back does not begin a day anew."""
        day = int(self._wall_clock()) // _DAY_SECONDS
        if day > self._day:
            self._day, self._known = day, True
            self._saving.clear()
            self._owners = {
                name: _Owner(begun=entry.begun)
                for name, entry in self._owners.items()
                if entry.begun  # a minute does not end with its day
            }
        return self._day

    def _owner(self, name: str) -> _Owner:
        entry = self._owners.get(name)
        if entry is None:
            entry = self._owners[name] = _Owner()
        return entry

    def _wait(self, begun: deque[float], calls: int) -> int:
        """Seconds until one more call may begin, which is counted when that is 0."""
        now = self._clock()
        while begun and begun[0] <= now - _MINUTE_SECONDS:
            begun.popleft()
        if len(begun) >= calls:
            return max(1, math.ceil(_MINUTE_SECONDS - (now - begun[-calls])))
        begun.append(now)
        return 0


def _granted(wanted: int, used: int, limit: int | None) -> int:
    """How much is counted of what is wanted; negative as far as something was used."""
    return max(-used, wanted if limit is None else min(wanted, max(0, limit - used)))


def _add(entry: _Owner, *counts: int) -> None:
    for place, count in enumerate(counts):
        entry.used[place] += count
        entry.unsaved[place] += count


def _sum(some: UsageCounts, more: UsageCounts) -> list[int]:
    return [a + b for a, b in zip(some, more, strict=True)]
