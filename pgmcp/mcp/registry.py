"""What this server offers, as lookups and as the lists that clients see.

The rule: everything is computed once, in the order given, and a member without a value is left out
rather than null (a `null` makes strict clients drop the whole list).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, TypeVar

from pgmcp.mcp.era import Era
from pgmcp.mcp.feature import Prompt, Resource, Tool
from pgmcp.rpc.jsonrpc import Constant, JsonObject
from pgmcp.rpc.schema import json_schema

T = TypeVar("T")
ListKind = Literal["tools", "resources", "prompts"]

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")


class Registry:
    """Tools, resources and prompts by name (or URI), with their listings.

    A hidden tool can be called but is not listed. ValueError for a doubled or malformed name.
    """

    def __init__(
        self,
        tools: Iterable[Tool] = (),
        resources: Iterable[Resource] = (),
        prompts: Iterable[Prompt] = (),
    ) -> None:
        self.tools = _by(lambda tool: _checked(tool.name), tools)
        self.resources = _by(lambda resource: resource.uri, resources)
        self.prompts = _by(lambda prompt: _checked(prompt.name), prompts)
        self.tool_list = [_tool(tool) for tool in self.tools.values() if not tool.hidden]
        self._legacy_tool_list = [_for_legacy(entry) for entry in self.tool_list]
        self.resource_list = [_resource(resource) for resource in self.resources.values()]
        self.prompt_list = [_prompt(prompt) for prompt in self.prompts.values()]

        self._lists = {
            "tools": Constant({"tools": self.tool_list}),
            "legacy tools": Constant({"tools": self._legacy_tool_list}),
            "resources": Constant({"resources": self.resource_list}),
            "prompts": Constant({"prompts": self.prompt_list}),
        }

    def listed(self, kind: ListKind, era: Era) -> Constant:
        """The members of a list's result, the same for each caller of an era."""
        return self._lists["legacy tools" if (kind, era) == ("tools", "legacy") else kind]


def output_schema(tool: Tool) -> JsonObject | None:
    """The JSON Schema of a tool's structured results, None when it has none."""
    if tool.output is None:
        return None
    return json_schema(tool.output) if isinstance(tool.output, type) else dict(tool.output)


def _for_legacy(listed: JsonObject) -> JsonObject:
    """Without a schema whose root is no object: such a one makes old clients drop the list."""
    if listed.get("outputSchema", {}).get("type", "object") == "object":
        return listed
    return {name: value for name, value in listed.items() if name != "outputSchema"}


def _by(key: Callable[[T], str], features: Iterable[T]) -> Mapping[str, T]:
    by_name: dict[str, T] = {}
    for feature in features:
        name = key(feature)
        if name in by_name:
            raise ValueError(f"{name}: registered twice")
        by_name[name] = feature
    return by_name


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r}: a name is 1 to 128 of A-Z a-z 0-9 _ . -")
    return name


def _tool(tool: Tool) -> JsonObject:
    hints = tool.annotations
    schema = output_schema(tool)
    output = {} if schema is None else {"outputSchema": schema}
    return {
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "inputSchema": json_schema(tool.args),
        **output,
        "annotations": {
            "title": tool.title,
            "readOnlyHint": hints.read_only,
            "destructiveHint": hints.destructive,
            "idempotentHint": hints.idempotent,
            "openWorldHint": hints.open_world,
        },
    }


def _resource(resource: Resource) -> JsonObject:
    return {
        "uri": resource.uri,
        "name": resource.name,
        "title": resource.title,
        "description": resource.description,
        "mimeType": resource.mime_type,
    }


def _prompt(prompt: Prompt) -> JsonObject:
    schema = json_schema(prompt.args)
    required = schema.get("required", ())
    arguments = [
        {"name": name, "description": member["description"], "required": name in required}
        for name, member in schema["properties"].items()
    ]
    listed = {"name": prompt.name, "title": prompt.title, "description": prompt.description}
    return listed | ({"arguments": arguments} if arguments else {})
