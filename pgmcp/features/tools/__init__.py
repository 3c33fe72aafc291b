"""Every tool: each module of this folder that begins with no underscore has one, as TOOL.

Clients see them by `rank`, and those of one rank by name.
"""

from __future__ import annotations

import sys

from pgmcp.features.discovery import features
from pgmcp.mcp.feature import Tool

ALL: tuple[Tool, ...] = features(sys.modules[__name__], "TOOL", Tool)
