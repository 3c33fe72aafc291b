"""What a worker process shares with the others, over its line to their parent.

The rule: a call with an API token asks the parent nothing, unless its policy counts calls or rows.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pgmcp.auth.limiter import LimitStore
from pgmcp.auth.passwords import PasswordChecks, busy
from pgmcp.logs.log import PROCESSES
from pgmcp.metrics import combine
from pgmcp.metrics.metrics import MetricFamily
from pgmcp.processes.link import Link
from pgmcp.server.shared import CredentialStop, Families, Stores
from pgmcp.stores.asking import AskingLimitStore, AskingSessionStore, AskingUsageStore
from pgmcp.transport.systemd import Notifier

_TURN_SECONDS = 3.0
_LOOK_SECONDS = 0.01

_log = logging.getLogger(PROCESSES)


class AmongWorkers:
    """`server.shared.Shared` of a worker. `turn` is a file that all of them have open: who has
    locked it checks a password. `state_key` is that of all workers."""

    keeps_sessions = False

    def __init__(self, link: Link, turn: int, state_key: bytes) -> None:
        self.first = link.number == 0
        self._link = link
        self._sessions = AskingSessionStore(link.ask)
        self._checks = OneAtATime(turn)
        self._state_key = state_key
        self._families: Families = lambda: ()
        self._connections = 0
        link.handlers |= {
            "removed": self._sessions.forget,
            "numbers": lambda: combine.pack(self._families()),
            "log": lambda level, text: _log.log(level, "%s", text),
            "cancel": lambda *_: None,
            "stop credential": lambda *_: None,
        }

    def stores(self) -> Stores:
        """The stores, which ask the parent."""
        ask = self._link.ask
        bad_tokens, failed = AskingLimitStore(ask, "tokens"), AskingLimitStore(ask, "logins")
        return Stores(self._sessions, bad_tokens, failed, self._checks)

    def states(self) -> tuple[bytes, LimitStore]:
        """The key of all workers, and marks which the parent keeps."""
        return self._state_key, AskingLimitStore(self._link.ask, "states")

    def usage(self) -> AskingUsageStore:
        """What was used of budgets; the parent counts."""
        return AskingUsageStore(self._link.ask)

    def families(self, own: Iterable[MetricFamily]) -> Iterable[MetricFamily]:
        """The numbers of all workers and of their parent."""
        return combine.combined(self._link.ask("numbers", combine.pack(own)))

    def cancel_elsewhere(self, scope: str, request_id: str | int) -> None:
        """Cancel a call that runs in another worker."""
        self._link.tell_others("cancel", scope, request_id)

    def stop_elsewhere(self, stop: CredentialStop) -> None:
        """Have every other worker stop a credential, and wait until they have."""
        self._link.ask("stop credential", *stop)

    def stopped(self) -> Iterable[CredentialStop]:
        """The credentials that workers have stopped in memory alone."""
        return [CredentialStop(*each) for each in self._link.ask("stopped credentials")]

    def on_stop(self, stop: Callable[[CredentialStop], None]) -> None:
        """Have `stop` called where another worker has stopped a credential."""
        self._link.handlers["stop credential"] = lambda *said: stop(CredentialStop(*said))

    def report(self, connections: int) -> None:
        """Tell how many clients are connected here."""
        if connections != self._connections:
            self._connections = connections
            self._link.tell_open(connections)

    def offer(self, families: Families, cancel: Callable[[str, str | int, str], object]) -> None:
        """Let the others have the numbers of this process, and cancel its calls."""
        self._families = families
        self._link.handlers["cancel"] = lambda scope, request_id: cancel(
            scope, request_id, "the client cancelled the request"
        )


class OneAtATime(PasswordChecks):
    """Password checks of which one runs at a time, whichever process makes it."""

    def __init__(self, turn: int) -> None:
        super().__init__()
        self._turn = turn

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for a turn and hold it for the block; LoginError when there are too many."""
        with super().slot():
            self._lock()
            try:
                yield
            finally:
                fcntl.lockf(self._turn, fcntl.LOCK_UN)

    def _lock(self) -> None:
        # A lock of the process (POSIX): the system takes it back when the process ends, however.
        until = time.monotonic() + _TURN_SECONDS
        while True:
            try:
                fcntl.lockf(self._turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() >= until:
                    raise busy() from None
                time.sleep(_LOOK_SECONDS)
            else:
                return


@dataclass(frozen=True, slots=True)
class ParentNotifier(Notifier):
    """Tells the parent what it tells the init system once it holds for all workers."""

    link: Link | None = None

    def _tell(self, text: str) -> None:
        if self.link is not None:
            self.link.notify(text)


def new_turn() -> int:
    """A descriptor for `AmongWorkers`, of a file that has no name."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("pgmcp-turn")
    import tempfile  # here: systems without memfd_create

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
