"""Every resource template: each module of this folder that begins with no underscore has one, as
TEMPLATE.

Clients see them by `rank`, and those of one rank by name.
"""

from __future__ import annotations

import sys

from pgmcp.features.discovery import features
from pgmcp.mcp.feature import ResourceTemplate

ALL: tuple[ResourceTemplate, ...] = features(sys.modules[__name__], "TEMPLATE", ResourceTemplate)
