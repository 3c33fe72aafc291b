"""The pages beside MCP: /metrics for Prometheus, /ready for load balancers.

The rule: what the inside looks like is for those whom the operator named. An anonymous
caller learns whether the server is of use, and no more.
"""

from __future__ import annotations

import hmac
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pgmcp.calls.call import Call
from pgmcp.errors import ConfigError, FileError, HttpError, ToolError
from pgmcp.gate.port import Database
from pgmcp.metrics.metrics import CONTENT_TYPE, MetricFamily, render
from pgmcp.rpc import jsonrpc
from pgmcp.transport import origin
from pgmcp.transport.head import Head
from pgmcp.transport.response import UNAUTHORIZED, HttpResponse

METRICS_PATH = "/metrics"
READY_PATH = "/ready"

READY_SECONDS = 2.0
"""How long the databases have to answer."""
FRESH_SECONDS = 1.0
"""For so long an answer is repeated: anybody may ask, and must not keep the databases busy."""

_NEVER = (float("-inf"), 0)
_MIN_TOKEN_CHARACTERS = 16
_FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")

_log = logging.getLogger("pgmcp.metrics")


class MetricsPage:
    """Numbers, for clients with the token in the file; without a file for this machine only.

    A proxy on this machine passes anonymous callers on: what a trusted one sends, or what looks
    forwarded, did not come from here. The file is read for each request, so that a new token
    counts at once.
    FileError, ConfigError when it is bad.
    """

    def __init__(
        self,
        token_file: Path | None,
        families: Callable[[], Iterable[MetricFamily]],
        *,
        trusted: Sequence[origin.Network] = (),
    ) -> None:
        self._token_file = token_file
        self._families = families
        self._trusted = trusted
        self._logged_problem = ""
        if token_file is not None:
            _token(token_file)

    def __call__(self, head: Head, peer: str) -> HttpResponse:
        """The page, 401 without the token, 404 for another machine where there is none."""
        if self._token_file is None:
            if origin.is_trusted(peer, self._trusted) or not _is_from_here(head, peer):
                raise HttpError(404, "not found")
        elif not self._holds_token(self._token_file, head.authorization):
            return UNAUTHORIZED
        return HttpResponse(200, render(self._families()), content_type=CONTENT_TYPE)

    def _holds_token(self, file: Path, authorization: Sequence[str]) -> bool:
        try:
            wanted = f"bearer {_token(file)}".encode()
        except (ConfigError, FileError) as error:
            # Once for each reason: anybody may come here, and must not be able to fill the log.
            if error.message != self._logged_problem:
                self._logged_problem = error.message
                _log.error("nobody may read the metrics: %s", error.message)
            return False
        self._logged_problem = ""
        if len(authorization) != 1:
            return False
        scheme, _, secret = authorization[0].strip(" \t").partition(" ")
        sent = f"{scheme.lower()} {secret.strip()}".encode("utf-8", "surrogatepass")
        return hmac.compare_digest(sent, wanted)


class ReadyPage:
    """Whether every database answers; they are asked at most once in FRESH_SECONDS.

    `open_database` opens the database of a name for a call.
    """

    def __init__(
        self,
        names: Sequence[str],
        open_database: Callable[[str, Call], Database],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._names = tuple(names)
        self._open_database = open_database
        self._clock = clock
        self._answered = _NEVER
        # Held while asking: further requests get the answer before, and no thread waits.
        self._asking_lock = threading.Lock()

    def __call__(self, head: Head, peer: str) -> HttpResponse:  # noqa: ARG002
        """200 when all answer, else 503; with how many do, and none of their names."""
        answering = self.answering()
        ready = answering == len(self._names)
        status = "ready" if ready else "unavailable"
        body = {"status": status, "databases": len(self._names), "answering": answering}
        return HttpResponse(200 if ready else 503, jsonrpc.encode(body))

    def answering(self) -> int:
        """How many databases answer, or did a moment ago."""
        before = self._answered
        fresh = self._clock() - before[0] <= FRESH_SECONDS
        if fresh or not self._asking_lock.acquire(blocking=before is _NEVER):
            return before[1]
        try:
            if self._answered is before:
                self._answered = (self._clock(), self._ask())
            return self._answered[1]
        finally:
            self._asking_lock.release()

    def _ask(self) -> int:
        if not self._names:
            return 0
        from concurrent.futures import ThreadPoolExecutor  # here: many a server is never asked

        with ThreadPoolExecutor(len(self._names), "ready") as threads:
            return sum(threads.map(self._answers, self._names))

    def _answers(self, name: str) -> bool:
        try:
            self._open_database(name, Call(READY_SECONDS)).fetch("SELECT 1")
        except ToolError:
            return False
        return True


def _is_from_here(head: Head, peer: str) -> bool:
    forwarded = any(name in head.headers for name in _FORWARDED)
    return origin.is_loopback(peer) and origin.host_is_local(head.host) and not forwarded


def _token(file: Path) -> str:
    from pgmcp.storage import files  # here: many a server has no such file
    from pgmcp.storage.protection import refuse_if_others_can_write

    refuse_if_others_can_write(file)
    text = files.read(file)
    if text is None:
        raise ConfigError(f"metrics.token_file: {file}: there is no such file", "Write a token.")
    token = text.decode("utf-8", "replace").strip()
    if len(token) < _MIN_TOKEN_CHARACTERS or not (token.isascii() and token.isprintable()):
        raise ConfigError(
            f"metrics.token_file: {file}: no token",
            f"It holds {_MIN_TOKEN_CHARACTERS} or more letters and digits on one line.",
        )
    return token
