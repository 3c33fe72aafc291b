"""How many steps the calls of a statement take that PostgreSQL cannot interrupt.

Some built-in functions take the product of their arguments' sizes in steps, and look for no
time-out meanwhile: position() of 100 kB in 2 MB takes minutes.

The rule: the steps of all calls are summed over a statement. Pure functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pgmcp.judging import constants, xpath
from pgmcp.judging import function_sizes as known
from pgmcp.judging.constants import function_of
from pgmcp.judging.nodes import Node
from pgmcp.judging.sizes import (
    CAST,
    COLLECTED_BYTES,
    LARGEST_BYTES,
    LARGEST_NUMERIC,
    STORED_BYTES,
    Size,
    Sizes,
    total,
)

MAX_STEPS = 10_000_000_000
"""A few seconds' to a minute's work in all the calls of a statement that no time-out ends."""
_COLLECTED_NUMERIC = 30_000  # what rows bring to a number
_USUAL_BYTES = 100  # of a column's value, whose bytes no caller has chosen
_LARGE_BYTES = 1_000_000
_LINEAR_STEPS = 10
"""For each byte of a large value that a call reads."""

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


def objection(sizes: Sizes, multiplying: Mapping[int, tuple[int, int]] = known.STEPS) -> str | None:
    """Why the calls take too long, None when they do not. `multiplying`: as `known.STEPS`."""
    calls = paths = 0
    for node in sizes.columns.nodes:
        calls += _steps(sizes, node, multiplying)
        for given, document in _paths(node):
            path = sizes.columns.given(given)
            if path.tag != "CONST":
                return _UNKNOWN_PATH
            paths += xpath.steps(constants.text(path), sizes.of(document).at_most)
    if paths > MAX_STEPS:
        return _SLOW_PATH
    return _TOO_MANY_STEPS if calls + paths > MAX_STEPS else None


def _steps(sizes: Sizes, node: Node, multiplying: Mapping[int, tuple[int, int]]) -> int:
    if node.tag == CAST and node.number("resulttype") == known.TSQUERY_TYPE:
        return _factor(total(sizes.inside(node))) ** 2
    oid = function_of(node)
    if not oid:
        return 0
    arguments = sizes.arguments(node)
    first, second = multiplying.get(oid, (0, len(arguments)))
    if second >= len(arguments):
        return _linear_steps(total(arguments).bytes)
    if oid in known.NUMERIC:
        return _numeric_bytes(arguments[first]) * _numeric_bytes(arguments[second])
    product = _factor(arguments[first]) * _factor(arguments[second])
    return product * known.STEP_WEIGHTS.get(oid, 1) + _linear_steps(total(arguments).bytes)


def _factor(size: Size) -> int:
    rows = COLLECTED_BYTES if size.collected else _USUAL_BYTES if size.stored else 0
    return size.bytes + rows


def _linear_steps(size: int) -> int:
    if size <= _LARGE_BYTES:
        return 0
    return _LINEAR_STEPS * (size if size < LARGEST_BYTES else COLLECTED_BYTES)


def _numeric_bytes(size: Size) -> int:
    rows = _COLLECTED_NUMERIC if size.collected else STORED_BYTES if size.stored else 0
    return min(size.bytes + rows, LARGEST_NUMERIC)


def _paths(node: Node) -> Iterator[tuple[Node, Node]]:
    """The XPath expressions of a node, each with the document that it is evaluated in."""
    arguments = node.children("args")
    if function_of(node) in known.XPATH and len(arguments) > 1:
        first, second = known.XPATH[function_of(node)]
        yield arguments[first], arguments[second]
    elif node.tag == "TABLEFUNC" and node.children("rowexpr"):  # JSON_TABLE has none
        for document in node.children("docexpr"):
            for path in [*node.children("rowexpr"), *node.children("colexprs")]:
                yield path, document
