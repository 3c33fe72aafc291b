"""Constants in a node tree: their values, as far as sizes and steps depend on them.

The rule: what cannot be read here is said to be unknown, never to be small. Pure functions.
"""

from __future__ import annotations

from pgmcp.judging.nodes import Node

_HEADER_BYTES = 4  # of a value of variable length


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


def text(item: object) -> bytes:
    """The bytes of a text constant; of anything else, bytes that stand for the worst."""
    if not isinstance(item, Node) or item.tag != "CONST":
        return b"*"
    return bytes(int(str(octet)) & 0xFF for octet in item.fields.get("constvalue", [])[2:-1])


def is_long(node: Node) -> bool:
    """Whether a numeric constant is in the format for numbers of very many digits."""
    octets = text(node)
    return len(octets) > _HEADER_BYTES + 1 and octets[_HEADER_BYTES + 1] < 0x80
