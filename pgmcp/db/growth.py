"""How large the values are that a statement makes out of constants.

PostgreSQL computes constant expressions while it plans, where no statement_timeout reaches and no
row limit applies: fifty bytes of nested repeat() make a backend hold gigabytes. The tree of the
analysed statement shows the calls and their constants, so the size is known before anything runs.

The rule: what cannot be computed here counts as unbounded, never as small. Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from pgmcp.db.nodes import Node, flat, nodes, parse
from pgmcp.db.unfolding import MAX_EXPRESSIONS, unfolded

MAX_CONSTANT_BYTES = 512 * 1024 * 1024
MAX_UNBOUNDED_CALLS = 4
"""Each can make one value, which PostgreSQL itself limits to 1 GB."""

# Built-in functions never change their OID.
_REPEAT = {1622}
_PAD = {668, 873, 874, 879, 880}  # character(n), lpad, rpad
_BIT = {1685}  # bit(n)
_FILL = {1193, 1286}  # array_fill
_FORMAT = {3539, 3540}
_REPLACE = {2087, 2284, 2285, 6251, 6252, 6253}  # replace, regexp_replace
GROWING = frozenset(_REPEAT | _PAD | _BIT | _FILL | _FORMAT | _REPLACE)

_BYTES_PER_CHARACTER = 4  # at most
_BYTES_PER_ELEMENT = 4  # at least
# Types whose values are filled up to their declared length: character(n), bit(n).
_FILLED = {1042: _BYTES_PER_CHARACTER, 1560: 1}
_DECLARED = (("funccoltypes", "funccoltypmods"), ("coltypes", "coltypmods"), ("typid", "typmod"))
_ORDINARY_FACTOR = 1000
"""What a stored value may be multiplied by without being counted."""
_SUBQUERY = re.compile(r":(?:subquery|ctequery)\s+\{")
_WIDE_FORMAT = re.compile(rb"\*|\d{5}")


def _arguments(node: Node) -> list[object]:
    args = node.fields.get("args", [])
    return args[0] if args and isinstance(args[0], list) else []


def _integer(item: object) -> int | None:
    """The value of an integer constant (stored in eight little-endian bytes, as on every
    platform that PostgreSQL is commonly built for), None for anything else."""
    if not isinstance(item, Node) or item.tag != "CONST":
        return None
    value = item.fields.get("constvalue", [])
    if not value or value[0] == "<>" or item.number("constlen") not in (4, 8):
        return None
    octets = bytes(int(str(octet)) & 0xFF for octet in value[2:-1])
    return int.from_bytes(octets[: item.number("constlen")], "little", signed=True)


def _text(item: object) -> bytes:
    """The bytes of a text constant; of anything else, bytes that stand for the worst."""
    if not isinstance(item, Node) or item.tag != "CONST":
        return b"*"
    return bytes(int(str(octet)) & 0xFF for octet in item.fields.get("constvalue", [])[2:-1])


def _size(item: object) -> int | None:
    """The most bytes that a constant expression can make, None when that is not known."""
    if not isinstance(item, Node):
        return 0
    if item.tag == "CONST":
        return item.number("constvalue")
    if item.tag in ("VAR", "PARAM", "SUBLINK"):
        return None
    if item.tag == "FUNCEXPR" and item.number("funcid") in GROWING:
        return _grown(item)
    sizes = [_size(child) for value in item.fields.values() for child in flat(value)]
    return None if None in sizes else sum(size for size in sizes if size)


def _grown(node: Node) -> int | None:
    """The bytes of one growing call's value, 0 for an ordinary use of a column's value."""
    arguments, function = _arguments(node), node.number("funcid")
    if function in _FORMAT:
        return None if _WIDE_FORMAT.search(_text(arguments[0])) else 0
    if len(arguments) < 2 or function in _FILL:
        return None
    size, number = _size(arguments[0]), _integer(arguments[1])
    if function in _REPLACE:
        factor = _size(arguments[2]) if len(arguments) > 2 else 0
    elif number is None:
        return None
    elif function in _REPEAT:
        factor = max(0, number)
    else:
        return max(0, number) * _BYTES_PER_CHARACTER
    if factor is None or (size is None and factor > _ORDINARY_FACTOR):
        return None
    return (size or 0) * max(1, factor)


def _elements(node: Node) -> int | None:
    """The bytes of an array whose elements grow one by one, 0 when they do not."""
    grown = [_grown(inner) for inner in nodes(node.fields.get("elemexpr", [])) if _grows(inner)]
    if not grown:
        return 0
    array = _size(next(iter(node.fields.get("arg", [])), None))
    if None in grown or array is None:
        return None
    return sum(size for size in grown if size) * (1 + array // _BYTES_PER_ELEMENT)


def _declared(node: Node) -> int:
    """The bytes of columns that a function or a JSON path fills up to their declared length."""
    total = 0
    for types, lengths in _DECLARED:
        declared = zip(node.numbers(types), node.numbers(lengths), strict=False)
        total += sum(_FILLED.get(oid, 0) * length for oid, length in declared if length > 0)
    return total


def _grows(node: Node) -> bool:
    return node.tag == "FUNCEXPR" and node.number("funcid") in GROWING


def objection(tree: str, functions: Collection[int], types: Collection[int]) -> str | None:
    """Why a statement's constants are too large to plan, None when they are not.

    `functions` and `types` are the OIDs in the tree, which is only read when they may grow.
    """
    subqueries = len(_SUBQUERY.findall(tree))
    if GROWING.isdisjoint(functions) and _FILLED.keys().isdisjoint(types) and subqueries < 2:
        return None
    parsed = parse(tree)
    if subqueries >= 2 and unfolded(parsed) > MAX_EXPRESSIONS:
        return "its subqueries would unfold to a statement too large to plan"
    total = unbounded = 0
    for node in nodes(parsed):
        size: int | None = _declared(node)
        if _grows(node):
            size = _grown(node)
        elif node.tag == "ARRAYCOERCEEXPR":
            size = _elements(node)
        if size is None:
            unbounded += 1
        else:
            total += size
    if total > MAX_CONSTANT_BYTES:
        return f"its constants would grow to more than {MAX_CONSTANT_BYTES // 2**20} MB"
    if unbounded > MAX_UNBOUNDED_CALLS:
        return (
            f"more than {MAX_UNBOUNDED_CALLS} calls of repeat, lpad, replace and their like make "
            "values of a size that is not known before they run"
        )
    return None
