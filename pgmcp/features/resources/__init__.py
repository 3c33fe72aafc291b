"""Every resource, in the order in which clients see them."""

from __future__ import annotations

from pgmcp.features.resources import system_info
from pgmcp.mcp.feature import Resource

ALL: tuple[Resource, ...] = (system_info.RESOURCE,)
