"""What a client's address is counted under, by every limit that counts addresses.

The rule: who can choose among many addresses at will is counted once, and clients who only share a
translator are not. Pure.
"""

from __future__ import annotations

import ipaddress

# RFC 6052, section 2.1, and RFC 8215: a translator writes the client's IPv4 address into these.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")


def address_key(address: str) -> str:
    """What is counted as one: an IPv4 address, or the /64 of an IPv6 address.

    An IPv4 address inside an IPv6 one counts as that: mapped (::ffff:0:0/96), translated (NAT64,
    64:ff9b::/96) or tunnelled (6to4, Teredo). In NAT64's local range, where its place depends on
    the network, each address counts alone. What is no address is its own key.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    inside = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
    if inside is not None:
        return str(inside)
    if ip in _NAT64:
        return str(ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF))
    if ip in _NAT64_LOCAL:
        return str(ip)
    return str(ipaddress.IPv6Network((int(ip) >> 64 << 64, 64)))
