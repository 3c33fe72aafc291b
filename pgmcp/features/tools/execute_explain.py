"""execute_explain: a query's plan, and what stands out in it.

The rule: with `analyze` the query runs once, not twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pgmcp.dba import plan
from pgmcp.dba.plan_findings import findings
from pgmcp.errors import ToolError
from pgmcp.features.tools._common import DATABASE, TIMEOUT_SECONDS, database_of, heading
from pgmcp.gate.port import Database
from pgmcp.mcp.feature import Context, Tool
from pgmcp.mcp.result import Result, plain, text
from pgmcp.rpc.schema import arg
from pgmcp.sql.text import MAX_TEXT_BYTES, encode, split_explain, without_empty


@dataclass(frozen=True, slots=True)
class Args:
    """The arguments of execute_explain."""

    query: str = arg(
        "The query, without EXPLAIN: SELECT, VALUES, TABLE or WITH; without analyze also INSERT, "
        "UPDATE, DELETE or MERGE, of which nothing runs.",
        min_length=1,
        max_length=MAX_TEXT_BYTES,
    )
    analyze: bool = arg(
        "true runs the query and measures it; false shows only what the planner expects.",
        default=False,
    )
    buffers: bool = arg(
        "true adds the blocks read and hit; of the query itself only with analyze.",
        default=False,
    )
    format: Literal["text", "json", "yaml", "xml"] = arg(
        "The form of the plan.",
        default="text",
    )
    database: str | None = arg(DATABASE, default=None)
    timeout_seconds: int | None = arg(TIMEOUT_SECONDS, default=None, minimum=1, maximum=86_400)


_OUTPUT = {
    "type": "object",
    "properties": {
        "plans": {
            "type": "array",
            "items": {"type": "object"},
            "description": "The plan of each statement, as EXPLAIN (FORMAT JSON) gives it; for "
            "the formats yaml and xml from estimates only.",
        },
        "findings": {
            "type": "array",
            "items": {"type": "string"},
            "description": "What stands out.",
        },
        "measured": {"type": "boolean", "description": "Whether the findings were measured."},
    },
    "required": ["plans", "findings", "measured"],
    "additionalProperties": False,
}


def run(args: Args, context: Context) -> Result:
    """The heading, the plan, and the findings, with a blank line between them."""
    encode(args.query)  # refuses what is too long or no text, before anything reads it
    if split_explain(without_empty(args.query)) is not None:
        raise ToolError(
            "the query begins with EXPLAIN",
            "Leave it out: this tool adds it, with the options of its arguments.",
        )
    database = database_of(context, args.database, args.timeout_seconds)
    try:
        shown, plans = _plans(database, args)
        lines = [line for each in plans for line in findings(each)]
        measured = any("Actual Loops" in each["Plan"] for each in plans)
        # Here, since a plan that is nested too deeply for this is one that cannot be read.
        structured = plain({"plans": plans, "findings": lines, "measured": measured})
    except RecursionError:  # hundreds of subqueries inside one another
        raise ToolError(
            "the plan is nested too deeply to be read", "Use fewer subqueries inside one another."
        ) from None
    remarks = _remarks(lines, measured=measured, analyze=args.analyze)
    return text("\n\n".join([heading(database, args.query), shown, remarks]), structured)


def _plans(database: Database, args: Args) -> tuple[str, list[plan.PlanNode]]:
    """The plan as it is shown, and the plans as data."""
    if args.format in ("yaml", "xml"):
        shown = _explained(database, args, args.format.upper(), analyze=args.analyze)
        return shown, plan.parse(_explained(database, args, "JSON", analyze=False))
    source = _explained(database, args, "JSON", analyze=args.analyze)
    plans = plan.parse(source)
    return source if args.format == "json" else "\n\n".join(map(plan.draw, plans)), plans


def _explained(database: Database, args: Args, form: str, *, analyze: bool) -> str:
    # PostgreSQL 18 turns BUFFERS on with ANALYZE, and older ones do not: say which is meant.
    options = f"FORMAT {form}, {'ANALYZE, ' if analyze else ''}BUFFERS {args.buffers}"
    rows = database.explain(options, without_empty(args.query))
    if rows.cut_bytes is not None:
        raise ToolError(
            f"the plan is larger than {rows.cut_bytes:,} bytes", "Explain a part of the statement."
        )
    return "\n".join((row[0] or b"").decode("utf-8", "backslashreplace") for row in rows.rows)


def _remarks(lines: list[str], *, measured: bool, analyze: bool) -> str:
    basis = "measured" if measured else "from estimates"
    remarks = [f"What stands out ({basis}):", *(f"- {line}" for line in lines or ["Nothing."])]
    if not analyze:
        remarks.append(
            "- analyze=true would run the query and compare the estimates with what happens."
        )
    return "\n".join(remarks)


TOOL = Tool(
    name="execute_explain",
    title="Explain a query",
    description=(
        "Shows how PostgreSQL would run a query (EXPLAIN), or with analyze=true how it did run, "
        "and points out what stands out: scans that throw most rows away, estimates that are far "
        "off, sorts and hashes that spill to disk, loops that run too often, time lost in planning "
        "or compiling. Use it when a query is slow or before running an expensive one. "
        "analyze=true runs the whole query (read-only), so give it a timeout when in doubt. The "
        "formats yaml and xml are PostgreSQL's own text; their remarks are from estimates only."
    ),
    args=Args,
    run=run,
    output=_OUTPUT,
    rank=40,
)
