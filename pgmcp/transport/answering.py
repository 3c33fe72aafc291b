"""A message's way to its answer: at once, or when its turn has come.

The rule: a call that waits for its turn holds its connection and its memory, and no thread; whether
it may still run is asked again when it goes on.
"""

from __future__ import annotations

from collections.abc import Callable

from pgmcp.errors import OverloadedError
from pgmcp.transport.call_queue import CallQueue, QueuedCall
from pgmcp.transport.connection import Steps
from pgmcp.transport.endpoint import AdmittedRequest, Endpoint
from pgmcp.transport.response import HttpResponse


def answer_at_once(
    endpoint: Endpoint, calls: CallQueue, request: AdmittedRequest
) -> HttpResponse | None:
    """The answer to a request, None when it has to wait for its turn; PgmcpError."""
    if request.brief:
        return endpoint.answer(request)
    if not calls.begin(request.call):
        return None
    try:
        return endpoint.answer(request)
    finally:
        calls.end(request.call)


def answer_in_turn(
    endpoint: Endpoint,
    calls: CallQueue,
    request: AdmittedRequest,
    resume: Callable[[], None],
    subject: Callable[[], str | None],
) -> Steps[HttpResponse]:
    """The answer to a request that has to wait; PgmcpError.

    `resume` has the conversation go on, in any thread; `subject` is that of the certificate that
    the client showed, as far as it is valid by then.
    """
    running = yield from _wait(calls, request, resume)
    try:
        endpoint.check_again(request, subject())  # the credential may have ended meanwhile
        return endpoint.answer(request)
    finally:
        if running:
            calls.end(request.call)


def _wait(calls: CallQueue, request: AdmittedRequest, resume: Callable[[], None]) -> Steps[bool]:
    """Wait until the call may run or has been cancelled; whether it runs. OverloadedError when too
    many of its owner wait."""
    call = request.call
    queued = QueuedCall(call, resume)
    with call.on_cancel(lambda: calls.withdraw(queued)):
        yield queued
    if queued.state == "refused":
        raise OverloadedError.of_calls(full=False, request_id=request.message.id)
    if queued.state == "running":
        call.waiting.resume()
    return queued.state == "running"
