"""Opening a file that must be a regular one.

The rule: what is no regular file is refused and not opened. A FIFO would hold the caller until its
other end comes, a full one whenever something is written, and a device does things when opened.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from pgmcp.errors import FileError

HINT = "Name a regular file: a FIFO, a socket, a device or a folder is not opened."


def open_regular(path: Path, flags: int, mode: int = 0o600) -> int:
    """The descriptor of a regular file, or of the one that `flags` create. The system's OSError;
    FileError, which names the file, when it is something else."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise _not_regular(path)
    except FileNotFoundError:
        pass  # open() makes it, or says so
    # O_NONBLOCK: another kind of file may have been put there since the look.
    flags |= getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, mode)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise _not_regular(path)


def read_regular(path: Path) -> BinaryIO:
    """A regular file, open for reading. Errors as for `open_regular`."""
    return os.fdopen(open_regular(path, os.O_RDONLY), "rb")


def _not_regular(path: Path) -> FileError:
    return FileError("not a regular file", HINT, origin=str(path))
