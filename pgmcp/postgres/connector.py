"""Finding the PostgreSQL that a configured database means: its hosts in order, and which will do.

The rule: whatever goes wrong on the way is one DatabaseUnavailableError that names the database and
each place's reason, and never the password.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from pgmcp.calls.call import Call
from pgmcp.config.databases import DatabaseSettings
from pgmcp.config.values import Host, Secret
from pgmcp.errors import (
    CallEndedError,
    ConnectionLostError,
    StatementError,
)
from pgmcp.net.outbound import OnResolved
from pgmcp.postgres.address import (
    ServerAddress,
    TlsSettings,
    UnreachableError,
    server_addresses,
)
from pgmcp.postgres.driver import Connection
from pgmcp.postgres.messages import READ_ONLY, Step
from pgmcp.postgres.orphans import Backend
from pgmcp.postgres.unavailable import Reason, unavailable

# The address tells apart the servers behind one name, of which any may answer the next time.
_SERVER = (
    "pg_catalog.pg_backend_pid(), pg_catalog.concat_ws(' ', pg_catalog.inet_server_addr(),"
    " pg_catalog.inet_server_port()), pg_catalog.date_part('epoch',"
    " pg_catalog.pg_postmaster_start_time())"
)
_GREETING = Step(
    f"SELECT {_SERVER}, pg_catalog.date_part('epoch', own.backend_start),"
    " pg_catalog.current_setting('statement_timeout'),"
    " pg_catalog.current_setting('lock_timeout'), pg_catalog.pg_is_in_recovery(),"
    " pg_catalog.current_setting('default_transaction_read_only')"
    " FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) own"
)
_AT_WORK = (
    f"SELECT {_SERVER}, other.pid, pg_catalog.date_part('epoch', other.backend_start)"
    " FROM (VALUES (1)) one LEFT JOIN pg_catalog.pg_stat_get_activity(NULL) other"
    " ON other.pid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int4[])"
)
_ASK_SECONDS = 5.0
_UNITS = {"": 0.001, "us": 1e-6, "ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]+)(us|ms|s|min|h|d|)")
_ANSWER_BYTES = 64 * 1024
_NOT_ENCRYPTED_RIGHT = "28000"  # what pg_hba.conf says when a line should be, or not be, encrypted


Admit = Callable[[DatabaseSettings, "Connection", Call], None]
"""Asked whether a new connection may be used; when not, it closes it and raises a ToolError."""


class Connector:
    """Opens connections to one configured database; its TLS context is made once."""

    def __init__(
        self,
        database: DatabaseSettings,
        admit: Admit,
        clock: Callable[[], float] = time.monotonic,
        on_resolved: OnResolved = lambda _host, _addresses: None,
    ) -> None:
        self.database = database
        self._admit = admit
        self._tls = TlsSettings(database.ssl)
        self._clock = clock
        self._on_resolved = on_resolved

    def renew(self) -> None:
        """Read the files of certificates again for the next connection."""
        self._tls = TlsSettings(self.database.ssl)

    def connect(self, call: Call) -> Connection:
        """A new connection to the first host that answers and is of the wanted kind.

        DatabaseUnavailableError, or CallEndedError when the call ends first.
        """
        reasons: list[Reason] = []
        try:
            for wanted in self._wanted():
                for place, secret in self._places(call, reasons):
                    connection = self._try_place(place, secret, call, reasons)
                    if connection is not None:
                        if self._suits(connection, wanted, call):
                            self._admit(self.database, connection, call)
                            return connection
                        connection.close()
                        reasons.append(
                            Reason(f"{place.name}: the server is not {wanted}", lasting=True)
                        )
        except CallEndedError as error:
            raise CallEndedError(
                f"{error.message} while connecting to {self.database.label}"
                + (f" ({reasons[-1].text})" if reasons else ""),
                error.hint,
            ) from error
        raise unavailable(self.database, reasons)

    def _wanted(self) -> tuple[str, ...]:
        """What to look for in one pass over the hosts, and then in the next."""
        wanted = self.database.target_session_attrs
        return ("standby", "any") if wanted == "prefer-standby" else (wanted,)

    def _places(
        self, call: Call, reasons: list[Reason]
    ) -> Iterator[tuple[ServerAddress, Secret | None]]:
        passwords = self.database.passwords or (None,)
        for number, host in enumerate(self.database.hosts):
            secret = passwords[min(number, len(passwords) - 1)]
            for place in self._addresses(host, call, reasons):
                yield place, secret

    def _addresses(self, host: Host, call: Call, reasons: list[Reason]) -> list[ServerAddress]:
        left = call.remaining()
        seconds = self.database.connect_timeout_seconds or left
        try:
            places = server_addresses(host, min(seconds, left))
        except UnreachableError as error:
            # Out of the call's time, rather than its own, it says nothing of the name.
            reasons.append(Reason(str(error), lasting=error.lasting and seconds < left))
            return []
        self._on_resolved(host, [place.address for place in places])
        return places

    def _try_place(
        self, place: ServerAddress, secret: Secret | None, call: Call, reasons: list[Reason]
    ) -> Connection | None:
        """A connection by the first plan of sslmode that works; None, and a reason more, if none.

        A wrong password ends it all, as in libpq: the next host would get it wrong as well.
        """
        plans = self._tls.plans(place)
        for encrypted in plans:
            call.check()
            try:
                connection = self.open(place, secret, encrypted, call)
                connection.process_list = _ProcessList(self, place, encrypted, secret)
                return connection
            except UnreachableError as error:
                reasons.append(Reason(f"{place.name}: {error}", "", error.tls, error.lasting))
                if not error.tls:
                    break
            except StatementError as error:
                server = error.server
                reasons.append(Reason.of(server))
                if server.sqlstate == _NOT_ENCRYPTED_RIGHT and encrypted != plans[-1]:
                    continue
                if server.sqlstate.startswith("28"):
                    raise unavailable(self.database, reasons) from error
                break
        return None

    def open(
        self, place: ServerAddress, secret: Secret | None, encrypted: bool | None, call: Call
    ) -> Connection:
        """One attempt at one place; raises as `opening.open_connection`."""
        from pgmcp.postgres.opening import open_connection

        return open_connection(
            place,
            self._tls,
            self.database,
            secret.reveal() if secret is not None else None,
            call,
            encrypted=encrypted,
            clock=self._clock,
        )

    def _read_session_limits(self, connection: Connection, call: Call) -> tuple[bool, bool]:
        """Learn who answers and what the session may do; (in recovery, writes by default)."""
        from pgmcp.postgres.driver import SessionLimits

        try:
            outcome = connection.run(
                (READ_ONLY, _GREETING), call, limit_bytes=_ANSWER_BYTES, last=False
            )
        except ConnectionLostError as lost:
            raise unavailable(self.database, [Reason(lost.message)]) from lost
        if outcome.failure is not None:
            connection.close()
            server = outcome.failure.server
            raise unavailable(self.database, [Reason(server.message, server.sqlstate)])
        row = [(value or b"").decode() for value in outcome.replies[-1].rows[0]]
        pid, address, server_began, began, statement, lock, in_recovery, read_only = row
        if in_recovery == "t":
            connection.expect_standby()
        connection.finish(call)
        connection.ensure_clean(call)
        connection.limits = SessionLimits(_seconds(statement), _seconds(lock))
        if int(pid) == connection.backend:  # else a pooler answers, and which process is its secret
            connection.peer = Backend(connection.backend, began, address, server_began)
        return in_recovery == "t", read_only == "off"

    def _suits(self, connection: Connection, wanted: str, call: Call) -> bool:
        in_recovery, writes = self._read_session_limits(connection, call)
        return {
            "any": True,
            "read-write": writes and not in_recovery,
            "read-only": in_recovery or not writes,
            "primary": not in_recovery,
            "standby": in_recovery,
        }[wanted]


@dataclass(frozen=True, slots=True)
class _ProcessList:
    """`orphans.ProcessList`: one address of a host, and how it was connected to."""

    connector: Connector
    server: ServerAddress
    encrypted: bool | None
    secret: Secret | None = field(compare=False)

    def running(self, backends: Collection[Backend]) -> frozenset[Backend] | None:
        """Those that are there; asked over a connection that no pool counts, and that is closed."""
        call = Call(_ASK_SECONDS)
        pids = "{" + ",".join(str(backend.pid) for backend in backends) + "}"
        try:
            connection = self.connector.open(self.server, self.secret, self.encrypted, call)
            outcome = connection.run(
                (READ_ONLY, Step(_AT_WORK, (pids,))), call, limit_bytes=_ANSWER_BYTES
            )
        except (UnreachableError, StatementError, CallEndedError, ConnectionLostError):
            return None
        connection.close()
        if outcome.failure is not None:
            return None
        rows = [[(value or b"").decode() for value in row] for row in outcome.replies[-1].rows]
        own, address, server_began = rows[0][:3]
        here = {(pid, began) for *_, pid, began in rows}
        if int(own) != connection.backend or any(b.address != address for b in backends):
            return None  # a pooler, or another server of several behind one address
        return frozenset(
            backend
            for backend in backends
            if backend.server_began == server_began and (str(backend.pid), backend.began) in here
        )


def _seconds(setting: str) -> float:
    """A time limit as PostgreSQL shows it, such as "2s"; 0 there is none."""
    read = _DURATION.fullmatch(setting)
    seconds = int(read.group(1)) * _UNITS[read.group(2)] if read else 0.0
    return seconds or float("inf")
