"""read_resource: the resources, for clients whose models can only call tools."""

from __future__ import annotations

from dataclasses import dataclass

from pgmcp.errors import ToolError, shortened
from pgmcp.mcp.content import EmbeddedResource
from pgmcp.mcp.feature import Context, Tool
from pgmcp.mcp.result import Result, text
from pgmcp.render import tsv
from pgmcp.rpc.schema import arg


@dataclass(frozen=True, slots=True)
class Args:
    """The arguments of read_resource: exactly one of them."""

    uri: str | None = arg(
        'The resource to read, for example "pg://system_info".', default=None, max_length=1000
    )
    list: bool = arg("true lists the resources that there are.", default=False)


def run(args: Args, context: Context) -> Result:
    """The resource's text, or a TSV table of the resources."""
    if (args.uri is None) != args.list:
        raise ToolError(
            "give exactly one of the two arguments",
            '{"list": true} shows what there is, {"uri": "…"} reads one.',
        )
    if args.uri is None:
        return text(_listing(context))
    resource = context.resources.find(args.uri)
    if resource is None:
        known = ", ".join((*context.resources.fixed, *context.resources.templates)) or "none"
        raise ToolError(f'no resource "{shortened(args.uri)}"', f"There are: {known}")
    body = resource.read(context)
    if isinstance(body, bytes):
        return Result((EmbeddedResource(args.uri, body, resource.mime_type),))
    return text(body)


def _listing(context: Context) -> str:
    index = context.resources
    fixed = [(r.uri, r.name, r.mime_type, r.description) for r in index.fixed.values()]
    templates = [
        (t.uri_template, t.name, t.mime_type, t.description) for t in index.templates.values()
    ]
    return tsv.table(("uri", "name", "mime_type", "description"), fixed + templates)


TOOL = Tool(
    name="read_resource",
    title="Read a resource",
    description=(
        "Reads one of this server's resources by its URI, or lists them. pg://system_info says "
        "which PostgreSQL this is, as whom you are connected, and which settings and extensions "
        "it has. In a URI with {names} put values for them, percent-encoded: "
        "pg://{database}/{schema}/{table}/sample shows some rows of a table."
    ),
    args=Args,
    run=run,
    rank=50,
)
