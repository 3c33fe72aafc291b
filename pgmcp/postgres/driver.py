"""One connection to PostgreSQL: a session, and a pipeline of our own that runs on it.

The rule: a connection that saw anything but an orderly answer is closed, never used again. Out of
step, it would give each call the previous call's answer: in a pool, somebody else's.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

from pgmcp.calls.call import Call
from pgmcp.errors import ConnectionLostError
from pgmcp.net.wire import Wire, WireClosedError
from pgmcp.postgres import messages
from pgmcp.postgres.address import ServerAddress, TlsSettings
from pgmcp.postgres.answers import Answers, SessionEndedError
from pgmcp.postgres.channel import AGAIN, Channel
from pgmcp.postgres.inbox import Inbox
from pgmcp.postgres.messages import Outcome, ProtocolError, Step
from pgmcp.postgres.orphans import Backend, ProcessList

_RESET = ("ROLLBACK", "DISCARD ALL")
_ROLLBACK = messages.simple(_RESET[0])
# DISCARD ALL takes a snapshot, which a standby refuses at SERIALIZABLE; it undoes this SET as well.
_RESET_ON_STANDBY = (_RESET[0], "SET default_transaction_isolation = 'read committed'", _RESET[1])
_TAGS = {"ROLLBACK": b"ROLLBACK\0", "DISCARD ALL": b"DISCARD ALL\0"}
_MOST_PREPARED = 32
"""With more statements of ours prepared than that, the session is reset."""


class Started(NamedTuple):
    """What a server said when a session began: the key for a CancelRequest, None without one, and
    its parameters, such as `server_version`."""

    cancel_key: bytes | None
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What the role, the database and the server's configuration allow a session."""

    statement_timeout_seconds: float = float("inf")
    lock_timeout_seconds: float = float("inf")


class Connection:
    """A session in PostgreSQL. For one thread at a time; of its `wire`, `interrupt` and `cut`
    are for any.

    `run` leaves a transaction open unless it is the last. After the last the session is reset: the
    answers to ROLLBACK and DISCARD ALL are read by `ensure_clean`, before the next use. What leaves
    nothing needs no DISCARD ALL, and its ROLLBACK is sent in its own group.
    """

    def __init__(
        self,
        wire: Wire,
        server: ServerAddress,
        tls: TlsSettings,
        started: Started,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.wire = wire
        self.idle_seconds = 0.0  # in its pool before this lease; the pool writes it
        self.limits = SessionLimits()  # these three are learned, and written, by the connector
        self.process_list: ProcessList | None = None
        self.peer: Backend | None = None
        self._started = started
        self._channel = Channel(wire, server, tls, started.cancel_key, clock)
        self._inbox = Inbox(self._channel.receive)
        self._answers = Answers(self._inbox)
        self._unread_tags: tuple[bytes, ...] = ()
        self._reset_by(_RESET)
        self._in_transaction = False
        self._on_behalf_of = _OnBehalf(self)

    def __repr__(self) -> str:
        return f"<Connection {self.backend} {'closed' if self.closed else 'open'}>"

    def expect_standby(self) -> None:
        """Reset the session in a way that a standby takes from a role of any defaults."""
        self._reset_by(_RESET_ON_STANDBY)

    def _reset_by(self, commands: tuple[str, ...]) -> None:
        self._cleanup = b"".join(map(messages.simple, commands))
        self._tags = tuple(_TAGS.get(command, b"SET\0") for command in commands)

    @property
    def notified(self) -> int:
        """How many notifications came."""
        return self._answers.notified

    @property
    def held_bytes(self) -> int:
        """How many bytes of the server's answers are kept."""
        return self._inbox.held_bytes

    @property
    def backend(self) -> int:
        """The process ID of the server's side, as pg_stat_activity shows it."""
        return int.from_bytes((self._started.cancel_key or b"\0\0\0\0")[:4], "big")

    @property
    def server_major(self) -> int:
        """The server's major version, as it said when the session began."""
        version = self._started.parameters.get("server_version", "0")
        return int("".join(takewhile(str.isdigit, version)) or 0)

    @property
    def closed(self) -> bool:
        """Whether it is of no more use."""
        return self._channel.closed

    @property
    def at_work(self) -> bool:
        """Whether the server's process is at work, or may be, as far as is known once closed."""
        said_so = self._channel.ended and self.peer is not None  # else a pooler may have said it
        return self._channel.at_work and not said_so

    def close(self) -> None:
        """Send Terminate and close; never raises, and the second time does nothing."""
        self._channel.close()

    def close_and_wait(self, seconds: float) -> None:
        """As `close`, once the server has hung up, or this time is over."""
        self._channel.close_and_wait(seconds)

    # -- running -----------------------------------------------------------------------------------

    def run(
        self,
        steps: Sequence[Step],
        call: Call,
        *,
        limit_bytes: int,
        last: bool = True,
        leaves_nothing: bool = False,
        counted: bool = False,
    ) -> Outcome:
        """Send the steps in one write and read their answers; a failure skips the steps after it.

        `last` ends the transaction and resets the session. `leaves_nothing`: it is known that
        ROLLBACK undoes all that the steps do to the session, so that it is as clean as a new one
        without DISCARD ALL. `counted`: the rows count as what the answer keeps in memory. A step's
        rows over `limit_bytes` are cut: what came until then stays, and the connection is closed.
        Raises CallEndedError, ConnectionLostError and, for a step that cannot be sent, ToolError.
        """
        if self.peer is None:  # a pooler may give each transaction to another session
            steps = [step._replace(name="") for step in steps]
            leaves_nothing = False
        brief = last and leaves_nothing and len(self._answers.prepared) < _MOST_PREPARED
        if brief:
            steps = [*steps, messages.ROLLBACK]
        parts = [messages.pipeline(step, self._answers.prepared) for step in steps]
        parts.append(messages.SYNC)
        if last and not brief:
            parts.append(self._cleanup)
        with self._on_behalf_of(call):
            self._in_transaction = self._channel.at_work = True
            if counted:
                self._inbox.count(call.keep)
            self._channel.send(b"".join(parts))
            outcome = self._answers.group(steps, limit_bytes)
            if outcome.replies and outcome.replies[-1].cut:
                self._channel.stop()
                return outcome
            self._channel.at_work = False
            if brief:
                self._rolled_back(outcome)
            elif last:
                self._reset()
        return outcome

    def _reset(self) -> None:
        """Note that the session is reset once it has read what was sent."""
        self._unread_tags = self._tags
        self._answers.prepared.clear()
        self._in_transaction = False

    def _rolled_back(self, outcome: Outcome) -> None:
        """See that the transaction of a group that ended in ROLLBACK is over."""
        if outcome.failure is None:
            outcome.replies.pop()
            if not self._answers.idle:
                raise ProtocolError("the transaction did not end")
        else:  # which skipped the ROLLBACK
            self._channel.send(_ROLLBACK)
            self._unread_tags = (_TAGS["ROLLBACK"],)
        self._in_transaction = False

    def finish(self, call: Call) -> None:
        """End the transaction that a `run` which was not the last left open."""
        if self._in_transaction:
            with self._on_behalf_of(call):
                self._channel.send(self._cleanup)
                self._reset()

    def ensure_clean(self, call: Call) -> None:
        """Make sure that the session is there and as clean as a new one; ConnectionLostError."""
        if not (self._unread_tags or self._channel.closed or self.wire.has_arrived()):
            return
        with self._on_behalf_of(call):
            for tag in self._unread_tags:
                self._answers.completed(tag)
            self._unread_tags = ()
            self._inbox.add(self.wire.arrived())
            self._answers.unasked()

    @property
    def reusable(self) -> bool:
        """Whether somebody else may have it, after `ensure_clean`."""
        return not self._channel.closed and not self._in_transaction

    # -- on behalf of a call -----------------------------------------------------------------------

    def _begin(self, call: Call) -> None:
        self._channel.begin(call)
        self._answers.received_any = False

    def _done(self, error: BaseException | None) -> None:
        """The end of what `_begin` began. Whatever went wrong, it closes the connection."""
        self._channel.release()
        self._inbox.release()
        if error is None:
            return
        self._channel.close()
        if isinstance(error, SessionEndedError):
            self._channel.ended = True
        if isinstance(error, WireClosedError):
            raise ConnectionLostError(
                f"the connection to PostgreSQL was lost: {error}",
                AGAIN,
                answered=self._answers.received_any,
            ) from error
        if isinstance(error, ProtocolError | struct.error | LookupError):
            raise ConnectionLostError(
                f"PostgreSQL's answer made no sense, and the connection was closed: {error}", AGAIN
            ) from error


class _OnBehalf:
    """`with on_behalf_of(call)`: the block that uses a connection for a call, one at a time. A
    class and no generator: it is on every call's way."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __call__(self, call: Call) -> _OnBehalf:
        self._connection._begin(call)
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._connection._done(error)
