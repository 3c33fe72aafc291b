"""Expressions that are kept with a table, and which of their calls the planner may run.

The planner reads the expressions of a table's indexes, statistics, partition keys and constraints
whatever is asked of the table. It runs an immutable call whose arguments are constants, and puts
the body of a function in SQL in its place, which may hold such a call.

The rule: a call counts as one that may run unless an argument surely stays a column's value and
none can become NULL. Pure functions: node trees in, OIDs out.
"""

from __future__ import annotations

from collections.abc import Iterable

from pgmcp.judging.nodes import Node, nodes, parse
from pgmcp.sql.oids import FIRST_USER_OID

_CALLS = {"FUNCEXPR": "funcid", "OPEXPR": "opfuncid"}
_MAX_LEVELS = 20


def foldable(trees: Iterable[str], functions: frozenset[int]) -> frozenset[int]:
    """Those of `functions`, the OIDs in the trees, of which a call may have constants alone."""
    varying: set[int] = set()
    folded: set[int] = set()
    for tree in trees:
        for node in nodes(parse(tree)):
            called = _called(node)
            if called:
                (varying if _keeps_column_value(node) else folded).add(called)
            elif "funcid" in node.fields or "opfuncid" in node.fields:
                folded.update(node.numbers("funcid"), node.numbers("opfuncid"))
    # What is not among the plain calls stands in a node whose parts are not known here.
    return functions - (varying - folded)


def _called(node: Node) -> int:
    return node.number(_CALLS[node.tag]) if node.tag in _CALLS else 0


def _keeps_column_value(call: Node) -> bool:
    """Whether a call, as the planner simplifies it, keeps an argument that is a column's value."""
    arguments = call.children("args")
    varying = [argument for argument in arguments if _varies(argument, 0)]
    return bool(varying) and all(
        argument in varying or _is_value(argument) for argument in arguments
    )


def _varies(node: Node, level: int) -> bool:
    if node.tag == "VAR":
        return True
    inner = node.children("arg" if node.tag in ("RELABELTYPE", "COERCEVIAIO") else "args")
    # A user's function may be in SQL, and leave nothing of its arguments. With a constant beside
    # them, PostgreSQL may know better: no value is in an empty range.
    known = node.tag in ("RELABELTYPE", "COERCEVIAIO") or 0 < _called(node) < FIRST_USER_OID
    return (
        known
        and level < _MAX_LEVELS
        and bool(inner)
        and all(_varies(argument, level + 1) for argument in inner)
    )


def _is_value(node: Node) -> bool:
    return node.tag == "CONST" and node.fields.get("constisnull") == ["false"]
