"""Results that conform to the schema that their tool is listed with: each client checks that, and
raises where it is not so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pgmcp.calls.stream import Stream
from pgmcp.mcp.feature import Context, Tool, ToolOutcome
from pgmcp.mcp.registry import output_schema
from pgmcp.mcp.result import Result, plain
from tests import json_schema


def check(tool: Tool, result: Result) -> None:
    """AssertionError for a result of a tool that does not conform."""
    schema = output_schema(tool)
    if schema is not None and not result.is_error:
        assert result.structured is not None, f"{tool.name} has an output: give `structured`"
        json_schema.validate(plain(result.structured), schema)


def checked(tool: Tool) -> Tool:
    """The tool, with every result that it gives checked, also the one that ends a stream."""
    return replace(tool, run=_checked_run(tool))


def _checked_run(tool: Tool) -> Callable[[Any, Context], ToolOutcome]:
    def run(args: Any, context: Context) -> ToolOutcome:
        outcome = tool.run(args, context)
        if isinstance(outcome, Result):
            check(tool, outcome)
        if isinstance(outcome, Stream):
            end = outcome.end

            def checked_end(result: Result) -> None:
                check(tool, result)
                end(result)

            outcome.end = checked_end  # type: ignore[method-assign]
        return outcome

    return run
