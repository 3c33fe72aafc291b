"""Every prompt: each module of this folder that begins with no underscore has one, as PROMPT.

Clients see them by `rank`, and those of one rank by name.
"""

from __future__ import annotations

import sys

from pgmcp.features.discovery import features
from pgmcp.mcp.feature import Prompt

ALL: tuple[Prompt, ...] = features(sys.modules[__name__], "PROMPT", Prompt)
