"""Finding the PostgreSQL that a configured database means: its hosts in order, and which will do.

The rule: whatever goes wrong on the way is one DatabaseUnavailableError that names the database and
each place's reason, and never the password.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from pgmcp.calls.call import Call
from pgmcp.config.model import Database, Host
from pgmcp.errors import CallEndedError, DatabaseUnavailableError, StatementError
from pgmcp.gate.role import powers, powers_sql, trusted_parameter
from pgmcp.postgres.address import Endpoint, SocketAddress, TlsSettings, UnreachableError, endpoints
from pgmcp.postgres.messages import Step

if TYPE_CHECKING:
    # pg8000 takes longer to load than the rest of the server: the first connection loads it.
    from pgmcp.postgres.driver import Connection

_ROLE_OF_SERVER = Step(
    "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')"
)
_POWERS_BYTES = 64 * 1024
_NOT_ENCRYPTED_RIGHT = "28000"  # what pg_hba.conf says when a line should be, or not be, encrypted


Found = Callable[[Host, Iterable[SocketAddress]], object]
"""Told the addresses of a host, before any of them is connected to."""


class Connector:
    """Opens connections to one configured database; its TLS context is made once."""

    def __init__(
        self,
        database: Database,
        clock: Callable[[], float] = time.monotonic,
        on_found: Found = lambda _host, _addresses: None,
    ) -> None:
        self.database = database
        self._tls = TlsSettings(database.ssl)
        self._clock = clock
        self._on_found = on_found

    def renew(self) -> None:
        """Read the files of certificates again for the next connection."""
        self._tls = TlsSettings(self.database.ssl)

    def connect(self, call: Call) -> Connection:
        """A new connection to the first host that answers and is of the wanted kind.

        DatabaseUnavailableError, or CallEndedError when the call ends first.
        """
        reasons: list[str] = []
        try:
            for wanted in self._wanted():
                for place, password in self._places(call, reasons):
                    connection = self._try_place(place, password, call, reasons)
                    if connection is not None:
                        if self._suits(connection, wanted, call):
                            self._require_safe_role(connection, call)
                            return connection
                        connection.close()
                        reasons.append(f"{place.name}: the server is not {wanted}")
        except CallEndedError as error:
            raise CallEndedError(
                f"{error.message} while connecting to {self.database.label}"
                + (f" ({reasons[-1]})" if reasons else "")
            ) from error
        raise self._unavailable(reasons)

    def _unavailable(self, reasons: list[str]) -> DatabaseUnavailableError:
        return DatabaseUnavailableError(
            f"cannot connect to {self.database.label}: {'; '.join(dict.fromkeys(reasons))}",
            "Check that PostgreSQL is running there, accepts this user and has connections left,"
            " then try again.",
        )

    def _wanted(self) -> tuple[str, ...]:
        """What to look for in one pass over the hosts, and then in the next."""
        wanted = self.database.target_session_attrs
        return ("standby", "any") if wanted == "prefer-standby" else (wanted,)

    def _places(self, call: Call, reasons: list[str]) -> Iterator[tuple[Endpoint, str | None]]:
        passwords = self.database.passwords or (None,)
        for number, host in enumerate(self.database.hosts):
            secret = passwords[min(number, len(passwords) - 1)]
            for place in self._addresses(host, call, reasons):
                yield place, secret.reveal() if secret is not None else None

    def _addresses(self, host: Host, call: Call, reasons: list[str]) -> list[Endpoint]:
        seconds = self.database.connect_timeout_seconds or call.remaining()
        try:
            places = endpoints(host, min(seconds, call.remaining()))
        except UnreachableError as error:
            reasons.append(str(error))
            return []
        self._on_found(host, [place.address for place in places])
        return places

    def _try_place(
        self, place: Endpoint, password: str | None, call: Call, reasons: list[str]
    ) -> Connection | None:
        """A connection by the first plan of sslmode that works; None, and a reason more, if none.

        A wrong password ends it all, as in libpq: the next host would get it wrong as well.
        """
        from pgmcp.postgres.driver import open_connection

        plans = self._tls.plans(place)
        for encrypted in plans:
            call.check()
            try:
                return open_connection(
                    place,
                    self._tls,
                    self.database,
                    password,
                    call,
                    encrypted=encrypted,
                    clock=self._clock,
                )
            except UnreachableError as error:
                reasons.append(f"{place.name}: {error}")
                if not error.tls:
                    break
            except StatementError as error:
                server = error.server
                reasons.append(f"{server.message} (SQLSTATE {server.sqlstate})")
                if server.sqlstate == _NOT_ENCRYPTED_RIGHT and encrypted != plans[-1]:
                    continue
                if server.sqlstate.startswith("28"):
                    raise self._unavailable(reasons) from error
                break
        return None

    def _suits(self, connection: Connection, wanted: str, call: Call) -> bool:
        if wanted == "any":
            return True
        outcome = connection.run((_ROLE_OF_SERVER,), call, limit_bytes=1024)
        connection.settle(call)
        if outcome.failure is not None:
            return False
        in_recovery, read_only = outcome.replies[0].rows[0]
        return {
            "read-write": in_recovery == b"f" and read_only == b"off",
            "read-only": in_recovery == b"t" or read_only == b"on",
            "primary": in_recovery == b"f",
            "standby": in_recovery == b"t",
        }[wanted]

    def _require_safe_role(self, connection: Connection, call: Call) -> None:
        """Where the operator asks for it, no connection of a role that could do more than read."""
        if not self.database.require_safe_role:
            return
        ask = Step(
            powers_sql(connection.server_major),
            (trusted_parameter(self.database.trusted_functions),),
        )
        outcome = connection.run((ask,), call, limit_bytes=_POWERS_BYTES)
        if not connection.closed:
            connection.settle(call)
        found = powers(outcome.replies[0].rows) if outcome.replies else ()
        found = tuple(power for power in found if power.writes)
        if outcome.failure is None and not found and not connection.closed:
            return
        connection.close()
        could = ", ".join(power.name for power in found) or "what it could do is not known"
        raise DatabaseUnavailableError(
            f"{self.database.name} is not served: its role could do more than read ({could})",
            "The operator set require_safe_role; pgedge-postgres-mcp -check shows the SQL for a"
            " role that can only read.",
        )
