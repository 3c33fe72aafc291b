"""How connections come to worker processes: the parent accepts them, and passes each on.

The rule: a connection goes to the worker that has the fewest. Where workers accept by themselves,
the one that was awake last takes one after the other, and keeps them.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Sequence
from typing import Any

_ACCEPTS_PER_ROUND = 128
_CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


class PassedListener(socket.socket):
    """A listening socket of the parent as a worker has it: `accept` takes what was passed on."""

    def __init__(self, channel: socket.socket, listener: socket.socket) -> None:
        self._name = listener.getsockname()
        super().__init__(fileno=channel.detach())

    def accept(self) -> tuple[socket.socket, Any]:
        """A connection, and the address of its other end; OSError when there is none now."""
        _, descriptors, _, _ = socket.recv_fds(self, 1, 1, _CLOSE_ON_EXEC)
        if not descriptors:
            raise OSError(errno.ECONNABORTED, "the parent process is gone")
        sock = socket.socket(fileno=descriptors[0])
        try:
            return sock, sock.getpeername()
        except OSError:  # gone already
            sock.close()
            raise

    def getsockname(self) -> Any:
        """The address that the parent listens on."""
        return self._name


class Doors:
    """The parent's listening sockets, and for each worker its channels: one for each of them.

    `open_connections` are what each worker said last, and how many it was passed since.
    """

    def __init__(self, listeners: Sequence[socket.socket]) -> None:
        self.listeners = list(listeners)
        self.open_connections: dict[int, int] = {}
        self._channels: dict[int, list[socket.socket]] = {}
        for listener in listeners:
            listener.setblocking(False)

    def add(self, worker: int) -> list[socket.socket]:
        """Make channels for a worker; its ends of them."""
        pairs = [socket.socketpair() for _ in self.listeners]
        for ours, _ in pairs:
            ours.setblocking(False)
        self._channels[worker] = [ours for ours, _ in pairs]
        self.open_connections[worker] = 0
        return [theirs for _, theirs in pairs]

    def remove(self, worker: int) -> None:
        """Close the channels of a worker that has ended."""
        del self.open_connections[worker]
        for channel in self._channels.pop(worker):
            channel.close()

    def close_channels(self) -> None:
        """In a new process: let go of the ends that are the parent's."""
        for channels in self._channels.values():
            for channel in channels:
                channel.close()

    def accept(self, number: int) -> bool:
        """Accept what waits at a listening socket, and pass it on. False when that cannot be done
        now: to try again at once would lead to the same."""
        for _ in range(_ACCEPTS_PER_ROUND):
            try:
                sock, _ = self.listeners[number].accept()
            except (BlockingIOError, ConnectionAbortedError):
                return True
            except OSError:  # such as too many descriptors: clients wait in the backlog
                return False
            with sock:
                if not self._pass(sock, number):
                    return False
        return True

    def _pass(self, sock: socket.socket, number: int) -> bool:
        """Pass a connection on to the worker with the fewest that takes one; whether one did."""
        for worker in sorted(self.open_connections, key=self.open_connections.__getitem__):
            with contextlib.suppress(OSError):  # it takes none: it stops, or does not move
                socket.send_fds(self._channels[worker][number], [b"."], [sock.fileno()])
                self.open_connections[worker] += 1
                return True
        return False

    def close(self) -> None:
        """Listen no more."""
        for listener in self.listeners:
            listener.close()
