"""Where a PostgreSQL may be, and a bare or encrypted line to it.

The rule: nothing here takes longer than the deadline it is given: not the name lookup, not a host
that swallows packets, not a handshake that stops half way.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pgmcp.config.sslmode import Ssl
from pgmcp.config.values import Host
from pgmcp.net.wire import Wire, WireClosedError
from pgmcp.postgres.messages import SSL_REQUEST

SocketAddress = Any
"""What the socket module takes: a path, or a tuple whose shape depends on the family."""

_KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))


_LASTING = frozenset(
    {
        *(errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN),
        *(errno.ETIMEDOUT, errno.ENOENT, errno.EACCES),
    }
)
"""Why connecting fails that would fail again at once. A reset is none: it ended one line."""


class UnreachableError(Exception):
    """No line to this place; the text says why. `tls` when it was the encryption that failed,
    `lasting` when another attempt made now would fail alike."""

    def __init__(self, reason: str, *, tls: bool = False, lasting: bool = False) -> None:
        super().__init__(reason)
        self.tls = tls
        self.lasting = lasting


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """One address of one host. `name` is the host as configured, which a certificate must bear."""

    family: int
    address: SocketAddress
    name: str

    @property
    def local(self) -> bool:
        """A Unix socket, which needs and has no encryption (libpq, "SSL Support")."""
        return self.family == getattr(socket, "AF_UNIX", None)


def server_addresses(host: Host, seconds: float) -> list[ServerAddress]:
    """Every address of a host, in the resolver's order; UnreachableError when there is none."""
    if host.host.startswith(("/", "@")):
        folder = host.host.replace("@", "\0", 1) if host.host.startswith("@") else host.host
        return [ServerAddress(socket.AF_UNIX, f"{folder}/.s.PGSQL.{host.port}", host.host)]
    try:
        return _lookup(host, socket.AI_NUMERICHOST)
    except socket.gaierror:
        return _lookup_in_time(host, seconds)


def _lookup(host: Host, flags: int = 0) -> list[ServerAddress]:
    addresses = socket.getaddrinfo(host.host, host.port, type=socket.SOCK_STREAM, flags=flags)
    return [ServerAddress(family, address, host.host) for family, _, _, _, address in addresses]


def _lookup_in_time(host: Host, seconds: float) -> list[ServerAddress]:
    """The resolver knows no deadline, so it works in a thread that nobody has to wait for."""
    addresses: list[ServerAddress] = []
    reason = "timed out"

    def look_up() -> None:
        nonlocal reason
        try:
            addresses.extend(_lookup(host))
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)

    thread = threading.Thread(target=look_up, name="pgmcp-resolver", daemon=True)
    thread.start()
    thread.join(seconds)
    if not addresses:
        raise UnreachableError(
            f"could not look up the host name {host.host}: {reason}", lasting=True
        )
    return addresses


def open_wire(server: ServerAddress, clock: Callable[[], float] = time.monotonic) -> Wire:
    """A line that is not connected yet: `reach` does that, in the wire's time.

    UnreachableError when this machine has no socket left for it.
    """
    with contextlib.ExitStack() as on_failure:
        try:
            sock = socket.socket(server.family, socket.SOCK_STREAM)
            on_failure.callback(sock.close)
            wire = Wire(sock, clock)
        except OSError as error:
            raise UnreachableError(f"no socket to be had here: {error.strerror}") from error
        on_failure.pop_all()
    if not server.local:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            with contextlib.suppress(AttributeError, OSError):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return wire


def reach(wire: Wire, server: ServerAddress, settings: TlsSettings, encrypted: bool | None) -> None:
    """Connect, and encrypt as one of `TlsSettings.plans` says; UnreachableError."""
    try:
        wire.connect(server.address)
    except OSError as error:
        raise UnreachableError(
            error.strerror or str(error), lasting=error.errno in _LASTING
        ) from error
    if encrypted is not False:
        encrypt(wire, settings.context, server.name, needed=encrypted is True)


def encrypt(wire: Wire, context: ssl.SSLContext, name: str, *, needed: bool) -> None:
    """Ask the server for TLS and shake hands (protocol, "SSL Session Encryption").

    A server that has none leaves the line as it is, unless it is `needed`.
    """
    wire.send(SSL_REQUEST)
    # exactly one byte: what follows in the clear would be somebody in the middle (CVE-2021-23222)
    answer = wire.receive(1)
    if answer == b"S":
        try:
            wire.start_tls(context, name)
        except (ssl.SSLError, ssl.CertificateError) as error:
            reason = getattr(error, "verify_message", None) or error.reason or str(error)
            # OpenSSL's other errors may be those of a line that was reset.
            lasting = isinstance(error, ssl.CertificateError)
            raise UnreachableError(f"TLS failed: {reason}", tls=True, lasting=lasting) from error
        except WireClosedError as error:
            raise UnreachableError(f"TLS failed: {error}", tls=True) from error
    elif needed:
        raise UnreachableError(
            "the server does not offer TLS, and sslmode asks for it", tls=True, lasting=True
        )


class TlsSettings:
    """One database's TLS; its context, which costs 17 ms, is made once and when first needed."""

    def __init__(self, settings: Ssl) -> None:
        self.mode = settings.mode
        self._settings = settings

    @functools.cached_property
    def context(self) -> ssl.SSLContext:
        """What libpq's sslmode means (libpq, "SSL Support", table "SSL Mode Descriptions")."""
        settings = self._settings
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = settings.mode == "verify-full"
        # libpq: `require` with a root certificate checks like verify-ca
        checks = settings.mode.startswith("verify") or (
            settings.mode == "require" and settings.root_cert is not None
        )
        context.verify_mode = ssl.CERT_REQUIRED if checks else ssl.CERT_NONE
        try:
            if settings.root_cert is not None:
                context.load_verify_locations(settings.root_cert)
            elif settings.mode == "verify-full":
                context.load_default_certs()
            elif checks:  # any public certificate would do, whoever owns it
                raise ValueError("sslmode verify-ca needs sslrootcert")
            if settings.cert is not None:
                context.load_cert_chain(settings.cert, settings.key, password="")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UnreachableError(
                f"the files of sslrootcert, sslcert, sslkey: {reason}", lasting=True
            ) from error
        return context

    def plans(self, server: ServerAddress) -> tuple[bool | None, ...]:
        """What to try in turn: True with TLS, False without, None with TLS if it is offered."""
        if server.local or self.mode == "disable":
            return (False,)
        return {"allow": (False, True), "prefer": (None, False)}.get(self.mode, (True,))
