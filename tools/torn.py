"""Byte code that a machine's end cut short in the middle of being written.

The rule: Python believes a cached file whose head is whole, and fails on the rest of it; so what
does not load is removed, and Python makes it again.
"""

from __future__ import annotations

import contextlib
import marshal
from collections.abc import Iterable
from pathlib import Path

_HEAD_BYTES = 16  # https://docs.python.org/3/reference/import.html#pyc-invalidation, since 3.7


def remove(folders: Iterable[Path]) -> list[Path]:
    """Remove the cached byte code under `folders` that does not load; what was removed."""
    cached = (path for folder in folders for path in folder.rglob("__pycache__/*.pyc"))
    torn = [path for path in cached if not _loads(path)]
    for path in torn:
        path.unlink(missing_ok=True)
    return torn


def _loads(path: Path) -> bool:
    with contextlib.suppress(EOFError, ValueError, TypeError, OSError):
        marshal.loads(path.read_bytes()[_HEAD_BYTES:])
        return True
    return False
