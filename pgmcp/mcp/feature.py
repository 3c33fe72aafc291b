"""What a server offers: tools, resources and prompts, each a value, and the context they run in.

The rule: a feature declares everything about itself in one value, so that adding one is one file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pgmcp.auth.principal import Principal
from pgmcp.calls.call import Call
from pgmcp.calls.trail import Trail
from pgmcp.catalog.catalogue import Catalogue
from pgmcp.gate.port import Database


@dataclass(frozen=True, slots=True)
class Annotations:
    """Hints about a tool's behaviour (2025-11-25, ToolAnnotations)."""

    read_only: bool = True
    destructive: bool = False
    idempotent: bool = True
    open_world: bool = False


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool: `args` is a frozen dataclass that is its schema, its checks and its typed arguments.

    `hidden` keeps it out of `tools/list`; `public` lets a visitor call it.
    `run` returns the text of the result, or raises a ToolError that becomes an `isError` result.
    """

    name: str
    title: str
    description: str
    args: type[Any]
    run: Callable[[Any, Context], str]
    annotations: Annotations = field(default_factory=Annotations)
    hidden: bool = False
    public: bool = False


@dataclass(frozen=True, slots=True)
class Resource:
    """A readable document. `read` returns its text."""

    uri: str
    name: str
    title: str
    description: str
    mime_type: str
    read: Callable[[Context], str]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt: `args` is a frozen dataclass of strings; `render` returns the user message."""

    name: str
    title: str
    description: str
    args: type[Any]
    render: Callable[[Any], str]


class Databases(Protocol):
    """The databases a principal may reach."""

    def names(self) -> tuple[str, ...]:
        """Their names, the default first."""

    def get(self, name: str | None = None) -> Database:
        """One of them, the default without a name; ToolError when it is not there."""


class Accounts(Protocol):
    """Logging in and out."""

    def log_in(self, username: str, password: str) -> tuple[str, str]:
        """A new session token and its expiry (RFC 3339); LoginError when refused."""

    def log_out(self) -> bool:
        """End the session this call came with; False when it came with none."""


class Model(Protocol):
    """A language model that turns questions into SQL."""

    @property
    def name(self) -> str:
        """What to call it where its SQL is shown."""

    def sql_for(self, question: str, catalogue: Catalogue, call: Call) -> str:
        """One SQL statement for a question; ToolError when there is none to be had."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a feature may use while it serves one request, and the trail that the request leaves."""

    principal: Principal
    call: Call
    databases: Databases
    accounts: Accounts | None = None
    resources: Mapping[str, Resource] = field(default_factory=dict)
    trail: Trail = field(default_factory=Trail)
    model: Model | None = None
