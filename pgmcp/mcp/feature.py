"""What a server offers: tools, resources and prompts, each a value, and the context they run in.

The rule: a feature declares everything about itself in one value, so that adding one is one file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Protocol

from pgmcp.auth.principal import Principal
from pgmcp.calls.call import Call
from pgmcp.calls.stream import Stream
from pgmcp.calls.trail import Trail
from pgmcp.catalog.catalogue import Catalogue
from pgmcp.gate.port import Database
from pgmcp.mcp import uri_template
from pgmcp.mcp.client import Client
from pgmcp.mcp.content import Content
from pgmcp.mcp.result import InputRequired, Result

ToolOutcome = Result | InputRequired | Stream
"""What a tool returns: its result, a question that comes first, or a stream that ends in a result
and holds no thread until then."""

DEFAULT_RANK = 100


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

    `run` returns an outcome (`return text(…)` for most), or raises a ToolError that becomes an
    `isError` result. `output`: what `Result.structured` conforms to, a frozen dataclass of `arg`s
    or a JSON Schema. `hidden` keeps it out of `tools/list`.
    `rank` is its place in the list, before those of higher rank and, among equals, by name.
    """

    name: str
    title: str
    description: str
    args: type[Any]
    run: Callable[[Any, Context], ToolOutcome]
    annotations: Annotations = field(default_factory=Annotations)
    output: type[Any] | Mapping[str, Any] | None = None
    hidden: bool = False
    rank: int = DEFAULT_RANK


Completer = Callable[["Context", str, Mapping[str, str]], Sequence[str]]
"""What may be meant by a text that a user has begun to type, the likeliest first; the mapping has
the arguments that were given before. What the caller may not see is not among it."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A readable document. `read` returns its text, or its bytes; `rank` as for a tool."""

    uri: str
    name: str
    title: str
    description: str
    mime_type: str
    read: Callable[[Context], str | bytes]
    rank: int = DEFAULT_RANK


@dataclass(frozen=True, slots=True)
class ResourceTemplate:
    """Resources whose URIs are made of values (`mcp.uri_template`).

    `read` gets the values by their names, and raises ToolError for a resource that is not there.
    `completers` by the names of values; `rank` as for a tool.
    """

    uri_template: str
    name: str
    title: str
    description: str
    mime_type: str
    read: Callable[[Context, Mapping[str, str]], str | bytes]
    completers: Mapping[str, Completer] = field(default_factory=dict)
    rank: int = DEFAULT_RANK


class FoundResource(NamedTuple):
    """A resource by its URI. `name` is a name of ours: its URI, or that of its template."""

    name: str
    mime_type: str
    read: Callable[[Context], str | bytes]


@dataclass(frozen=True, slots=True)
class ResourceIndex:
    """The resources that there are, by their URIs, and the templates, by those with variables."""

    fixed: Mapping[str, Resource] = field(default_factory=dict)
    templates: Mapping[str, ResourceTemplate] = field(default_factory=dict)

    def find(self, uri: str) -> FoundResource | None:
        """The resource of that URI, None where there is none."""
        if (resource := self.fixed.get(uri)) is not None:
            return FoundResource(uri, resource.mime_type, resource.read)
        for template in self.templates.values():
            if (values := uri_template.match(template.uri_template, uri)) is not None:
                read = partial(_read_by_values, template, values)
                return FoundResource(template.uri_template, template.mime_type, read)
        return None


def _read_by_values(
    template: ResourceTemplate, values: Mapping[str, str], context: Context
) -> str | bytes:
    return template.read(context, values)


class PromptMessage(NamedTuple):
    """One message of a prompt; `role` is "user" or "assistant"."""

    content: Content
    role: str = "user"


PromptOutcome = str | Sequence[PromptMessage] | InputRequired


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt: `args` is a frozen dataclass of strings; `render` returns the text of one message
    of the user, several messages, or questions that come first; `completers` by the names of
    arguments; `rank` as for a tool."""

    name: str
    title: str
    description: str
    args: type[Any]
    render: Callable[[Any, Context], PromptOutcome]
    completers: Mapping[str, Completer] = field(default_factory=dict)
    rank: int = DEFAULT_RANK


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """All that a server may offer."""

    tools: tuple[Tool, ...] = ()
    resources: tuple[Resource, ...] = ()
    templates: tuple[ResourceTemplate, ...] = ()
    prompts: tuple[Prompt, ...] = ()


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


class NotedBudget(Protocol):
    """What the caller may take of the databases."""

    def note(self) -> str:
        """What is left, when that is little; "" otherwise."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a feature may use while it serves one request, and the trail that the request leaves.

    A call that runs long looks at `call.check()`, and may tell the `client` how far it is.
    """

    principal: Principal
    call: Call
    databases: Databases
    accounts: Accounts | None = None
    resources: ResourceIndex = field(default_factory=ResourceIndex)
    trail: Trail = field(default_factory=Trail)
    model: Model | None = None
    client: Client = field(default_factory=Client)
    budget: NotedBudget | None = None
