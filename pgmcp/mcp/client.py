"""The client of one request: what it says it can do, and the way to tell it something before the
answer.

The rule: nothing is sent that the request did not ask for, and nothing after its answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

from pgmcp.mcp.era import CAPABILITIES_KEY, LOG_LEVEL_KEY, Era, RequestHeaders, era_of, meta_of
from pgmcp.rpc import jsonrpc

MessageLevel = Literal[
    "debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"
]  # fmt: skip
LEVELS: tuple[MessageLevel, ...] = get_args(MessageLevel)

QuestionKind = Literal["elicitation", "sampling", "roots"]

Send = Callable[[dict[str, Any]], None]
"""Sends one JSON-RPC message before the answer; a transport makes one for each request. It does not
wait for the client: what does not go out soon is dropped."""


class Client:
    """Who sent one request. For one thread at a time.

    `era` is decided here and nowhere else. Without `send` the transport can take no message before
    the answer, and those are dropped.
    """

    __slots__ = ("_meta", "_progress", "_send", "answers", "era", "state")

    def __init__(
        self,
        params: Mapping[str, Any] | None = None,
        headers: RequestHeaders | None = None,
        send: Send | None = None,
    ) -> None:
        self._meta = meta_of(params if params is not None else {})
        self._send = send
        self._progress = -math.inf
        self.era: Era = era_of(self._meta, headers)
        self.answers: Mapping[str, Any] = {}
        """The answers to the questions of an InputRequired, by key, unchecked: an ElicitResult,
        CreateMessageResult or ListRootsResult each."""
        self.state: Any = None
        """The state of that InputRequired; None where nothing proves that it was sent."""

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Say how far the call is, to a client that asked to know.

        What is no progress since the last time is left out: the protocol wants it to increase.
        """
        token = self._meta.get("progressToken")
        if self._send is None or not isinstance(token, str | int) or isinstance(token, bool):
            return
        if not (done > self._progress and math.isfinite(done)):
            return
        self._progress = done
        params: dict[str, Any] = {"progressToken": token, "progress": done}
        if total is not None and math.isfinite(total):
            params["total"] = total
        if message:
            params["message"] = message
        self.notify("notifications/progress", params)

    def log(self, level: MessageLevel, data: Any, logger: str = "") -> None:
        """Send a log message, to a client that asked for messages of this level or lower ones.

        `data` is a JSON value without secrets or other callers' data. Only the modern era asks
        with the request; a session of the handshake era has no level yet, and gets none.
        """
        wanted = self._meta.get(LOG_LEVEL_KEY) if self.era == "modern" else None
        if wanted not in LEVELS or LEVELS.index(level) < LEVELS.index(wanted):
            return
        params = {"level": level, "data": data} | ({"logger": logger} if logger else {})
        self.notify("notifications/message", params)

    def notify(self, method: str, params: dict[str, Any]) -> None:
        """Send a notification before the answer."""
        if self._send is not None:
            self._send(jsonrpc.notification(method, params))

    def can_answer(self, kind: QuestionKind) -> bool:
        """Whether a tool may ask such a question (`InputRequest.capability`): the client has said
        so, and is of the era that calls again with the answers."""
        declared = self._meta.get(CAPABILITIES_KEY)
        said = declared.get(kind) if isinstance(declared, dict) else None
        if self.era != "modern" or not isinstance(said, dict):
            return False
        # {} means forms, as it did before there were URLs.
        return kind != "elicitation" or "form" in said or "url" not in said
