"""Every resource, in the order in which clients see them."""

from __future__ import annotations

from pgmcp.mcp.feature import Resource
from pgmcp.resources import system_info

ALL: tuple[Resource, ...] = (system_info.RESOURCE,)
