"""The whole configuration as one frozen value, ready to use: durations are seconds, paths are
absolute.

The rule: a section's keys and their defaults stand in its own module; this one only joins them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pgmcp.config.audit import Audit
from pgmcp.config.builtins import PROMPTS, RESOURCES, TOOLS
from pgmcp.config.databases import DatabaseSettings
from pgmcp.config.http import Http
from pgmcp.config.key import key, keys_of, made_of, section
from pgmcp.config.kinds import BOOLEAN, PATH, whole
from pgmcp.config.llm import Llm
from pgmcp.config.log import Log
from pgmcp.config.metrics import Metrics
from pgmcp.config.policies import Policy

_MASK_KEY_FILE = "pgedge-postgres-mcp-mask.key"
_USAGE_FILE = "pgedge-postgres-mcp-usage.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything. `sources` says for each key (`http.address`, `databases[0].host`) where its
    value came from: "default", the file's path, "environment variable NAME" or "flag -x".

    `hidden_resources` holds what the file says: names or URIs.
    """

    file: Path | None
    http: Http = section(Http)
    databases: tuple[DatabaseSettings, ...]
    hidden_tools: frozenset[str] = made_of(TOOLS)
    hidden_resources: frozenset[str] = made_of(RESOURCES)
    hidden_prompts: frozenset[str] = made_of(PROMPTS)
    max_connections_total: int = key(
        50,
        whole(1, 10_000),
        "The most connections to all databases together; idle pools give theirs up, and one token "
        "or user has about half of them at most.",
    )
    log: Log = section(Log)
    audit: Audit | None = section(Audit, optional=True, restart=True)
    metrics: Metrics = section(Metrics)
    mask_key_file: Path = key(
        _MASK_KEY_FILE,
        PATH,
        "The key of masks that hash, 64 hexadecimal digits; made when a policy needs it and there "
        "is none.",
        default_note=f"`{_MASK_KEY_FILE}` beside the program",
    )
    usage_file: Path = key(
        _USAGE_FILE,
        PATH,
        "What tokens and users have used today, where their policies count it: rows, bytes "
        "and calls.",
        default_note=f"`{_USAGE_FILE}` beside the program",
        restart=True,
    )
    policies: Mapping[str, Policy] = field(default_factory=dict)
    llm: Llm | None = section(Llm, optional=True)
    debug: bool = key(False, BOOLEAN, "Log every request with its duration.", flag="debug")
    sources: Mapping[str, str] = field(default_factory=dict)


KEYS = keys_of(Config)
"""Every key but those of the entries of `databases` and `policies`, which are the `KEYS` of these
modules."""
