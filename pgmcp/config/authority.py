"""The authority of a URL or of a Host field: a host and a port, in one spelling.

The rule: two spellings of one host come out equal, and what is not understood is no host.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

_LONGEST_CHARACTERS = 261  # a name of 253, brackets or a final dot, and a port
_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_.-]+))(?::([0-9]{0,5}))?", re.ASCII)


class Authority(NamedTuple):
    """`host` in lower case and without a final dot, an IPv6 address compressed and in brackets;
    `port` in decimal digits, "" when none is named."""

    host: str
    port: str


def parse(text: str) -> Authority | None:
    """The authority that a text is, None when it is none (RFC 3986, 3.2, without a user)."""
    if len(text) > _LONGEST_CHARACTERS:
        return None
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        return None
    address, name, port = match.groups()
    if address is not None:
        try:
            host = f"[{ipaddress.IPv6Address(address)}]"
        except ValueError:
            return None
    else:
        host = name.lower().removesuffix(".")
    return Authority(host, str(int(port)) if port else "") if host else None
