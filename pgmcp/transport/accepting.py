"""The listening sockets of a server: accepting clients, and a pause while descriptors are short.

The rule: a client that cannot be accepted waits in the backlog, and is not asked for in a loop.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence
from typing import Any

from pgmcp.transport.readiness import Waking, readiness

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_ACCEPTS_PER_ROUND = 128
_PAUSE_SECONDS = 1.0


class Acceptor:
    """Accepts from listening sockets; for one thread, but for `close` and `wake`.

    `admit` is called with each client's socket and address; an OSError of it closes the socket.
    """

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        admit: Callable[[socket.socket, Any], object],
        clock: Callable[[], float],
    ) -> None:
        self._listeners = listeners
        self._readiness = readiness()
        self._waking = Waking(self._readiness)
        self.wake = self._waking.wake
        """Make `wait` return soon."""
        self._by_descriptor: dict[int, socket.socket] = {}
        self._admit = admit
        self._clock = clock
        self._paused_until: float | None = None
        self._closed = False
        for listener in listeners:
            listener.setblocking(False)

    def begin(self) -> None:
        """Have `wait` report clients that wait to be accepted."""
        for listener in self._listeners:
            self._by_descriptor[listener.fileno()] = listener
            self._readiness.keep(listener.fileno())

    def wait(self, timeout_seconds: float) -> list[socket.socket]:
        """The listeners at which clients wait, after so much time at most."""
        ready = self._readiness.wait(timeout_seconds)
        if self._waking.descriptor in ready:
            self._waking.heard()
        return [self._by_descriptor[fd] for fd in ready if fd in self._by_descriptor]

    def accept(self, listener: socket.socket) -> OSError | None:
        """Accept the clients that wait; the error where there is no descriptor for another, for
        which `pause` makes time."""
        for _ in range(_ACCEPTS_PER_ROUND):
            if self._closed:
                return None
            try:
                sock, client_address = listener.accept()
            except OSError as error:
                return error if error.errno in _EXHAUSTED else None
            try:
                self._admit(sock, client_address)
            except OSError:  # gone already
                sock.close()
        return None

    def pause(self) -> None:
        """Leave new clients in the backlog for a while: the selector would report them for ever."""
        for listener in self._listeners:
            self._ignore(listener)
        self._paused_until = self._clock() + _PAUSE_SECONDS

    def end_pause_when_over(self) -> None:
        """Accept again after a `pause`; to be called from time to time."""
        if self._paused_until is not None and self._clock() >= self._paused_until:
            self._paused_until = None
            if not self._closed:
                self.begin()

    def close(self) -> None:
        """Accept no client any more; for any thread."""
        self._closed = True
        for listener in self._listeners:
            self._ignore(listener)
            listener.close()

    def end(self) -> None:
        """Give the descriptors back, once nobody waits any more."""
        self._readiness.close()
        self._waking.close()

    def _ignore(self, listener: socket.socket) -> None:
        if self._by_descriptor.pop(listener.fileno(), None) is not None:
            self._readiness.drop(listener.fileno())
