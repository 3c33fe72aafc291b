"""Attempts that follow from a tool's schema: every tool, a new one too, has its arguments tried.

The rule: pure; schemas in, values out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pgmcp.mcp.feature import Tool
from pgmcp.rpc.schema import json_schema
from pgmcp.selftest.attempt import Attempt, AttemptFamily

_ODD_NAME = "pgmcp_self_test"
_PLAIN: Mapping[str, Any] = {
    "string": "x",
    "integer": 1,
    "number": 1,
    "boolean": False,
    "array": [],
    "object": {},
}


def family(tools: Iterable[Tool]) -> AttemptFamily:
    """The attempts for these tools, as one family."""
    attempts = tuple(attempt for tool in tools for attempt in _attempts(tool))
    return AttemptFamily(
        "Arguments of every tool", "no value outside its schema is taken", attempts
    )


def _attempts(tool: Tool) -> Iterator[Attempt]:
    schema = json_schema(tool.args)
    properties: Mapping[str, Mapping[str, Any]] = schema.get("properties", {})
    required = {name: _plain(properties[name]) for name in schema.get("required", ())}
    yield _attempt(tool, {**required, _ODD_NAME: _ODD_NAME})
    for name in required:
        yield _attempt(tool, {other: required[other] for other in required if other != name})
    for name, described in properties.items():
        for value in _outside(described):
            yield _attempt(tool, {**required, name: value})
        if "string" in _types(described) and "enum" not in described:
            yield _attempt(tool, {**required, name: "\0'\""}, may_answer=True)


def _outside(described: Mapping[str, Any]) -> Iterator[Any]:
    """Values that the schema does not allow."""
    if "object" not in _types(described):
        yield {}
    if "minimum" in described:
        yield described["minimum"] - 1
    if "maximum" in described:
        yield described["maximum"] + 1
    if "enum" in described:
        yield _ODD_NAME


def _plain(described: Mapping[str, Any]) -> Any:
    """A value that the schema allows, where it sets no more than a type, a list or a minimum."""
    if "enum" in described:
        return described["enum"][0]
    return described.get("minimum", _PLAIN[_types(described)[0]])


def _types(described: Mapping[str, Any]) -> list[str]:
    types = described.get("type", [])
    return [types] if isinstance(types, str) else list(types)


def _attempt(tool: Tool, arguments: Mapping[str, Any], *, may_answer: bool = False) -> Attempt:
    return Attempt(f"{tool.name} {json.dumps(arguments)}", tool.name, arguments, may_answer)
