"""How many steps the calls of a statement take that PostgreSQL cannot interrupt.

Some built-in functions take the product of their arguments' sizes in steps, and look for no
time-out meanwhile: position() of 100 kB in 2 MB takes minutes.

The rule: the steps of all calls are summed over a statement. Pure functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pgmcp.judging import constants, xpath
from pgmcp.judging import function_sizes as known
from pgmcp.judging.constants import function_of
from pgmcp.judging.extension_costs import Cost
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
_LINEAR_STEPS = 10
"""For each byte that a call reads, of a value whose size is known."""
_BYTES_PER_TERM, _POSITIONS_PER_TERM, _BYTES_PER_POSITION = 12, 256, 2
_XML_PARSE = 3  # IS_XMLPARSE of nodes/primnodes.h
XML_PARSE = f"{{XMLEXPR :op {_XML_PARSE} "
_BYTES_PER_ATTRIBUTE_PAIR = 2 * 8 * 8  # a="" and a space
_RANK_WEIGHT = 8  # half of the pairs, each a root and an exponential function

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


def objection(sizes: Sizes, costs: Mapping[int, Cost] | None = None) -> str | None:
    """Why the calls take too long, None when they do not. `costs`: of functions by their OID, which
    are not PostgreSQL's own."""
    calls = paths = 0
    for node in sizes.columns.nodes:
        calls += _steps(sizes, node, costs or {})
        for given, document in _paths(node):
            path = sizes.columns.given(given)
            if path.tag != "CONST":
                return _UNKNOWN_PATH
            paths += xpath.steps(constants.text(path), sizes.of(document).at_most)
    if paths > MAX_STEPS:
        return _SLOW_PATH
    return _TOO_MANY_STEPS if calls + paths > MAX_STEPS else None


def _steps(sizes: Sizes, node: Node, costs: Mapping[int, Cost]) -> int:
    if node.tag == CAST and node.number("resulttype") == known.TSQUERY_TYPE:
        return _factor(total(sizes.inside(node))) ** 2
    if _reads_xml(node):
        return int(_factor(total(sizes.inside(node))) ** 2 // _BYTES_PER_ATTRIBUTE_PAIR)
    if node.number("aggtype") == known.NUMERIC_TYPE or node.number("wintype") == known.NUMERIC_TYPE:
        return _numeric_bytes(Size(total(sizes.inside(node)).bytes)) ** 2
    oid = function_of(node)
    if not oid:
        return 0
    arguments = sizes.arguments(node)
    if oid in costs:
        return _extension_steps(arguments, costs[oid])
    return _product(sizes, node, oid) + _linear_steps(total(arguments), oid)


def _reads_xml(node: Node) -> bool:
    """Whether it makes xml of text. libxml compares each attribute with all of its element."""
    if node.tag == "XMLEXPR":
        return node.number("op") == _XML_PARSE
    is_cast = node.tag == CAST and node.number("resulttype") == known.XML_TYPE
    return is_cast or function_of(node) == known.XML_OF_TEXT


def _product(sizes: Sizes, node: Node, oid: int) -> int:
    """The steps that the sizes of arguments of PostgreSQL's own functions multiply to."""
    arguments = sizes.arguments(node)
    if oid in known.RANKS:
        return _rank_steps(arguments, known.RANKS[oid])
    first, second = known.STEPS.get(oid, (0, len(arguments)))
    if second >= len(arguments):
        is_small = oid in known.POWERS and all(map(sizes.is_small_number, node.children("args")))
        return known.SMALL_POWER_STEPS if is_small else known.NUMBER_STEPS.get(oid, 0)
    if oid in known.NUMERIC:
        return _numeric_bytes(arguments[first]) * _numeric_bytes(arguments[second])
    product = _factor(arguments[first]) * _factor(arguments[second])
    return product * known.STEP_WEIGHTS.get(oid, 1)


def positions(vector: Size, query: Size) -> int:
    """How many positions of a tsvector are those of a tsquery's terms, at most."""
    terms = 1 + _factor(query) // _BYTES_PER_TERM
    return min(_factor(vector) // _BYTES_PER_POSITION, terms * _POSITIONS_PER_TERM)


def _rank_steps(arguments: Sequence[Size], place: int) -> int:
    """Each position of a term is compared with each of every other term."""
    if place + 1 >= len(arguments):
        return 0
    return int(_RANK_WEIGHT * positions(arguments[place], arguments[place + 1]) ** 2)


def _extension_steps(arguments: Sequence[Size], cost: Cost) -> int:
    total_steps = cost.per_call + cost.per_byte * _chosen(total(arguments))
    if cost.product is not None and max(cost.product) < len(arguments):
        first, second = cost.product
        total_steps += cost.weight * _factor(arguments[first]) * _factor(arguments[second])
    if cost.chosen is not None:
        place, steps = cost.chosen
        total_steps += steps if any(map(_chosen, arguments[place : place + 1])) else 0
    return total_steps


def _chosen(size: Size) -> int:
    """The bytes that do not come from one row of a table."""
    return size.bytes + (COLLECTED_BYTES if size.collected else 0)


def _factor(size: Size) -> int:
    rows = COLLECTED_BYTES if size.collected else _USUAL_BYTES if size.stored else 0
    return size.bytes + rows


def _linear_steps(size: Size, oid: int) -> int:
    known_bytes = size.bytes if size.bytes < LARGEST_BYTES else COLLECTED_BYTES
    steps = known.BYTE_STEPS.get(oid, _LINEAR_STEPS) * known_bytes
    is_text = size.collected and oid not in known.NUMERIC
    return steps + (COLLECTED_BYTES if is_text else 0)


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
