"""All that this program offers, as one value."""

from __future__ import annotations

from pgmcp.features import prompts, resources, templates, tools
from pgmcp.mcp.feature import FeatureSet

ALL = FeatureSet(tools.ALL, resources.ALL, templates.ALL, prompts.ALL)
