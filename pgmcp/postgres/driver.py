"""One connection to PostgreSQL: pg8000 opens it, and a pipeline of our own runs on it.

The rule: a connection that saw anything but an orderly answer is closed, never used again. Out of
step, it would give each call the previous call's answer: in a pool, somebody else's.
"""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, NoReturn

from pg8000.core import CoreConnection
from pg8000.exceptions import InterfaceError
from scramp import ScramException

from pgmcp.calls.call import Call
from pgmcp.config.databases import DatabaseSettings
from pgmcp.errors import (
    CallEndedError,
    ConnectionLostError,
    OutOfTimeError,
    ServerMessage,
    StatementError,
)
from pgmcp.net.wire import Wire, WireClosedError, WireInterruptedError, WireTimeoutError
from pgmcp.postgres import messages
from pgmcp.postgres.address import ServerAddress, TlsSettings, UnreachableError
from pgmcp.postgres.answers import Answers, SessionEndedError
from pgmcp.postgres.cancelling import CANCEL_SECONDS, cancel, send_terminate
from pgmcp.postgres.inbox import Inbox
from pgmcp.postgres.messages import Outcome, ProtocolError, Step
from pgmcp.postgres.orphans import Backend, ProcessList

ANSWER_GRACE_SECONDS = 0.5
"""How long after a call's deadline the server may still say by itself that it stopped."""
_RESET = ("ROLLBACK", "DISCARD ALL")
_ROLLBACK = messages.simple(_RESET[0])
# DISCARD ALL takes a snapshot, which a standby refuses at SERIALIZABLE; it undoes this SET as well.
_RESET_ON_STANDBY = (_RESET[0], "SET default_transaction_isolation = 'read committed'", _RESET[1])
_TAGS = {"ROLLBACK": b"ROLLBACK\0", "DISCARD ALL": b"DISCARD ALL\0"}
_MOST_PREPARED = 32
"""With more statements of ours prepared than that, the session is reset."""
NO_ENCODING = "SQL_ASCII"
_AGAIN = "Try again: pgmcp connects anew."
_PASSWORD_REQUESTS = (3, 5, 10)
STARTUP_ERRORS = (
    InterfaceError,
    ScramException,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    struct.error,
)


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What the role, the database and the server's configuration allow a session."""

    statement_timeout_seconds: float = float("inf")
    lock_timeout_seconds: float = float("inf")


class Connection(CoreConnection):  # type: ignore[misc] # pg8000 is untyped
    """A session in PostgreSQL. For one thread at a time; `interrupt` and `cut` for any.

    `run` leaves a transaction open unless it is the last. After the last the session is reset: the
    answers to ROLLBACK and DISCARD ALL are read by `ensure_clean`, before the next use. What leaves
    nothing needs no DISCARD ALL, and its ROLLBACK is sent in its own group.
    """

    def __init__(
        self,
        wire: Wire,
        server: ServerAddress,
        tls: TlsSettings,
        database: DatabaseSettings,
        password: str | None,
        clock: Callable[[], float] = time.monotonic,
        encoding: str = "UTF8",
    ) -> None:
        self.wire = wire
        self.closed = False
        self.idle_seconds = 0.0  # in its pool before this lease; the pool writes it
        self.limits = SessionLimits()  # these three are learned, and written, by the connector
        self.process_list: ProcessList | None = None
        self.peer: Backend | None = None
        self.at_work = False
        """Whether the server's process is at work, or may be, as far as is known once closed."""
        self._server = server
        self._tls = tls
        self._clock = clock
        self._inbox = Inbox(self._chunk)
        self._answers = Answers(self._inbox)
        self._unread_tags: tuple[bytes, ...] = ()
        self._reset_by(_RESET)
        self._in_transaction = False
        self._on_behalf_of = _OnBehalf(self)
        self._call: Call | None = None
        super().__init__(
            database.user,
            database=database.database,
            password=password,
            ssl_context=False,
            application_name="pgmcp",
            startup_params={"client_encoding": encoding},
            sock=wire,
        )
        self.password = self.auth = None

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
        return int.from_bytes((self._backend_key_data or b"\0\0\0\0")[:4], "big")

    @property
    def server_major(self) -> int:
        """The server's major version, as it said when the session began."""
        version = str(self.parameter_statuses.get("server_version", "0"))
        return int("".join(takewhile(str.isdigit, version)) or 0)

    # -- pg8000's handlers, where they would raise something odd -----------------------------------

    def handle_AUTHENTICATION_REQUEST(self, data: bytes, context: Any) -> None:  # noqa: N802
        if int.from_bytes(data[:4], "big") in _PASSWORD_REQUESTS and self.password is None:
            raise UnreachableError(
                "the server asks for a password, and none is configured", lasting=True
            )
        self._usock = self.wire.sock  # pg8000 binds the channel when it sees an SSLSocket here
        super().handle_AUTHENTICATION_REQUEST(data, context)

    def handle_ERROR_RESPONSE(self, data: bytes, context: Any) -> None:  # noqa: N802
        context.error = StatementError(ServerMessage.of(messages.fields(data)))

    def close(self) -> None:
        """Send Terminate and close; never raises, and the second time does nothing."""
        if not self.closed:
            self.closed = True
            with contextlib.suppress(OSError):
                self.wire.sock.send(messages.TERMINATE)
            self.wire.close()

    def close_and_wait(self, seconds: float) -> None:
        """As `close`, but hang up second, and wait no longer than this: a server's process hangs up
        only when its connection counts no more."""
        if not self.closed:
            self.closed = True
            self.wire.until = self._clock() + seconds
            with contextlib.suppress(WireClosedError, WireTimeoutError, WireInterruptedError):
                self.wire.send(messages.TERMINATE)
                while self.wire.receive():
                    continue
            self.wire.close()

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
            self._in_transaction = self.at_work = True
            if counted:
                self._inbox.count(call.keep)
            self._send(b"".join(parts))
            outcome = self._answers.group(steps, limit_bytes)
            if outcome.replies and outcome.replies[-1].cut:
                self._end()
                return outcome
            self.at_work = False
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
            self._send(_ROLLBACK)
            self._unread_tags = (_TAGS["ROLLBACK"],)
        self._in_transaction = False

    def finish(self, call: Call) -> None:
        """End the transaction that a `run` which was not the last left open."""
        if self._in_transaction:
            with self._on_behalf_of(call):
                self._send(self._cleanup)
                self._reset()

    def ensure_clean(self, call: Call) -> None:
        """Make sure that the session is there and as clean as a new one; ConnectionLostError."""
        if not (self._unread_tags or self.closed or self.wire.has_arrived()):
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
        return not self.closed and not self._in_transaction

    # -- bytes -------------------------------------------------------------------------------------

    def _chunk(self) -> bytes:
        while True:
            try:
                return self.wire.receive()
            except WireInterruptedError:
                self._stop_if_ended()
            except WireTimeoutError:
                self._stop()

    def _send(self, data: bytes) -> None:
        while True:
            try:
                self.wire.send(data)
            except WireInterruptedError:
                self._stop_if_ended()
                data = b""  # the wire has kept what is not sent yet
            except WireTimeoutError:
                self._stop()
            else:
                return

    # -- ending early ------------------------------------------------------------------------------

    def _begin(self, call: Call) -> None:
        """Wait as long as `call` may from now on, and let it interrupt."""
        if self.closed:
            raise ConnectionLostError("the connection is closed", _AGAIN, answered=False)
        self._call = call
        self._answers.received_any = False
        self.wire.waiting = call.waiting
        self.wire.until = self._clock() + call.remaining() + ANSWER_GRACE_SECONDS
        call.add_callback(self.wire.interrupt)

    def _done(self, error: BaseException | None) -> None:
        """The end of what `_begin` began. Whatever went wrong, it closes the connection."""
        call, self._call = self._call, None
        if call is not None:
            call.remove_callback(self.wire.interrupt)
        self._inbox.release()
        if error is None:
            return
        self.close()
        if isinstance(error, SessionEndedError):
            self.at_work = self.at_work and self.peer is None  # a pooler may be who said it
        if isinstance(error, WireClosedError):
            raise ConnectionLostError(
                f"the connection to PostgreSQL was lost: {error}",
                _AGAIN,
                answered=self._answers.received_any,
            ) from error
        if isinstance(error, ProtocolError | struct.error | LookupError):
            raise ConnectionLostError(
                f"PostgreSQL's answer made no sense, and the connection was closed: {error}", _AGAIN
            ) from error

    def _stop_if_ended(self) -> None:
        """A wake-up may be late and meant for an earlier call: ask ours."""
        if self._call is not None and self._call.cancelled is not None:
            self._stop()

    def _stop(self) -> NoReturn:
        """Cancel the statement, see it end within a bound, and close.

        It is the leasing thread itself that sends the CancelRequest, and no connection that was
        sent one is used again: so none can hit the connection's next user.
        """
        call = self._call
        assert call is not None
        self._end()
        if call.cancelled is not None:
            raise CallEndedError(f"the call was cancelled: {call.cancelled}")
        raise OutOfTimeError(" while PostgreSQL was working on it")

    def _end(self) -> None:
        """Cancel what runs, wait within a bound until the server's process has ended, and close.

        A server closes a connection when the process ends (be-secure and pqcomm.c leave it to
        that). A pooler in between closes it at once, which says nothing of the process.
        """
        self.wire.until = self._clock() + CANCEL_SECONDS
        if self._backend_key_data is not None:
            cancel(self.wire, self._server, self._tls, self._backend_key_data, self._clock)
        self.at_work = not send_terminate(self.wire) or self.peer is None
        self.close()


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
