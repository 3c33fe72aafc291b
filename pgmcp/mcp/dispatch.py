"""One message in, one answer out, whatever the transport and the era of the protocol.

The rule: nothing escapes but a refusal to let the caller in. An unknown failure becomes "internal
error" with an id, and the log holds its traceback under that id.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pgmcp.auth.principal import Principal
from pgmcp.calls.trail import Trail
from pgmcp.errors import (
    AuthError,
    InternalError,
    LoginError,
    RpcError,
    ToolExecutionError,
    UnauthorizedError,
)
from pgmcp.mcp import legacy, modern
from pgmcp.mcp.feature import Context
from pgmcp.mcp.registry import Registry
from pgmcp.mcp.server import Server
from pgmcp.rpc import jsonrpc
from pgmcp.rpc.jsonrpc import Message, Request

_log = logging.getLogger("pgmcp.mcp")


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: an HTTP status and a JSON-RPC response.

    `body` None: 202 without a body, and on stdio nothing. `retry_after_seconds` goes out as
    Retry-After.
    """

    status: int
    body: dict[str, Any] | None
    retry_after_seconds: int | None = None


class Answering(Protocol):
    """What a transport needs of a dispatcher."""

    def answer(
        self,
        message: Message,
        context_of: Callable[[], Context],
        headers: Mapping[str, str] | None,
    ) -> Answer:
        """The answer to one message."""


class Dispatcher:
    """Answers messages from a registry. It keeps no state between them."""

    def __init__(self, registry: Registry, *, server_version: str) -> None:
        self._server = Server(registry, server_version)

    def answer(
        self,
        message: Message,
        context_of: Callable[[], Context],
        headers: Mapping[str, str] | None,
    ) -> Answer:
        """The answer to one message; `headers` by lower-case name, None on stdio.

        `context_of` is called for requests only. Raises UnauthorizedError and TooManyAttemptsError,
        which are the transport's to render, and nothing else.
        """
        if not isinstance(message, Request):
            return Answer(202, None)
        trail = Trail()  # until there is a context, which has its own
        try:
            context = context_of()
            trail = context.trail
            return self._respond(message, context, headers)
        except LoginError as refused:
            trail.failed(refused)
            failure = ToolExecutionError(refused.message)
            return _failed(message, failure, 200, refused.retry_after_seconds)
        except AuthError:
            raise
        except Exception:  # noqa: BLE001 - a defect in one request must not end the server
            import secrets  # here: it loads OpenSSL, which a start over stdio does without

            incident = trail.incident = secrets.token_hex(4)
            defect = InternalError(incident)
            trail.failed(defect)
            _log.exception("internal error %s in %a", incident, message.method[:100])
            return _failed(message, defect, 200)

    def _respond(
        self, request: Request, context: Context, headers: Mapping[str, str] | None
    ) -> Answer:
        self._admit(context.principal, request)
        stateless = modern.speaks(request.params, headers)
        try:
            if stateless:
                value = modern.serve(self._server, request, context, headers)
            else:
                value = legacy.serve(self._server, request, context)
        except RpcError as failure:
            context.trail.failed(failure)
            # To a client of the handshake era a 404 says that its session is dead.
            return _failed(request, failure, failure.status if stateless else 200)
        return Answer(200, jsonrpc.result(request.id, value))

    def _admit(self, principal: Principal, request: Request) -> None:
        """Let a visitor log in, and nothing else."""
        if principal.kind != "visitor":
            return
        name = request.params.get("name") if request.method == "tools/call" else None
        tool = self._server.registry.tools.get(name) if isinstance(name, str) else None
        if tool is None or not tool.public:
            raise UnauthorizedError


def _failed(
    request: Request, failure: RpcError, status: int, retry_after_seconds: int | None = None
) -> Answer:
    return Answer(status, jsonrpc.error(request.id, failure), retry_after_seconds)
