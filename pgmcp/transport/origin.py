"""Who is asking over HTTP: the page a browser sends from, and the address behind the proxies.

The rule: pure functions over what came in. What cannot be read is not trusted.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Sequence
from functools import lru_cache
from urllib.parse import urlsplit

from pgmcp.config.authority import parse

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_LONGEST_ADDRESS_CHARACTERS = 64
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address with or without brackets, means this machine only."""
    host = host.strip("[]").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def host_is_local(authority: str) -> bool:
    """Whether a Host field names this machine; the port does not matter.

    Listening on loopback is no defence against a page whose name was made to resolve to 127.0.0.1
    (DNS rebinding): its Host field is what gives it away.
    """
    called = parse(authority)
    return called is not None and is_loopback(called.host)


def host_allowed(authority: str, allowed: Collection[str], *, local: bool) -> bool:
    """Whether clients may call this server by what a Host field says.

    `allowed` holds hosts as `authority.parse` spells them, alone for every port or with `:port`;
    a Host field without a port means one of the two default ports. With `local` the names of this
    machine are allowed. No Host field is no name.
    """
    called = parse(authority)
    if called is None:
        return False
    if called.host in allowed or (local and is_loopback(called.host)):
        return True
    ports = (called.port,) if called.port else tuple(_DEFAULT_PORTS.values())
    return any(f"{called.host}:{port}" in allowed for port in ports)


def origin_allowed(
    origin: str, authority: str, *, allowed: Collection[str] = (), local: bool = False
) -> bool:
    """Whether a page of `origin` may call (2025-11-25 and 2026-07-28, Streamable HTTP, Security).

    It may when it comes from the host it calls, when it is in `allowed` ("https://host[:port]"),
    and, with `local`, when it comes from this machine.
    """
    if origin in allowed:
        return True
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return False
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc:
        return False
    if local and is_loopback(parts.hostname):
        return True
    default = _DEFAULT_PORTS[parts.scheme]
    called = parse(authority)
    sender = parse(f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname)
    if called is None or sender is None:
        return False
    return sender.host == called.host and str(port or default) == (called.port or default)


def networks(entries: Sequence[str]) -> tuple[Network, ...]:
    """Trusted proxies as networks; ValueError for an entry that is none."""
    return tuple(ipaddress.ip_network(entry, strict=False) for entry in entries)


def client_address(peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """The address that limits and logs go by.

    `peer` is the socket's other end. Only when that is a trusted proxy is X-Forwarded-For read,
    from the right, to the first address that is not a trusted proxy; what stands left of it could
    have been written by anybody. An entry that is no address ends the walk at the last good one.
    """
    if not (trusted and forwarded_for):
        return _spelled(peer)
    address = _address(peer)
    if address is None:
        return peer
    if _is_in(address, trusted):
        for entry in reversed(forwarded_for.split(",")):
            nearer = _address(_without_port(entry.strip()))
            if nearer is None:
                break
            address = nearer
            if not _is_in(address, trusted):
                break
    return str(address)


def is_trusted(peer: str, trusted: Sequence[Network]) -> bool:
    """Whether the socket's other end is a trusted proxy."""
    address = _address(peer)
    return address is not None and _is_in(address, trusted)


def _is_in(address: IpAddress, trusted: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in trusted)


def _address(text: str) -> IpAddress | None:
    """An address without its zone, IPv4 also where it came mapped into IPv6."""
    # Clients write these texts, and what is remembered must not grow with them.
    return _parsed(text) if len(text) <= _LONGEST_ADDRESS_CHARACTERS else None


@lru_cache(maxsize=1024)
def _parsed(text: str) -> IpAddress | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@lru_cache(maxsize=1024)
def _spelled(peer: str) -> str:
    """The socket's other end as limits and logs have it. Kept: each request asks for it, and
    `peer` comes from the system, so no client makes it long."""
    address = _address(peer)
    return peer if address is None else str(address)


def _without_port(entry: str) -> str:
    """`1.2.3.4:5` and `[::1]:5`, which some proxies write, without the port."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry
