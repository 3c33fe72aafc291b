"""Which addresses are counted as one client, for limits and for refusals in the log, and which are
in a network.

The rule: whoever can choose among many addresses is counted once, and whoever shares a translator
with others is not counted as them.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

_LONGEST_ADDRESS_CHARACTERS = 64  # the longest address has 45, and a zone is an interface's name

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_TRANSLATED = ipaddress.IPv6Network("::ffff:0:0:0/96")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")


def address_key(address: str) -> str:
    """What an address is counted as: an IPv4 address, or the /64 network of an IPv6 address.

    An IPv6 address that carries an IPv4 address is counted as that one: the /64 of a NAT64 or of a
    Teredo server holds the whole IPv4 internet, and a 6to4 site has 65,536 networks /64. Text that
    is no address is its own key.
    """
    if len(address) > _LONGEST_ADDRESS_CHARACTERS:
        return address
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    inside = _ipv4_inside(ip)
    return str(inside or ipaddress.IPv6Network((int(ip) >> 64 << 64, 64)))


def _ipv4_inside(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address of the client that an IPv6 address was made from; None when there is none.

    Mapped (RFC 4291, 2.5.5.2), translated (RFC 2765), NAT64 (RFC 6052 and RFC 8215), 6to4
    (RFC 3056), Teredo (RFC 4380).
    """
    lowest = int(ip) & 0xFFFF_FFFF
    if ip in _MAPPED or ip in _TRANSLATED or ip in _NAT64:
        return ipaddress.IPv4Address(lowest)
    if ip in _NAT64_LOCAL:
        # With a prefix of /96 the address stands at the end. In the shorter forms (RFC 6052, 2.2)
        # the end is zero, and where the address stands cannot be known: then its /64 counts.
        return ipaddress.IPv4Address(lowest) if lowest & 0xFF_FFFF else None
    if ip.teredo is not None:
        return ip.teredo[1]
    return ip.sixtofour


@lru_cache(maxsize=1024)
def is_in(address: str, networks: tuple[str, ...]) -> bool:
    """Whether an address is in one of these networks; what is no address is in none."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return any(ip in ipaddress.ip_network(network) for network in networks)
