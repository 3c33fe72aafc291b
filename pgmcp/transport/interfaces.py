"""The addresses of this machine, for people to whom a server says where it can be reached.

The rule: nothing is looked up by name and nothing is sent; what cannot be read is left out.
"""

from __future__ import annotations

import array
import contextlib
import ipaddress
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

_SIOCGIFCONF = 0x8912  # netdevice(7), Linux
_MOST_INTERFACES = 256
_NAME_BYTES = 16
_EVERY = ("", "0.0.0.0", "::")  # noqa: S104
_IF_INET6 = Path("/proc/net/if_inet6")


def hosts_of(host: str) -> Sequence[str]:
    """The hosts by which a server can be called that listens on `host`: itself, or for every
    interface the address of each, loopback first. IPv6 stands without brackets."""
    if host not in _EVERY:
        return [host]
    addresses = {*_ipv4(), *(_ipv6() if host != "0.0.0.0" else ())}  # noqa: S104
    usable = [a for a in addresses if not (a.is_link_local or (a.version == 6 and a.is_loopback))]
    ordered = sorted(usable, key=lambda a: (not a.is_loopback, a.version, a))
    return [str(address) for address in ordered] or ["127.0.0.1", socket.gethostname()]


def _ipv4() -> Iterator[ipaddress.IPv4Address]:
    """The IPv4 addresses of the interfaces that are up (Linux)."""
    if sys.platform != "linux":
        return
    import fcntl  # here: not every system has it

    entry_bytes = _NAME_BYTES + max(struct.calcsize("P") * 3, 16)  # struct ifreq
    entries = array.array("B", bytes(entry_bytes * _MOST_INTERFACES))
    place, room = entries.buffer_info()
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        told = fcntl.ioctl(sock, _SIOCGIFCONF, struct.pack("iP", room, place))
        used, _ = struct.unpack("iP", told)
        for start in range(0, used, entry_bytes):
            at = start + _NAME_BYTES + 4  # behind the name, the family and the port
            yield ipaddress.IPv4Address(bytes(entries[at : at + 4]))


def _ipv6() -> Iterator[ipaddress.IPv6Address]:
    """The IPv6 addresses of the interfaces (Linux, where /proc shows them)."""
    with contextlib.suppress(OSError, ValueError):
        for line in _IF_INET6.read_text().splitlines():
            yield ipaddress.IPv6Address(int(line.split()[0], 16))
