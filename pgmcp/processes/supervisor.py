"""The parent of worker processes: it forks them, passes on what they tell each other, and replaces
those that end.

The rule: one thread, which never waits for anybody but in `poll`, and writes no log: a worker does
that for it. So a fork copies no lock that another thread holds.
"""

from __future__ import annotations

import gc
import logging
import os
import random
import select
import signal
import socket
import time
from collections.abc import Iterator, Sequence

from pgmcp.metrics import combine
from pgmcp.metrics.metrics import MetricFamily, gauge, value
from pgmcp.processes.broker import Broker, Outgoing
from pgmcp.processes.child import Child
from pgmcp.processes.link import Link
from pgmcp.processes.messages import WorkerMessage
from pgmcp.processes.passing import Doors, PassedListener
from pgmcp.transport.systemd import Notifier

STOP_SECONDS = 25.0
"""How long workers may take to stop: what a stop takes at most, and room."""
_FIRST_PAUSE_SECONDS = 1.0
_LAST_PAUSE_SECONDS = 60.0
_LOOK_SECONDS = 1.0
_ACCEPT_PAUSE_SECONDS = 0.1
_SIGNALS_AT_ONCE = 64
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

Begun = tuple[Link, Sequence[PassedListener]]
"""What a new worker process has."""


class Supervisor:
    """Keeps `count` workers, which serve what connects to `listeners`. The init system is told by
    `notifier`. `logins`: there are sessions."""

    def __init__(
        self,
        count: int,
        listeners: Sequence[socket.socket],
        notifier: Notifier,
        *,
        logins: bool,
    ) -> None:
        self._count = count
        self._doors = Doors(listeners)
        self._notifier = notifier
        self._logins = logins
        self._broker = Broker(lambda: combine.pack(self._families()))
        self._children: dict[int, Child] = {}
        self._begin_at: dict[int, float] = dict.fromkeys(range(count), 0.0)
        self._pauses = dict.fromkeys(range(count), 0.0)
        self._accept_at = 0.0
        self._restarts = 0
        self._lines: list[tuple[int, str]] = []
        self._told_ready = False
        self._started = False
        self._stop_until: float | None = None
        self._exit_status = 0
        self._signals, self._signals_out = socket.socketpair()

    def run(self) -> int | Begun:
        """Returns, like fork, in several processes: in each worker with its line to the parent and
        its listening sockets, and in the parent with the exit status, when all workers have ended.
        """
        self._catch_signals()
        gc.collect()
        gc.freeze()  # what is loaded stays, and pages that the collector leaves alone stay shared
        while True:
            begun = self._start_workers()
            if begun is not None:
                return begun
            if not self._children and not self._begin_at:
                return self._exit_status
            self._wait()
            for number in self._broker.late() & self._children.keys():
                self._log(logging.ERROR, f"worker {number} does not answer")
                self._children[number].kill()
            if self._stop_until is not None and time.monotonic() >= self._stop_until:
                self._kill_all()

    # -- workers -----------------------------------------------------------------------------------

    def _start_workers(self) -> Begun | None:
        """Start those whose time has come; not None in the new process. At the start the others
        wait until the first one serves: what is wrong is then said once."""
        for number, begin_at in sorted(self._begin_at.items()):
            if begin_at > time.monotonic() or (number and not self._started):
                continue
            del self._begin_at[number]
            ours, theirs = socket.socketpair()
            channels = self._doors.add(number)
            pid = os.fork()
            if pid == 0:
                ours.close()
                return self._become_worker(Link(theirs, number, self._count), channels)
            for end in (theirs, *channels):
                end.close()
            ours.setblocking(False)
            self._children[number] = Child(number, pid, ours)
            self._broker.join(number)
        return None

    def _become_worker(self, link: Link, channels: Sequence[socket.socket]) -> Begun:
        """Let go of what is the parent's; what the worker gets."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for number in (signal.SIGINT, signal.SIGHUP):  # a terminal sends them to all of us
            signal.signal(number, signal.SIG_IGN)
        for child in self._children.values():
            child.socket.close()
        self._signals.close()
        self._signals_out.close()
        random.seed()
        listeners = self._doors.listeners
        passed = [PassedListener(*pair) for pair in zip(channels, listeners, strict=True)]
        self._doors.close()
        self._doors.close_channels()
        return link, passed

    def _end(self, child: Child) -> None:
        """A worker has closed its line: it has ended, or must."""
        status = child.wait()
        self._doors.remove(child.number)
        del self._children[child.number]
        self._send(self._broker.leave(child.number))
        if self._stop_until is not None:
            self._exit_status = self._exit_status or abs(status)
        elif not self._started:
            # It has said why. A server that cannot start is for its operator.
            self._exit_status = status if status > 0 else 1
            self._stop()
        else:
            self._restart(child, status)

    def _restart(self, child: Child, status: int) -> None:
        """Have another worker in the place of one that ended, after a pause if it never served."""
        pause = self._pauses[child.number]
        longer = min(_LAST_PAUSE_SECONDS, max(_FIRST_PAUSE_SECONDS, 2 * pause))
        pause = 0.0 if child.served else longer
        self._pauses[child.number] = pause
        self._begin_at[child.number] = time.monotonic() + pause
        self._restarts += 1
        how = f"signal {-status}" if status < 0 else f"status {status}"
        when = f" in {pause:.0f} seconds" if pause else ""
        self._log(
            logging.ERROR,
            f"worker {child.number} (process {child.pid}) ended with {how}; "
            f"another one begins{when}",
        )

    def _stop(self) -> None:
        """Have all workers end, and start no other."""
        self._stop_until = time.monotonic() + STOP_SECONDS
        self._begin_at.clear()
        self._notifier.stopping()
        self._doors.close()
        self._tell_all("stop")

    def _kill_all(self) -> None:
        for child in self._children.values():
            child.kill()

    # -- signals -----------------------------------------------------------------------------------

    def _catch_signals(self) -> None:
        for end in (self._signals, self._signals_out):
            end.setblocking(False)
        signal.set_wakeup_fd(self._signals_out.fileno(), warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, lambda _number, _frame: None)

    def _take_signals(self) -> None:
        for number in self._signals.recv(_SIGNALS_AT_ONCE):
            if number == signal.SIGHUP:
                self._reload()
            elif number in (signal.SIGTERM, signal.SIGINT):
                if self._stop_until is None:
                    self._stop()
                else:  # the second one, which is for those who do not want to wait
                    self._exit_status = 128 + number
                    self._kill_all()

    def _reload(self) -> None:
        self._notifier.reloading()
        self._told_ready = False
        for child in self._children.values():
            child.ready = False
        self._tell_all("reload")

    # -- messages ----------------------------------------------------------------------------------

    def _wait(self) -> None:
        """Wait for something to happen, and deal with it."""
        poll = select.poll()
        poll.register(self._signals, select.POLLIN)
        children = {child.socket.fileno(): child for child in self._children.values()}
        for descriptor, child in children.items():
            poll.register(descriptor, child.events)
        now = time.monotonic()
        until = min([now + _LOOK_SECONDS, *self._begin_at.values()])
        listeners: dict[int, int] = {}
        if self._accept_at > now:
            until = min(until, self._accept_at)
        elif self._started and self._stop_until is None and self._children:
            listeners = {each.fileno(): n for n, each in enumerate(self._doors.listeners)}
        for descriptor in listeners:
            poll.register(descriptor, select.POLLIN)
        for descriptor, _ in poll.poll(max(0.0, until - now) * 1000):
            if descriptor in children:
                self._serve(children[descriptor])
            elif descriptor not in listeners:
                self._take_signals()
            elif not self._doors.accept(listeners[descriptor]):
                self._accept_at = time.monotonic() + _ACCEPT_PAUSE_SECONDS

    def _serve(self, child: Child) -> None:
        """Send what a worker had not taken yet, and read what it sent."""
        child.flush()
        try:
            messages = child.read()
            for message in messages or ():
                self._take(child, message)
        except (KeyError, TypeError, ValueError):
            # None of ours sends that: whatever it has become, it is not to be trusted.
            self._log(logging.ERROR, f"worker {child.number} sent what cannot be read")
            child.kill()
            return
        if messages is None:
            self._end(child)

    def _take(self, child: Child, message: WorkerMessage) -> None:
        kind, *rest = message
        if kind == "notify":
            self._note(child, *rest)
        elif kind == "open":
            [self._doors.open_connections[child.number]] = rest
        else:
            self._send(self._broker.take(child.number, message))

    def _note(self, child: Child, text: str) -> None:
        """Tell the init system what holds for all workers, once it does."""
        if text.startswith("READY=1"):
            child.ready = child.served = self._started = True
            lines, self._lines = self._lines, []
            for level, line in lines:
                self._log(level, line)
            ready = sum(each.ready for each in self._children.values())
            if ready == self._count and not self._told_ready:
                self._told_ready = True
                self._notifier.ready(f"{text.partition('STATUS=')[2]}, {self._count} processes")
        elif text.startswith("WATCHDOG=1"):
            child.alive = True
            if all(each.alive for each in self._children.values()):
                for each in self._children.values():
                    each.alive = False
                self._notifier.alive()

    def _send(self, messages: Outgoing) -> None:
        for number, message in messages:
            child = self._children.get(number)
            if child is not None:
                child.send(message)

    def _tell_all(self, what: str) -> None:
        for child in self._children.values():
            child.send(["tell", what])

    def _log(self, level: int, text: str) -> None:
        """Have a worker that serves write a line, or keep it until there is one."""
        ready = [child for child in self._children.values() if child.ready]
        if ready:
            message: WorkerMessage = ["tell", "log", level, text]
            ready[0].send(message)
        else:
            self._lines.append((level, text))

    def _families(self) -> Iterator[MetricFamily]:
        yield gauge("pgmcp_workers", "Processes that serve.", value(len(self._children)))
        yield MetricFamily(
            "pgmcp_worker_restarts_total",
            "counter",
            "Processes that ended and were replaced.",
            [value(self._restarts)],
        )
        if self._logins:
            yield gauge("pgmcp_sessions", "Sessions that are open.", value(self._broker.sessions))
