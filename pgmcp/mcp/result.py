"""What a tool returns: a result with parts, or a question to the user that comes before it.

The rule: nothing here is null and no number is NaN or infinite when it goes out; what has no value
is left out.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pgmcp.mcp.content import Content, Text
from pgmcp.rpc.jsonrpc import JsonObject
from pgmcp.rpc.schema import json_schema


@dataclass(frozen=True, slots=True)
class Result:
    """A tool's result.

    `content`: the parts, in order, for people and models. `structured`: the same as data, an
    instance of the tool's `output` or JSON that conforms to it; None when there is none.
    `is_error`: the call failed, and the content says why.
    """

    content: tuple[Content, ...]
    structured: Any = None
    is_error: bool = False


def text(content: str, structured: Any = None) -> Result:
    """A result that is one text, with the same as data where there is an `output`."""
    return Result((Text(content),), structured)


@dataclass(frozen=True, slots=True)
class Form:
    """A question to the user: a message, and the dataclass of strings, numbers, booleans and
    choices (`rpc.schema.arg`) that is asked for. Never for secrets."""

    message: str
    fields: type[Any]

    def encoded(self) -> JsonObject:
        """Its elicitation request (2026-07-28, ElicitRequest)."""
        schema = json_schema(self.fields)
        del schema["additionalProperties"]  # PrimitiveSchemaDefinition has no such member
        params = {"mode": "form", "message": self.message, "requestedSchema": schema}
        return {"method": "elicitation/create", "params": params}


@dataclass(frozen=True, slots=True)
class InputRequired:
    """The call needs input first: the client asks for it and calls again with the answers.

    Only for clients that `Client.can_ask` says yes of. `forms` by a key of the tool's own, which
    `Client.answers` has the next time.
    """

    forms: Mapping[str, Form]


def plain(value: Any, path: str = "structured") -> Any:
    """A value as JSON: dataclasses become objects without their None members, tuples arrays.

    ValueError, naming the path, for NaN and infinity, which JSON does not have, and for a None
    inside an array; TypeError for what is no JSON value.
    """
    if isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{path}: {value} is not JSON")
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {
            name: plain(member, f"{path}.{name}")
            for name, member in value.items()
            if member is not None
        }
    if isinstance(value, list | tuple):
        return [plain(member, f"{path}[{index}]") for index, member in enumerate(value)]
    if value is None:
        raise ValueError(f"{path}: null is never sent")
    raise TypeError(f"{path}: {type(value).__name__} is not JSON")
