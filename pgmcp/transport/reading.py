"""A request's bytes from its connection: its head, and its body as far as there is memory for it.

The rule: nothing is waited for without a deadline, and what is kept of a body is counted first.
"""

from __future__ import annotations

from collections.abc import Callable

from pgmcp.errors import HttpError, OverloadedError
from pgmcp.rpc.jsonrpc import Message, method_of, parse
from pgmcp.transport.body import Body
from pgmcp.transport.budget import Reservation
from pgmcp.transport.connection import ClientConnection, ClientLostError, DeadlineError, Steps
from pgmcp.transport.head import Head, head_end, skip_empty_lines
from pgmcp.transport.head import parse as parse_head
from pgmcp.transport.limits import HttpLimits
from pgmcp.transport.response import CONTINUE

LONG_METHODS = frozenset({"tools/call"})
"""The methods whose texts may be long: no other message needs `HttpLimits.short_body_bytes`."""
_BODY_READ_BYTES = 64 * 1024


def read_head(
    connection: ClientConnection,
    limits: HttpLimits,
    clock: Callable[[], float],
    *,
    first: bool,
    wait_first: bool,
) -> Steps[Head | None]:
    """The next request's head, None when the client has nothing more to say; HttpError.

    `first`: nothing was asked on this connection before. `wait_first`: nothing has come yet, as far
    as is known.
    """
    buffer, searched, skipped = connection.buffer, 0, 0
    begun = first or bool(buffer)
    deadline = clock() + (limits.head_seconds if begun else limits.idle_seconds)
    while True:
        if buffer.startswith(b"\r\n"):
            skipped, searched = skip_empty_lines(buffer, skipped), 0
        end = head_end(buffer, searched, limits.head) if buffer else -1
        if end >= 0:
            head = parse_head(bytes(buffer[:end]), limits.head)
            del buffer[:end]
            return head
        searched = len(buffer)
        try:
            if not (yield from connection.fill(deadline, idle=not buffer, wait_first=wait_first)):
                return None
        except DeadlineError:
            if not buffer:
                return None
            raise HttpError(408, "the request head took too long") from None
        wait_first = False
        if not begun:
            begun, deadline = True, clock() + limits.head_seconds


def read_body(
    connection: ClientConnection,
    head: Head,
    body: Body,
    held: Reservation,
    limits: HttpLimits,
    clock: Callable[[], float],
) -> Steps[None]:
    """Read the whole body. HttpError when it is too long or too slow, OverloadedError when there is
    no memory for it, and ClientLostError when it breaks off."""
    deadline = clock() + limits.body_seconds
    complete = body.feed(connection.buffer)
    if not complete and head.expects_continue:
        yield from connection.send(CONTINUE, deadline)
    named = False
    while True:
        if not held.resize(body.kept_bytes):
            raise OverloadedError.of_memory("large requests")
        if not named and len(body) > limits.short_body_bytes:
            named = True
            method = method_of(body.beginning(limits.short_body_bytes))
            _check_length(method, limits.short_body_bytes)
        if complete:
            return
        try:
            if not (yield from connection.fill(deadline, size_bytes=_BODY_READ_BYTES)):
                raise ClientLostError("the client ended in the middle of a body")
        except DeadlineError:
            raise HttpError(408, "the request body took too long") from None
        complete = body.feed(connection.buffer)


def drop_body(connection: ClientConnection, head: Head, length: int) -> bool:
    """Skip the body of a request that was answered early, if all of it has come already."""
    buffer = connection.buffer
    if head.expects_continue or not 0 <= length <= len(buffer):
        return False
    del buffer[:length]
    return True


def message_of(body: Body, limits: HttpLimits) -> Message:
    """The message of a body that was read, which does not keep its bytes; RpcError, HttpError."""
    size_bytes, scan = len(body), body.scan
    message = parse(body.take(), scan)
    if size_bytes > limits.short_body_bytes:
        _check_length(getattr(message, "method", None), limits.short_body_bytes)
    return message


def _check_length(method: str | None, limit_bytes: int) -> None:
    """HttpError for a message that is over `limit_bytes` and of a method that needs no more.

    A method that is not known yet may be one of those that do.
    """
    if method is not None and method not in LONG_METHODS:
        raise HttpError(413, f"a message of this method may have {limit_bytes} bytes")
