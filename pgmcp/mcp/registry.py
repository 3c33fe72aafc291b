"""What this server offers, as lookups and as the lists that clients see, page by page.

The rule: everything is computed once, in the order given, and a member without a value is left out
rather than null (a `null` makes strict clients drop the whole list).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeVar

from pgmcp.mcp import uri_template
from pgmcp.mcp.era import Era
from pgmcp.mcp.feature import FeatureSet, Prompt, Resource, ResourceIndex, ResourceTemplate, Tool
from pgmcp.rpc.jsonrpc import Constant, JsonObject
from pgmcp.rpc.schema import json_schema

T = TypeVar("T")
ListKind = Literal["tools", "resources", "resourceTemplates", "prompts"]
"""What is listed; also the name of the list in a result."""

ListPages = Mapping[str | None, Constant]
"""The pages of a list by their cursors, that of the first being None."""

PAGE_ENTRIES = 200
"""How many entries a page of a list has at most."""
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")


class Registry:
    """Tools, resources, their templates and prompts by name (or URI), with their listings.

    A hidden tool can be called but is not listed. ValueError for a doubled or malformed name.
    """

    def __init__(self, features: FeatureSet) -> None:
        self.tools = _by(lambda tool: _checked(tool.name), features.tools)
        self.resources = ResourceIndex(
            _by(lambda resource: resource.uri, features.resources),
            _by(_template_checked, features.templates),
        )
        self.prompts = _by(lambda prompt: _checked(prompt.name), features.prompts)
        self.tool_list = [_tool(tool) for tool in self.tools.values() if not tool.hidden]
        self.resource_list = [_resource(each) for each in self.resources.fixed.values()]
        self.template_list = [_template(each) for each in self.resources.templates.values()]
        self.prompt_list = [_prompt(prompt) for prompt in self.prompts.values()]
        modern: dict[ListKind, ListPages] = {
            "tools": _pages("tools", self.tool_list),
            "resources": _pages("resources", self.resource_list),
            "resourceTemplates": _pages("resourceTemplates", self.template_list),
            "prompts": _pages("prompts", self.prompt_list),
        }
        legacy_tools = [_for_legacy(entry) for entry in self.tool_list]
        self._lists: dict[Era, dict[ListKind, ListPages]] = {
            "modern": modern,
            "legacy": modern | {"tools": _pages("tools", legacy_tools)},
        }

    def listed(self, kind: ListKind, era: Era, cursor: str | None = None) -> Constant | None:
        """The members of a list's result, the same for each caller of an era: the first page, or
        that of a cursor. None for a cursor of no list that there is."""
        return self._lists[era][kind].get(cursor)

    @property
    def completes(self) -> bool:
        """Whether there is an argument that can be completed."""
        of_prompts = any(prompt.completers for prompt in self.prompts.values())
        return of_prompts or any(each.completers for each in self.resources.templates.values())


def _pages(kind: ListKind, entries: Sequence[JsonObject]) -> ListPages:
    """The pages of a list."""
    starts = range(0, max(1, len(entries)), PAGE_ENTRIES)
    cursors = [_cursor(kind, entries, start) for start in starts[1:]]
    listed: dict[str | None, Constant] = {}
    for start, cursor, following in zip(starts, [None, *cursors], [*cursors, None], strict=True):
        members = {kind: list(entries[start : start + PAGE_ENTRIES])}
        listed[cursor] = Constant(members | ({"nextCursor": following} if following else {}))
    return listed


def _cursor(kind: ListKind, entries: Sequence[JsonObject], start: int) -> str:
    """Text that says nothing to a client, and belongs to the very list that it is made for."""
    listed = f"{kind} {start} {entries!r}".encode(errors="surrogatepass")
    return hashlib.sha256(listed).hexdigest()[:24]


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


def _template_checked(template: ResourceTemplate) -> str:
    uri_template.variables(template.uri_template)
    return template.uri_template


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


def _template(template: ResourceTemplate) -> JsonObject:
    return {
        "uriTemplate": template.uri_template,
        "name": template.name,
        "title": template.title,
        "description": template.description,
        "mimeType": template.mime_type,
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
