"""The start of a session: who we are, and what the server says of itself. pg8000 does it.

The rule: nothing else of pg8000 is used, and nothing of it is kept, the password least of all.
"""

from __future__ import annotations

import struct
from typing import Any

from pg8000.core import CoreConnection
from pg8000.exceptions import InterfaceError
from scramp import ScramException

from pgmcp.errors import ServerMessage, StatementError
from pgmcp.net.wire import Wire
from pgmcp.postgres import messages
from pgmcp.postgres.address import UnreachableError
from pgmcp.postgres.driver import Started

_PASSWORD_REQUESTS = (3, 5, 10)  # AuthenticationCleartextPassword, …MD5Password, …SASL
STARTUP_ERRORS = (
    InterfaceError,
    ScramException,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    struct.error,
)
"""What pg8000 raises for an answer that it does not understand."""


def start_session(
    wire: Wire, user: str, database: str, password: str | None, encoding: str
) -> Started:
    """Start a session on a wire, which is left open whatever happens.

    UnreachableError when the server wants a password and there is none, StatementError when it
    refuses, STARTUP_ERRORS, and what the wire raises.
    """
    startup = _Startup(
        wire,
        user,
        database=database,
        password=password,
        ssl_context=False,
        application_name="pgmcp",
        startup_params={"client_encoding": encoding},
        sock=wire,
    )
    startup.message_types.clear()  # its own methods: it is gone at once, and the password with it
    return Started(startup._backend_key_data, startup.parameter_statuses)


class _Startup(CoreConnection):  # type: ignore[misc] # pg8000 is untyped
    """pg8000's connection, of which only the constructor is used."""

    def __init__(self, wire: Wire, user: str, **more: Any) -> None:
        self._wire = wire
        super().__init__(user, **more)

    def close(self) -> None:
        """Leave the wire to whoever opened it."""

    def handle_AUTHENTICATION_REQUEST(self, data: bytes, context: Any) -> None:  # noqa: N802
        if int.from_bytes(data[:4], "big") in _PASSWORD_REQUESTS and self.password is None:
            raise UnreachableError(
                "the server asks for a password, and none is configured", lasting=True
            )
        self._usock = self._wire.sock  # pg8000 binds the channel when it sees an SSLSocket here
        super().handle_AUTHENTICATION_REQUEST(data, context)

    def handle_ERROR_RESPONSE(self, data: bytes, context: Any) -> None:  # noqa: N802
        context.error = StatementError(ServerMessage.of(messages.fields(data)))
