"""The one place where calls are observed: around the dispatcher, whatever the transport.

The rule: each request leaves exactly one trail, closed after its answer is made and before it goes
out, so that an observer can still keep it from going out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from pgmcp.calls.trail import OTHER, Trail
from pgmcp.errors import AuditError
from pgmcp.mcp.dispatch import Answer, Answering
from pgmcp.mcp.feature import Context
from pgmcp.mcp.methods import SHARED
from pgmcp.mcp.registry import Registry
from pgmcp.rpc import jsonrpc
from pgmcp.rpc.jsonrpc import Message, Request

_METHODS = frozenset({"initialize", "ping", "server/discover", *SHARED})


class Observer(Protocol):
    """Who is told of calls."""

    def admit(self, method: str) -> None:
        """AuditError when a call of this method may not run now."""

    def record(self, trail: Trail) -> None:
        """Record a call that ran; AuditError when its answer must be withheld."""

    def note(self, trail: Trail) -> None:
        """Count and log a call that is over, for better or worse."""


class Observed:
    """A dispatcher that tells `observer` of each request. `clock` is monotonic, in seconds."""

    def __init__(
        self,
        dispatcher: Answering,
        registry: Registry,
        observer: Observer,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._dispatcher = dispatcher
        self._registry = registry
        self._observer = observer
        self._clock = clock

    def answer(
        self,
        message: Message,
        context_of: Callable[[], Context],
        headers: Mapping[str, str] | None,
    ) -> Answer:
        """The dispatcher's answer, or the error that takes its place."""
        if not isinstance(message, Request):
            return self._dispatcher.answer(message, context_of, headers)
        began = self._clock()
        method, name = self._names(message)
        trail = Trail(method=method, name=name)

        def context() -> Context:
            nonlocal trail
            made = context_of()
            trail = made.trail
            trail.method, trail.name = method, name
            return made

        try:
            self._observer.admit(method)
            answer = self._dispatcher.answer(message, context, headers)
            trail.seconds = self._clock() - began
            self._observer.record(trail)
        except AuditError as refused:
            trail.failed(refused)
            answer = Answer(200, jsonrpc.error(message.id, refused))
        self._observer.note(trail)
        return answer

    def _names(self, request: Request) -> tuple[str, str]:
        """The method, and the tool, resource or prompt, as far as they are known here."""
        method = request.method if request.method in _METHODS else OTHER
        found = {
            "tools/call": ("name", self._registry.tools),
            "resources/read": ("uri", self._registry.resources),
            "prompts/get": ("name", self._registry.prompts),
        }.get(method)
        if found is None:
            return method, ""
        parameter, known = found
        asked = request.params.get(parameter)
        return method, asked if isinstance(asked, str) and asked in known else OTHER
