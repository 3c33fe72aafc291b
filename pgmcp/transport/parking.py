"""Where connections wait that have nothing to say: one selector for all of them.

The rule: a parked item is owned by the parking alone. Whoever takes it out, by readiness, by its
deadline or by force, takes it out once.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from pgmcp.transport.connection import Wait

T = TypeVar("T")


class Parking(Generic[T]):
    """Items by the descriptor they wait for, and listening sockets beside them.

    `select` and `expired` are called by one thread; everything else by any.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._waits: dict[int, tuple[T, Wait]] = {}
        self._waits_lock = threading.Lock()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._selector.register(self._wake_in, selectors.EVENT_READ)
        # epoll and kqueue notice what is registered while they wait; poll and select do not.
        self._must_wake = type(self._selector).__name__ not in ("EpollSelector", "KqueueSelector")

    def __len__(self) -> int:
        return len(self._waits)

    def park(self, descriptor: int, item: T, wait: Wait) -> None:
        """Keep `item` until its descriptor is ready or its deadline has passed."""
        event = selectors.EVENT_WRITE if wait.write else selectors.EVENT_READ
        with self._waits_lock:
            self._waits[descriptor] = (item, wait)
            self._selector.register(descriptor, event)
        if self._must_wake:
            self.wake()

    def listen(self, listener: socket.socket) -> None:
        """Have `select` report this listening socket when a client waits there."""
        self._selector.register(listener, selectors.EVENT_READ, listener)

    def ignore(self, listener: socket.socket) -> None:
        """Do not report it any more. May be repeated."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(listener)

    def select(self, timeout_seconds: float) -> tuple[list[T], list[socket.socket]]:
        """The items whose descriptors are ready, out of the parking, and the ready listeners."""
        events = self._selector.select(timeout_seconds)
        items: list[T] = []
        listeners: list[socket.socket] = []
        with self._waits_lock:
            for key, _ in events:
                if key.data is not None:
                    listeners.append(key.data)
                elif key.fileobj is self._wake_in:
                    with contextlib.suppress(BlockingIOError):
                        self._wake_in.recv(4096)
                elif key.fd in self._waits:
                    items.append(self._take(key.fd))
        return items, listeners

    def expired(self) -> list[T]:
        """The items whose deadline has passed, out of the parking."""
        now = self._clock()
        with self._waits_lock:
            late = [fd for fd, (_, wait) in self._waits.items() if wait.deadline <= now]
            return [self._take(fd) for fd in late]

    def take_idle(self, count: int | None = None) -> list[T]:
        """Up to `count` idle items, those nearest to their deadline first, out of the parking."""
        with self._waits_lock:
            idle = [(wait.deadline, fd) for fd, (_, wait) in self._waits.items() if wait.idle]
            return [self._take(fd) for _, fd in sorted(idle)[:count]]

    def take_first(self, rank: Callable[[T, Wait], int | None]) -> list[T]:
        """The item of the lowest rank, if any has one, out of the parking: of several, the one
        nearest to its deadline."""
        with self._waits_lock:
            ranked = [
                (place, wait.deadline, fd)
                for fd, (item, wait) in self._waits.items()
                if (place := rank(item, wait)) is not None
            ]
            return [self._take(min(ranked)[2])] if ranked else []

    def take(self, descriptor: int, item: T) -> bool:
        """Take one item out of the parking; False when it is not there (any more)."""
        with self._waits_lock:
            parked = self._waits.get(descriptor)
            if parked is None or parked[0] is not item:  # the descriptor may be another's by now
                return False
            self._take(descriptor)
            return True

    def take_all(self) -> list[T]:
        """Every item, out of the parking."""
        with self._waits_lock:
            return [self._take(fd) for fd in list(self._waits)]

    def wake(self) -> None:
        """Make `select` return soon."""
        with contextlib.suppress(OSError):
            self._wake_out.send(b"\0")

    def close(self) -> None:
        """Close the selector. Nothing is parked any more by then."""
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()

    def _take(self, descriptor: int) -> T:
        self._selector.unregister(descriptor)
        return self._waits.pop(descriptor)[0]
