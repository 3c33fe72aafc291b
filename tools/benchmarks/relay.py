"""A relay between a server and PostgreSQL that counts messages.

The rule: bytes pass as they come; only what the client of PostgreSQL sends is looked at, by the
frames of its protocol (PostgreSQL documentation, "Message Formats").
"""

from __future__ import annotations

import collections
import contextlib
import socket
import threading
from collections.abc import Iterator

_READ_BYTES = 1 << 16


class Counter:
    """Messages by their type, writes and bytes, of all connections together."""

    def __init__(self) -> None:
        self.messages: collections.Counter[str] = collections.Counter()
        self.bytes = self.reads = 0
        self._count_lock = threading.Lock()

    def add(self, types: list[str], size: int) -> None:
        """Count what one read brought."""
        with self._count_lock:
            self.messages.update(types)
            self.bytes += size
            self.reads += 1

    def clear(self) -> None:
        """Begin again."""
        with self._count_lock:
            self.messages.clear()
            self.bytes = self.reads = 0


class Frames:
    """Cuts a client's stream into messages; the first one has no type."""

    def __init__(self) -> None:
        self._rest = b""
        self._begun = False

    def feed(self, data: bytes) -> list[str]:
        """The types of the messages that are whole now."""
        self._rest += data
        types: list[str] = []
        while True:
            start = 1 if self._begun else 0
            if len(self._rest) < start + 4:
                return types
            end = start + int.from_bytes(self._rest[start : start + 4])
            if len(self._rest) < end:
                return types
            types.append(self._rest[:1].decode("latin-1") if self._begun else "startup")
            self._rest, self._begun = self._rest[end:], True


@contextlib.contextmanager
def counting(host: str, port: int) -> Iterator[tuple[int, Counter]]:
    """A relay to PostgreSQL; its port, and what it counts."""
    counter = Counter()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_accept, args=(listener, host, port, counter))
        thread.start()
        try:
            yield listener.getsockname()[1], counter
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _accept(listener: socket.socket, host: str, port: int, counter: Counter) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:  # shut down
            return
        server = socket.create_connection((host, port))
        for line in (client, server):
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for source, target, frames in ((client, server, Frames()), (server, client, None)):
            threading.Thread(
                target=_pass_on, args=(source, target, frames, counter), daemon=True
            ).start()


def _pass_on(
    source: socket.socket, target: socket.socket, frames: Frames | None, counter: Counter
) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_READ_BYTES):
            if frames is not None:
                counter.add(frames.feed(data), len(data))
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
    if frames is None:
        # The server's side ends last: by now both directions are over.
        source.close()
        target.close()
