"""How large the values are that the parts of a statement make.

The rule: what cannot be computed here counts as unbounded, never as small; but a table's own column
counts as an ordinary value, since the table is its owner's. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pgmcp.judging import constants
from pgmcp.judging import function_sizes as known
from pgmcp.judging.column_sources import ColumnSources, outputs
from pgmcp.judging.constants import function_of
from pgmcp.judging.inlining import bodies_of
from pgmcp.judging.nodes import Node, flat
from pgmcp.sql.oids import FIRST_USER_OID

LARGEST_BYTES = 1_000_000_000  # PostgreSQL's own limit
STORED_BYTES, COLLECTED_BYTES = 500, 10_000_000
"""What a call reads of a table's column, and of what an aggregate or ARRAY(SELECT …) makes of
rows."""
LARGEST_NUMERIC = 74_000
CAST = "COERCEVIAIO"

_BYTES_PER_CHARACTER = 4  # at most
_BYTES_PER_ELEMENT = 4  # at least
_ORDINARY_FACTOR = 1000
"""What a stored value may be multiplied by without being counted."""
_FIXED_BYTES = 64
_POINT_BYTES = 16
_BYTES_PER_TERM, _NODE_FACTOR = 12, 25  # of a tsquery
_ARRAY_SUBLINK, _EXPR_SUBLINK = 6, 4
_PASSES = 8  # of columns that come from columns of subqueries
_WIDE_FORMAT = re.compile(rb"\*|\d{5}")


class Size(NamedTuple):
    """The most bytes that a value can have, but for what rows of tables bring to it."""

    bytes: int = 0
    stored: bool = False  # it has columns in it
    collected: bool = False  # it has any number of rows in it
    unbounded: bool = False  # it is the value of a call whose size is not known

    @property
    def at_most(self) -> int:
        """With what rows usually bring to it."""
        rows = COLLECTED_BYTES if self.collected else STORED_BYTES if self.stored else 0
        return self.bytes + rows

    def times(self, factor: int) -> Size:
        """So many times as large."""
        return self._replace(bytes=min(self.bytes * factor, LARGEST_BYTES))


_COLLECTED = Size(collected=True)
_UNKNOWN = Size(LARGEST_BYTES, unbounded=True)


def total(sizes: Sequence[Size]) -> Size:
    """The size of what is made of all of them, which is no unbounded call's value: that call has
    been counted by itself."""
    return Size(
        sum(size.bytes for size in sizes),
        any(size.stored for size in sizes),
        any(size.collected for size in sizes),
    )


class Sizes:
    """The sizes of the values in one tree.

    `outputs`: by how much the values of functions, by OID, may be larger than their arguments,
    beside those of `function_sizes.OUTPUT`.
    """

    def __init__(self, columns: ColumnSources, outputs: Mapping[int, int] | None = None) -> None:
        self.columns = columns
        self._outputs = known.OUTPUT if outputs is None else {**known.OUTPUT, **outputs}
        self._sizes: dict[int, Size] = {}
        behind = {
            id(node): columns.behind(node) for node in columns.nodes if node.tag in ("VAR", "PARAM")
        }
        self._variables = {key: Size(stored=True) for key in behind}
        for _ in range(_PASSES):
            self._measure()
            before = dict(self._variables)
            for key, expressions in behind.items():
                if expressions:
                    sizes = [self._sizes[id(expression)] for expression in expressions]
                    largest = max(size.bytes for size in sizes)
                    self._variables[key] = total(sizes)._replace(bytes=largest)
            if before == self._variables:
                return
        for key, size in self._variables.items():  # it grows with each pass: a recursive query
            if size != before[key]:
                self._variables[key] = _COLLECTED
        self._measure()

    def of(self, node: Node) -> Size:
        """The size of a node's value."""
        return self._sizes[id(node)]

    def arguments(self, node: Node) -> list[Size]:
        """The sizes of a call's arguments."""
        return [self._sizes[id(item)] for item in node.children("args")]

    def is_small_number(self, argument: Node) -> bool:
        """Whether it is a constant below 1,000, or nothing but values of tables."""
        given = self.columns.given(argument)
        size = self._sizes[id(given)]
        return constants.is_below_1000(given) or (size.stored and size.bytes == 0)

    def inside(self, node: Node) -> list[Size]:
        """The sizes of all that stands directly in a node."""
        return [
            self._sizes[id(child)]
            for value in node.fields.values()
            for child in flat(value)
            if isinstance(child, Node)
        ]

    def _measure(self) -> None:
        for node in reversed(self.columns.nodes):  # what is inside a node comes before it
            self._sizes[id(node)] = self._size(node)

    def _size(self, node: Node) -> Size:
        measure = _BY_TAG.get(node.tag)
        return measure(self, node) if measure is not None else self._called(node)

    def _called(self, node: Node) -> Size:
        oid = function_of(node)
        if oid in known.LONG_NUMERICS:
            return _COLLECTED
        if oid in known.GROWING:
            return self._grown(node, oid)
        if _is_fixed(node, "funcresulttype") or _is_fixed(node, "opresulttype"):
            return Size(_FIXED_BYTES)
        if oid in self._outputs:
            return total(self.arguments(node)).times(self._outputs[oid])
        if queries := bodies_of(node):
            return total([self._sizes[id(made)] for made in outputs(queries[-1], 0)])
        return total(self.inside(node))

    def _constant(self, node: Node) -> Size:
        if node.number("consttype") == known.NUMERIC_TYPE and constants.is_long(node):
            return Size(LARGEST_NUMERIC)
        return Size(constants.size_of(node))

    def _variable(self, node: Node) -> Size:
        return self._variables[id(node)]

    def _aggregate(self, node: Node) -> Size:
        oid = node.number("aggfnoid") or node.number("winfnoid")
        if oid in known.COLLECTING:
            return _COLLECTED
        if oid >= FIRST_USER_OID:
            return Size(_FIXED_BYTES) if _is_fixed(node, "aggtype") else _COLLECTED
        return total(self.inside(node))

    def _cast(self, node: Node) -> Size:
        if _is_fixed(node, "resulttype"):
            return Size(_FIXED_BYTES)
        return total(self.inside(node)).times(known.CAST_OUTPUT)

    def _sublink(self, node: Node) -> Size:
        queries, kind = node.children("subselect"), node.number("subLinkType")
        columns = [
            self._sizes[id(target)] for query in queries for target in query.children("targetList")
        ]
        if kind == _ARRAY_SUBLINK:
            rows = [
                constants.integer(limit)
                for query in queries
                for limit in query.children("limitCount")
            ]
            if rows and rows[0] is not None and not total(columns).stored:
                each = max(total(columns).at_most, _BYTES_PER_ELEMENT)
                return Size(min(rows[0] * each, LARGEST_BYTES))
            if rows and rows[0] is not None:
                return Size(min(rows[0] * _FIXED_BYTES, LARGEST_BYTES))
            return _COLLECTED
        return total(columns) if kind == _EXPR_SUBLINK else Size(_FIXED_BYTES)

    def _grown(self, node: Node, oid: int) -> Size:
        """A growing call's value; of no size for an ordinary use of a column's value."""
        items, sizes = node.children("args"), self.arguments(node)
        if oid in known.FORMAT:
            return (
                _UNKNOWN
                if _WIDE_FORMAT.search(constants.text(self.columns.given(items[0])))
                else total(sizes)
            )
        if len(items) < 2 or oid in known.FILL:
            return _UNKNOWN
        for functions, grown in _GROWN:
            if oid in functions:
                return grown(sizes)
        number = constants.integer(self.columns.given(items[0 if oid in known.POINTS else 1]))
        if number is None:
            return _UNKNOWN
        if oid in known.POINTS:
            return Size(max(0, number) * _POINT_BYTES)
        if oid in known.REPEAT:
            return _repeated(sizes[0], number)
        return Size(max(0, number) * _BYTES_PER_CHARACTER)

    def _elements(self, node: Node) -> Size:
        """An array whose elements grow one by one, as they are cast."""
        array = total([self._sizes[id(item)] for item in node.children("arg")])
        grown = [
            self._sizes[id(inner)]
            for element in node.children("elemexpr")
            for inner in ColumnSources([element]).nodes
            if function_of(inner) in known.GROWING
        ]
        if not grown:
            return array
        if array.stored or any(size.unbounded for size in grown):
            return _UNKNOWN
        return total(grown).times(1 + array.bytes // _BYTES_PER_ELEMENT)


_BY_TAG = {
    "CONST": Sizes._constant,
    "VAR": Sizes._variable,
    "PARAM": Sizes._variable,
    "SUBLINK": Sizes._sublink,
    "AGGREF": Sizes._aggregate,
    "WINDOWFUNC": Sizes._aggregate,
    "ARRAYCOERCEEXPR": Sizes._elements,
    CAST: Sizes._cast,
}


def _is_fixed(node: Node, field: str) -> bool:
    return node.number(field) in known.FIXED_TYPES


def _replaced(sizes: Sequence[Size]) -> Size:
    first, factor = sizes[0], sizes[2] if len(sizes) > 2 else Size()
    if first.stored and (factor.bytes > _ORDINARY_FACTOR or factor.stored):
        return _COLLECTED._replace(unbounded=True)
    return first.times(max(1, factor.bytes))


def _joined(sizes: Sequence[Size]) -> Size:
    elements = 1 + sizes[0].bytes // _BYTES_PER_ELEMENT
    return Size(min(sizes[0].bytes * 4 + elements * sizes[1].bytes, LARGEST_BYTES))


def _joined_by_first(sizes: Sequence[Size]) -> Size:
    elements = len(sizes) + total(sizes[1:]).bytes // _BYTES_PER_ELEMENT
    return total([total(sizes[1:]), sizes[0].times(elements)])


def _repeated(size: Size, number: int) -> Size:
    if size.stored and number > _ORDINARY_FACTOR:
        return _UNKNOWN
    return Size(size.bytes * max(0, number))


def _rewritten(sizes: Sequence[Size]) -> Size:
    """A copy of the third query in the place of each term of the first, with the nodes of its
    tree."""
    terms = sizes[0].bytes // _BYTES_PER_TERM
    return Size(min(sizes[0].bytes + terms * sizes[-1].bytes * _NODE_FACTOR, LARGEST_BYTES))


_GROWN = (
    (known.REPLACE, _replaced),
    (known.REWRITE, _rewritten),
    (known.JOIN, _joined),
    (known.JOIN_FIRST, _joined_by_first),
)
