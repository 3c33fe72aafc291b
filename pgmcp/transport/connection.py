"""One client's socket, never blocking: what must be waited for is yielded to whoever can wait.

The rule: no method holds a thread. Reading, writing and shaking hands are generators that yield a
`Wait` and try again when they are resumed, so that a slow client costs its socket and no more.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from collections.abc import Callable, Generator, Mapping
from enum import Enum, auto
from functools import partial
from typing import Any, NamedTuple, ParamSpec, TypeVar

from pgmcp.transport.call_queue import QueuedCall

P = ParamSpec("P")
T = TypeVar("T")
READ_BYTES = 16 * 1024
_READS_PER_TURN = 16
"""How often a client may have the next bytes ready before others get a turn."""


class ClientLostError(Exception):
    """The client went away, or was too slow for its deadline. `__cause__` says more."""


class DeadlineError(ClientLostError):
    """The deadline passed first."""


class Wait(NamedTuple):
    """Resume when the socket can be read (or written), or at `deadline`, whichever comes first.

    `idle`: nothing is lost when the connection is closed instead. `ready` is asked once it waits,
    and whether there is something to do already: what came just before would wake nobody.
    """

    deadline: float
    write: bool = False
    idle: bool = False
    ready: Callable[[], bool] | None = None


Steps = Generator[Wait | QueuedCall | None, None, T]
"""A piece of a conversation. It yields a Wait, the Turn of a call that has to wait for it, or None
to let others have a turn of the threads first."""


class ClientConnection:
    """A connected socket with the bytes that were read and not yet used."""

    def __init__(self, sock: socket.socket, clock: Callable[[], float] = time.monotonic) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._clock = clock
        self._secure = False
        self._reads = 0
        self.buffer = bytearray()

    def fileno(self) -> int:
        """The descriptor, -1 once closed."""
        return self._socket.fileno()

    def shake_hands(self, context: ssl.SSLContext, deadline: float) -> Steps[None]:
        """Turn to TLS as the server. ClientLostError when that fails."""
        try:
            # Else wrap_socket finds out that it is gone, and leaves a socket that nobody closes.
            self._socket.getpeername()
            secure = context.wrap_socket(
                self._socket, server_side=True, do_handshake_on_connect=False
            )
        except OSError as error:  # gone already
            raise ClientLostError(str(error)) from error
        self._socket = secure
        yield Wait(deadline)
        yield from self._until(deadline, secure.do_handshake)
        self._secure = True

    @property
    def peer_certificate(self) -> Mapping[str, Any] | None:
        """What the client showed and OpenSSL verified (ssl.SSLSocket.getpeercert), if anything."""
        return self._socket.getpeercert() if isinstance(self._socket, ssl.SSLSocket) else None

    def fill(
        self,
        deadline: float,
        *,
        idle: bool = False,
        wait_first: bool = False,
        size_bytes: int = READ_BYTES,
    ) -> Steps[bool]:
        """Read what is there into the buffer, waiting until something is; False at the end.

        `wait_first`: nothing is there yet, as far as is known.

        Up to `size_bytes` are read. DeadlineError at the deadline, ClientLostError when the
        connection broke. A client that always has more ready lets others go first now and then.
        """
        self._reads += 1
        if self._reads % _READS_PER_TURN == 0:
            yield None
        if wait_first and not self._secure:  # bytes that TLS has read already wake nobody
            yield Wait(deadline, idle=idle)
        if self._clock() >= deadline:
            raise DeadlineError("too slow")
        data = self._try(self._socket.recv, size_bytes)
        if isinstance(data, _Blocked):
            receive = partial(self._socket.recv, size_bytes)
            data = yield from self._until(deadline, receive, idle=idle)
        self.buffer += data
        return bool(data)

    def send(self, data: bytes | bytearray, deadline: float) -> Steps[None]:
        """Send all of it. DeadlineError at the deadline, ClientLostError when it broke."""
        sent = self._try(self._socket.send, data)
        if sent == len(data):
            return
        rest = memoryview(data)[sent if isinstance(sent, int) else 0 :]
        while rest:
            send = partial(self._socket.send, rest)
            count = yield from self._until(deadline, send, write=True)
            rest = rest[count:]

    def send_some(self, data: bytes | bytearray) -> int:
        """Send what goes out without waiting; how many bytes that were. Also 0 when the connection
        broke, which whoever waits for it next is told."""
        try:
            sent = self._try(self._socket.send, data)
        except ClientLostError:
            return 0
        return sent if isinstance(sent, int) else 0

    def silent(self) -> bool:
        """Whether the client has neither sent anything nor ended. What it sent is dropped: only
        for a connection that is closed then."""
        try:
            return isinstance(self._try(self._socket.recv, 1), _Blocked)
        except ClientLostError:
            return False

    def send_now(self, data: bytes) -> None:
        """Send what goes out without waiting, past TLS if that never came to be."""
        with contextlib.suppress(OSError):
            if isinstance(self._socket, ssl.SSLSocket) and not self._secure:
                socket.socket.send(self._socket, data)
            else:
                self._socket.send(data)

    def finish(self, deadline: float, most_bytes: int) -> Steps[None]:
        """Say that nothing follows, and drop what the client still sends until it ends too.

        Up to about `most_bytes` are taken. Closing a socket with unread bytes resets it, and the
        client may lose the answer.
        """
        dropped_bytes = 0
        with contextlib.suppress(OSError, ClientLostError):
            self._say_goodbye()
            self._socket.shutdown(socket.SHUT_WR)
            while dropped_bytes < most_bytes and (yield from self.fill(deadline, idle=True)):
                dropped_bytes += len(self.buffer)
                self.buffer.clear()

    def close(self) -> None:
        """Close at once, whatever state it is in. May be repeated."""
        with contextlib.suppress(OSError):
            self._say_goodbye()
        with contextlib.suppress(OSError):
            self._socket.close()

    def abort(self) -> None:
        """End the connection under the thread that uses it, which then closes it."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def hung_up(self) -> bool:
        """Whether the other side has closed, or ended its sending half. Any thread may ask."""
        descriptor = self.fileno()
        if descriptor < 0:  # its own thread has just closed it
            return True
        if hasattr(select, "POLLRDHUP"):
            poll = select.poll()
            poll.register(descriptor, select.POLLRDHUP)
            return bool(poll.poll(0))
        try:
            # Past TLS, whose own recv cannot peek: an end of file looks the same there.
            return socket.socket.recv(self._socket, 1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _say_goodbye(self) -> None:
        if self._secure and isinstance(self._socket, ssl.SSLSocket):
            self._secure = False
            self._socket.unwrap()

    def _until(
        self,
        deadline: float,
        action: Callable[[], T],
        *,
        write: bool = False,
        idle: bool = False,
    ) -> Steps[T]:
        """Do `action`, as often as it would block waiting in between."""
        while True:
            if self._clock() >= deadline:
                raise DeadlineError("too slow")
            outcome = self._try(action)
            if not isinstance(outcome, _Blocked):
                return outcome
            wants_write = outcome is _Blocked.WRITE or (write and outcome is _Blocked.EITHER)
            yield Wait(deadline, write=wants_write, idle=idle)

    @staticmethod
    def _try(action: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | _Blocked:
        """What `action` returns, or what it would wait for.

        Never the exception itself: its traceback holds the frame of whoever keeps it, a cycle that
        holds the data that was being sent until the collector comes.
        """
        try:
            return action(*args, **kwargs)
        except ssl.SSLWantReadError:
            return _Blocked.READ
        except ssl.SSLWantWriteError:
            return _Blocked.WRITE
        except BlockingIOError:
            return _Blocked.EITHER
        except OSError as error:
            raise ClientLostError(error.strerror or str(error)) from error


class _Blocked(Enum):
    """What an action on a socket waits for; EITHER: what it does anyway, reading or writing."""

    READ = auto()
    WRITE = auto()
    EITHER = auto()
