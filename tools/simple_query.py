"""Run SQL over PostgreSQL's simple query protocol, on a socket that asks for no password.

The rule: what psql would print, without a process for each text.
Source: PostgreSQL, "Frontend/Backend Protocol", "Message Formats".
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

_PROTOCOL = 3 << 16
_READ_BYTES = 65536


class NotAnsweredError(Exception):
    """The text failed, or asks for more than rows: COPY, a password."""


class Session:
    """A connection to the server at the socket `path`. Raises OSError, NotAnsweredError."""

    def __init__(self, path: str, *, database: str, user: str) -> None:
        words = {"user": user, "database": database, "client_encoding": "UTF8"}
        start = b"".join(f"{key}\0{value}\0".encode() for key, value in words.items())
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(path)
            self._messages = _messages(self._socket)
            self._ask(_sized(struct.pack("!I", _PROTOCOL) + start + b"\0"))
        except BaseException:
            self._socket.close()
            raise

    def rows(self, sql: str) -> list[list[str]]:
        """The rows of all statements of `sql`, NULL as "".

        Several statements are one transaction: nothing is left of them when one fails. Raises
        NotAnsweredError and OSError, after which it is only closed.
        """
        return self._ask(b"Q" + _sized(sql.encode() + b"\0"))

    def close(self) -> None:
        """Close it; the server's process has ended when this returns, unless a text failed."""
        with self._socket, contextlib.suppress(OSError):
            self._socket.sendall(b"X" + _sized(b""))
            for _ in self._messages:
                pass

    def _ask(self, message: bytes) -> list[list[str]]:
        self._socket.sendall(message)
        rows = []
        for kind, content in self._messages:
            if kind == b"D":
                rows.append(list(_values(content)))
            elif kind == b"Z":
                return rows
            elif kind in b"EGHW" or (kind == b"R" and content[:4] != bytes(4)):
                self._socket.shutdown(socket.SHUT_WR)  # the server waits for no more
                raise NotAnsweredError
        raise NotAnsweredError


def _sized(content: bytes) -> bytes:
    return struct.pack("!I", len(content) + 4) + content


def _messages(sock: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    """(type, content) of each message, until the server's process ends."""
    received = bytearray()
    while part := sock.recv(_READ_BYTES):
        received += part
        at = 0
        while at + 5 <= len(received):
            end = at + 1 + int.from_bytes(received[at + 1 : at + 5])
            if end > len(received):
                break
            yield bytes(received[at : at + 1]), bytes(received[at + 5 : end])
            at = end
        del received[:at]


def _values(content: bytes) -> Iterator[str]:
    at = 2
    while at < len(content):
        size = int.from_bytes(content[at : at + 4], signed=True)
        at += 4
        yield content[at : at + max(size, 0)].decode()
        at += max(size, 0)
