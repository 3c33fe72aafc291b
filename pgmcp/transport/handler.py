"""One client's conversation: requests in, answers out, one after the other.

The rule: an answer ends the connection unless every byte of its request was read; otherwise the
rest of a body would be taken for the next request.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol

from pgmcp.calls.call import Call
from pgmcp.errors import OverloadedError, PgmcpError
from pgmcp.logs.log import fields, set_request_id
from pgmcp.mcp.dispatch import HeldAnswer
from pgmcp.net.addresses import address_key
from pgmcp.transport.answering import answer_at_once, answer_in_turn
from pgmcp.transport.body import Body
from pgmcp.transport.budget import Budget, Reservation
from pgmcp.transport.call_queue import CallQueue, QueuedCall
from pgmcp.transport.client_certificate import ClientCertificate, client_certificate
from pgmcp.transport.connection import ClientConnection, ClientLostError, Steps, Wait
from pgmcp.transport.endpoint import Admission, AdmittedRequest, Endpoint
from pgmcp.transport.events import EventStream, takes_events
from pgmcp.transport.head import Head, body_length
from pgmcp.transport.limits import HttpLimits
from pgmcp.transport.reading import drop_body, message_of, read_body, read_head
from pgmcp.transport.response import (
    HttpResponse,
    ResponseHeaders,
    refusal,
    render,
    render_event_head,
)

log = logging.getLogger("pgmcp.http")

_DROPPED_HEAD_BYTES = 64 * 1024
_DROPPED_BODY_BYTES = 16 * 1024 * 1024
"""What is taken after an answer that ends the connection, from a client that still sends."""


class Serving(Protocol):
    """What a conversation needs of its server."""

    endpoint: Endpoint
    limits: HttpLimits
    message_memory: Budget
    answer_memory: Budget
    calls: CallQueue
    clock: Callable[[], float]
    stopping: bool
    generation: int

    def tls_context(self) -> ssl.SSLContext | None:
        """The context for a new connection, None for plain HTTP."""

    def next_request_id(self) -> str:
        """An id that no other request of this server has."""

    def date(self) -> str:
        """Now, as the Date field has it."""

    def hand_back(self, handler: RequestHandler, wait: Wait | QueuedCall | None) -> None:
        """Take a handler back after its turn: to wait, or (None) for another turn after others."""

    def wake(self, handler: RequestHandler) -> None:
        """Have a handler go on that waits for its client."""

    def resume(self, handler: RequestHandler) -> None:
        """Have a handler go on that has waited in the queue of calls."""

    def recognise(self, handler: RequestHandler, *, known: bool) -> None:
        """Note that a connection's latest request brought a valid credential, or none again."""

    def forget(self, handler: RequestHandler) -> None:
        """Let go of a handler whose connection is closed."""

    def watch(self, connection: ClientConnection, call: Call) -> AbstractContextManager[None]:
        """Cancel `call` if the client hangs up inside the block."""


class RequestHandler(BaseHTTPRequestHandler):
    """A connection's handler. `handle` serves until the client must be waited for.

    http.server's own parser reads one blocking line after another and guesses where this one
    refuses, so none of it is used; and the object lives as long as the connection.
    """

    server: Any

    def __init__(self, request: ClientConnection, client_address: Any, server: Serving) -> None:
        # Not super().__init__(): that would serve the whole connection here and now.
        self.request = request
        self.client_address = client_address
        self.connection: Any = request
        self._connection = request
        self._server = server
        self.peer = str(client_address[0])
        self.key = address_key(self.peer)
        self.owner = self.key
        """Whose turns it takes of the threads: the address, until somebody has been let in."""
        self._place: str | None = None
        self.known = False  # whether its latest request brought a valid credential
        self._request_id = ""
        self._began = 0.0
        self._certificate: ClientCertificate | None = None
        self.generation = server.generation
        self._events: EventStream | None = None  # of the request that is being answered
        self._message_id: str | int | None = None
        self._cors: ResponseHeaders = ()  # of every answer to the latest request
        self._conversation = self._converse()

    def handle(self) -> None:
        """Take a turn: go on until there is something to wait for, then let the server wait."""
        set_request_id(self._request_id)
        try:
            wait = next(self._conversation)
        except StopIteration:
            self.drop()
        except Exception:  # the one place that catches a defect on the HTTP side
            incident = self._request_id
            log.exception("internal error (id %s)", incident)
            if self._events is not None and self._events.begun:
                self.drop()
                return
            failure = refusal(500, f"internal error (id {incident})")
            self._connection.send_now(b"".join(self._render(failure, close=True)))
            self.drop()
        else:
            self._server.hand_back(self, wait)
        finally:
            set_request_id("")

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
            first, wait_first = True, False
            while (yield from self._serve_one(first, wait_first)):
                first, wait_first = False, not self._connection.buffer
                if not wait_first:  # a client that has the next request ready lets others go first
                    yield None
        except ClientLostError as error:
            log.debug("%s: connection lost: %s", self.peer, error)

    def _shake_hands(self, context: ssl.SSLContext) -> Steps[bool]:
        deadline = self._server.clock() + self._server.limits.handshake_seconds
        try:
            yield from self._connection.shake_hands(context, deadline)
        except ClientLostError as error:
            if _speaks_plain_http(error):
                answer = refusal(400, "this port speaks HTTPS: use https://")
                self._connection.send_now(b"".join(self._render(answer, close=True)))
            log.debug("%s: TLS handshake failed: %s", self.peer, error)
            return False
        self._certificate = client_certificate(self._connection.peer_certificate)
        return True

    def _serve_one(self, first: bool, wait_first: bool) -> Steps[bool]:
        """One request and its answer; whether the connection can take another. See `read_head`."""
        kept = Reservation(self._server.answer_memory)
        try:
            return (yield from self._exchange(first, wait_first, kept))
        finally:
            kept.close()
            self._give_place_back()

    def _exchange(self, first: bool, wait_first: bool, kept: Reservation) -> Steps[bool]:
        """As `_serve_one`; `kept` is what the answer keeps."""
        server = self._server
        head: Head | None = None
        admission: Admission | None = None
        close = True
        self._request_id = server.next_request_id()
        self._cors = ()
        set_request_id(self._request_id)
        self._events = self._message_id = None
        endpoint = server.endpoint
        try:
            head = yield from read_head(
                self._connection,
                server.limits,
                server.clock,
                first=first,
                wait_first=wait_first,
            )
            if head is None:
                return False
            self._began = server.clock()
            # The one there is when the request begins answers it, whatever is reloaded meanwhile.
            endpoint = server.endpoint
            if "origin" in head.headers:
                self._cors = endpoint.callers.cors_headers(head)
            length = body_length(head)
            response = self._open(endpoint, head)
            if isinstance(response, Admission):
                admission = response
                known = admission.principal is not None
                if known != self.known:
                    self.known = known
                    server.recognise(self, known=known)
                kept.owner = admission.memory_owner
                response = yield from self._admitted(admission, length, endpoint, kept)
                close = not head.keep_alive
            else:
                close = not (head.keep_alive and drop_body(self._connection, head, length))
        except PgmcpError as error:
            response = endpoint.refuse(error, admission)
        if response.body is not None and not kept.resize(len(response.body)):
            response = endpoint.refuse(
                OverloadedError.of_memory("large answers", self._message_id), None
            )
        close = close or server.stopping or server.generation != self.generation
        yield from self._answer(response, head, close)
        return not close

    def _admitted(
        self, admission: Admission, length: int, endpoint: Endpoint, kept: Reservation
    ) -> Steps[HttpResponse]:
        """Read the body of an admitted request, and answer it."""
        server = self._server
        server.calls.enter(admission.owner)
        self._place = self.owner = admission.owner
        held = Reservation(server.message_memory, admission.memory_owner)
        try:
            body = Body(length, min(server.limits.body_bytes, admission.body_bytes))
            yield from read_body(
                self._connection, admission.head, body, held, server.limits, server.clock
            )
            try:
                message = message_of(body, server.limits)
                request = endpoint.read(admission, message, self._request_id, kept.resize)
                if isinstance(request, HttpResponse):
                    return request
                return (yield from self._answer_asked(endpoint, request))
            except PgmcpError as error:
                return endpoint.refuse(error, admission)
        finally:
            held.close()

    def _answer_asked(self, endpoint: Endpoint, request: AdmittedRequest) -> Steps[HttpResponse]:
        """The answer to a request that has come; PgmcpError."""
        server = self._server
        self._message_id = request.message.id
        if takes_events(request.admission.head):
            self._events = EventStream(self._connection, self._render_event_head)
            request.send = self._events.send
        with request.tracking:
            # In either era: without a resumable stream nobody can fetch the answer any more.
            with server.watch(self._connection, request.call):
                response = answer_at_once(endpoint, server.calls, request)
                if response is None:
                    response = yield from answer_in_turn(
                        endpoint, server.calls, request, self._resume, self._subject
                    )
            if response.held is not None:
                response = yield from self._hold(response.held, request.call)
        return response

    def _hold(self, held: HeldAnswer, call: Call) -> Steps[HttpResponse]:
        """The answer that a stream ends in, once it does."""
        server = self._server
        if self._events is None:
            held.stream.close()
            return refusal(406, "the answer is a stream: accept text/event-stream")
        # It is bounded as an idle connection is, and costs other requests nothing.
        self._give_place_back()
        body = yield from self._events.hold(
            held, call, lambda: server.wake(self), server.limits, server.clock
        )
        return HttpResponse(200, body)

    def _resume(self) -> None:
        self._server.resume(self)

    def _open(self, endpoint: Endpoint, head: Head) -> Admission | HttpResponse:
        if self._server.stopping:
            return refusal(503, "the server is stopping", (("Retry-After", "1"),))
        return endpoint.open(head, self.peer, self._subject())

    def _subject(self) -> str | None:
        """That of the certificate the client showed, as long as it holds."""
        certificate = self._certificate
        if certificate is None or not certificate.valid(time.time()):
            return None
        return certificate.subject

    def _answer(self, response: HttpResponse, head: Head | None, close: bool) -> Steps[None]:
        head_only = head is not None and head.method == "HEAD"
        events = self._events
        if events is not None and events.begun:
            data = events.finish(response.body or b"")
        else:
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
        self._give_place_back()  # lingering is counted by nobody: the connection may be closed
        if close:
            most_bytes = _DROPPED_HEAD_BYTES if head is None else _DROPPED_BODY_BYTES
            yield from self._connection.finish(clock() + limits.linger_seconds, most_bytes)

    def _give_place_back(self) -> None:
        if self._place is not None:
            self._server.calls.leave(self._place)
            self._place = None

    def _render_event_head(self) -> bytes:
        return render_event_head(
            request_id=self._request_id or "-", date=self._server.date(), headers=self._cors
        )

    def _render(
        self, response: HttpResponse, *, close: bool, head_only: bool = False
    ) -> tuple[bytes | bytearray, ...]:
        return render(
            response,
            request_id=self._request_id or "-",
            date=self._server.date(),
            close=close,
            head_only=head_only,
            headers=self._cors,
        )


def _speaks_plain_http(error: ClientLostError) -> bool:
    """Whether a handshake failed because the client does not do TLS.

    Here, because the cause in a local of the conversation would be a cycle with its traceback.
    """
    cause = error.__cause__
    return isinstance(cause, ssl.SSLError) and cause.reason == "HTTP_REQUEST"
