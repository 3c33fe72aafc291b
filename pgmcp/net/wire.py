"""A socket whose every wait has an end: a deadline, or somebody who says that it is enough.

The rule: whoever waits here does so until `until`, a time of the clock, and not for so many
seconds a read, so that a peer who sends one byte at a time gains nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from pgmcp.net.polling import READ, WRITE, Waits, WaitsAlone, new_poll

T = TypeVar("T")

CHUNK_BYTES = 65536
_LONGEST_WAIT_SECONDS = 86_400.0  # poll takes no more milliseconds than fit into an integer


class WireTimeoutError(Exception):
    """The deadline passed first."""


class WireInterruptedError(Exception):
    """Somebody called `interrupt`."""


class WireClosedError(Exception):
    """The peer is gone, or the network between."""


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__


_ALONE = WaitsAlone()


class Wire:
    """A connected socket, for one thread; only `interrupt` and `cut` may come from another.

    It waits as `waiting` does. `makefile`, `read`, `write` and `flush` are what pg8000 asks of
    a socket while it starts up.
    """

    def __init__(self, sock: socket.socket, clock: Callable[[], float] = time.monotonic) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.until = clock()
        self.waiting: Waits = _ALONE
        self._clock = clock
        self._unsent = bytearray()
        # a descriptor that was closed may by now be somebody else's
        self._close_lock = threading.Lock()
        self._waker, self._wakened = socket.socketpair()
        self._waker.setblocking(False)
        self._wakened.setblocking(False)
        self._poll = new_poll()
        self._waits_for = READ
        self._poll.register(sock.fileno(), READ)
        self._wakened_fd = self._wakened.fileno()
        self._poll.register(self._wakened_fd, READ)
        self._descriptors = (sock.fileno(), self._wakened_fd)

    # -- waiting -----------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """Wake whoever waits here, now or next. Any thread, any time, even after `close`."""
        with self._close_lock, contextlib.suppress(OSError):
            self._waker.send(b"!")

    def _wait(self, events: int) -> None:
        if events != self._waits_for:
            self._poll.register(self.sock.fileno(), events)
            self._waits_for = events
        left = self.until - self._clock()
        if left <= 0:
            raise WireTimeoutError
        left = min(left, _LONGEST_WAIT_SECONDS)
        if events == READ:
            ready = self.waiting.until_readable(self._poll, self._descriptors, left)
        else:
            with self.waiting:
                ready = self._poll.poll(left * 1000)
        if not ready and self._clock() >= self.until:
            raise WireTimeoutError
        for descriptor, _ in ready:
            if descriptor == self._wakened_fd:
                with contextlib.suppress(OSError):
                    self._wakened.recv(64)
                raise WireInterruptedError

    def _retry(self, attempt: Callable[[], T], events: int = READ) -> T:
        """`attempt` again and again, until it does not have to wait."""
        while True:
            try:
                return attempt()
            except BlockingIOError:
                self._wait(events)
            except ssl.SSLWantReadError:
                self._wait(READ)
            except ssl.SSLWantWriteError:
                self._wait(WRITE)
            except OSError as error:
                raise WireClosedError(_reason(error)) from error

    def connect(self, address: Any) -> None:
        """Reach the other end; OSError when it cannot be reached."""
        error = self.sock.connect_ex(address)
        if error == errno.EINPROGRESS:
            self._wait(WRITE)
            error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))

    # -- bytes -------------------------------------------------------------------------------------

    def receive(self, size: int = CHUNK_BYTES) -> bytes:
        """What has arrived, waiting for it; never empty."""
        if not isinstance(self.sock, ssl.SSLSocket):
            self._wait(READ)  # an answer is never there at once: spare a system call
        data = self._retry(lambda: self.sock.recv(size))
        if not data:
            raise WireClosedError("the server closed the connection")
        return data

    def has_arrived(self) -> bool:
        """Whether there may be something to read, or the peer may be gone; costs no exception."""
        return self.tls or bool(self._poll.poll(0))

    def arrived(self) -> bytes:
        """What has arrived, without waiting; may be empty."""
        try:
            data = self.sock.recv(CHUNK_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return b""
        except OSError as error:
            raise WireClosedError(_reason(error)) from error
        if not data:
            raise WireClosedError("the server closed the connection")
        return data

    def send(self, data: bytes) -> None:
        """Send all of it."""
        if data and not self._unsent:
            sent = self._send_now(data)
            if sent == len(data):
                return
            data = data[sent:]
        self._unsent += data  # kept, also when the waiting is interrupted
        while self._unsent:
            del self._unsent[: self._retry(self._send_some, WRITE)]

    def _send_now(self, data: bytes) -> int:
        """Send what goes out without waiting; how many bytes that were."""
        try:
            return self.sock.send(data)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        except OSError as error:
            raise WireClosedError(_reason(error)) from error

    def _send_some(self) -> int:
        return self.sock.send(self._unsent)

    def start_tls(self, context: ssl.SSLContext, server_hostname: str | None) -> None:
        """Shake hands; ssl.SSLError when the two sides do not agree."""
        try:
            self.sock = context.wrap_socket(
                self.sock, server_hostname=server_hostname, do_handshake_on_connect=False
            )
        except ssl.SSLError:
            raise
        except OSError as error:  # gone already
            raise WireClosedError(_reason(error)) from error
        try:
            self._retry(self.sock.do_handshake)
        except WireClosedError as error:
            if isinstance(error.__cause__, ssl.SSLError):
                raise error.__cause__ from None
            raise

    @property
    def tls(self) -> bool:
        """Whether the bytes travel encrypted."""
        return isinstance(self.sock, ssl.SSLSocket)

    def cut(self) -> None:
        """End the connection under whoever uses it. Any thread; `close` must still follow."""
        with self._close_lock, contextlib.suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Give everything back; the second time does nothing."""
        with self._close_lock:
            for sock in (self.sock, self._waker, self._wakened):
                sock.close()

    # -- as pg8000 sees it -------------------------------------------------------------------------

    def makefile(self, mode: str) -> Wire:  # noqa: ARG002 - socket.makefile's signature
        """Itself: reading and writing here is bounded, and takes no byte too many."""
        return self

    def read(self, size: int) -> bytes:
        """At most `size` bytes, at least one; none only when none are asked for."""
        return self.receive(size) if size else b""

    def write(self, data: bytes) -> None:
        """Keep it for `flush`."""
        self._unsent += data

    def flush(self) -> None:
        """Send what was written."""
        self.send(b"")
