"""completion/complete: what may be meant by an argument that a user has begun to type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pgmcp.errors import InvalidParamsError, ToolError, shortened
from pgmcp.mcp import uri_template
from pgmcp.mcp.feature import Completer, Context
from pgmcp.mcp.registry import Registry
from pgmcp.rpc.schema import json_schema

MAX_VALUES = 100
"""The most that the protocol lets an answer hold."""
MAX_TYPED_CHARACTERS = 1000


def complete(registry: Registry, params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """The result's members; InvalidParamsError for an argument that is not there.

    An argument that cannot be completed, or whose database does not answer, has no values.
    """
    argument = params.get("argument")
    name, typed = _strings(argument, "params.argument", "name", "value")
    completers, names = _arguments(registry, params.get("ref"))
    if name not in names:
        raise InvalidParamsError(f"params.argument.name: no argument {shortened(name)!r}")
    completer = completers.get(name)
    values: list[str] = []
    if completer is not None and len(typed) <= MAX_TYPED_CHARACTERS:
        try:
            values = list(completer(context, typed, _given(params)))
        except ToolError as failure:
            context.trail.failed(failure)
    shown = values[:MAX_VALUES]
    return {
        "completion": {
            "values": shown,
            "total": len(values),
            "hasMore": len(values) > len(shown),
        }
    }


def _arguments(registry: Registry, ref: Any) -> tuple[Mapping[str, Completer], tuple[str, ...]]:
    """The completers of a prompt or a template, and the names of all of its arguments."""
    kind = ref.get("type") if isinstance(ref, Mapping) else None
    if kind == "ref/prompt":
        (name,) = _strings(ref, "params.ref", "name")
        prompt = registry.prompts.get(name)
        if prompt is None:
            raise InvalidParamsError(f"unknown prompt: {shortened(name)}")
        return prompt.completers, tuple(json_schema(prompt.args)["properties"])
    if kind == "ref/resource":
        (uri,) = _strings(ref, "params.ref", "uri")
        template = registry.resources.templates.get(uri)
        if template is None:
            raise InvalidParamsError(f"unknown resource template: {shortened(uri)}")
        return template.completers, uri_template.variables(uri)
    raise InvalidParamsError('params.ref.type: expected "ref/prompt" or "ref/resource"')


def _strings(value: Any, path: str, *names: str) -> tuple[str, ...]:
    members = [value.get(name) if isinstance(value, Mapping) else None for name in names]
    for name, member in zip(names, members, strict=True):
        if not isinstance(member, str):
            raise InvalidParamsError(f"{path}.{name}: required, expected a string")
    return tuple(map(str, members))


def _given(params: Mapping[str, Any]) -> dict[str, str]:
    """The arguments that were given before, as far as they are text."""
    around = params.get("context")
    given = around.get("arguments") if isinstance(around, Mapping) else None
    if not isinstance(given, Mapping):
        return {}
    return {name: value for name, value in given.items() if isinstance(value, str)}
