"""Which connection makes room for a new client when as many are open as there may be.

The rule: connections that have not authenticated go before those that have, those of whoever has
the most of them go first, and a client with many of them costs nobody else any. No I/O.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache

_SUMMARY_SECONDS = 60.0

Rank = Callable[[str, bool, bool], int | None]
"""From a connection's address key, whether it has authenticated and whether it is idle: when it
goes, the lowest first; None: it stays."""


def eviction_rank(newcomer: str, connections: Iterable[tuple[str, bool]]) -> Rank:
    """Who goes for a newcomer; all by `addresses.address_key`.

    `connections` are the keys of those that are open, and whether each has authenticated. A
    request under way ends only for another address than its own, so clients behind one proxy cost
    each other nothing.
    """
    # Counted in C: a flood of clients at the limit comes here for each of them.
    pairs = Counter(connections)
    unknown, everybody = Counter([newcomer]), Counter([newcomer])
    for (key, known), count in pairs.items():
        everybody[key] += count
        if not known:
            unknown[key] += count
    most_unknown, most = _largest(unknown, newcomer), _largest(everybody, newcomer)
    first = unknown[newcomer] == 1

    @cache
    def rank(key: str, known: bool, idle: bool) -> int | None:
        if not known:
            if key == most_unknown and (idle or key != newcomer):
                return 0 if idle else 1
            return (2 if idle else 3) if first and key != newcomer else None
        if key == newcomer:
            return 4 if idle and most == newcomer else None
        if not first:
            return None
        if idle:
            return 4 if key == most else 5
        return 6 if key == most else None

    return rank


class EvictionReport:
    """What the limit cost, counted for the log: one line when it begins, and one a minute."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: float | None = None
        self.closed = 0
        self.refused = 0

    def add(self, *, closed: int) -> bool:
        """Count the connections that were closed; whether this begins a minute to be counted."""
        self.closed += closed
        if self._until is not None:
            return False
        self._until = self._clock() + _SUMMARY_SECONDS
        return True

    def summary(self) -> str | None:
        """What a minute that has ended brought, once; None before, and for a minute of nothing."""
        if self._until is None or self._clock() < self._until:
            return None
        closed, refused, self.closed, self.refused = self.closed, self.refused, 0, 0
        if not closed and not refused:
            self._until = None
            return None
        self._until = self._clock() + _SUMMARY_SECONDS
        return f"{closed} closed, {refused} refused"


def _largest(counts: Counter[str], newcomer: str) -> str:
    return max(counts, key=lambda key: (counts[key], key == newcomer))
