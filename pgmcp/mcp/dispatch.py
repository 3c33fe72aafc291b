"""One message in, one answer out, whatever the transport and the era of the protocol.

The rule: nothing escapes but a refusal to let the caller in. An unknown failure becomes "internal
error" with an id, and the log holds its traceback under that id. Each request leaves one trail,
closed before its answer goes out, so that an observer can still keep it from going out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from pgmcp.auth.principal import anonymous_may
from pgmcp.calls.call import Waiting
from pgmcp.calls.stream import Stream
from pgmcp.calls.trail import OTHER, Trail
from pgmcp.errors import (
    AuditError,
    AuthError,
    InternalError,
    LoginError,
    RpcError,
    ToolExecutionError,
    UnauthorizedError,
)
from pgmcp.mcp import legacy, modern
from pgmcp.mcp.feature import Context, ResourceIndex
from pgmcp.mcp.methods import SHARED, Later, Served
from pgmcp.mcp.registry import Registry
from pgmcp.mcp.request_state import RequestStates
from pgmcp.mcp.server import Server
from pgmcp.rpc import jsonrpc
from pgmcp.rpc.jsonrpc import Message, Request

_METHODS = frozenset({"initialize", "ping", "server/discover", *SHARED})

_log = logging.getLogger("pgmcp.mcp")


@dataclass(frozen=True, slots=True)
class HeldAnswer:
    """An answer that is a stream: its messages, and `last`, which makes the JSON-RPC response of
    what the stream ends with."""

    stream: Stream
    last: Callable[[Any], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: an HTTP status and a JSON-RPC response, or a stream that ends in one.

    `body` None, and no stream: 202 without a body, and on stdio nothing. `retry_after_seconds` goes
    out as Retry-After.
    """

    status: int
    body: dict[str, Any] | None
    retry_after_seconds: int | None = None
    held: HeldAnswer | None = None


class Answering(Protocol):
    """What a transport needs of a dispatcher."""

    def answer(
        self, message: Message, context: Context, headers: Mapping[str, str] | None
    ) -> Answer:
        """The answer to one message."""


class Observer(Protocol):
    """Who is told of calls."""

    def admit(self, method: str) -> None:
        """AuditError when a call of this method may not run now."""

    def record(self, trail: Trail, waiting: Waiting) -> None:
        """Record a call that ran, which waits by `waiting`; AuditError when its answer must be
        withheld."""

    def note(self, trail: Trail) -> None:
        """Count and log a call that is over, for better or worse."""


class Unobserved:
    """An observer that takes no notice."""

    def admit(self, method: str) -> None:
        """Let it run."""

    def record(self, trail: Trail, waiting: Waiting) -> None:
        """Record nothing."""

    def note(self, trail: Trail) -> None:
        """Count nothing."""


class Dispatcher:
    """Answers messages from a registry, and tells `observer` of each request.

    It keeps no state between them: `states` are what clients bring back. `clock` is monotonic, in
    seconds.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        server_version: str,
        states: RequestStates,
        observer: Observer | None = None,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._server = Server(registry, server_version, states)
        self._observer = observer if observer is not None else Unobserved()
        self._clock = clock
        self._named: Mapping[str, tuple[str, Callable[[str], str | None]]] = {
            "tools/call": ("name", partial(_name_among, registry.tools)),
            "resources/read": ("uri", partial(_name_of_resource, registry.resources)),
            "prompts/get": ("name", partial(_name_among, registry.prompts)),
        }

    def answer(
        self, message: Message, context: Context, headers: Mapping[str, str] | None
    ) -> Answer:
        """The answer to one message; `headers` by lower-case name, None on stdio.

        `context.client` was made from this message and these headers. Raises UnauthorizedError and
        TooManyAttemptsError, which are the transport's to render, and nothing else.
        """
        if not isinstance(message, Request):
            return Answer(202, None)
        trail = context.trail
        trail.method, trail.name = self._names(message)
        began = self._clock()
        try:
            self._observer.admit(trail.method)
            answer = self._respond(message, context, headers)
            trail.seconds = self._clock() - began
            self._observer.record(trail, context.call.waiting)
        except AuditError as refused:
            trail.failed(refused)
            answer = _failed(message, refused, 200)
        self._observer.note(trail)
        return answer

    def _respond(
        self, request: Request, context: Context, headers: Mapping[str, str] | None
    ) -> Answer:
        """The answer to a request; AuthError."""
        # A transport has asked its authenticator already; this is for one that did not.
        if context.principal.kind == "anonymous" and not anonymous_may(
            request.method, request.params
        ):
            raise UnauthorizedError
        if context.client.era == "modern":
            return _shielded(
                request, context, lambda: modern.serve(self._server, request, context, headers)
            )
        return _shielded(request, context, lambda: legacy.serve(self._server, request, context))

    def _names(self, request: Request) -> tuple[str, str]:
        """The method, and the tool, resource or prompt, as far as they are known here."""
        method = request.method
        if method not in self._named:
            return method if method in _METHODS else OTHER, ""
        parameter, name_of = self._named[method]
        asked = request.params.get(parameter)
        name = name_of(asked) if isinstance(asked, str) else None
        return method, OTHER if name is None else name


def _name_among(features: Mapping[str, object], name: str) -> str | None:
    return name if name in features else None


def _name_of_resource(resources: ResourceIndex, uri: str) -> str | None:
    resource = resources.find(uri)
    return None if resource is None else resource.name


def _shielded(request: Request, context: Context, serve: Callable[[], Served]) -> Answer:
    """The answer that `serve` comes to, whatever it raises; AuthError."""
    trail = context.trail
    try:
        served = serve()
    except RpcError as failure:
        trail.failed(failure)
        # To a client of the handshake era a 404 says that its session is dead.
        return _failed(request, failure, failure.status if context.client.era == "modern" else 200)
    except LoginError as refused:
        trail.failed(refused)
        refusal = ToolExecutionError(refused.message)
        return _failed(request, refusal, 200, refused.retry_after_seconds)
    except AuthError:
        raise
    except Exception:  # noqa: BLE001 - a defect in one request must not end the server
        import secrets  # here: it loads OpenSSL, which a start over stdio does without

        incident = trail.incident = secrets.token_hex(4)
        defect = InternalError(incident)
        trail.failed(defect)
        _log.exception("internal error %s in %a", incident, request.method[:100])
        return _failed(request, defect, 200)
    if isinstance(served, Later):
        members = served.members

        def last(end: Any) -> dict[str, Any]:
            return _shielded(request, context, lambda: members(end)).body or {}

        return Answer(200, None, held=HeldAnswer(served.stream, last))
    return Answer(200, jsonrpc.result(request.id, served))


def _failed(
    request: Request, failure: RpcError, status: int, retry_after_seconds: int | None = None
) -> Answer:
    return Answer(status, jsonrpc.error(request.id, failure), retry_after_seconds)
