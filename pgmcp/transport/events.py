"""An answer as server-sent events: messages before it, and answers that are held open.

The rule: no thread waits for a client. What a call says before its answer goes out if the client
takes it soon, and is dropped if not; an answer that is held open waits where idle connections do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pgmcp.calls.call import Call
from pgmcp.calls.stream import WAITING_BYTES
from pgmcp.mcp.dispatch import HeldAnswer
from pgmcp.rpc import jsonrpc
from pgmcp.transport.connection import ClientConnection, ClientLostError, Steps, Wait
from pgmcp.transport.head import Head
from pgmcp.transport.limits import HttpLimits

_END = b"0\r\n\r\n"
_KEEP_ALIVE = b": keep-alive\n\n"


def takes_events(head: Head) -> bool:
    """Whether a client can take an answer as events: it says so, and knows chunks."""
    return head.minor_version > 0 and "text/event-stream" in head.headers.get("accept", "").lower()


class EventStream:
    """The events of one answer. For the thread that has the connection's turn.

    `head` makes the head of the answer, when the first event turns it into a stream.
    """

    def __init__(self, connection: ClientConnection, head: Callable[[], bytes]) -> None:
        self._connection = connection
        self._head = head
        self._unsent = bytearray()
        self._over = False
        self.begun = False

    def send(self, message: dict[str, Any]) -> None:
        """Send a message before the answer, as far as the client takes it; never waits."""
        event = _chunk(_event(jsonrpc.encode(message)))
        # A client that lags does without it: progress and log messages are no more than hints.
        if self._over or len(self._unsent) + len(event) > WAITING_BYTES:
            return
        self._begin()
        self._unsent += event
        sent = self._connection.send_some(self._unsent)
        del self._unsent[:sent]

    def finish(self, answer: bytes | bytearray) -> tuple[bytes | bytearray, ...]:
        """The rest of the stream, with the answer as its last event; nothing is sent after it."""
        self._over = True
        # In parts: a long answer is not copied.
        start, end = b"event: message\ndata: ", b"\n\n"
        size = len(start) + len(answer) + len(end)
        before = bytes(self._unsent) + b"%x\r\n" % size + start
        return before, answer, end + b"\r\n" + _END

    def hold(
        self,
        held: HeldAnswer,
        call: Call,
        wake: Callable[[], None],
        limits: HttpLimits,
        clock: Callable[[], float],
    ) -> Steps[bytes | bytearray]:
        """Send what a stream has until it ends; the answer that it ends in.

        `wake` has the conversation go on. ClientLostError when the client is gone, lags or
        sends something, or the call was cancelled.
        """
        stream = held.stream
        stream.attach(wake)
        try:
            with call.on_cancel(wake):
                self._begin()
                while True:
                    messages, last = stream.take()
                    self._unsent += b"".join(_chunk(_event(message)) for message in messages)
                    yield from self._flush(clock() + limits.write_seconds)
                    if last is not None:
                        return jsonrpc.encode_long(held.last(last[0]))
                    if stream.closed or call.cancelled is not None:
                        raise ClientLostError(call.cancelled or "the client lags behind")
                    if not self._connection.silent():
                        raise ClientLostError("the client ended the stream")
                    until = clock() + limits.keep_alive_seconds
                    yield Wait(until, idle=True, ready=lambda: stream.ready or _ended(call))
                    if clock() >= until:
                        self._unsent += _chunk(_KEEP_ALIVE)
        finally:
            stream.close()

    def _begin(self) -> None:
        if not self.begun:
            self.begun = True
            self._unsent += self._head()

    def _flush(self, deadline: float) -> Steps[None]:
        unsent, self._unsent = self._unsent, bytearray()
        if unsent:
            yield from self._connection.send(unsent, deadline)


def _ended(call: Call) -> bool:
    return call.cancelled is not None


def _event(message: bytes) -> bytes:
    return b"event: message\ndata: %b\n\n" % message


def _chunk(data: bytes) -> bytes:
    """A chunk (RFC 9112, section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)
