"""Which connection makes room for a new client when as many are open as there may be.

The rule: connections that have not authenticated go before those that have, those of whoever has
the most of them go first, and a client with many of them costs nobody else any. A flood of clients
at the limit comes here for each of them, so that deciding takes as long for 5,000 open connections
as for 5. No I/O.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

_SUMMARY_SECONDS = 60.0
_MOST_TRIES = 256
"""So many connections of a kind are tried. Those that do not go are tried last the next time."""

C = TypeVar("C", bound=Hashable)
Take = Callable[[C, bool], bool]
"""Takes a connection out of service, if it is idle (True) or in a request under way (False) and
nobody works on it; whether it did."""


class OpenConnections(Generic[C]):
    """The open connections by address key (`addresses.address_key`) and whether they have
    authenticated, in the order in which they came. For holders of one lock."""

    def __init__(self) -> None:
        self._keys: dict[C, tuple[str, bool]] = {}
        self._everybody = _Counts()
        self._of_kind = {known: _Kind[C]() for known in (False, True)}

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[C]:
        return iter(self._keys)

    def add(self, connection: C, key: str) -> None:
        """Count a connection that has not authenticated."""
        self._keys[connection] = (key, False)
        self._everybody.add(key)
        self._of_kind[False].add(connection, key)

    def change(self, connection: C, *, known: bool) -> None:
        """Note whether a connection's latest request brought a valid credential."""
        key, before = self._keys[connection]
        if known != before:
            self._keys[connection] = (key, known)
            self._of_kind[before].remove(connection, key)
            self._of_kind[known].add(connection, key)

    def remove(self, connection: C) -> None:
        """Forget a connection. May be repeated."""
        if connection in self._keys:
            key, known = self._keys.pop(connection)
            self._everybody.remove(key)
            self._of_kind[known].remove(connection, key)

    def make_room(self, newcomer: str, take: Take[C]) -> C | None:
        """The connection that went for a client of this key; None when none may.

        A request under way ends only for another address than its own, so clients behind one proxy
        cost each other nothing. A client that has a connection already which has not authenticated
        costs only its own, and those of whoever has the most.
        """
        unknown, known = self._of_kind[False], self._of_kind[True]
        most_unknown, most = unknown.counts.largest(newcomer), self._everybody.largest(newcomer)
        first = not unknown.counts[newcomer]
        # Whether it may be one of this kind, of this key (None: of any but the newcomer's), idle.
        tries = (
            (True, unknown, most_unknown, True),
            (most_unknown != newcomer, unknown, most_unknown, False),
            (first, unknown, None, True),
            (first, unknown, None, False),
            (first or most == newcomer, known, most, True),
            (first, known, None, True),
            (first and most != newcomer, known, most, False),
        )
        for may, kind, key, idle in tries:
            gone = self._take_one(kind, key, idle, newcomer, take) if may else None
            if gone is not None:
                return gone
        return None

    def _take_one(
        self, kind: _Kind[C], key: str | None, idle: bool, newcomer: str, take: Take[C]
    ) -> C | None:
        if key is not None:
            return kind.first_of(key, lambda c: take(c, idle))
        return kind.first(lambda c: self._keys[c][0] != newcomer and take(c, idle))


class _Kind(Generic[C]):
    """Connections that have authenticated, or those that have not."""

    def __init__(self) -> None:
        self.counts = _Counts()
        self._all: OrderedDict[C, None] = OrderedDict()
        self._by_key: defaultdict[str, OrderedDict[C, None]] = defaultdict(OrderedDict)

    def add(self, connection: C, key: str) -> None:
        self.counts.add(key)
        self._all[connection] = self._by_key[key][connection] = None

    def remove(self, connection: C, key: str) -> None:
        self.counts.remove(key)
        del self._all[connection]
        del self._by_key[key][connection]
        if not self._by_key[key]:
            del self._by_key[key]

    def first(self, goes: Callable[[C], bool]) -> C | None:
        """The first of all that goes."""
        return _first(self._all, goes)

    def first_of(self, key: str, goes: Callable[[C], bool]) -> C | None:
        """The first of a key that goes."""
        return _first(self._by_key.get(key, OrderedDict()), goes)


class _Counts(Counter[str]):
    """How many connections each key has, and which has the most, found without a look at all."""

    def __init__(self) -> None:
        super().__init__()
        self._by_count: defaultdict[int, dict[str, None]] = defaultdict(dict)
        self._most = 0

    def add(self, key: str) -> None:
        self._move(key, self[key] + 1)
        self._most = max(self._most, self[key])

    def remove(self, key: str) -> None:
        self._move(key, self[key] - 1)
        if not self._by_count.get(self._most):
            self._most = max(0, self._most - 1)

    def largest(self, newcomer: str) -> str:
        """The key that has the most, once a newcomer has one more: of several the newcomer's."""
        return (
            newcomer if self[newcomer] + 1 >= self._most else next(iter(self._by_count[self._most]))
        )

    def _move(self, key: str, count: int) -> None:
        before = self._by_count.get(self[key], {})
        before.pop(key, None)
        if not before:
            self._by_count.pop(self[key], None)
        if count:
            self._by_count[count][key] = None
            self[key] = count
        else:
            del self[key]


def _first(connections: OrderedDict[C, None], goes: Callable[[C], bool]) -> C | None:
    for _ in range(min(len(connections), _MOST_TRIES)):
        connection = next(iter(connections))
        if goes(connection):
            return connection
        connections.move_to_end(connection)
    return None


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
