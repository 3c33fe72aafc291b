"""Where connections wait that have nothing to say: one selector for all of them.

The rule: a parked item is owned by the parking alone. Whoever takes it out, by readiness, by its
deadline or by force, takes it out once.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from pgmcp.transport.connection import Wait
from pgmcp.transport.readiness import readiness

T = TypeVar("T")


class Parking(Generic[T]):
    """Items by the descriptor they wait for, and listening sockets beside them.

    `select` and `expired` are called by one thread; everything else by any.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._readiness = readiness()
        self._waits: dict[int, tuple[T, Wait]] = {}
        self._listeners: dict[int, socket.socket] = {}
        self._waits_lock = threading.Lock()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._readiness.keep(self._wake_in.fileno())

    def __len__(self) -> int:
        return len(self._waits)

    def park(self, descriptor: int, item: T, wait: Wait) -> None:
        """Keep `item` until its descriptor is ready or its deadline has passed."""
        with self._waits_lock:
            self._waits[descriptor] = (item, wait)
            self._readiness.arm(descriptor, write=wait.write)
        if self._readiness.must_wake:
            self.wake()

    def listen(self, listener: socket.socket) -> None:
        """Have `select` report this listening socket when a client waits there."""
        self._listeners[listener.fileno()] = listener
        self._readiness.keep(listener.fileno())

    def ignore(self, listener: socket.socket) -> None:
        """Do not report it any more. May be repeated."""
        if self._listeners.pop(listener.fileno(), None) is not None:
            self._readiness.drop(listener.fileno())

    def select(self, timeout_seconds: float) -> tuple[list[T], list[socket.socket]]:
        """The items whose descriptors are ready, out of the parking, and the ready listeners."""
        ready = self._readiness.wait(timeout_seconds)
        items: list[T] = []
        listeners: list[socket.socket] = []
        with self._waits_lock:
            for descriptor in ready:
                # It may have been taken, or closed, since it was ready.
                parked = self._waits.pop(descriptor, None)
                if parked is not None:
                    items.append(parked[0])
                elif descriptor in self._listeners:
                    listeners.append(self._listeners[descriptor])
                elif descriptor == self._wake_in.fileno():
                    with contextlib.suppress(BlockingIOError):
                        self._wake_in.recv(4096)
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

    def take(self, descriptor: int, item: T, *, idle: bool | None = None) -> bool:
        """Take one item out of the parking; False when it is not there (any more), or is idle and
        should not be, or the other way round."""
        with self._waits_lock:
            parked = self._waits.get(descriptor)
            if parked is None or parked[0] is not item:  # the descriptor may be another's by now
                return False
            if idle is not None and parked[1].idle != idle:
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
        self._readiness.close()
        self._wake_in.close()
        self._wake_out.close()

    def _take(self, descriptor: int) -> T:
        self._readiness.drop(descriptor)
        return self._waits.pop(descriptor)[0]
