"""The methods that both eras of the protocol share: tools, resources, prompts and completion.

The rule: a method maps parameters to the bare members of its result, now or later; what wraps them
(result type, caching, server information) belongs to the era.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pgmcp.calls.stream import Stream
from pgmcp.errors import (
    ArgumentError,
    InvalidParamsError,
    ResourceNotFoundError,
    RpcError,
    ToolError,
    ToolExecutionError,
    shortened,
)
from pgmcp.mcp.added import ADDED_BY_CLIENTS
from pgmcp.mcp.asking import ask, take_answers
from pgmcp.mcp.completion import complete
from pgmcp.mcp.content import Text, contents
from pgmcp.mcp.era import Era
from pgmcp.mcp.feature import Context, PromptMessage
from pgmcp.mcp.registry import ListKind
from pgmcp.mcp.result import InputRequired, Result, plain
from pgmcp.mcp.server import Server
from pgmcp.rpc.conversion import converted
from pgmcp.rpc.schema import build

RequestParams = dict[str, Any]
Members = dict[str, Any]

_LIST_TTL_MS = 300_000


@dataclass(frozen=True, slots=True)
class Later:
    """A result that comes when `stream` ends: `members` makes it of what the stream ended with."""

    stream: Stream
    members: Callable[[Any], Members]


Served = Members | Later


@dataclass(frozen=True, slots=True)
class Method:
    """One method.

    `ttl_ms`: how long a client may keep the result (milliseconds), None where the protocol does
    not let it. `name_param`: the parameter that the header Mcp-Name repeats.
    """

    serve: Callable[[Server, RequestParams, Context], Served]
    ttl_ms: int | None = None
    name_param: str | None = None


def _listing(kind: ListKind) -> Callable[[Server, RequestParams, Context], Members]:
    """What serves the list of this kind."""

    def serve(server: Server, params: RequestParams, context: Context) -> Members:
        cursor = params.get("cursor")
        if cursor is None or isinstance(cursor, str):
            page = server.registry.listed(kind, context.client.era, cursor)
            if page is not None:
                return page
        raise InvalidParamsError("params.cursor: no cursor of this list; ask without one")

    return serve


def _call_tool(server: Server, params: RequestParams, context: Context) -> Served:
    name = _string(params, "name")
    tool = server.registry.tools.get(name)
    if tool is None:
        raise InvalidParamsError(f"unknown tool: {shortened(name)}")
    era = context.client.era
    take_answers(server.states, "tools/call", params, context)
    try:
        args = build(tool.args, _arguments(params), ignored=ADDED_BY_CLIENTS)
        outcome = tool.run(args, context)
    except ToolError as failure:
        context.trail.failed(failure)
        if not tool.hidden:
            return _tool_result(Result((Text(failure.for_client()),), is_error=True), era)
        if isinstance(failure, ArgumentError):
            raise InvalidParamsError("Invalid params", failure.message) from None
        raise ToolExecutionError(failure.message) from None
    if isinstance(outcome, Result):
        note = "" if context.budget is None else context.budget.note()
        if note:
            outcome = replace(outcome, content=(*outcome.content, Text(note)))
        return _tool_result(outcome, era)
    if isinstance(outcome, Stream):
        return Later(outcome, lambda result: _tool_result(result, era))
    return ask(server.states, outcome, "tools/call", params, context)


def _tool_result(result: Result, era: Era) -> Members:
    """The members of a tool's result. Old clients take no structured value but an object."""
    members: Members = {"content": [part.encoded() for part in result.content]}
    if result.structured is not None:
        structured = plain(result.structured)
        if era == "modern" or isinstance(structured, dict):
            members["structuredContent"] = structured
    if result.is_error:
        members["isError"] = True
    return members


def _read_resource(server: Server, params: RequestParams, context: Context) -> Members:
    uri = _string(params, "uri")
    resource = server.registry.resources.find(uri)
    if resource is None:
        raise ResourceNotFoundError(f"unknown resource: {shortened(uri)}", {"uri": uri})
    try:
        body = resource.read(context)
    except ToolError as failure:
        context.trail.failed(failure)
        raise RpcError(f"cannot read {shortened(uri)}: {failure.for_client()}") from None
    return {"contents": [contents(uri, body, resource.mime_type)]}


def _complete(server: Server, params: RequestParams, context: Context) -> Members:
    return complete(server.registry, params, context)


def _get_prompt(server: Server, params: RequestParams, context: Context) -> Members:
    name = _string(params, "name")
    prompt = server.registry.prompts.get(name)
    if prompt is None:
        raise InvalidParamsError(f"unknown prompt: {shortened(name)}")
    take_answers(server.states, "prompts/get", params, context)
    try:
        args = build(prompt.args, _arguments(params), ignored=ADDED_BY_CLIENTS)
        body = prompt.render(args, context)
    except ArgumentError as failure:
        raise InvalidParamsError(failure.message) from None
    if isinstance(body, InputRequired):
        return ask(server.states, body, "prompts/get", params, context)
    messages = [PromptMessage(Text(body))] if isinstance(body, str) else body
    return {
        "description": prompt.description,
        "messages": [
            {"role": message.role, "content": message.content.encoded()} for message in messages
        ],
    }


SHARED: Mapping[str, Method] = {
    "tools/list": Method(_listing("tools"), ttl_ms=_LIST_TTL_MS),
    "tools/call": Method(_call_tool, name_param="name"),
    "resources/list": Method(_listing("resources"), ttl_ms=_LIST_TTL_MS),
    "resources/templates/list": Method(_listing("resourceTemplates"), ttl_ms=_LIST_TTL_MS),
    "resources/read": Method(_read_resource, ttl_ms=0, name_param="uri"),
    "prompts/list": Method(_listing("prompts"), ttl_ms=_LIST_TTL_MS),
    "prompts/get": Method(_get_prompt, name_param="name"),
    "completion/complete": Method(_complete),
}


def _string(params: RequestParams, name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str):
        raise InvalidParamsError(f"params.{name}: required, expected a string")
    return value


def _arguments(params: RequestParams) -> RequestParams:
    """The arguments: an object, or JSON text of one. Some clients send [] or "" for none."""
    arguments = converted(dict, params.get("arguments"))
    if arguments is None or arguments == [] or arguments == "":
        return {}
    if not isinstance(arguments, dict):
        raise InvalidParamsError("params.arguments: expected an object")
    return arguments
