"""Whether others than its owner can use a file, as `-check` says it.

The rule: a look, and never a change of mode.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pgmcp.cli.finding import Finding, warning

OTHERS = 0o077


def exposure(
    what: str, path: Path, others: int = OTHERS, *, can: str = "use", remedy: int = 0o600
) -> Iterator[Finding]:
    """A warning when a regular file's mode has any of the bits `others`; OSError without a file."""
    mode = path.stat().st_mode & 0o777
    if os.name == "posix" and path.is_file() and mode & others:
        said = f"{path} has mode {mode:04o}: others can {can} it"
        yield warning(what, said, f"chmod {remedy:o} {path}")
