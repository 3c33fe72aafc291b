"""The folder of a test run: what its processes make once and use together.

The rule: what is in it is not changed once it is there, and it goes when the run ends.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

_VARIABLE = "PGMCP_TESTS_FOLDER"


def make(parent: Path | None) -> Path:
    """Make the folder, which an unprivileged server can reach, for this process and its children.

    It lies in `parent`, else where temporary files do.
    """
    folder = Path(tempfile.mkdtemp(prefix="pgmcp-tests-", dir=parent))
    folder.chmod(0o755)
    os.environ[_VARIABLE] = str(folder)
    return folder


def path() -> Path:
    """The folder that this run's first process made."""
    return Path(os.environ[_VARIABLE])


def once(name: str, fill: Callable[[Path], object]) -> Path:
    """A folder in it that the first process which asks has filled; the others wait for that."""
    made = path() / name
    with (path() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            half = path() / f"{name}.half"
            shutil.rmtree(half, ignore_errors=True)  # of one that failed
            half.mkdir(mode=0o700)
            fill(half)
            half.rename(made)
    return made
