"""Listening sockets for an address.

The rule: no name is looked up that the configuration does not hold, and an address that cannot be
had is a ConfigError that says what to do.
"""

from __future__ import annotations

import errno
import os
import socket

from pgmcp.config.values import Address
from pgmcp.errors import ConfigError


def listen(address: Address, backlog: int) -> list[socket.socket]:
    """Non-blocking listening sockets: for every interface over IPv6 and IPv4 when `host` is "",
    on both loopbacks for "localhost". Port 0 takes a free one. ConfigError when it cannot be had.
    """
    if address.host == "":
        return [_every_interface(address, backlog)]
    if address.host == "localhost":
        first = _bound_socket("127.0.0.1", address.port, socket.AF_INET, backlog, address)
        try:
            port = first.getsockname()[1]
            return [first, _bound_socket("::1", port, socket.AF_INET6, backlog, address)]
        except ConfigError:  # no IPv6 here, or the port is taken there
            return [first]
    try:
        resolved = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"cannot listen on {address}: {error}",
            "Give http.address (or -addr) as host:port, with an address of this machine.",
        ) from None
    family, _, _, _, target = resolved[0]
    return [_bound_socket(str(target[0]), address.port, family, backlog, address)]


def _every_interface(address: Address, backlog: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        try:
            return _bound_socket("::", address.port, socket.AF_INET6, backlog, address, dual=True)
        except ConfigError as error:
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in (
                errno.EADDRNOTAVAIL,
                errno.EAFNOSUPPORT,
            ):
                raise
    return _bound_socket("0.0.0.0", address.port, socket.AF_INET, backlog, address)  # noqa: S104


def _bound_socket(
    host: str,
    port: int,
    family: int,
    backlog: int,
    address: Address,
    *,
    dual: bool = False,
) -> socket.socket:
    sock = None
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual else 1)
        sock.bind((host, port))
        sock.listen(backlog)
        sock.setblocking(False)
    except (OSError, OverflowError) as error:
        if sock is not None:
            sock.close()
        raise ConfigError(f"cannot listen on {address}: {_reason(error)}", _hint(error)) from error
    return sock


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    return "the port must be between 0 and 65535"


def _hint(error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return "Stop the program that uses this port, or choose another with http.address or -addr."
    if number == errno.EACCES:
        return "Ports below 1024 need privileges: choose another with http.address or -addr."
    return "Check http.address (or -addr): host:port, with an address of this machine."
