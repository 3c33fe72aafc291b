"""Opening a connection to PostgreSQL at one place.

The rule: whatever pg8000 raises for an answer that it does not understand, the place is one that
cannot be reached.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from pgmcp.calls.call import Call
from pgmcp.config.databases import DatabaseSettings
from pgmcp.net.wire import WireClosedError, WireInterruptedError, WireTimeoutError
from pgmcp.postgres.address import ServerAddress, TlsSettings, UnreachableError, open_wire, reach
from pgmcp.postgres.driver import Connection
from pgmcp.postgres.startup import STARTUP_ERRORS, start_session

NO_ENCODING = "SQL_ASCII"


def open_connection(
    server: ServerAddress,
    tls: TlsSettings,
    database: DatabaseSettings,
    password: str | None,
    call: Call,
    *,
    encrypted: bool | None,
    clock: Callable[[], float] = time.monotonic,
    encoding: str = "UTF8",
) -> Connection:
    """One attempt, bounded by `connect_timeout` and the call; `encrypted` as TlsSettings.plans.

    UnreachableError when there is no PostgreSQL to talk to, StatementError when there is one and
    it refuses, CallEndedError when the call's time is up or nobody wants it any more.
    """
    wire = open_wire(server, clock)
    seconds = database.connect_timeout_seconds or float("inf")
    left = call.remaining()
    own = seconds < left  # a time-out of the call says nothing of the place
    wire.until = clock() + min(seconds, left)
    with contextlib.ExitStack() as on_failure:
        on_failure.callback(wire.close)
        try:
            with call.on_cancel(wire.interrupt):
                reach(wire, server, tls, encrypted)
                started = start_session(wire, database.user, database.database, password, encoding)
        except (WireTimeoutError, WireInterruptedError):
            call.check()
            raise UnreachableError(f"timed out after {seconds:g} s", lasting=own) from None
        except WireClosedError as error:
            raise UnreachableError(str(error)) from error
        except STARTUP_ERRORS as error:
            raise UnreachableError(f"not an answer of PostgreSQL's: {error}") from error
        on_failure.pop_all()
    connection = Connection(wire, server, tls, started, clock)
    if encoding == "UTF8" and started.parameters.get("server_encoding") == NO_ENCODING:
        # What it stores may be anything, and PostgreSQL fails when it is asked for UTF-8 of it.
        connection.close()
        return open_connection(
            server,
            tls,
            database,
            password,
            call,
            encrypted=encrypted,
            clock=clock,
            encoding=NO_ENCODING,
        )
    return connection
