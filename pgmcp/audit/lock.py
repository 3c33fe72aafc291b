"""The lock of an audit, a file beside it: one process at a time appends, or looks where it stands.

The rule: the system lets go of the lock when a process dies, so nobody ever has to remove it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from pgmcp.errors import FileError
from pgmcp.storage import replace
from pgmcp.storage.regular_file import open_regular

LOCK_WAIT_SECONDS = 5.0
_RETRY_SECONDS = 0.001


@contextlib.contextmanager
def locked(path: Path, *, create: bool = True) -> Iterator[None]:
    """Keep other processes out. Without `create` nothing is made: where there is no lock that can
    be opened, nobody is kept out, for no server of ours runs there."""
    flags = os.O_RDWR | os.O_CREAT if create else os.O_RDONLY
    try:
        descriptor = open_regular(path.with_name(f".{path.name}.lock"), flags)
    except OSError:
        if create:
            raise
        yield
        return
    try:
        if not replace.lock_within(descriptor, LOCK_WAIT_SECONDS, _RETRY_SECONDS):
            raise FileError("another process keeps it locked", origin=str(path))
        yield
    finally:
        os.close(descriptor)
