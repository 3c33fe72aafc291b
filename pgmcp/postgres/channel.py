"""Bytes to and from the server's process of one session, for one call at a time.

The rule: no wait is longer than the call's, and a call that ends has what it runs stopped. The
leasing thread itself sends the CancelRequest, and a channel that sent one is closed: so none can
hit the connection's next user.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import NoReturn

from pgmcp.calls.call import Call
from pgmcp.errors import CallEndedError, ConnectionLostError, OutOfTimeError
from pgmcp.net.wire import Wire, WireClosedError, WireInterruptedError, WireTimeoutError
from pgmcp.postgres import messages
from pgmcp.postgres.address import ServerAddress, TlsSettings
from pgmcp.postgres.cancelling import CANCEL_SECONDS, cancel, send_terminate

ANSWER_GRACE_SECONDS = 0.5
"""How long after a call's deadline the server may still say by itself that it stopped."""
AGAIN = "Try again: pgmcp connects anew."


class Channel:
    """A wire to a server's process. For one thread at a time; `cancel_key` is None where the server
    gave none. Between `begin` and `release` it belongs to a call."""

    def __init__(
        self,
        wire: Wire,
        server: ServerAddress,
        tls: TlsSettings,
        cancel_key: bytes | None,
        clock: Callable[[], float],
    ) -> None:
        self.wire = wire
        self.closed = False
        self.at_work = False
        """Whether the process is at work, or may be, as far as is known once closed."""
        self.ended = False
        """Whether the other end said that the session is over, or hung up when told to."""
        self._server = server
        self._tls = tls
        self._cancel_key = cancel_key
        self._clock = clock
        self._call: Call | None = None

    def begin(self, call: Call) -> None:
        """Wait as long as `call` may from now on, and let it interrupt; ConnectionLostError."""
        if self.closed:
            raise ConnectionLostError("the connection is closed", AGAIN, answered=False)
        self._call = call
        self.wire.waiting = call.waiting
        self.wire.until = self._clock() + call.remaining() + ANSWER_GRACE_SECONDS
        call.add_callback(self.wire.interrupt)

    def release(self) -> None:
        """The end of what `begin` began."""
        call, self._call = self._call, None
        if call is not None:
            call.remove_callback(self.wire.interrupt)

    def receive(self) -> bytes:
        """The next bytes; CallEndedError, OutOfTimeError, WireClosedError."""
        while True:
            try:
                return self.wire.receive()
            except WireInterruptedError:
                self._stop_if_ended()
            except WireTimeoutError:
                self._stop()

    def send(self, data: bytes) -> None:
        """Send all of it; raises as `receive`."""
        while True:
            try:
                self.wire.send(data)
            except WireInterruptedError:
                self._stop_if_ended()
                data = b""  # the wire has kept what is not sent yet
            except WireTimeoutError:
                self._stop()
            else:
                return

    # -- ending ------------------------------------------------------------------------------------

    def close(self) -> None:
        """Send Terminate and close; never raises, and the second time does nothing."""
        if not self.closed:
            self.closed = True
            with contextlib.suppress(OSError):
                self.wire.sock.send(messages.TERMINATE)
            self.wire.close()

    def close_and_wait(self, seconds: float) -> None:
        """As `close`, but hang up second, and wait no longer than this: a server's process hangs up
        only when its connection counts no more."""
        if not self.closed:
            self.closed = True
            self.wire.until = self._clock() + seconds
            with contextlib.suppress(WireClosedError, WireTimeoutError, WireInterruptedError):
                self.wire.send(messages.TERMINATE)
                while self.wire.receive():
                    continue
            self.wire.close()

    def stop(self) -> None:
        """Cancel what runs, wait within a bound until the server's process has ended, and close.

        A server closes a connection when the process ends (be-secure and pqcomm.c leave it to
        that). A pooler in between closes it at once, which says nothing of the process.
        """
        self.wire.until = self._clock() + CANCEL_SECONDS
        if self._cancel_key is not None:
            cancel(self.wire, self._server, self._tls, self._cancel_key, self._clock)
        self.at_work = True
        self.ended = send_terminate(self.wire)
        self.close()

    def _stop_if_ended(self) -> None:
        """A wake-up may be late and meant for an earlier call: ask ours."""
        if self._call is not None and self._call.cancelled is not None:
            self._stop()

    def _stop(self) -> NoReturn:
        call = self._call
        assert call is not None
        self.stop()
        if call.cancelled is not None:
            raise CallEndedError(f"the call was cancelled: {call.cancelled}")
        raise OutOfTimeError(" while PostgreSQL was working on it")
