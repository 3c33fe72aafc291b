"""The lock of an audit that a server writes to: a file beside it.

The rule: the system releases it when a process dies, so it never has to be removed. The file stays
open between two uses, since each call is one; where it was taken away, a new one is made.
"""

from __future__ import annotations

import os
from pathlib import Path

from pgmcp.audit.read import LOCK_RETRY_SECONDS, LOCK_WAIT_SECONDS, kept_locked, lock_file
from pgmcp.storage import replace
from pgmcp.storage.regular_file import open_regular


class AuditLock:
    """Keeps other processes out of an audit inside a `with` block, for one thread at a time.

    OSError when the file cannot be made, FileError when another process keeps the lock for
    LOCK_WAIT_SECONDS.
    """

    def __init__(self, path: Path) -> None:
        self._audit = path
        self._file = lock_file(path)
        self._name = str(self._file)
        self._descriptor = -1
        self._identity: tuple[int, int] | None = None

    def __enter__(self) -> None:
        while True:
            if self._descriptor < 0:
                self._open()
            if not replace.lock_within(self._descriptor, LOCK_WAIT_SECONDS, LOCK_RETRY_SECONDS):
                raise kept_locked(self._audit)
            # Looked at with the lock: of a file that was taken away others do not know.
            if self._is_there():
                return
            self.close()

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            replace.unlock(self._descriptor)

    def close(self) -> None:
        """Let go of the file."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _open(self) -> None:
        self._descriptor = open_regular(self._file, os.O_RDWR | os.O_CREAT)
        status = os.fstat(self._descriptor)
        self._identity = (status.st_dev, status.st_ino)

    def _is_there(self) -> bool:
        try:
            status = os.stat(self._name)  # noqa: PTH116 - a Path costs twice as much
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._identity
