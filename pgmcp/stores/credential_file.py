"""A credential file as a running server holds it: the last version that could be read.

The rule: readers take `value`, an immutable snapshot, without a lock; a version that cannot be read
changes nothing; an older reading never replaces a newer one, whichever thread is slower.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from pgmcp.errors import FileError
from pgmcp.storage import files, replace
from pgmcp.storage.protection import refuse_if_others_can_write

_log = logging.getLogger("pgmcp.auth")

T = TypeVar("T")


class CredentialFile(Generic[T]):
    """`parse` makes the value from the bytes, the path and the value before, or raises FileError.

    What others could write is refused; what they can only read is taken from them.
    """

    def __init__(self, path: Path, parse: Callable[[bytes, str, T], T], empty: T) -> None:
        self.path = path
        self.value = empty
        self._parse = parse
        self._data: bytes | None = None
        self._known: tuple[bytes, T] | None = None
        self._written: bytes | None = None
        self._started = 0
        self._applied = 0
        self._swap_lock = threading.Lock()

    def exists(self) -> bool:
        """Whether there is a file to load."""
        return self.path.exists()

    def read(self) -> bytes | None:
        """The bytes of the file now, None when there is none; FileError, also for a file that
        others could write."""
        refuse_if_others_can_write(self.path)
        return files.read(self.path)

    def reload(self) -> tuple[T, T, bool]:
        """Read the file. Returns the value before, the value now, and whether another process
        changed the file.

        FileError, with the old value kept, when the file is missing, too open, or wrong.
        """
        with self._swap_lock:
            # Numbered before reading: a reading that began earlier may see an older file.
            self._started += 1
            ticket = self._started
        data = self.read()
        if replace.tighten(self.path):
            _log.warning("WARNING: others could read %s; its mode is now 0600", self.path)
        if data is None:
            raise FileError(
                "file not found", "Put it back; what it said last holds.", origin=str(self.path)
            )
        value = self.parsed(data)
        with self._swap_lock:
            old = self.value
            # A later reading was faster, and its file is newer.
            if ticket < self._applied:
                return old, old, False
            # What this server wrote itself may be seen by the watcher before the writer is back.
            changed = data not in (self._data, self._written)
            self._written = self._written if data == self._written else None
            self.value, self._data, self._applied = value, data, ticket
            self._known = (data, value)
        return old, value, changed

    def parsed(self, data: bytes) -> T:
        """The value of these bytes, parsed only when they are not the ones last seen; FileError.

        A login writes the file, and with many users parsing is what takes the time.
        """
        known = self._known
        if known is not None and known[0] == data:
            return known[1]
        return self._parse(data, str(self.path), self.value)

    def remember(self, data: bytes, value: T) -> None:
        """Remember the bytes of `value`, which are about to be written. To be called under the lock
        of the file: the watcher may see the new file before the writer goes on."""
        self._known, self._written = (data, value), data

    def apply(self, change: Callable[[T], T]) -> tuple[T, T]:
        """Change the value in memory only; the value before and the value now."""
        with self._swap_lock:
            old = self.value
            self.value = change(old)
            self._known = None
            return old, self.value

    def update(self, change: Callable[[bytes | None], bytes | None]) -> None:
        """Change the file under its lock, or make it; None leaves it as it is. FileError, also for
        a file that others could write."""
        refuse_if_others_can_write(self.path)
        replace.update(self.path, change)

    def rewrite(self, change: Callable[[bytes], bytes | None]) -> bool:
        """Change the file under the lock it shares with the commands; FileError when it cannot be.

        A file that is not there is not made.
        """
        return replace.update(self.path, lambda data: None if data is None else change(data))

    def dry_run(self, change: Callable[[bytes], bytes]) -> None:
        """Do the work of `rewrite`, disk included, and leave the file as it is; FileError."""
        replace.dry_run(self.path, lambda data: None if data is None else change(data))
