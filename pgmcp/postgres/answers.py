"""What a server answers to a group of steps, read out of the messages that arrive.

The rule: every answer is one that was asked for, in its order, or one that a server may give at any
time; anything else means that the connection is out of step.
"""

from __future__ import annotations

from collections.abc import Sequence

from pgmcp.errors import ServerMessage, StatementRefusedError
from pgmcp.net.wire import WireClosedError
from pgmcp.postgres import messages
from pgmcp.postgres.inbox import Inbox
from pgmcp.postgres.messages import Failure, Outcome, ProtocolError, Reply, Step

_QUIET = frozenset(
    (
        *(messages.BIND_COMPLETE, messages.NO_DATA, messages.COMMAND_COMPLETE),
        *(messages.EMPTY_QUERY, messages.PORTAL_SUSPENDED),
    )
)
_NO_STEP = Step("")
_NOTHING = Reply()
"""What a step brought that brought neither rows nor notices; never written to."""
_ASIDES = frozenset((messages.NOTICE, messages.PARAMETER_STATUS, messages.NOTIFICATION))


class SessionEndedError(WireClosedError):
    """The server said that it ends the session."""


class Answers:
    """Reads the answers of one session from its inbox.

    `received_any`: whether anything was read since this was last set to False. `idle`: what the
    last group ended with: no transaction is open. `prepared`: the names of the statements that the
    session keeps. `notified`: how many notifications came.
    """

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self.received_any = False
        self.idle = True
        self.prepared: set[str] = set()
        self.notified = 0

    def group(self, steps: Sequence[Step], limit_bytes: int) -> Outcome:
        """The answers up to ReadyForQuery, or until rows of one step are over the limit."""
        replies: list[Reply] = []
        failure: Failure | None = None
        awaited = iter(steps)
        step, reply, budget = next(awaited, _NO_STEP), _NOTHING, limit_bytes
        ends, parsing = step.ends, step.parse
        next_message = self._inbox.next
        while True:
            kind, body = next_message(budget)
            if kind == messages.PARSE_COMPLETE:
                self.received_any, parsing = True, False
                if step.name:
                    self.prepared.add(step.name)
            elif kind == messages.READY:
                break
            elif kind == messages.ERROR:
                failure = _failure(body, len(replies), parsing)
            elif kind not in _QUIET:
                if reply is _NOTHING:
                    reply = Reply()
                budget = self._bring(kind, body, reply, budget)
                if reply.cut:
                    return Outcome([*replies, reply])
            if kind in ends:
                replies.append(reply)  # an answer too many is found out below
                step, reply, budget = next(awaited, _NO_STEP), _NOTHING, limit_bytes
                ends, parsing = step.ends, step.parse
        self.received_any, self.idle = True, body == b"I"
        _require_all(steps, replies, failure)
        return Outcome(replies, failure)

    def _bring(self, kind: int, body: bytes, reply: Reply, budget: int) -> int:
        """Put into `reply` what is none of the messages that only say how far it is; what is left
        of the budget of bytes."""
        if kind == messages.DATA_ROW:
            budget = self._inbox.rows(reply.rows, budget)
            reply.cut = budget < 0
        elif kind == messages.ROW_DESCRIPTION:
            reply.columns = messages.columns(body)
        elif kind == messages.NOTICE:
            reply.notices.append(messages.fields(body))
        else:
            self._aside(kind, body)
        return budget

    def completed(self, command: bytes) -> None:
        """Read the answer to a simple command, which completes with this tag."""
        completed = b""
        while True:
            kind, body = self._inbox.next()
            if kind == messages.COMMAND_COMPLETE:
                completed = body
            elif kind == messages.READY:
                break
            else:
                self._aside(kind, body)
        if completed != command or body != b"I":
            raise ProtocolError("the session was not reset")

    def unasked(self) -> None:
        """Read what has arrived though nothing was asked."""
        while self._inbox:
            self._aside(*self._inbox.next())

    def _aside(self, kind: int, body: bytes) -> None:
        """Take what a server may say at any time (protocol, "Asynchronous Operations")."""
        if kind in messages.COPY_RESPONSES:
            raise StatementRefusedError("COPY is not allowed here", "SELECT the rows.")
        if kind == messages.ERROR:
            server = _failure(body, 0, False).server
            raise ProtocolError(f"{server.message} (SQLSTATE {server.sqlstate})")
        if kind == messages.NOTIFICATION:
            self.notified += 1
        if kind not in _ASIDES:
            raise ProtocolError(f"unexpected message {chr(kind)!r}")


def _require_all(steps: Sequence[Step], replies: Sequence[Reply], failure: Failure | None) -> None:
    if failure is None and len(replies) != len(steps):
        raise ProtocolError("answers are missing")


def _failure(body: bytes, step: int, parsing: bool) -> Failure:
    fields = messages.fields(body)
    server = ServerMessage.of(fields)
    if server.severity in ("FATAL", "PANIC"):
        raise SessionEndedError(f"{server.message} (SQLSTATE {server.sqlstate})")
    return Failure(server, step, parsing, fields.get("R", ""))
