"""Every resource: each module of this folder that begins with no underscore has one, as RESOURCE.

Clients see them by `rank`, and those of one rank by name.
"""

from __future__ import annotations

import sys

from pgmcp.features.discovery import features
from pgmcp.mcp.feature import Resource

ALL: tuple[Resource, ...] = features(sys.modules[__name__], "RESOURCE", Resource)
