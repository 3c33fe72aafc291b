"""The section `metrics`: who may read /metrics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pgmcp.config.key import key
from pgmcp.config.kinds import BOOLEAN, PATH


@dataclass(frozen=True, slots=True)
class Metrics:
    """Who may read /metrics: whoever has the token in the file, without one this machine."""

    enabled: bool = key(
        False,
        BOOLEAN,
        "Serve /metrics to Prometheus: to its token, or without one to this machine only (behind "
        "a proxy set a token).",
    )
    token_file: Path | None = key(
        None,
        PATH,
        "A file that holds the bearer token for /metrics, of 16 or more characters.",
    )
