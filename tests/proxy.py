"""A TCP proxy that does to a connection what networks do: cut, stall, half a message, reset.

The rule: what it does, it does when told and not by chance, so that a test says what it tests.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from collections.abc import Iterator


class Proxy:
    """Listens on `port` of 127.0.0.1 and passes bytes to and from `target` on that host."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.refuse = False
        self.accepted = 0
        self._peers: dict[socket.socket, socket.socket] = {}
        self._clients: set[socket.socket] = set()
        self._answer_left: int | None = None
        self._then_cut = False
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._closing, self._close_me = socket.socketpair()
        self._selector.register(self._closing, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._work, name="proxy", daemon=True)
        self._thread.start()

    def answer_only(self, size: int, *, then_cut: bool = False) -> None:
        """Pass on so many bytes more of what the server says, then stall, or cut the line."""
        with self._lock:
            self._answer_left, self._then_cut = size, then_cut

    def stall(self) -> None:
        """Pass on nothing more of what the server says."""
        self.answer_only(0)

    def resume(self) -> None:
        """Be a good line again, for new connections."""
        self.refuse = False
        with self._lock:
            self._answer_left = None

    def cut(self) -> None:
        """Reset every connection."""
        with self._lock:
            for sock in list(self._clients):
                self._drop(sock)

    def close(self) -> None:
        self._close_me.close()
        self._thread.join(5)
        self.cut()
        self._selector.close()
        self._listener.close()
        self._closing.close()

    def _work(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._closing:
                    return
                with self._lock:
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.fileobj in self._peers:
                        self._pass_on(key.fileobj)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        self.accepted += 1
        if self.refuse:
            _reset(client)
            return
        server = socket.create_connection(("127.0.0.1", self._target))
        self._clients.add(client)
        for sock, peer in ((client, server), (server, client)):
            self._peers[sock] = peer
            self._selector.register(sock, selectors.EVENT_READ)

    def _pass_on(self, sock: socket.socket) -> None:
        from_server = sock not in self._clients
        size = 65536
        if from_server and self._answer_left is not None:
            size = min(size, self._answer_left)
            if size == 0:
                if self._then_cut:
                    self._drop(sock)
                else:
                    self._selector.unregister(sock)
                return
        try:
            data = sock.recv(size)
            if not data:
                raise ConnectionError
            self._peers[sock].sendall(data)
        except OSError:
            self._drop(sock)
            return
        if from_server and self._answer_left is not None:
            self._answer_left -= len(data)

    def _drop(self, sock: socket.socket) -> None:
        peer = self._peers.pop(sock)
        del self._peers[peer]
        for end in (sock, peer):
            self._clients.discard(end)
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(end)
            _reset(end)


def _reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@contextlib.contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    """A proxy for the length of the block."""
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
