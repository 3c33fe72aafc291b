"""The methods that both eras of the protocol share: tools, resources and prompts.

The rule: a method maps parameters to the bare members of its result; what wraps them (result type,
caching, server information) belongs to the era.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pgmcp.errors import (
    ArgumentError,
    InvalidParamsError,
    ResourceNotFoundError,
    RpcError,
    ToolError,
    ToolExecutionError,
)
from pgmcp.mcp.feature import Context
from pgmcp.mcp.registry import Registry
from pgmcp.rpc.schema import build

Params = dict[str, Any]
Result = dict[str, Any]

_LIST_TTL_MS = 300_000
_SHOWN_CHARS = 100


@dataclass(frozen=True, slots=True)
class Method:
    """One method.

    `ttl_ms`: how long a client may keep the result (milliseconds), None where the protocol does
    not let it. `name_param`: the parameter that the header Mcp-Name repeats.
    """

    serve: Callable[[Registry, Params, Context], Result]
    ttl_ms: int | None = None
    name_param: str | None = None


def _list_tools(registry: Registry, params: Params, _: Context) -> Result:
    _refuse_cursor(params)
    return {"tools": registry.tool_list}


def _call_tool(registry: Registry, params: Params, context: Context) -> Result:
    name = _string(params, "name")
    tool = registry.tools.get(name)
    if tool is None:
        raise InvalidParamsError(f"unknown tool: {_short(name)}")
    try:
        text = tool.run(build(tool.args, _arguments(params)), context)
    except ToolError as failure:
        context.trail.failed(failure)
        if not tool.hidden:
            return {"content": [_text(failure.for_client())], "isError": True}
        if isinstance(failure, ArgumentError):
            raise InvalidParamsError("Invalid params", failure.message) from None
        raise ToolExecutionError(failure.message) from None
    return {"content": [_text(text)]}


def _list_resources(registry: Registry, params: Params, _: Context) -> Result:
    _refuse_cursor(params)
    return {"resources": registry.resource_list}


def _list_templates(_: Registry, params: Params, __: Context) -> Result:
    _refuse_cursor(params)
    return {"resourceTemplates": []}


def _read_resource(registry: Registry, params: Params, context: Context) -> Result:
    uri = _string(params, "uri")
    resource = registry.resources.get(uri)
    if resource is None:
        raise ResourceNotFoundError(f"unknown resource: {_short(uri)}", {"uri": uri})
    try:
        text = resource.read(context)
    except ToolError as failure:
        context.trail.failed(failure)
        raise RpcError(f"cannot read {uri}: {failure.for_client()}") from None
    return {"contents": [{"uri": uri, "mimeType": resource.mime_type, "text": text}]}


def _list_prompts(registry: Registry, params: Params, _: Context) -> Result:
    _refuse_cursor(params)
    return {"prompts": registry.prompt_list}


def _get_prompt(registry: Registry, params: Params, _: Context) -> Result:
    name = _string(params, "name")
    prompt = registry.prompts.get(name)
    if prompt is None:
        raise InvalidParamsError(f"unknown prompt: {_short(name)}")
    try:
        text = prompt.render(build(prompt.args, _arguments(params)))
    except ArgumentError as failure:
        raise InvalidParamsError(failure.message) from None
    message = {"role": "user", "content": _text(text)}
    return {"description": prompt.description, "messages": [message]}


SHARED: Mapping[str, Method] = {
    "tools/list": Method(_list_tools, ttl_ms=_LIST_TTL_MS),
    "tools/call": Method(_call_tool, name_param="name"),
    "resources/list": Method(_list_resources, ttl_ms=_LIST_TTL_MS),
    "resources/templates/list": Method(_list_templates, ttl_ms=_LIST_TTL_MS),
    "resources/read": Method(_read_resource, ttl_ms=0, name_param="uri"),
    "prompts/list": Method(_list_prompts, ttl_ms=_LIST_TTL_MS),
    "prompts/get": Method(_get_prompt, name_param="name"),
}


def _string(params: Params, name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str):
        raise InvalidParamsError(f"params.{name}: required, expected a string")
    return value


def _arguments(params: Params) -> Params:
    arguments = params.get("arguments")
    if arguments is None:
        return {}
    if not isinstance(arguments, dict):
        raise InvalidParamsError("params.arguments: expected an object")
    return arguments


def _refuse_cursor(params: Params) -> None:
    # Every list is one page, so no cursor was ever handed out.
    if params.get("cursor") is not None:
        raise InvalidParamsError("params.cursor: not a cursor of this server")


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"
