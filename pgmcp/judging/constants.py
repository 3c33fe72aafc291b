"""Constants in a node tree: their values, as far as sizes and steps depend on them.

The rule: what cannot be read here is said to be unknown, never to be small. Pure functions.
"""

from __future__ import annotations

from pgmcp.judging.nodes import Node

_HEADER_BYTES = 4  # of a value of variable length
_NUMERIC_TYPE = 1700
_TO_NUMERIC = (1740, 1781, 1782)  # of int4, int8 and int2


def function_of(node: Node) -> int:
    """The OID of the function that a node calls, 0 for none."""
    return node.number("funcid") or node.number("opfuncid")


def size_of(node: Node) -> int:
    """The bytes of a constant, without its header."""
    header = _HEADER_BYTES if node.fields.get("constlen") == ["-1"] else 0
    return max(0, node.number("constvalue") - header)


def integer(item: object) -> int | None:
    """The value of an integer constant (stored in eight little-endian bytes, as on every
    platform that PostgreSQL is commonly built for), None for anything else."""
    if isinstance(item, Node) and item.number("funcid") in (480, 481):  # int4(int8), int8(int4)
        item = next(iter(item.children("args")), None)
    if not isinstance(item, Node) or item.tag != "CONST":
        return None
    value = item.fields.get("constvalue", [])
    if not value or value[0] == "<>" or item.number("constlen") not in (4, 8):
        return None
    octets = bytes(int(str(octet)) & 0xFF for octet in value[2:-1])
    return int.from_bytes(octets[: item.number("constlen")], "little", signed=True)


def is_below_1000(item: object) -> bool:
    """Whether it is a constant number below 1,000, integer or numeric in the short format."""
    if isinstance(item, Node) and item.number("funcid") in _TO_NUMERIC:
        item = next(iter(item.children("args")), None)
    number = integer(item)
    if number is not None:
        return abs(number) < 1000
    if not isinstance(item, Node) or item.number("consttype") != _NUMERIC_TYPE or is_long(item):
        return False
    octets = text(item)[_HEADER_BYTES:]
    weight = octets[0] & 0x7F if octets else 1  # NumericShort: the sign and six bits
    first_digit = int.from_bytes(octets[2:4], "little")  # in base 10,000
    return weight >= 0x40 or first_digit == 0 or (weight == 0 and first_digit < 1000)


def text(item: object) -> bytes:
    """The bytes of a text constant; of anything else, bytes that stand for the worst."""
    if not isinstance(item, Node) or item.tag != "CONST":
        return b"*"
    return bytes(int(str(octet)) & 0xFF for octet in item.fields.get("constvalue", [])[2:-1])


def is_long(node: Node) -> bool:
    """Whether a numeric constant is in the format for numbers of very many digits."""
    octets = text(node)
    return len(octets) > _HEADER_BYTES + 1 and octets[_HEADER_BYTES + 1] < 0x80
