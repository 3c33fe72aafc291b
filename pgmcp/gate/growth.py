"""How large the values are that a statement makes, and how long its calls cannot be interrupted.

PostgreSQL computes constant expressions while it plans, where no statement_timeout reaches and no
row limit applies: fifty bytes of nested repeat() make a backend hold gigabytes. Some built-in
functions take the product of their arguments' sizes in steps, and look for no time-out meanwhile:
position() of 100 kB in 2 MB takes minutes. The tree of the analysed statement shows the calls and
their constants, so both are known before anything runs.

The rule: what cannot be computed here counts as unbounded, never as small; but a table's own column
counts as an ordinary value, since the table is its owner's. Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from pgmcp.gate import function_sizes as known
from pgmcp.gate import xpath
from pgmcp.gate.column_sources import ColumnSources
from pgmcp.gate.nodes import Node, flat, parse
from pgmcp.gate.unfolding import MAX_EXPRESSIONS, inlined, unfolded

MAX_CONSTANT_BYTES = 512 * 1024 * 1024
MAX_UNBOUNDED_CALLS = 4
"""Each can make one value, which PostgreSQL itself limits to 1 GB."""
MAX_STEPS = 10_000_000_000
"""A few seconds' to a minute's work in all the calls of a statement that no time-out ends."""

_BYTES_PER_CHARACTER = 4  # at most
_BYTES_PER_ELEMENT = 4  # at least
# Types whose values are filled up to their declared length: character(n), bit(n).
_FILLED = {1042: _BYTES_PER_CHARACTER, 1560: 1}
_DECLARED = (("funccoltypes", "funccoltypmods"), ("coltypes", "coltypmods"), ("typid", "typmod"))
_ORDINARY_FACTOR = 1000
"""What a stored value may be multiplied by without being counted."""
# In the steps of a call: a table's column, and what an aggregate or ARRAY(SELECT …) makes of rows.
_STORED_BYTES, _COLLECTED_BYTES = 500, 10_000_000
_LARGEST_BYTES = 1_000_000_000  # PostgreSQL's own limit
_LARGEST_NUMERIC, _COLLECTED_NUMERIC = 74_000, 30_000  # the latter for what rows bring to it
_LARGE_BYTES = 1_000_000
_LINEAR_STEPS = 10
"""For each byte of a large value that a call reads."""
_FIXED_BYTES = 64
_POINT_BYTES = 16
_HEADER_BYTES = 4  # of a value of variable length
_ARRAY_SUBLINK, _EXPR_SUBLINK = 6, 4
_PASSES = 8  # of columns that come from columns of subqueries
_FEW_COPIES = 8  # through text: what so few can make of one megabyte, other limits bound

_SUBQUERY = re.compile(r":(?:subquery|ctequery)\s+\{")
_WIDE_FORMAT = re.compile(rb"\*|\d{5}")
_COLLECTS = re.compile(r":subLinkType\s+6\b")
# A numeric constant not in the short format: 1e1000 has few bytes, 1e1000 + 1 has many.
_LONG_NUMERIC = re.compile(r":consttype\s+1700\b[^{}]*:constvalue\s+\d+\s+\[(?:\s+-?\d+){5}\s+\d")
_TABLE_OF_PATHS = "{TABLEFUNC"
_CAST = "COERCEVIAIO"
_MAX_PLAIN_TREE = 200_000  # the constants in a tree are shorter than half of it

_TOO_MANY_STEPS = (
    "one of its functions, or all of them together, would take the product of its arguments' sizes "
    "in steps that no time-out ends. Search for less, or in less: use shorter constants, fewer "
    "calls, LIMIT inside ARRAY(SELECT …), or a join or EXISTS instead of comparing collected arrays"
)
_UNKNOWN_PATH = (
    "it has an XPath expression that is not known before it runs, and no time-out ends XPath. "
    "Write the path as a constant"
)
_SLOW_PATH = (
    "its XPath expressions may visit every node of a document for every other, which no time-out "
    "ends. Use simple paths, like /a/b[@id = 1]/text(), with at most one // and none inside [ ], "
    "or filter the rows of XMLTABLE with WHERE"
)
_UNBOUNDED = (
    f"more than {MAX_UNBOUNDED_CALLS} calls of repeat, lpad, replace and their like make values of "
    "a size that is not known before they run. Give them constant lengths"
)


class _Size(NamedTuple):
    """The most bytes that a value can have, but for what rows of tables bring to it."""

    bytes: int = 0
    stored: bool = False  # it has columns in it
    collected: bool = False  # it has any number of rows in it
    unbounded: bool = False  # it is the value of a call whose size is not known

    @property
    def at_most(self) -> int:
        rows = _COLLECTED_BYTES if self.collected else _STORED_BYTES if self.stored else 0
        return self.bytes + rows

    def times(self, factor: int) -> _Size:
        return self._replace(bytes=min(self.bytes * factor, _LARGEST_BYTES))


_COLLECTED = _Size(collected=True)
_UNKNOWN = _Size(_LARGEST_BYTES, unbounded=True)


def _sum(sizes: Sequence[_Size]) -> _Size:
    # A sum is no unbounded call's value: that call has been counted by itself.
    return _Size(
        sum(size.bytes for size in sizes),
        any(size.stored for size in sizes),
        any(size.collected for size in sizes),
    )


def objection(tree: str, functions: Collection[int], types: Collection[int]) -> str | None:
    """Why a statement's values are too large to plan or to compute, None when they are not.

    `functions` and `types` are the OIDs in the tree, which is only read when they may grow.
    """
    subqueries = len(_SUBQUERY.findall(tree))
    if subqueries < 2 and not _may_grow(tree, frozenset(functions), frozenset(types)):
        return None
    parsed = parse(tree)
    columns = ColumnSources(parsed)
    if subqueries >= 2 and max(unfolded(parsed), inlined(columns)) > MAX_EXPRESSIONS:
        return (
            "its subqueries would unfold to a statement too large to plan. Use fewer levels, or "
            "write MATERIALIZED behind the AS of those in WITH"
        )
    return _Sizes(columns).objection()


def multiplied(tree: str, functions: Collection[int]) -> str | None:
    """The objection to calls of these functions, each with steps that its first two arguments'
    sizes multiply to; None when there is none."""
    return _Sizes(ColumnSources(parse(tree)), dict.fromkeys(functions, (0, 1))).objection()


def _may_grow(tree: str, functions: frozenset[int], types: frozenset[int]) -> bool:
    if functions & known.GROWING or functions & known.OUTPUT.keys() or _FILLED.keys() & types:
        return True
    if tree.count(_CAST) > _FEW_COPIES:
        return True
    if functions & known.XPATH.keys() or _TABLE_OF_PATHS in tree:
        return True
    if functions & known.NUMERIC and (
        functions & known.LONG_NUMERICS or _LONG_NUMERIC.search(tree)
    ):
        return True
    large = len(tree) > _MAX_PLAIN_TREE or functions & known.COLLECTING or _COLLECTS.search(tree)
    return bool(large and functions & (known.STEPS.keys() | known.WORK.keys()))


class _Sizes:
    def __init__(
        self, columns: ColumnSources, steps: Mapping[int, tuple[int, int]] = known.STEPS
    ) -> None:
        self._columns = columns
        self._multiplying = steps
        self._sizes: dict[int, _Size] = {}
        variables = [node for node in columns.nodes if node.tag == "VAR"]
        behind = {id(var): columns.behind(var) for var in variables}
        self._variables = {key: _Size(stored=True) for key in behind}
        for _ in range(_PASSES):
            self._measure()
            before = dict(self._variables)
            for key, expressions in behind.items():
                if expressions:
                    sizes = [self._sizes[id(one)] for one in expressions]
                    largest = max(size.bytes for size in sizes)
                    self._variables[key] = _sum(sizes)._replace(bytes=largest)
            if before == self._variables:
                return
        for key, size in self._variables.items():  # it grows with each pass: a recursive query
            if size != before[key]:
                self._variables[key] = _COLLECTED
        self._measure()

    def _measure(self) -> None:
        for node in reversed(self._columns.nodes):  # what is inside a node comes before it
            self._sizes[id(node)] = self._size(node)

    def objection(self) -> str | None:
        return self._steps_objection() or self._bytes_objection()

    def _steps_objection(self) -> str | None:
        calls = paths = 0
        for node in self._columns.nodes:
            calls += self._steps(node, _function(node))
            for path, document in _paths(node):
                if path.tag != "CONST":
                    return _UNKNOWN_PATH
                paths += xpath.steps(_text(path), self._sizes[id(document)].at_most)
        if paths > MAX_STEPS:
            return _SLOW_PATH
        return _TOO_MANY_STEPS if calls + paths > MAX_STEPS else None

    def _bytes_objection(self) -> str | None:
        total = unbounded = 0
        for node in self._columns.nodes:
            size, oid = self._sizes[id(node)], _function(node)
            if size.unbounded:
                unbounded += 1
                continue
            total += _declared(node)
            if oid in known.GROWING or node.tag == "ARRAYCOERCEEXPR":
                total += size.bytes
            if oid in known.WORK:
                total += _sum(self._arguments(node)).bytes * known.WORK[oid]
            elif oid in known.OUTPUT:
                total += size.bytes
            elif node.tag == _CAST:
                total += _sum(self._inside(node)).bytes * known.CAST_WORK
        if total > MAX_CONSTANT_BYTES:
            return (
                f"its constants would grow to more than {MAX_CONSTANT_BYTES // 2**20} MB. Use "
                "smaller numbers in repeat, lpad and their like, and shorter texts"
            )
        return _UNBOUNDED if unbounded > MAX_UNBOUNDED_CALLS else None

    def _arguments(self, node: Node) -> list[_Size]:
        return [self._sizes[id(item)] for item in _arguments(node)]

    def _inside(self, node: Node) -> list[_Size]:
        return [
            self._sizes[id(child)]
            for value in node.fields.values()
            for child in flat(value)
            if isinstance(child, Node)
        ]

    def _size(self, node: Node) -> _Size:
        oid = _function(node)
        if node.tag == "CONST":
            if node.number("consttype") == known.NUMERIC_TYPE and _is_long(node):
                return _Size(_LARGEST_NUMERIC)
            header = _HEADER_BYTES if node.fields.get("constlen") == ["-1"] else 0
            return _Size(max(0, node.number("constvalue") - header))
        if node.tag == "VAR":
            return self._variables[id(node)]
        if node.tag == "PARAM":
            return _Size(stored=True)
        if node.tag == "SUBLINK":
            return self._sublink(node)
        if node.number("aggfnoid") in known.COLLECTING or oid in known.LONG_NUMERICS:
            return _COLLECTED
        if oid in known.GROWING:
            return self._grown(node, oid)
        if node.tag == "ARRAYCOERCEEXPR":
            return self._elements(node)
        if node.number("funcresulttype") in known.FIXED_TYPES or (
            node.number("opresulttype") in known.FIXED_TYPES
        ):
            return _Size(_FIXED_BYTES)
        if oid in known.OUTPUT:
            return _sum(self._arguments(node)).times(known.OUTPUT[oid])
        if node.tag == _CAST:
            if node.number("resulttype") in known.FIXED_TYPES:
                return _Size(_FIXED_BYTES)
            return _sum(self._inside(node)).times(known.CAST_OUTPUT)
        return _sum(self._inside(node))

    def _sublink(self, node: Node) -> _Size:
        queries, kind = node.children("subselect"), node.number("subLinkType")
        columns = [
            self._sizes[id(target)] for query in queries for target in query.children("targetList")
        ]
        if kind == _ARRAY_SUBLINK:
            rows = [_integer(limit) for query in queries for limit in query.children("limitCount")]
            if rows and rows[0] is not None and not _sum(columns).stored:
                each = max(_sum(columns).at_most, _BYTES_PER_ELEMENT)
                return _Size(min(rows[0] * each, _LARGEST_BYTES))
            if rows and rows[0] is not None:
                return _Size(min(rows[0] * _FIXED_BYTES, _LARGEST_BYTES))
            return _COLLECTED
        return _sum(columns) if kind == _EXPR_SUBLINK else _Size(_FIXED_BYTES)

    def _grown(self, node: Node, oid: int) -> _Size:
        """One growing call's value; of no size for an ordinary use of a column's value."""
        items, sizes = _arguments(node), self._arguments(node)
        if oid in known.FORMAT:
            return _UNKNOWN if _WIDE_FORMAT.search(_text(items[0])) else _sum(sizes)
        if len(items) < 2 or oid in known.FILL:
            return _UNKNOWN
        first, number = sizes[0], _integer(items[1])
        if oid in known.REPLACE:
            factor = sizes[2] if len(sizes) > 2 else _Size()
            if first.stored and (factor.bytes > _ORDINARY_FACTOR or factor.stored):
                return _COLLECTED._replace(unbounded=True)
            return first.times(max(1, factor.bytes))
        if oid in known.JOIN:
            elements = 1 + first.bytes // _BYTES_PER_ELEMENT
            return _Size(min(first.bytes * 4 + elements * sizes[1].bytes, _LARGEST_BYTES))
        if oid in known.JOIN_FIRST:
            elements = len(sizes) + _sum(sizes[1:]).bytes // _BYTES_PER_ELEMENT
            return _sum([_sum(sizes[1:]), first.times(elements)])
        if oid in known.POINTS:
            number = _integer(items[0])
            return _UNKNOWN if number is None else _Size(max(0, number) * _POINT_BYTES)
        if number is None:
            return _UNKNOWN
        if oid not in known.REPEAT:
            return _Size(max(0, number) * _BYTES_PER_CHARACTER)
        if first.stored and number > _ORDINARY_FACTOR:
            return _UNKNOWN
        return _Size(first.bytes * max(0, number))

    def _elements(self, node: Node) -> _Size:
        """An array whose elements grow one by one, as they are cast."""
        array = _sum([self._sizes[id(item)] for item in node.children("arg")])
        grown = [
            self._sizes[id(inner)]
            for element in node.children("elemexpr")
            for inner in ColumnSources([element]).nodes
            if _function(inner) in known.GROWING
        ]
        if not grown:
            return array
        if array.stored or any(size.unbounded for size in grown):
            return _UNKNOWN
        return _sum(grown).times(1 + array.bytes // _BYTES_PER_ELEMENT)

    def _steps(self, node: Node, oid: int) -> int:
        if not oid:
            return 0
        sizes = self._arguments(node)
        first, second = self._multiplying.get(oid, (0, len(sizes)))
        if second >= len(sizes):
            return _linear_steps(_sum(sizes).bytes)
        if oid in known.NUMERIC:
            return _numeric_bytes(sizes[first]) * _numeric_bytes(sizes[second])
        product = sizes[first].at_most * sizes[second].at_most * known.STEP_WEIGHTS.get(oid, 1)
        return product + _linear_steps(_sum(sizes).bytes)


def _linear_steps(size: int) -> int:
    if size <= _LARGE_BYTES:
        return 0
    return _LINEAR_STEPS * (size if size < _LARGEST_BYTES else _COLLECTED_BYTES)


def _numeric_bytes(size: _Size) -> int:
    rows = _COLLECTED_NUMERIC if size.collected else _STORED_BYTES if size.stored else 0
    return min(size.bytes + rows, _LARGEST_NUMERIC)


def _paths(node: Node) -> Iterator[tuple[Node, Node]]:
    """The XPath expressions of a node, each with the document that it is evaluated in."""
    arguments = _arguments(node)
    if _function(node) in known.XPATH and len(arguments) > 1:
        first, second = known.XPATH[_function(node)]
        yield arguments[first], arguments[second]
    elif node.tag == "TABLEFUNC" and node.children("rowexpr"):  # JSON_TABLE has none
        for document in node.children("docexpr"):
            for path in [*node.children("rowexpr"), *node.children("colexprs")]:
                yield path, document


def _function(node: Node) -> int:
    return node.number("funcid") or node.number("opfuncid")


def _arguments(node: Node) -> list[Node]:
    return node.children("args")


def _integer(item: object) -> int | None:
    """The value of an integer constant (stored in eight little-endian bytes, as on every
    platform that PostgreSQL is commonly built for), None for anything else."""
    if isinstance(item, Node) and item.number("funcid") in (480, 481):  # int4(int8), int8(int4)
        item = next(iter(_arguments(item)), None)
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


def _is_long(node: Node) -> bool:
    """Whether a numeric constant is in the format for numbers of very many digits."""
    octets = _text(node)
    return len(octets) > _HEADER_BYTES + 1 and octets[_HEADER_BYTES + 1] < 0x80


def _declared(node: Node) -> int:
    """The bytes of columns that a function or a JSON path fills up to their declared length."""
    total = 0
    for types, lengths in _DECLARED:
        declared = zip(node.numbers(types), node.numbers(lengths), strict=False)
        total += sum(_FILLED.get(oid, 0) * length for oid, length in declared if length > 0)
    return total
