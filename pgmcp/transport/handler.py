"""One client's conversation: requests in, answers out, one after the other.

The rule: an answer ends the connection unless every byte of its request was read; otherwise the
rest of a body would be taken for the next request.
"""

from __future__ import annotations

import logging
import secrets
import ssl
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol

from pgmcp.calls.call import Call
from pgmcp.errors import HttpError, PgmcpError, RpcError
from pgmcp.logs.log import during, fields
from pgmcp.net.addresses import address_key
from pgmcp.rpc.jsonrpc import method_of, parse
from pgmcp.transport.body import Body
from pgmcp.transport.budget import Budget, BusyError, Hold
from pgmcp.transport.client_certificate import ClientCertificate, client_certificate
from pgmcp.transport.connection import (
    Connection,
    ConnectionLostError,
    DeadlineError,
    Steps,
    Wait,
)
from pgmcp.transport.endpoint import LONG_METHODS, Admission, Endpoint
from pgmcp.transport.head import (
    Head,
    body_length,
    head_end,
    skip_empty_lines,
)
from pgmcp.transport.head import parse as parse_head
from pgmcp.transport.limits import Limits
from pgmcp.transport.response import CONTINUE, Response, refusal, render

log = logging.getLogger("pgmcp.http")

_REQUESTS_PER_TURN = 16
_BODY_READ_BYTES = 64 * 1024
_DROPPED_HEAD_BYTES = 64 * 1024
_DROPPED_BODY_BYTES = 16 * 1024 * 1024
"""What is taken after an answer that ends the connection, from a client that still sends."""


class Serving(Protocol):
    """What a conversation needs of its server."""

    endpoint: Endpoint
    limits: Limits
    message_memory: Budget
    answer_memory: Budget
    clock: Callable[[], float]
    stopping: bool
    generation: int

    def tls_context(self) -> ssl.SSLContext | None:
        """The context for a new connection, None for plain HTTP."""

    def date(self) -> str:
        """Now, as the Date field has it."""

    def busy(self) -> bool:
        """Whether another connection waits for a thread."""

    def rest(self, handler: RequestHandler, wait: Wait | None) -> None:
        """Take a handler back after its turn: to wait, or (None) for another turn after others."""

    def forget(self, handler: RequestHandler) -> None:
        """Let go of a handler whose connection is closed."""

    def watch(self, connection: Connection, call: Call) -> AbstractContextManager[None]:
        """Cancel `call` if the client hangs up inside the block."""


class RequestHandler(BaseHTTPRequestHandler):
    """A connection's handler. `handle` serves until the client must be waited for.

    http.server's own parser reads one blocking line after another and guesses where this one
    refuses, so none of it is used; and the object lives as long as the connection.
    """

    server: Any

    def __init__(self, request: Connection, client_address: Any, server: Serving) -> None:
        # Not super().__init__(): that would serve the whole connection here and now.
        self.request = request
        self.client_address = client_address
        self.connection: Any = request
        self._connection = request
        self._server = server
        self.peer = str(client_address[0])
        self.key = address_key(self.peer)
        self.known = False  # whether its latest request brought a valid credential
        self._request_id = "-"
        self._began = 0.0
        self._certificate: ClientCertificate | None = None
        self._generation = server.generation
        self._conversation = self._converse()

    def handle(self) -> None:
        """Take a turn: go on until there is something to wait for, then let the server wait."""
        try:
            wait = next(self._conversation)
        except StopIteration:
            self.drop()
        except Exception:  # the one place that catches a defect on the HTTP side
            incident = self._request_id
            log.exception("internal error (id %s)", incident)
            failure = refusal(500, f"internal error (id {incident})")
            self._connection.send_now(b"".join(self._render(failure, close=True)))
            self.drop()
        else:
            self._server.rest(self, wait)

    def drop(self) -> None:
        """Close the connection, and give back what its request holds; not while it has a turn."""
        self._connection.close()
        # A suspended conversation holds this object, which holds it: only this ends the cycle.
        self._conversation.close()
        self._server.forget(self)

    def _converse(self) -> Steps[None]:
        try:
            context = self._server.tls_context()
            if context is not None and not (yield from self._shake_hands(context)):
                return
            served = 0
            while (yield from self._serve_one(first=served == 0)):
                served += 1
                # A client that always has the next request ready must not keep its thread.
                if served % _REQUESTS_PER_TURN == 0 or self._server.busy():
                    yield None
        except ConnectionLostError as error:
            log.debug("%s: connection lost: %s", self.peer, error)

    def _shake_hands(self, context: ssl.SSLContext) -> Steps[bool]:
        deadline = self._server.clock() + self._server.limits.handshake_seconds
        try:
            yield from self._connection.shake_hands(context, deadline)
        except ConnectionLostError as error:
            if _speaks_plain_http(error):
                answer = refusal(400, "this port speaks HTTPS: use https://")
                self._connection.send_now(b"".join(self._render(answer, close=True)))
            log.debug("%s: TLS handshake failed: %s", self.peer, error)
            return False
        self._certificate = client_certificate(self._connection.peer_certificate)
        return True

    def _serve_one(self, first: bool) -> Steps[bool]:
        """One request and its answer; whether the connection can take another."""
        head: Head | None = None
        admission: Admission | None = None
        close = True
        self._request_id = secrets.token_hex(6)
        endpoint = self._server.endpoint
        kept = Hold(self._server.answer_memory)
        try:
            head = yield from self._read_head(first)
            if head is None:
                return False
            self._began = self._server.clock()
            # The one there is when the request begins answers it, whatever is reloaded meanwhile.
            endpoint = self._server.endpoint
            length = body_length(head)
            with during(self._request_id):
                response = self._open(endpoint, head)
            if isinstance(response, Admission):
                admission = response
                self.known = admission.principal is not None
                response = yield from self._admitted(admission, length, endpoint, kept)
                close = not head.keep_alive
            else:
                close = not (head.keep_alive and self._drop_body(head, length))
        except PgmcpError as error:
            response = endpoint.refuse(error, admission)
        close = close or self._server.stopping or self._server.generation != self._generation
        try:
            if response.body is not None and not kept.resize(len(response.body)):
                response = endpoint.refuse(BusyError("large answers"), None)
            yield from self._answer(response, head, close)
        finally:
            kept.close()
        return not close

    def _admitted(
        self, admission: Admission, length: int, endpoint: Endpoint, kept: Hold
    ) -> Steps[Response]:
        """Read the body of an admitted request, and answer it; `kept` is what the answer keeps."""
        limits = self._server.limits
        kept.owner = admission.owner
        held = Hold(self._server.message_memory, admission.owner)
        try:
            body = Body(length, min(limits.body_bytes, admission.body_bytes))
            yield from self._read_body(admission.head, body, held)
            size_bytes, scan = len(body), body.scan
            try:
                # Nothing here keeps the bytes while the call runs.
                message = parse(body.take(), scan)
            except RpcError as error:
                return endpoint.refuse(error, admission)
            if size_bytes > limits.short_body_bytes:
                _check_length(getattr(message, "method", None), limits.short_body_bytes)
            with during(self._request_id):
                return endpoint.serve(
                    admission, message, self._request_id, self._watch, kept.resize
                )
        finally:
            held.close()

    def _open(self, endpoint: Endpoint, head: Head) -> Admission | Response:
        if self._server.stopping:
            return refusal(503, "the server is stopping", (("Retry-After", "1"),))
        return endpoint.open(head, self.peer, self._subject())

    def _subject(self) -> str | None:
        """That of the certificate the client showed, as long as it holds."""
        certificate = self._certificate
        if certificate is None or not certificate.valid(time.time()):
            return None
        return certificate.subject

    def _read_head(self, first: bool) -> Steps[Head | None]:
        """The next request's head, None when the client has nothing more to say."""
        limits, clock, connection = self._server.limits, self._server.clock, self._connection
        buffer, searched, skipped = connection.buffer, 0, 0
        begun = first or bool(buffer)
        deadline = clock() + (limits.head_seconds if begun else limits.idle_seconds)
        while True:
            if buffer.startswith(b"\r\n"):
                skipped, searched = skip_empty_lines(buffer, skipped), 0
            end = head_end(buffer, searched, limits.head)
            if end >= 0:
                head = parse_head(bytes(buffer[:end]), limits.head)
                del buffer[:end]
                return head
            searched = len(buffer)
            try:
                if not (yield from connection.fill(deadline, idle=not buffer)):
                    return None
            except DeadlineError:
                if not buffer:
                    return None
                raise HttpError(408, "the request head took too long") from None
            if not begun:
                begun, deadline = True, clock() + limits.head_seconds

    def _read_body(self, head: Head, body: Body, held: Hold) -> Steps[None]:
        """Read the whole body. HttpError when it is too long or too slow or there is no memory for
        it, and ConnectionLostError when it breaks off."""
        limits, connection = self._server.limits, self._connection
        deadline = self._server.clock() + limits.body_seconds
        complete = body.feed(connection.buffer)
        if not complete and head.expects_continue:
            yield from connection.send(CONTINUE, deadline)
        named = False
        while True:
            if not held.resize(body.kept_bytes):
                raise BusyError("large requests")
            if not named and len(body) > limits.short_body_bytes:
                named = True
                method = method_of(body.beginning(limits.short_body_bytes))
                _check_length(method, limits.short_body_bytes)
            if complete:
                return
            try:
                if not (yield from connection.fill(deadline, size_bytes=_BODY_READ_BYTES)):
                    raise ConnectionLostError("the client ended in the middle of a body")
            except DeadlineError:
                raise HttpError(408, "the request body took too long") from None
            complete = body.feed(connection.buffer)

    def _drop_body(self, head: Head, length: int) -> bool:
        """Skip the body of a request that was answered early, if all of it has come already."""
        buffer = self._connection.buffer
        if head.expects_continue or not 0 <= length <= len(buffer):
            return False
        del buffer[:length]
        return True

    def _answer(self, response: Response, head: Head | None, close: bool) -> Steps[None]:
        head_only = head is not None and head.method == "HEAD"
        data = self._render(response, close=close, head_only=head_only)
        clock, limits = self._server.clock, self._server.limits
        deadline = clock() + limits.write_seconds
        for piece in data:
            yield from self._connection.send(piece, deadline)
        if log.isEnabledFor(logging.DEBUG):
            request = f"{head.method} {head.path!r}" if head else "unreadable request"
            seconds = clock() - self._began if head else None
            event = fields(request=self._request_id, seconds=seconds)
            log.debug("%s: %s %d", self.peer, request, response.status, extra=event)
        if close:
            most_bytes = _DROPPED_HEAD_BYTES if head is None else _DROPPED_BODY_BYTES
            yield from self._connection.finish(clock() + limits.linger_seconds, most_bytes)

    def _render(
        self, response: Response, *, close: bool, head_only: bool = False
    ) -> tuple[bytes | bytearray, ...]:
        return render(
            response,
            request_id=self._request_id,
            date=self._server.date(),
            close=close,
            head_only=head_only,
        )

    def _watch(self, call: Call) -> AbstractContextManager[None]:
        return self._server.watch(self._connection, call)


def _speaks_plain_http(error: ConnectionLostError) -> bool:
    """Whether a handshake failed because the client does not do TLS.

    Here, because the cause in a local of the conversation would be a cycle with its traceback.
    """
    cause = error.__cause__
    return isinstance(cause, ssl.SSLError) and cause.reason == "HTTP_REQUEST"


def _check_length(method: str | None, limit_bytes: int) -> None:
    """HttpError for a message that is over `limit_bytes` and of a method that needs no more.

    A method that is not known yet may be one of those that do.
    """
    if method is not None and method not in LONG_METHODS:
        raise HttpError(413, f"a message of this method may have {limit_bytes} bytes")
