"""Where a call stands in a statement: in a view, in a policy, or in the text itself.

The rule: for people only; nothing is decided by it. Pure functions: a node tree in, values out.
"""

from __future__ import annotations

from typing import NamedTuple

from pgmcp.judging.columns import expanded_view
from pgmcp.judging.effects import FUNCTION_FIELD
from pgmcp.judging.nodes import Node, parse


class CallPlace(NamedTuple):
    """Where a function is called: the innermost view, or the table whose policy it is, or neither
    (0), and the operator that stands for it (0 for a plain call)."""

    view: int = 0
    policy_of: int = 0
    operator: int = 0


def places(tree: str, function: int) -> list[CallPlace]:
    """Every place where a tree, with its views and policies put in, calls a function."""
    called: list[CallPlace] = []
    pending: list[tuple[object, CallPlace]] = [(parse(tree), CallPlace())]
    while pending:
        item, place = pending.pop()
        if isinstance(item, list):
            pending += [(inner, place) for inner in item]
        elif isinstance(item, Node):
            if _calls(item, function):
                called.append(place._replace(operator=item.number("opno")))
            view = expanded_view(item)
            inside = CallPlace(view=view) if view else place
            for name, value in item.fields.items():
                if name == "securityQuals" and item.number("relid"):
                    pending.append((value, CallPlace(policy_of=item.number("relid"))))
                else:
                    pending.append((value, inside))
    return called


def _calls(node: Node, function: int) -> bool:
    return any(
        function in node.numbers(name) for name in node.fields if FUNCTION_FIELD.search(name)
    )
