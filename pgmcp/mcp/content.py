"""The parts of a result: text, images, sound, links to resources, and resources themselves.

The rule: a part is a value; `encoded` gives the members that both eras of the protocol share
(2025-11-25 and 2026-07-28, ContentBlock), and leaves out what has no value.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import ClassVar, Literal

from pgmcp.rpc.jsonrpc import JsonObject

Audience = Literal["user", "assistant"]


@dataclass(frozen=True, slots=True)
class Text:
    """Text. `audience`: whom it is for, () for both; `priority`: 1.0 is required, 0.0 optional."""

    text: str
    audience: tuple[Audience, ...] = ()
    priority: float | None = None

    def encoded(self) -> JsonObject:
        """Its content block."""
        block = {"type": "text", "text": self.text}
        if not self.audience and self.priority is None:  # on every call's way
            return block
        return _annotated(block, self.audience, self.priority)


@dataclass(frozen=True, slots=True)
class _Media:
    """Bytes that a client shows or plays. `kind`: the type of the content block."""

    data: bytes
    mime_type: str
    audience: tuple[Audience, ...] = ()
    priority: float | None = None
    kind: ClassVar[str]

    def encoded(self) -> JsonObject:
        """Its content block."""
        data = b64encode(self.data).decode("ascii")
        block = {"type": self.kind, "data": data, "mimeType": self.mime_type}
        return _annotated(block, self.audience, self.priority)


class Image(_Media):
    """An image; most clients show PNG and JPEG, few SVG."""

    __slots__ = ()
    kind = "image"


class Audio(_Media):
    """Sound (from 2025-03-26 on)."""

    __slots__ = ()
    kind = "audio"


@dataclass(frozen=True, slots=True)
class ResourceLink:
    """A resource of this server that the client may read instead of getting it here (from
    2025-06-18 on)."""

    uri: str
    name: str
    title: str = ""
    description: str = ""
    mime_type: str = ""
    size_bytes: int | None = None
    audience: tuple[Audience, ...] = ()
    priority: float | None = None

    def encoded(self) -> JsonObject:
        """Its content block."""
        block: JsonObject = {"type": "resource_link", "uri": self.uri, "name": self.name}
        optional = {
            "title": self.title,
            "description": self.description,
            "mimeType": self.mime_type,
        }
        block |= {name: value for name, value in optional.items() if value}
        if self.size_bytes is not None:
            block["size"] = self.size_bytes
        return _annotated(block, self.audience, self.priority)


@dataclass(frozen=True, slots=True)
class EmbeddedResource:
    """A resource within the result: `body` is text, or bytes for what is none."""

    uri: str
    body: str | bytes
    mime_type: str = ""
    audience: tuple[Audience, ...] = ()
    priority: float | None = None

    def encoded(self) -> JsonObject:
        """Its content block."""
        resource = contents(self.uri, self.body, self.mime_type)
        return _annotated({"type": "resource", "resource": resource}, self.audience, self.priority)


Content = Text | Image | Audio | ResourceLink | EmbeddedResource


def contents(uri: str, body: str | bytes, mime_type: str = "") -> JsonObject:
    """The contents of a resource: text, or bytes as base64."""
    members: JsonObject = {"uri": uri}
    if mime_type:
        members["mimeType"] = mime_type
    if isinstance(body, str):
        members["text"] = body
    else:
        members["blob"] = b64encode(body).decode("ascii")
    return members


def _annotated(
    block: JsonObject, audience: tuple[Audience, ...], priority: float | None
) -> JsonObject:
    if audience or priority is not None:
        annotations: JsonObject = {"audience": list(audience)} if audience else {}
        if priority is not None:
            annotations["priority"] = priority
        block["annotations"] = annotations
    return block
