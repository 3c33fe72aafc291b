"""The parts of the manual that are made from the program: features, clients, metrics, limits.

The rule: what a page says about names, arguments and numbers comes from the values that the program
itself uses.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pgmcp.cli.clients import CLIENTS, EXAMPLE_COMMAND, KnownClient, render_section
from pgmcp.features import prompts, resources, templates, tools
from pgmcp.mcp.feature import Prompt, Resource, ResourceTemplate, Tool
from pgmcp.rpc.schema import json_schema
from pgmcp.sql.text import MAX_TEXT_BYTES
from pgmcp.transport.limits import HttpLimits
from pgmcp.transport.reading import LONG_METHODS

ROOT = Path(__file__).resolve().parent.parent
_COLUMNS = 98
_CALL_LABELS = ("method", "name")  # `names` in server/observation.py
_BOUNDS = {
    "minimum": "at least",
    "maximum": "at most",
    "maxLength": "characters at most:",
    "maxItems": "items at most:",
}


def render_tools(listed: Sequence[Tool] = tools.ALL) -> str:
    """Every tool with its arguments, those that are not listed to clients last."""
    shown = sorted(listed, key=lambda tool: tool.hidden)
    return "\n".join(
        f"### `{tool.name}`{' (not listed to models)' if tool.hidden else ''}\n\n"
        f"{_filled(tool.description)}\n\n{_arguments(json_schema(tool.args))}"
        for tool in shown
    )


def render_prompts(listed: Sequence[Prompt] = prompts.ALL) -> str:
    """Every prompt with its arguments."""
    return "\n".join(
        f"### `{prompt.name}`\n\n{_filled(prompt.description)}\n\n"
        f"{_arguments(json_schema(prompt.args))}"
        for prompt in listed
    )


def render_resources(
    listed: Sequence[Resource | ResourceTemplate] = (*resources.ALL, *templates.ALL),
) -> str:
    """Every resource, and every template of resources, with its type."""
    return "\n".join(
        f"### `{each.uri if isinstance(each, Resource) else each.uri_template}`\n\n"
        f"{_filled(each.description)}\n\nType: {each.mime_type}.\n"
        for each in listed
    )


def render_clients() -> str:
    """The section of every client."""
    return "\n".join(render_section(client, heading="##") for client in CLIENTS)


def render_client_starts() -> str:
    """Every client in short: what makes it start the program, and where that is kept."""
    return "\n".join(map(_start_of, CLIENTS))


def _start_of(client: KnownClient) -> str:
    files = ", ".join(f"`{path}` ({system})" for system, path in client.files.items())
    where = f", kept in {files}" if files else ""
    entry = client.stdio(EXAMPLE_COMMAND)
    if client.language == "json":
        entry = entry.replace('[\n        "', '["').replace(',\n        "', ', "')
        entry = entry.replace('"\n      ]', '"]')
    return f"**{client.title}**{where}:\n\n```{client.language}\n{entry}\n```\n"


def render_metrics() -> str:
    """Every metric by name, with its labels."""
    lines = []
    for name, about, labels in sorted(set(_metrics())):
        by = f" By {', '.join(f'`{label}`' for label in labels)}." if labels else ""
        lines.append(_item(f"`{name}`: {about}{by}"))
    return "".join(lines)


def render_limits(of: HttpLimits | None = None) -> str:
    """What one client may send, and how long it may take, as a table."""
    of = of or HttpLimits()
    long_methods = ", ".join(sorted(LONG_METHODS))
    rows = (
        (f"body of a message {long_methods}", f"{_bytes(of.body_bytes)}, then 413"),
        ("body of any other message, and of one without a token", _bytes(of.short_body_bytes)),
        ("head of a request", f"{_bytes(of.head.head_bytes)}, {of.head.fields} fields, then 431"),
        ("statement", f"{MAX_TEXT_BYTES:,} bytes"),
        ("time for the head", _seconds(of.head_seconds)),
        ("time for the body", _seconds(of.body_seconds)),
        ("time to take an answer", _seconds(of.write_seconds)),
        ("time between two requests of a connection", _seconds(of.idle_seconds)),
        ("calls of one token or user that wait", f"{of.waiting}, then 429"),
    )
    return "\n".join(["| What | Limit |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)])


def _bytes(count: int) -> str:
    mebi, kibi = count / 1024**2, count / 1024
    return f"{mebi:g} MiB" if mebi >= 1 else f"{kibi:g} KiB"


def _seconds(seconds: float) -> str:
    return f"{seconds:g} seconds"


def metric_names() -> frozenset[str]:
    """The names of all metrics."""
    return frozenset(name for name, _, _ in _metrics())


def _metrics() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Name, meaning and labels of what the code makes with Counter, Histogram, gauge and so on."""
    for path in sorted((ROOT / "pgmcp").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "metrics.metrics" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            texts = [
                child.value
                for child in (node.args if isinstance(node, ast.Call) else ())
                if isinstance(child, ast.Constant) and isinstance(child.value, str)
            ]
            if texts and texts[0].startswith(("pgmcp_", "process_")):
                about = next(text for text in texts[1:] if " " in text or text.endswith("."))
                yield texts[0], about, tuple(_labels(node))


def _labels(call: ast.AST) -> Iterator[str]:
    """The names in a tuple of labels, or in the keywords of a `value(…)` inside."""
    for child in ast.walk(call):
        if isinstance(child, ast.Call) and getattr(child.func, "id", "") == "value":
            yield from (keyword.arg for keyword in child.keywords if keyword.arg)
    for argument in getattr(call, "args", ()):
        if isinstance(argument, ast.Tuple):
            for element in argument.elts:
                if isinstance(element, ast.Constant):
                    yield str(element.value)
                elif isinstance(element, ast.Starred):
                    yield from _CALL_LABELS
        if isinstance(argument, ast.Name) and argument.id == "names":
            yield from _CALL_LABELS


def _arguments(schema: Mapping[str, Any]) -> str:
    """The members of an object's schema as a list."""
    members = schema.get("properties", {})
    if not members:
        return "It takes no arguments.\n"
    required = schema.get("required", ())
    return "".join(_members(members, required, ""))


def _members(members: Mapping[str, Any], required: Iterable[str], indent: str) -> Iterator[str]:
    for name, member in members.items():
        facts = [_type(member), *(["required"] if name in required else [])]
        if member.get("default") not in (None, "", []):
            facts.append(f"default `{_literal(member['default'])}`")
        facts += [f"{text} {member[bound]:,}" for bound, text in _BOUNDS.items() if bound in member]
        yield _item(f"`{name}` ({', '.join(facts)}): {member['description']}", indent)
        items = member.get("items", {})
        yield from _members(items.get("properties", {}), items.get("required", ()), indent + "  ")


def _type(member: Mapping[str, Any]) -> str:
    if "enum" in member:
        return "one of " + ", ".join(f"`{value}`" for value in member["enum"])
    if member["type"] == "array":
        return f"array of {member['items']['type']}s"
    return str(member["type"])


def _literal(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _filled(text: str) -> str:
    """A paragraph, safe in Markdown, in lines that a terminal shows whole."""
    return _escaped(textwrap.fill(text, _COLUMNS, break_long_words=False, break_on_hyphens=False))


def _item(text: str, indent: str = "") -> str:
    filled = textwrap.fill(
        text,
        _COLUMNS,
        initial_indent=f"{indent}- ",
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return f"{_escaped(filled)}\n"


def _escaped(text: str) -> str:
    """Markdown takes two backslashes for one, and leaves one before a letter as it is."""
    return text.replace("\\\\", "\\\\\\\\")
