"""A message's way to its answer: at once, or when its turn has come.

The rule: a call that waits for its turn holds its connection and its memory, and no thread; whether
it may still run is asked again when it goes on.
"""

from __future__ import annotations

from collections.abc import Callable

from pgmcp.errors import OverloadedError
from pgmcp.transport.call_queue import CallQueue, Turn
from pgmcp.transport.connection import Steps
from pgmcp.transport.endpoint import Asked, Endpoint
from pgmcp.transport.response import HttpResponse


def answer_at_once(endpoint: Endpoint, calls: CallQueue, asked: Asked) -> HttpResponse | None:
    """The answer to a request, None when it has to wait for its turn; PgmcpError."""
    if asked.brief:
        return endpoint.answer(asked)
    if not calls.begin(asked.call):
        return None
    try:
        return endpoint.answer(asked)
    finally:
        calls.end(asked.call)


def answer_in_turn(
    endpoint: Endpoint,
    calls: CallQueue,
    asked: Asked,
    resume: Callable[[], None],
    subject: Callable[[], str | None],
) -> Steps[HttpResponse]:
    """The answer to a request that has to wait; PgmcpError.

    `resume` has the conversation go on, in any thread; `subject` is that of the certificate that
    the client showed, as far as it is valid by then.
    """
    running = yield from _wait(calls, asked, resume)
    try:
        endpoint.reopen(asked, subject())  # the credential may have ended meanwhile
        return endpoint.answer(asked)
    finally:
        if running:
            calls.end(asked.call)


def _wait(calls: CallQueue, asked: Asked, resume: Callable[[], None]) -> Steps[bool]:
    """Wait until the call may run or has been cancelled; whether it runs. OverloadedError when too
    many of its owner wait."""
    call = asked.call
    turn = Turn(call, resume)
    with call.on_cancel(lambda: calls.withdraw(turn)):
        yield turn
    if turn.state == "refused":
        raise OverloadedError.of_calls(full=False, request_id=asked.message.id)
    if turn.state == "running":
        call.waiting.resume()
    return turn.state == "running"
