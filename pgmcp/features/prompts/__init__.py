"""Every prompt, in the order in which clients see them."""

from __future__ import annotations

from pgmcp.features.prompts import design_schema, diagnose_query_issue, explore_database
from pgmcp.mcp.feature import Prompt

ALL: tuple[Prompt, ...] = (
    explore_database.PROMPT,
    diagnose_query_issue.PROMPT,
    design_schema.PROMPT,
)
