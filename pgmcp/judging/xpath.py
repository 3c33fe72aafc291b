"""How long XPath expressions take: libxml, which evaluates them, looks for no time-out.

The rule: what may be evaluated anew for each node of the document multiplies. Pure functions.
"""

from __future__ import annotations

import re

_BYTES_PER_NODE = 4  # at least: <a/>
_MAX_POWER = 20

_LITERAL = re.compile(rb"\"[^\"]*\"|'[^']*'")
# [3], [last()], [@id], [name = "x"]: a look at the node, its attributes or its children
_PLAIN_PREDICATE = re.compile(
    rb"\[\s*(?:\d+|last\(\)|(?:@?[\w:-]+|\.|text\(\))\s*(?:(?:!?=|[<>]=?)\s*(?:\"\"|[\d.]+)\s*)?)\]"
)
_MULTIPLIES = re.compile(rb"//|::|\.\.|[<>=]+|[\[|]")


def steps(path: bytes, document_bytes: int) -> int:
    """About how many nodes are visited, at most."""
    plain = _PLAIN_PREDICATE.sub(b"", _LITERAL.sub(b'""', path))
    power = min(max(1, len(_MULTIPLIES.findall(plain))), _MAX_POWER)
    nodes = 1 + document_bytes // _BYTES_PER_NODE
    return int(nodes**power)
