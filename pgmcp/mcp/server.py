"""How this server introduces itself: its name, what it can do, and how a model should start.

The rule: only what is really served is announced, so the text follows from the registry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pgmcp.mcp.icon import ICONS
from pgmcp.mcp.registry import Registry
from pgmcp.mcp.request_state import RequestStates

NAME = "pgedge-postgres-mcp"
TITLE = "pgmcp"

_PURPOSE = "This server answers questions about PostgreSQL databases. It reads and never writes."
_ADVICE = (
    (
        "get_schema_info",
        "Call get_schema_info first, without arguments, to learn the tables and columns;"
        " do not guess their names.",
    ),
    (
        "query_database",
        "Then ask with query_database. It returns at most `limit` rows and says when there are"
        " more and how to get them.",
    ),
    ("count_rows", "To learn how many rows there are, use count_rows instead of fetching them."),
    ("execute_explain", "When a query is slow, execute_explain shows its plan."),
    (
        "read_resource",
        "read_resource reads this server's resources where the client cannot.",
    ),
)
_FAILURES = (
    "A tool that fails returns PostgreSQL's own message with its SQLSTATE: read it, correct the"
    " call and try again."
)


@dataclass(frozen=True, slots=True)
class Server:
    """One server: what it offers, the version it goes by, and the states that it hands out."""

    registry: Registry
    version: str
    states: RequestStates

    def info(self) -> dict[str, Any]:
        """Its `Implementation` object, as it goes out with each result."""
        return {"name": NAME, "title": TITLE, "version": self.version}

    def introduction(self) -> dict[str, Any]:
        """Its `Implementation` object with the icon, for who asks what this server is."""
        return self.info() | {"icons": ICONS}

    def capabilities(self) -> dict[str, Any]:
        """Its `ServerCapabilities`. The lists never change, so nothing is said of changes."""
        offered = {
            "tools": self.registry.tool_list,
            "resources": self.registry.resource_list or self.registry.template_list,
            "prompts": self.registry.prompt_list,
            "completions": self.registry.completes,
        }
        return {name: {} for name, is_served in offered.items() if is_served}

    def instructions(self) -> str:
        """What a model should know before its first call; no tool that is not there."""
        listed = {tool["name"] for tool in self.registry.tool_list}
        advice = [sentence for name, sentence in _ADVICE if name in listed]
        return "\n".join([_PURPOSE, *advice, _FAILURES])
