"""Addresses to listen on, hosts, ports and URLs to connect to, and networks to trust, from text.

The rule: pure functions that raise ValueError with the reason, and look nothing up.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from pgmcp.config import authority
from pgmcp.config.values import Address, Host, Url

_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})", re.ASCII)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*", re.ASCII)
_URL_PATH = re.compile(r"(?:/[A-Za-z0-9_.~%-]+)*", re.ASCII)


def parse_listen(text: str) -> Address:
    """`host:port`, `:port` or `[IPv6]:port`; port 0 lets the system choose one."""
    if "://" in text or "/" in text:
        raise ValueError("it is a URL or a path, not an address")
    host, colon, port = text.rpartition(":")
    if not colon or "]" in port:
        raise ValueError("it names no port")
    if host.startswith("[") and host.endswith("]"):
        host = _ipv6(host[1:-1])
    elif ":" in host:
        raise ValueError("an IPv6 address goes in brackets, as in [::1]:8080")
    elif host and not _HOST.fullmatch(host):
        raise ValueError(f"{host!r} is not a host name or an address")
    return Address(host, parse_port(port, lowest=0))


def parse_port(text: str, lowest: int = 1) -> int:
    """A port number in decimal digits, from `lowest` to 65535."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is not a port number")
    if len(text) > 5 or not lowest <= int(text) <= 65535:
        raise ValueError(f"a port is a number from {lowest} to 65535")
    return int(text)


def parse_hosts(text: str) -> tuple[str, ...]:
    """Names, addresses or socket directories, separated by commas (libpq, `host`)."""
    return tuple(_database_host(part.strip()) for part in text.split(","))


def parse_ports(text: str) -> tuple[int, ...]:
    """One port for all hosts, or one for each, separated by commas (libpq, `port`).

    As in libpq, an empty element stands for 5432.
    """
    return tuple(parse_port(part.strip() or "5432") for part in text.split(","))


def parse_network(text: str) -> str:
    """An address or a network, as a network in CIDR form."""
    try:
        return str(ipaddress.ip_network(text.strip()))
    except ValueError as error:
        if "host bits" in str(error):
            raise ValueError(f"{text!r} has bits set behind its prefix length") from None
        raise ValueError(f"{text!r} is not an IP address or a network") from None


def parse_host_name(text: str) -> str:
    """A host that clients call a server by, with a port or without, as `authority.parse` has it."""
    if "/" in text:
        raise ValueError(f"{text!r} is a URL: write its host alone")
    if "*" in text:
        raise ValueError("a pattern is not accepted: list each name")
    if not text.isascii():
        raise ValueError(f"{text!r} is to be written in ASCII, as browsers send it (xn--…)")
    bare = text if text.count(":") < 2 or text.startswith("[") else f"[{text}]"
    name = authority.parse(bare)
    if name is None:
        raise ValueError(f"{text!r} is not a host name or an address")
    if name.port:
        parse_port(name.port)
    return f"{name.host}:{name.port}" if name.port else name.host


def parse_origin(text: str) -> str:
    """The origin of a page as a browser sends it: `scheme://host[:port]`, the usual port left out
    (RFC 6454, section 6.2)."""
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if not separator or "*" in text:
        raise ValueError(f"{text!r} is no origin such as https://app.example.com: list each one")
    if not _SCHEME.fullmatch(scheme):
        raise ValueError(f"{text!r} does not begin with https:// or another scheme")
    if "/" in rest:
        raise ValueError(f"{text!r} is a URL: write its origin alone, without a path")
    host = parse_host_name(rest)
    usual = {"http": ":80", "https": ":443"}.get(scheme)
    return f"{scheme}://{host.removesuffix(usual) if usual else host}"


def parse_url(text: str) -> Url:
    """`http[s]://host[:port][/path]`, without a user, a password, a query or a fragment."""
    if not text.isprintable():  # urlsplit would drop line ends without a word
        raise ValueError("it holds a control character")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("it is not a URL") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError("it does not begin with http:// or https://")
    if "@" in parts.netloc:
        raise ValueError("it names a user or a password: a key goes into a file of its own")
    if "?" in text or "#" in text:
        raise ValueError("it has a query or a fragment")
    if not host:
        raise ValueError("it names no host")
    host = _ipv6(host) if ":" in host else host
    path = parts.path.rstrip("/")
    if not (":" in host or _HOST.fullmatch(host)) or not _URL_PATH.fullmatch(path) or port == 0:
        raise ValueError("it is not a URL with a host and a path")
    tls = parts.scheme == "https"
    return Url(tls, Host(host, port or (443 if tls else 80)), path)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its name or address; nothing is looked up."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _database_host(text: str) -> str:
    if not text:
        raise ValueError("a host in the list is empty")
    if text.startswith(("/", "@")):
        return text
    if "://" in text:
        raise ValueError("it is a URL: write host, port, database and user as keys of their own")
    if text.startswith("[") and text.endswith("]"):
        return _ipv6(text[1:-1])
    if text.count(":") == 1:
        raise ValueError("the port does not belong to the host: it has a key of its own, port")
    if ":" in text:
        return _ipv6(text)
    if not _HOST.fullmatch(text):
        raise ValueError("it is not a host name, an address or the path of a socket directory")
    return text


def _ipv6(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        raise ValueError("what stands in the brackets is not an IPv6 address") from None
