"""How large the values are that a statement makes, and how long its calls cannot be interrupted.

PostgreSQL computes constant expressions while it plans, where no statement_timeout reaches and no
row limit applies: fifty bytes of nested repeat() make a backend hold gigabytes. The tree of the
analysed statement shows the calls and their constants, so what they make (`sizes`) and how long
that takes (`steps`) is known before anything runs.

The rule: a tree is only read when something in it may grow. Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from pgmcp.judging import function_sizes as known
from pgmcp.judging import steps
from pgmcp.judging.column_sources import ColumnSources
from pgmcp.judging.constants import function_of
from pgmcp.judging.extension_costs import Cost
from pgmcp.judging.inlining import TooLargeError, put_bodies
from pgmcp.judging.nodes import Node, parse
from pgmcp.judging.sizes import CAST, Sizes, total
from pgmcp.judging.unfolding import MAX_EXPRESSIONS, inlined, unfolded

MAX_CONSTANT_BYTES = 512 * 1024 * 1024
MAX_UNBOUNDED_CALLS = 4
"""Each can make one value, which PostgreSQL itself limits to 1 GB."""

_BYTES_PER_CHARACTER = 4  # at most
# Types whose values are filled up to their declared length: character(n), bit(n).
_FILLED = {1042: _BYTES_PER_CHARACTER, 1560: 1}
_DECLARED = (("funccoltypes", "funccoltypmods"), ("coltypes", "coltypmods"), ("typid", "typmod"))
_MANY_ROWS, _LARGE_BYTES = 10_000, 10_000  # of which string_agg and its like make one value
_FEW_COPIES = 8  # through text: what so few can make of one megabyte, other limits bound

_SUBQUERY = re.compile(r":(?:subquery|ctequery)\s+\{")
_COLLECTS = re.compile(r":subLinkType\s+6\b")
# A numeric constant not in the short format: 1e1000 has few bytes, 1e1000 + 1 has many.
_LONG_NUMERIC = re.compile(r":consttype\s+1700\b[^{}]*:constvalue\s+\d+\s+\[(?:\s+-?\d+){5}\s+\d")
_TABLE_OF_PATHS = "{TABLEFUNC"
_CALLS = (":funcid ", ":opfuncid ")
_FEW_CALLS = 100  # whose steps do not add up to much, unless one of them is in the tables
_MAX_PLAIN_TREE = 200_000  # the constants in a tree are shorter than half of it

_TOO_LARGE_TO_PLAN = (
    "its subqueries would unfold to a statement too large to plan. Use fewer levels, or "
    "write MATERIALIZED behind the AS of those in WITH"
)
_UNBOUNDED = (
    f"more than {MAX_UNBOUNDED_CALLS} calls of repeat, lpad, replace and their like make values of "
    "a size that is not known before they run. Give them constant lengths"
)


def objection(
    tree: str,
    functions: Collection[int],
    types: Collection[int],
    bodies: Mapping[int, Sequence[str]] | None = None,
) -> str | None:
    """Why a statement's values are too large to plan or to compute, None when they are not.

    `functions` and `types` are the OIDs in the tree, which is only read when they may grow.
    `bodies`: the trees of functions in SQL, by OID, which run in the place of their calls.
    """
    subqueries = len(_SUBQUERY.findall(tree))
    may_grow = _may_grow(tree, frozenset(functions), frozenset(types))
    if not bodies and subqueries < 2 and not may_grow:
        return None
    parsed = parse(tree)
    try:
        columns = ColumnSources(parsed, put_bodies(parsed, bodies or {}))
    except TooLargeError as error:
        return error.reason
    if (bodies or subqueries >= 2) and (
        max(unfolded(parsed, columns), inlined(columns)) > MAX_EXPRESSIONS
    ):
        return _TOO_LARGE_TO_PLAN
    sizes = Sizes(columns)
    return steps.objection(sizes) or _bytes_objection(sizes)


def costs_objection(tree: str, costs: Mapping[int, Cost]) -> str | None:
    """The objection to calls of functions of extensions, by their OIDs; None when there is none."""
    outputs = {oid: cost.output for oid, cost in costs.items()}
    sizes = Sizes(ColumnSources(parse(tree)), outputs)
    return steps.objection(sizes, costs) or _bytes_objection(sizes, costs)


def _may_grow(tree: str, functions: frozenset[int], types: frozenset[int]) -> bool:
    if functions & known.GROWING or functions & known.OUTPUT.keys() or _FILLED.keys() & types:
        return True
    if functions & known.RANKS.keys() or sum(map(tree.count, _CALLS)) > _FEW_CALLS:
        return True
    if tree.count(CAST) > _FEW_COPIES:
        return True
    if CAST in tree and {known.TSQUERY_TYPE, known.XML_TYPE} & types:
        return True
    if steps.XML_PARSE in tree:
        return True
    if functions & known.XPATH.keys() or _TABLE_OF_PATHS in tree:
        return True
    if functions & known.NUMERIC and (
        functions & known.LONG_NUMERICS or _LONG_NUMERIC.search(tree)
    ):
        return True
    large = len(tree) > _MAX_PLAIN_TREE or functions & known.COLLECTING or _COLLECTS.search(tree)
    return bool(large and functions & (known.STEPS.keys() | known.WORK.keys()))


def _bytes_objection(sizes: Sizes, costs: Mapping[int, Cost] | None = None) -> str | None:
    constant_bytes = unbounded = 0
    for node in sizes.columns.nodes:
        if sizes.of(node).unbounded:
            unbounded += 1
        else:
            constant_bytes += _declared(node) + _memory(sizes, node)
            if costs and (cost := costs.get(function_of(node))) is not None:
                constant_bytes += cost.memory * total(sizes.arguments(node)).bytes
    if constant_bytes > MAX_CONSTANT_BYTES:
        return (
            f"its constants would grow to more than {MAX_CONSTANT_BYTES // 2**20} MB. Use "
            "smaller numbers in repeat, lpad and their like, and shorter texts"
        )
    return _UNBOUNDED if unbounded > MAX_UNBOUNDED_CALLS else None


def _memory(sizes: Sizes, node: Node) -> int:
    """The bytes that a call needs, for its value and while it makes it."""
    if (node.number("aggfnoid") or node.number("winfnoid")) in known.COLLECTING:
        each = total(sizes.inside(node)).bytes
        return each * _MANY_ROWS if each > _LARGE_BYTES else 0
    size, oid = sizes.of(node), function_of(node)
    grown = size.bytes if oid in known.GROWING or node.tag == "ARRAYCOERCEEXPR" else 0
    if oid in known.COVER_RANKS:
        vector, query = sizes.arguments(node)[known.RANKS[oid] :][:2]
        return steps.positions(vector, query) * query.bytes
    if oid in known.WORK:
        return grown + total(sizes.arguments(node)).bytes * known.WORK[oid]
    if oid in known.OUTPUT:
        return grown + size.bytes
    if node.tag == CAST:
        return grown + total(sizes.inside(node)).bytes * known.CAST_WORK
    return grown


def _declared(node: Node) -> int:
    """The bytes of columns that a function or a JSON path fills up to their declared length."""
    total = 0
    for types, lengths in _DECLARED:
        declared = zip(node.numbers(types), node.numbers(lengths), strict=False)
        total += sum(_FILLED.get(oid, 0) * length for oid, length in declared if length > 0)
    return total
