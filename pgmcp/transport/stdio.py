"""MCP over standard input and output: one JSON object a line, answered in any order.

The rule: standard output carries whole lines of JSON-RPC and nothing else (MCP, "Transports",
stdio), whatever happens to a single line or call.
"""

from __future__ import annotations

import codecs
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO

from pgmcp.calls.call import Call
from pgmcp.errors import InternalError, InvalidRequestError, RpcError
from pgmcp.logs.log import during
from pgmcp.mcp.client import Client
from pgmcp.mcp.dispatch import Answering, HeldAnswer
from pgmcp.mcp.feature import Context
from pgmcp.rpc import jsonrpc
from pgmcp.rpc.jsonrpc import Notification, Request
from pgmcp.transport.inflight import InFlight
from pgmcp.transport.limits import BODY_BYTES

SCOPE = "stdio"
MakeLocalContext = Callable[[Call, Client], Context]
"""What a call runs in: the call, and the client as the message has it."""

_MAX_LINE_BYTES = BODY_BYTES
_DISCARD_BYTES = 64 * 1024
_MAX_WAITING = 64
_LOOK_SECONDS = 0.1
_LAST_WORDS_SECONDS = 1.0

_log = logging.getLogger("pgmcp.stdio")


@dataclass(frozen=True, slots=True)
class StdioLimits:
    """`max_parallel` requests run side by side and others wait; `drain_seconds` is what running
    calls get after the end of input."""

    max_line_bytes: int = _MAX_LINE_BYTES
    max_parallel: int = 16
    call_timeout_seconds: float = 60.0
    drain_seconds: float = 30.0


def serve(
    reader: BinaryIO,
    writer: BinaryIO,
    dispatcher: Answering,
    context_of: MakeLocalContext,
    *,
    stop: threading.Event,
    limits: StdioLimits | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Serve until the input ends, the output breaks or `stop` is set; the exit status, 0.

    After the end of input the running calls are answered: whoever pipes requests in expects it.
    An id that is used twice at once is answered twice, as scripts that pipe requests in expect;
    it can only not be cancelled.
    `reader` and `writer` are buffered, and not sys.stdin and sys.stdout: `own_streams` makes them.
    """
    loop = _Loop(writer, dispatcher, context_of, limits or StdioLimits(), clock)
    # A daemon, because nothing wakes a thread that is blocked in readline.
    reading = threading.Thread(target=loop.read, args=(reader,), name="stdin", daemon=True)
    reading.start()

    def over() -> bool:
        return stop.is_set() or loop.broken

    # Looking, not waiting: a signal handler that sets an event whose lock its own thread holds
    # in wait() never returns.
    while reading.is_alive() and not over():
        reading.join(_LOOK_SECONDS)
    loop.end_streams()  # they would never be drained
    drained = clock() + loop.limits.drain_seconds
    while not over() and clock() < drained and not loop.inflight.wait_empty(_LOOK_SECONDS):
        continue
    loop.close("the server is stopping" if stop.is_set() else "the input ended")
    return 0


def own_streams() -> tuple[BinaryIO, BinaryIO]:
    """The process's input and output for `serve`; from then on print() goes to standard error.

    Copies, because Python aborts at exit when a thread still reads sys.stdin, and because a stray
    print would otherwise corrupt the stream.
    """
    sys.stdout.flush()
    reader = os.fdopen(os.dup(0), "rb")
    writer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return reader, writer


@dataclass(slots=True, eq=False)
class _Job:
    """A request on its way. `answered`: its answer is out, and nothing may follow; `held` is set
    while that is a stream, and `registered` is what ends with it."""

    request: Request
    call: Call
    answered: bool = False
    held: HeldAnswer | None = None
    registered: ExitStack = field(default_factory=ExitStack)


class _Loop:
    """One conversation: the reading thread, the workers, and the lock around the output."""

    def __init__(
        self,
        writer: BinaryIO,
        dispatcher: Answering,
        context_of: MakeLocalContext,
        limits: StdioLimits,
        clock: Callable[[], float],
    ) -> None:
        self.limits = limits
        self.inflight = InFlight()
        self.broken = False
        self._closing = False
        self._writer = writer
        self._writer_lock = threading.Lock()
        self._dispatcher = dispatcher
        self._context_of = context_of
        self._clock = clock
        self._jobs: queue.Queue[_Job | None] = queue.Queue(_MAX_WAITING)
        self._idle = threading.Semaphore(0)
        self._workers: list[threading.Thread] = []
        self._held: set[_Job] = set()
        self._ending_streams = False
        self._held_lock = threading.Lock()
        self._to_write: queue.SimpleQueue[_Job] = queue.SimpleQueue()

    def read(self, reader: BinaryIO) -> None:
        """Take lines until there are no more."""
        limit = self.limits.max_line_bytes
        before = codecs.BOM_UTF8  # which some Windows shells write once, when they pipe
        try:
            while not self.broken and (line := reader.readline(limit + 1)):
                line = line.removeprefix(before)
                before = b""
                if len(line) > limit and not line.endswith(b"\n"):
                    _discard_line(reader)
                    too_long = InvalidRequestError(f"the line is longer than {limit} bytes")
                    self._write(jsonrpc.error(None, too_long))
                elif line and not line.isspace():
                    self._take(line)
        except (OSError, ValueError) as failure:  # the input was closed under us
            _log.debug("reading ended: %s", failure)

    def close(self, reason: str) -> None:
        """Cancel what still runs, give it a moment to say so, and dismiss the workers."""
        self._closing = True
        if self.inflight.cancel_all(reason):
            self.inflight.wait_empty(_LAST_WORDS_SECONDS)
        for _ in self._workers:
            try:
                self._jobs.put_nowait(None)
            except queue.Full:
                return  # they are stuck, and die with the process

    def _take(self, line: bytes) -> None:
        try:
            message = jsonrpc.parse(line)
        except RpcError as failure:
            self._write(jsonrpc.error(failure.request_id, failure))
            return
        if isinstance(message, Request):
            timeout_seconds = self.limits.call_timeout_seconds
            call = Call(timeout_seconds, request_id=str(message.id), clock=self._clock)
            # Here and not in the worker, so that a request that still waits can be cancelled.
            self.inflight.begin(SCOPE, message.id, call)
            self._ensure_free_worker()
            self._jobs.put(_Job(message, call))
        elif isinstance(message, Notification) and message.method == "notifications/cancelled":
            self._cancel(message)

    def _cancel(self, message: Notification) -> None:
        request_id = message.params.get("requestId")
        self.inflight.cancel(SCOPE, request_id, "the client no longer wants the answer")

    def _ensure_free_worker(self) -> None:
        """See to it that a worker is free, as far as the limit goes."""
        if self._idle.acquire(blocking=False) or len(self._workers) >= self.limits.max_parallel:
            return
        worker = threading.Thread(target=self._work, name="stdio-worker", daemon=True)
        self._workers.append(worker)
        worker.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                with during(job.call.request_id):
                    self._answer(job)
            finally:
                if job.held is None:
                    self._end(job)
                self._idle.release()

    def _end(self, job: _Job) -> None:
        self.inflight.end(SCOPE, job.request.id, job.call)

    def _answer(self, job: _Job) -> None:
        if not self._wanted(job.call):
            return
        request = job.request
        try:
            client = Client(request.params, None, partial(self._send, job))
            context = self._context_of(job.call, client)
            answer = self._dispatcher.answer(request, context, None)
            body = answer.body
            job.held = answer.held
        except Exception:  # noqa: BLE001 - a defect in one request must not end the others
            import secrets  # here: it loads OpenSSL, which a start can do without

            incident = secrets.token_hex(4)
            _log.exception("internal error %s in %a", incident, request.method[:100])
            body = jsonrpc.error(request.id, InternalError(incident))
        if job.held is not None:
            self._hold(job, job.held)
        elif body is not None and self._wanted(job.call):
            self._write_last(job, body)

    # -- what comes before an answer, and answers that are held open -------------------------------

    def _send(self, job: _Job, message: dict[str, Any]) -> None:
        """Write a message that comes before the answer to `job`."""
        if self._wanted(job.call):
            line = jsonrpc.encode_long(message)
            with self._writer_lock:
                if not job.answered:
                    self._write_line(line)

    def _write_last(self, job: _Job, body: dict[str, Any]) -> None:
        line = jsonrpc.encode_long(body)
        with self._writer_lock:
            job.answered = True
            self._write_line(line)

    def _hold(self, job: _Job, held: HeldAnswer) -> None:
        """Keep an answer open. One thread writes for all of them, from the first one on."""
        with self._held_lock:
            if not self._held:
                threading.Thread(
                    target=self._write_streams, name="stdio-streams", daemon=True
                ).start()
            self._held.add(job)
            late = self._ending_streams
        if late:  # `end_streams` did not see this one
            held.stream.close()
        # Both may be called at once, and then again: the thread takes what there is.
        held.stream.attach(lambda: self._to_write.put(job))
        job.registered.enter_context(job.call.on_cancel(lambda: self._to_write.put(job)))
        self._to_write.put(job)

    def end_streams(self) -> None:
        """End every answer that is held open."""
        with self._held_lock:
            self._ending_streams = True
            jobs = list(self._held)
        for job in jobs:
            if job.held is not None:
                job.held.stream.close()
            self._to_write.put(job)

    def _write_streams(self) -> None:
        """Write what streams have, until there are none."""
        while True:
            job = self._to_write.get()
            if job in self._held and job.held is not None and self._is_over(job, job.held):
                job.held.stream.close()
                job.registered.close()
                self._end(job)
                with self._held_lock:
                    self._held.discard(job)
                    if not self._held:
                        return

    def _is_over(self, job: _Job, held: HeldAnswer) -> bool:
        """Write what a stream has; whether that was all."""
        if not self._wanted(job.call):
            return True
        lines, last = held.stream.take()
        with self._writer_lock:
            for line in lines:
                self._write_line(line)
        if last is not None:
            self._write_last(job, held.last(last[0]))
        return last is not None or held.stream.closed or self.broken

    def _wanted(self, call: Call) -> bool:
        """A client that cancelled gets no answer; one whose call we had to end gets to know."""
        return call.cancelled is None or self._closing

    def _write(self, body: dict[str, object]) -> None:
        line = jsonrpc.encode_long(body)
        with self._writer_lock:
            self._write_line(line)

    def _write_line(self, line: bytes | bytearray) -> None:
        """Write a line; the lock is held."""
        if self.broken:
            return
        try:
            self._writer.write(line)
            self._writer.write(b"\n")
            self._writer.flush()
        except (OSError, ValueError) as failure:
            self.broken = True
            _log.info("writing ended: %s", failure)


def _discard_line(reader: BinaryIO) -> None:
    while chunk := reader.readline(_DISCARD_BYTES):
        if chunk.endswith(b"\n"):
            return
