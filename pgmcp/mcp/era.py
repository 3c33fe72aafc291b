"""Which era of the protocol a message belongs to, and what it says of itself in `_meta`.

The rule: the era is decided once for each message, here, before anything else is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Era = Literal["legacy", "modern"]
RequestHeaders = Mapping[str, str]

LEGACY_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
"""Newest first. 2025-03-26 would also want batches: no client sends any, and none is taken."""
MODERN_VERSIONS = ("2026-07-28",)
ALL_VERSIONS = MODERN_VERSIONS + LEGACY_VERSIONS

PREFIX = "io.modelcontextprotocol/"
VERSION_KEY = PREFIX + "protocolVersion"
CAPABILITIES_KEY = PREFIX + "clientCapabilities"
LOG_LEVEL_KEY = PREFIX + "logLevel"

_NO_META: Mapping[str, Any] = {}


def meta_of(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """The `_meta` object of a request's parameters, empty when there is none."""
    meta = params.get("_meta")
    return meta if isinstance(meta, dict) else _NO_META


def era_of(meta: Mapping[str, Any], headers: RequestHeaders | None) -> Era:
    """The era of a request, by its `_meta` or by a version header that no handshake agreed on.

    Its method's name and the header Mcp-Method say nothing: old clients send both. `headers` by
    lower-case name, None on stdio.
    """
    if VERSION_KEY in meta:
        return "modern"
    version = None if headers is None else headers.get("mcp-protocol-version")
    if version is None or version.strip(" \t") in LEGACY_VERSIONS:
        return "legacy"
    return "modern"
