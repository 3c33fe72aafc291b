"""What the configuration asks of the machine: the files that its settings name, and the user.

The rule: whatever sections need beyond the values in `layers.Inputs` is a method here, so that the
whole configuration can be made from values alone. `config.this_machine` implements it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from pgmcp.config.pgpass import PgpassEntry
from pgmcp.config.values import Secret


class Machine(Protocol):
    """The files and the user of a machine."""

    def is_file(self, path: Path) -> bool:
        """Whether there is a file at the path; a folder is none."""

    def secret(self, path: Path, label: str, what: str) -> Secret:
        """The one secret that a file holds. ConfigError begins with `label`, and calls the secret
        `what`: a password, an API key."""

    def pgpass(self, path: Path) -> Sequence[PgpassEntry]:
        """The entries of a libpq password file, none where libpq would not use it."""

    def user(self) -> str:
        """The name of the operating system's user, "" where it has none."""
