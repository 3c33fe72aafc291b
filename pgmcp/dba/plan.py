"""A query plan, read from EXPLAIN (FORMAT JSON) and drawn as the text that EXPLAIN draws.

The rule: pure, and nothing but zeros is lost. What has no place of its own in the drawing is a line
under its node.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pgmcp.sql.text import quote_identifier

_PLAIN_NAME = re.compile("[a-z_][a-z0-9_]*")

PlanNode = Mapping[str, Any]

_JOINS = {"Hash Join": "Hash", "Merge Join": "Merge", "Nested Loop": "Nested Loop"}
_AGGREGATES = {"Sorted": "Group", "Hashed": "Hash", "Mixed": "Mixed"}
_IN_THE_HEADLINE = frozenset(
    "Node Type|Parent Relationship|Subplan Name|Parallel Aware|Async Capable|Join Type|Strategy|"
    "Partial Mode|Command|Operation|Scan Direction|Index Name|Relation Name|Schema|Alias|"
    "Function Name|CTE Name|Tuplestore Name|Startup Cost|Total Cost|Plan Rows|Plan Width|"
    "Actual Startup Time|Actual Total Time|Actual Rows|Actual Loops|Plans|Workers|"
    "Inner Unique|Disabled|Single Copy".split("|")
)
_TARGETS = ("Relation Name", "CTE Name", "Function Name", "Tuplestore Name", "Alias")


def parse(text: bytes | str) -> list[PlanNode]:
    """The members of the JSON array that EXPLAIN (FORMAT JSON) gives, each with its `Plan`, times
    and all: several where a rule puts statements beside a write."""
    explained: list[PlanNode] = json.loads(text)
    return explained


def children(node: PlanNode) -> list[PlanNode]:
    """The nodes directly under this one."""
    plans: list[PlanNode] = node.get("Plans", [])
    return plans


def walk(node: PlanNode) -> Iterator[PlanNode]:
    """This node and all under it, parents first."""
    yield node
    for child in children(node):
        yield from walk(child)


def draw(explained: PlanNode) -> str:
    """The tree in the manner of EXPLAIN's text format, then the times and the rest."""
    lines = list(_drawn(explained["Plan"], "", ""))
    for key, value in explained.items():
        if key == "Plan" or value in ([], {}):
            continue
        if key.endswith(" Time"):
            lines.append(f"{key}: {value:.3f} ms")
        else:
            lines += _detail(key, value, "")
    return "\n".join(lines)


def title(node: PlanNode) -> str:
    """What a node is, and on what: `Index Scan using orders_pkey on orders o`."""
    return _kind(node) + _target(node)


def _drawn(node: PlanNode, indent: str, arrow: str) -> Iterator[str]:
    name = node.get("Subplan Name")
    if name:
        yield f"{indent}{name}"
        indent, arrow = indent + "  ", "->  "
    yield f"{indent}{arrow}{title(node)}{_numbers(node)}"
    inside = indent + " " * (len(arrow) + 2)
    for key, value in node.items():
        if key not in _IN_THE_HEADLINE:
            yield from _detail(key, value, inside)
    for worker in node.get("Workers", []):
        facts = ", ".join(f"{key}: {value}" for key, value in worker.items() if value)
        yield f"{inside}Worker {facts}"
    for child in children(node):
        yield from _drawn(child, inside, "->  ")


def _kind(node: PlanNode) -> str:
    kind: str = node["Node Type"]
    join = node.get("Join Type", "Inner")
    if kind in _JOINS and join != "Inner":
        kind = f"{_JOINS[kind]} {join} Join"
    elif kind == "Aggregate":
        kind = _AGGREGATES.get(node.get("Strategy", ""), "") + kind
        partial = node.get("Partial Mode", "Simple")
        kind = kind if partial == "Simple" else f"{partial} {kind}"
    elif kind == "ModifyTable":
        kind = node["Operation"]
    elif kind == "SetOp":
        hashed = "Hash" if node.get("Strategy") == "Hashed" else ""
        kind = f"{hashed}SetOp {node.get('Command', '')}".rstrip()
    if node.get("Scan Direction") == "Backward":
        kind += " Backward"
    return "Parallel " * bool(node.get("Parallel Aware")) + kind


def _target(node: PlanNode) -> str:
    index = _name(node.get("Index Name", ""))
    target = next((node[key] for key in _TARGETS if key in node), None)
    if target is None:
        return f" on {index}" if index else ""
    text = f" using {index}" if index else ""
    text += " on " + (f"{_name(node['Schema'])}." if "Schema" in node else "") + _name(target)
    alias = node.get("Alias", target)
    return text if alias == target else f"{text} {_name(alias)}"


def _name(name: str) -> str:
    return name if not name or _PLAIN_NAME.fullmatch(name) else quote_identifier(name)


def _numbers(node: PlanNode) -> str:
    text = ""
    if "Total Cost" in node:
        text += (
            f"  (cost={node['Startup Cost']:.2f}..{node['Total Cost']:.2f} "
            f"rows={node['Plan Rows']} width={node['Plan Width']})"
        )
    if "Actual Loops" not in node:
        return text
    if node["Actual Loops"] == 0:
        return text + " (never executed)"
    times = ""
    if "Actual Total Time" in node:
        times = f"time={node['Actual Startup Time']:.3f}..{node['Actual Total Time']:.3f} "
    return text + f" (actual {times}rows={node['Actual Rows']:g} loops={node['Actual Loops']})"


def _detail(key: str, value: Any, indent: str) -> Iterator[str]:
    if value in (0, 0.0, False, None, []):
        return
    if isinstance(value, dict):
        yield f"{indent}{key}:"
        for inner, member in value.items():
            yield from _detail(inner, member, indent + "  ")
    elif isinstance(value, list):
        members = [json.dumps(m) if isinstance(m, dict | list) else str(m) for m in value]
        yield f"{indent}{key}: {', '.join(members)}"
    else:
        yield f"{indent}{key}: {value}".replace("\n", "\\n")
