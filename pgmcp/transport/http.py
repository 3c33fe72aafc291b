"""The HTTP server: it accepts, parks and hands out connections, and stops in an orderly way.

The rule: one thread accepts clients, keeps deadlines and watches the workers; of these one waits
for all clients at once, and none for a single one. A thread for each connection made the slowest of
256 callers wait for seconds.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from typing import Any

from pgmcp.calls.call import Call
from pgmcp.config.values import Address
from pgmcp.logs.log import REQUEST_THREADS
from pgmcp.net.addresses import address_key
from pgmcp.transport.accepting import Acceptor
from pgmcp.transport.budget import Budget
from pgmcp.transport.call_queue import CallQueue, QueuedCall
from pgmcp.transport.connection import ClientConnection, Wait
from pgmcp.transport.descriptors import allow_descriptors
from pgmcp.transport.endpoint import Endpoint
from pgmcp.transport.eviction import EvictionReport, OpenConnections
from pgmcp.transport.handler import RequestHandler
from pgmcp.transport.limits import HttpLimits
from pgmcp.transport.listen import listen
from pgmcp.transport.parking import Parking
from pgmcp.transport.response import refusal, render
from pgmcp.transport.stamps import DateField, RequestIds
from pgmcp.transport.watching import Watching
from pgmcp.transport.workers import STALL_SECONDS, WorkerPool

log = logging.getLogger("pgmcp.http")

TICK_SECONDS = 0.1
"""How often deadlines and hang-ups are looked at."""
_OTHER_DESCRIPTORS = 256
"""What connections to databases, files and the rest take at most, about."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """How a stop went: requests that ended by themselves, and those that had to be ended."""

    finished: int
    cancelled: int


class HttpServer(ThreadingHTTPServer):
    """Serves `endpoint` on `address`, or on listening sockets that are given.

    `tls` gives the context for each new connection; None serves plain HTTP. Listening begins here
    (ConfigError when it cannot), answering with `start` or `serve_forever`. `port` is the port that
    is listened on, also when 0 was asked for.
    """

    def __init__(
        self,
        address: Address,
        endpoint: Endpoint,
        *,
        tls: Callable[[], ssl.SSLContext] | None = None,
        limits: HttpLimits | None = None,
        listeners: Sequence[socket.socket] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__((address.host, address.port), RequestHandler, bind_and_activate=False)
        self.socket.close()
        self.endpoint = endpoint
        self.limits = limits = limits or HttpLimits()
        self.clock = clock
        self.message_memory = Budget(limits.messages_bytes)
        self.answer_memory = Budget(limits.answers_bytes)
        self.next_request_id = RequestIds().next
        self.date = DateField().text
        self.stopping = False
        self.generation = 0
        self._most_connections = 0
        self.allow_connections(limits.connections)
        self._tls = tls
        sockets = list(listeners) or listen(address, limits.backlog)
        self.socket = sockets[0]
        self.server_address = self.socket.getsockname()
        self.port = int(self.server_address[1])
        self._parking: Parking[RequestHandler] = Parking(clock)
        self._acceptor = Acceptor(sockets, self.process_request, clock)
        self._workers = _worker_pool(limits, self._parking, self._acceptor.wake, clock)
        self.calls = CallQueue(
            requests=limits.requests,
            running=limits.running,
            share=limits.share,
            waiting=limits.waiting,
            threads=self._workers,
        )
        self._handlers: OpenConnections[RequestHandler] = OpenConnections()
        self._handlers_lock = threading.Lock()
        self._watched: dict[ClientConnection, Call] = {}
        self._evictions = EvictionReport(clock)
        self._rounds = 0
        self._answered = (-1, -1)
        self._over = threading.Event()
        self._loop_ended = threading.Event()
        self._loop_ended.set()

    @property
    def open_connections(self) -> int:
        """How many clients are connected."""
        return len(self._handlers)

    def answers(self) -> bool:
        """Whether the server has moved since this was last asked: the accepting thread went round,
        and requests that waited for a worker were taken. For a watchdog."""
        before, now = self._answered, (self._rounds, self._workers.taken)
        self._answered = now
        return now[0] != before[0] and (now[1] != before[1] or not self._workers.waiting())

    @property
    def threads(self) -> int:
        """How many threads serve, at rest or at work."""
        return len(self._workers)

    def allow_connections(self, count: int) -> None:
        """Have that many clients connected at once from now on; none is closed for it."""
        self._most_connections = count
        allowed = allow_descriptors(count + _OTHER_DESCRIPTORS)
        if allowed < count + _OTHER_DESCRIPTORS:
            log.warning(
                "This process may have %d open files, too few for %d connections: raise its limit "
                "(ulimit -n, LimitNOFILE=) or lower http.max_connections",
                allowed,
                count,
            )

    def share_out(self, *, running: int, share: int, pool_sizes: Mapping[str, int]) -> None:
        """Have that many calls run at once from now on, that many of one owner, and of those for
        one pool as many as it may have connections, by the name of its database."""
        self._workers.limit = running + self.limits.workers
        self.calls.change(running=running, share=share, pool_sizes=pool_sizes)

    # -- accepting and watching: one thread --------------------------------------------------------

    def start(self) -> None:
        """Serve in a thread of its own."""
        self._loop_ended.clear()
        threading.Thread(target=self.serve_forever, name="pgmcp-http-wait", daemon=True).start()

    def serve_forever(self, poll_interval: float = TICK_SECONDS) -> None:
        """Serve until `stop`."""
        self._loop_ended.clear()
        self._acceptor.begin()
        next_tick = self.clock() + poll_interval
        try:
            while not self._over.is_set():
                pause = next_tick - self.clock()
                if self._workers.replace_stalled_leader():
                    pause = min(pause, STALL_SECONDS)
                for listener in self._acceptor.wait(max(0.0, pause)):
                    self._accept(listener)
                self._rounds += 1
                if self.clock() >= next_tick:
                    self._tick()
                    next_tick = self.clock() + poll_interval
        finally:
            self._loop_ended.set()

    def _tick(self) -> None:
        for handler in self._parking.expired():
            self._workers.put(handler)
        self.calls.withdraw_late()
        for connection, call in list(self._watched.items()):
            if connection.hung_up():
                call.cancel("the client disconnected")
        if (summary := self._evictions.summary()) is not None:
            log.warning("At the limit of connections, in the last minute: %s", summary)
        self._acceptor.end_pause_when_over()

    def _accept(self, listener: socket.socket) -> None:
        exhausted = self._acceptor.accept(listener)
        if exhausted is not None:
            log.warning("cannot accept connections: %s", exhausted.strerror)
            self._close(self._parking.take_idle(8))
            self._acceptor.pause()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Park a new connection. At the limit another makes room for it."""
        sock: socket.socket = request
        if len(self._handlers) >= self._most_connections:
            self._make_room(address_key(str(client_address[0])))
        if len(self._handlers) >= self._most_connections:
            self._evictions.refused += 1
            self._turn_away(sock)
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = ClientConnection(sock, self.clock)
        handler = RequestHandler(connection, client_address, self)
        with self._handlers_lock:
            self._handlers.add(handler, handler.key)
        seconds = self.limits.head_seconds if self._tls is None else self.limits.handshake_seconds
        self._parking.park(connection.fileno(), handler, Wait(self.clock() + seconds, idle=True))

    def _make_room(self, newcomer: str) -> None:
        """Close the connection that goes first for a client of this address key, if one may."""
        with self._handlers_lock:
            leaving = self._handlers.make_room(
                newcomer, lambda h, idle: self._parking.take(h.connection.fileno(), h, idle=idle)
            )
        if leaving is not None:
            self._close([leaving])
        if self._evictions.add(closed=int(leaving is not None)):
            log.warning(
                "The limit of %d connections is reached: connections are closed to make room, "
                "those that have not authenticated first",
                self._most_connections,
            )

    def _turn_away(self, sock: socket.socket) -> None:
        if self._tls is None:
            answer = refusal(503, "too many connections", (("Retry-After", "1"),))
            sock.setblocking(False)
            ClientConnection(sock).send_now(
                b"".join(render(answer, request_id="-", date=self.date(), close=True))
            )
        sock.close()

    # -- working: many threads ---------------------------------------------------------------------

    def hand_back(self, handler: RequestHandler, wait: Wait | QueuedCall | None) -> None:
        """Take a handler back after its turn: to wait, or (None) for another turn after others."""
        if wait is None:
            self._workers.put(handler)
        elif isinstance(wait, QueuedCall):
            self.calls.wait(wait)
        elif self._over.is_set() or (wait.idle and self.stopping):
            self._close([handler])
        else:
            self._parking.park(handler.connection.fileno(), handler, wait)
            # Whoever had something for it before it was parked found nobody to wake.
            if wait.ready is not None and wait.ready():
                self.wake(handler)
            # And `renew` found nothing to close.
            if wait.idle and handler.generation != self.generation and self._unpark(handler):
                self._close([handler])

    def _unpark(self, handler: RequestHandler) -> bool:
        return self._parking.take(handler.connection.fileno(), handler)

    def wake(self, handler: RequestHandler) -> None:
        """Have a handler go on that waits for its client. Nothing happens if it does not."""
        if self._unpark(handler):
            self._workers.put(handler)

    def resume(self, handler: RequestHandler) -> None:
        """Have a handler go on that has waited in the queue of calls."""
        self._workers.put(handler)

    def recognise(self, handler: RequestHandler, *, known: bool) -> None:
        """Note that a connection's latest request brought a valid credential, or none again."""
        with self._handlers_lock:
            self._handlers.change(handler, known=known)

    def forget(self, handler: RequestHandler) -> None:
        """Let go of a handler whose connection is closed."""
        with self._handlers_lock:
            self._handlers.remove(handler)

    def tls_context(self) -> ssl.SSLContext | None:
        """The context for a new connection, None for plain HTTP."""
        return None if self._tls is None else self._tls()

    def renew(self) -> None:
        """Have every client connect again: idle ones now, the others after their next answer.

        For new rules about who may connect at all, which open connections were not held to.
        """
        self.generation += 1
        self._close(self._parking.take_idle())

    def watch(self, connection: ClientConnection, call: Call) -> Watching:
        """Cancel `call` if the client hangs up inside a `with` block."""
        return Watching(self._watched, connection, call)

    # -- stopping ----------------------------------------------------------------------------------

    def stop(
        self,
        grace_seconds: float,
        cancel_all: Callable[[str], object] = lambda _: None,
        cancel_seconds: float = 5.0,
    ) -> Stopped:
        """Stop accepting, close what is idle, and let running requests end within `grace_seconds`.

        What is left then is cancelled (`cancel_all`, with the reason) and gets `cancel_seconds` to
        answer; after that its socket is closed.
        """
        self.stopping = True
        self._acceptor.close()
        idle = self._parking.take_idle()
        running = len(self._handlers) - len(idle)
        self._close(idle)
        self._wait_for_end(grace_seconds)
        cancelled = len(self._handlers)
        if cancelled:
            cancel_all("the server is stopping")
            self._wait_for_end(cancel_seconds)
        self._end()
        return Stopped(running - cancelled, cancelled)

    def _end(self) -> None:
        """End the threads, and close what is still open once nobody can park or accept any more."""
        self._over.set()
        self._acceptor.wake()
        self._loop_ended.wait(1.0)
        with self._handlers_lock:
            left = list(self._handlers)
        for handler in left:
            handler.connection.abort()
        self._workers.stop(1.0)
        self._close(self._parking.take_all())
        self._parking.close()
        self._acceptor.end()

    def _wait_for_end(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._handlers and time.monotonic() < deadline:
            self._close(self._parking.take_idle())
            time.sleep(0.01)

    def _close(self, handlers: Sequence[RequestHandler]) -> None:
        for handler in handlers:
            handler.drop()


def _worker_pool(
    limits: HttpLimits,
    parking: Parking[RequestHandler],
    wake_watcher: Callable[[], None],
    clock: Callable[[], float],
) -> WorkerPool[RequestHandler]:
    """Calls that run take no more threads than `running`: the others are for what is brief."""
    return WorkerPool(
        parking,
        RequestHandler.handle,
        lambda handler: handler.owner,
        name=REQUEST_THREADS,
        size=limits.workers,
        limit=limits.running + limits.workers,
        idle_seconds=limits.worker_idle_seconds,
        wake_watcher=wake_watcher,
        clock=clock,
    )
