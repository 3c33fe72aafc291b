"""Every tool, in the order in which clients see them."""

from __future__ import annotations

from pgmcp.features.tools import (
    authenticate_user,
    count_rows,
    execute_explain,
    get_schema_info,
    logout_user,
    query_database,
    read_resource,
)
from pgmcp.mcp.feature import Tool

ALL: tuple[Tool, ...] = (
    query_database.TOOL,
    get_schema_info.TOOL,
    count_rows.TOOL,
    execute_explain.TOOL,
    read_resource.TOOL,
    authenticate_user.TOOL,
    logout_user.TOOL,
)
