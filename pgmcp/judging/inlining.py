"""Functions in SQL in the place of their calls, as PostgreSQL inlines or runs them.

The rule: each call has a body of its own, so that what its arguments bring to it is known; how much
that may come to is bounded before it is made. Pure functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pgmcp.judging.constants import function_of
from pgmcp.judging.nodes import Node, nodes, parse

MAX_BYTES = 8 * 1024 * 1024
_BODIES = "bodies"  # a field that PostgreSQL's trees have not
_EXTERNAL = 0  # ParamKind (nodes/primnodes.h)


class TooLargeError(Exception):
    """The bodies in the places of their calls are too much; `reason` says why, for a refusal."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def bodies_of(call: Node) -> list[Node]:
    """The queries of the function in SQL that a node calls; none for any other node."""
    return call.children(_BODIES) if _BODIES in call.fields else []


def put_bodies(tree: list[object], bodies: Mapping[int, Sequence[str]]) -> dict[int, Node]:
    """Put the trees of `bodies`, by function OID, into the calls; which argument a PARAM in them
    stands for, by its id(). TooLargeError where they are too many, or one calls itself."""
    arguments: dict[int, Node] = {}
    if not bodies:
        return arguments
    total_bytes = 0
    pending: list[tuple[Node, frozenset[int]]] = [(node, frozenset()) for node in nodes(tree)]
    while pending:
        call, around = pending.pop()
        oid = function_of(call)
        if oid not in bodies:
            continue
        if oid in around:
            raise TooLargeError("a function in SQL calls itself, so how long it runs is not known")
        total_bytes += sum(map(len, bodies[oid]))
        if total_bytes > MAX_BYTES:
            raise TooLargeError(
                "the functions in SQL that it calls make a statement too large to plan. Use fewer"
                " calls, or fewer of them inside each other"
            )
        body = [item for text in bodies[oid] for item in parse(text)]
        call.fields[_BODIES] = body
        inside = list(nodes(body))
        arguments |= _arguments(call, inside)
        pending += [(node, around | {oid}) for node in inside]
    return arguments


def _arguments(call: Node, inside: Sequence[Node]) -> dict[int, Node]:
    given = dict(_given(call))
    return {
        id(node): given[node.number("paramid")]
        for node in inside
        if node.tag == "PARAM"
        and node.number("paramkind") == _EXTERNAL
        and node.number("paramid") in given
    }


def _given(call: Node) -> Iterator[tuple[int, Node]]:
    """The arguments of a call by their number, from 1."""
    for place, argument in enumerate(call.children("args"), 1):
        if argument.tag == "NAMEDARGEXPR":
            yield argument.number("argnumber") + 1, argument
        else:
            yield place, argument
