"""What a tool returns: a result with parts, or questions to the client that come before it.

The rule: nothing here is null and no number is NaN or infinite when it goes out; what has no value
is left out.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pgmcp.mcp.client import QuestionKind
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
    """A question to the user: a message, and what is asked for: a dataclass of strings, numbers,
    booleans and choices (`rpc.schema.arg`), or a schema (ElicitRequestFormParams). Never for
    secrets."""

    message: str
    fields: type[Any] | Mapping[str, Any]
    capability: ClassVar[QuestionKind] = "elicitation"

    def encoded(self) -> JsonObject:
        """Its elicitation request (2026-07-28, ElicitRequest)."""
        if isinstance(self.fields, type):
            schema = json_schema(self.fields)
            del schema["additionalProperties"]  # PrimitiveSchemaDefinition has no such member
        else:
            schema = dict(self.fields)
        params = {"mode": "form", "message": self.message, "requestedSchema": schema}
        return {"method": "elicitation/create", "params": params}


@dataclass(frozen=True, slots=True)
class Sampling:
    """A question to the client's language model."""

    text: str
    max_tokens: int
    capability: ClassVar[QuestionKind] = "sampling"

    def encoded(self) -> JsonObject:
        """Its sampling request (2026-07-28, CreateMessageRequest)."""
        message = {"role": "user", "content": {"type": "text", "text": self.text}}
        params = {"messages": [message], "maxTokens": self.max_tokens}
        return {"method": "sampling/createMessage", "params": params}


@dataclass(frozen=True, slots=True)
class Roots:
    """The question which folders the client works in."""

    capability: ClassVar[QuestionKind] = "roots"

    def encoded(self) -> JsonObject:
        """Its request (2026-07-28, ListRootsRequest)."""
        return {"method": "roots/list", "params": {}}


InputRequest = Form | Sampling | Roots
"""What a client can be asked."""


@dataclass(frozen=True, slots=True)
class InputRequired:
    """The call needs input first: the client asks for it and calls again with the answers.

    Only for clients that `Client.can_answer` says yes of. `questions` by a key of the tool's own,
    which `Client.answers` has the next time. `state`: a JSON value but null that `Client.state` has
    the next time, and the proof that this was asked; the client sees it, so it holds no secret.
    """

    questions: Mapping[str, InputRequest]
    state: Any = True


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
