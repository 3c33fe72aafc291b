"""How a statement is stopped, and how one sees that the server's process has ended.

The rule: everything here is bounded by CANCEL_SECONDS, and the connection is not used again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from pgmcp.net.wire import Wire, WireClosedError, WireInterruptedError, WireTimeoutError
from pgmcp.postgres import messages
from pgmcp.postgres.address import ServerAddress, TlsSettings, UnreachableError, open_wire, reach

CANCEL_SECONDS = 2.0
"""How long a CancelRequest and the statement's end are waited for before the line is cut."""


def cancel(
    wire: Wire, server: ServerAddress, tls: TlsSettings, key: bytes, clock: Callable[[], float]
) -> None:
    """Send a CancelRequest and wait until the server has passed it on, which it tells by hanging up
    (protocol, "Canceling Requests in Progress"). It travels as `wire` does, whose statement it is.
    """
    # Without it, what is left is to hang up, which the statement notices when it next writes.
    failures = (UnreachableError, WireClosedError, WireTimeoutError)
    with contextlib.suppress(*failures), contextlib.ExitStack() as afterwards:
        other = open_wire(server, clock)
        afterwards.callback(other.close)
        other.waiting = wire.waiting
        other.until = clock() + CANCEL_SECONDS
        reach(other, server, tls, wire.tls)
        other.send(messages.cancel_request(key))
        other.receive()


def send_terminate(wire: Wire) -> bool:
    """Send Terminate; whether the server closed the connection before the time was up."""
    unsent = messages.TERMINATE
    while True:
        try:
            wire.send(unsent)
            unsent = b""
            wire.receive()
        except WireInterruptedError:
            unsent = b""
        except WireClosedError:
            return True
        except WireTimeoutError:
            return False
