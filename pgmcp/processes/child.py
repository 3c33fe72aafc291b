"""A worker process as its parent has it: its process id, and the line to it.

The rule: nothing here waits. What a worker does not take is kept, up to a bound, and a worker that
does what none of ours does is killed: another one takes its place.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from dataclasses import dataclass, field

from pgmcp.processes.messages import MessageInbox, WorkerMessage, encode

_UNSENT_BYTES = 16 * 1024 * 1024
"""A worker that leaves so much unread does not move any more."""
_READ_BYTES = 65536


@dataclass(slots=True)
class Child:
    """A worker process. It said of itself that it has `served`, is `ready` since the last reload,
    and is `alive`."""

    number: int
    pid: int
    socket: socket.socket
    served: bool = False
    ready: bool = False
    alive: bool = False
    _inbox: MessageInbox = field(default_factory=MessageInbox)
    _unsent: bytearray = field(default_factory=bytearray)

    @property
    def events(self) -> int:
        """What to wait for, as `select.poll` has it."""
        return select.POLLIN | (select.POLLOUT if self._unsent else 0)

    def send(self, message: WorkerMessage) -> None:
        """Send a message, now or when the worker takes it."""
        self._unsent += encode(*message)
        self.flush()

    def flush(self) -> None:
        """Send what the worker takes."""
        # An error here is seen again by the next read.
        with contextlib.suppress(OSError):
            while self._unsent:
                sent = self.socket.send(self._unsent)
                del self._unsent[:sent]
        if len(self._unsent) > _UNSENT_BYTES:
            self.kill()

    def read(self) -> list[WorkerMessage] | None:
        """The messages that have come, None when the worker has closed its line."""
        try:
            data = self.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        return self._inbox.take(data) if data else None

    def kill(self) -> None:
        """End the process; its line then closes."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """See it ended, and close the line; the exit status, negative for a signal."""
        self.kill()  # a worker closes its line when it ends, and never before
        _, status = os.waitpid(self.pid, 0)
        self.socket.close()
        return os.waitstatus_to_exitcode(status)
