"""The newest file of an audit: appending to it, and rotating it.

The rule: what stands in the file decides, not what this process remembers. Several processes may
append to one chain, an operator may rename the file at any time, and `kill -9` or a full disk may
leave half a line; each append looks first, and continues from the last record that is there.
A mark beside the file keeps how far the chain went, and is never ahead of what is on the disk.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pgmcp.audit import chain as audit_chain
from pgmcp.audit.chain import GENESIS, ChainHead
from pgmcp.audit.lock import AuditLock
from pgmcp.audit.read import end_of, last_record, load_mark, mark_of, rotated
from pgmcp.errors import FileError
from pgmcp.storage import replace
from pgmcp.storage.regular_file import open_regular

MARK_RECORDS = 256
MARK_SECONDS = 10.0
"""By how much the mark may lag behind the records, until the next one is written."""

_MISSING = (
    "audit.file: %s: the records %d to %d are not there any more: the end was cut off, or files "
    "were taken away"
)
_OLD_KEY = (
    "audit.file: %s: there is a key, and no mark: unless this is the first start with this key, or "
    "an earlier version kept no mark, records may have been cut off or taken away"
)

_log = logging.getLogger("pgmcp.audit")
_to_disk: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


class AuditFile:
    """The newest file of a chain.

    `durable`: an append returns when its records are on the disk (one fdatasync for all that wait
    together); else they are the system's to write, and survive the end of the program only.
    """

    def __init__(
        self,
        path: Path,
        key: bytes,
        *,
        max_bytes: int,
        durable: bool,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._path = Path(os.path.realpath(path))
        self._key = key
        self._max_bytes = max_bytes
        self._durable = durable
        self._clock = clock
        self._name = str(self._path)
        self._lock = AuditLock(self._path)
        self._descriptor = -1
        self._identity: tuple[int, int] | None = None
        self._size = -1
        self._head = GENESIS
        self._begun = False
        self._unfinished = b""
        self._written = 0
        self._on_disk = 0
        self._mark_seq = 0
        self._kept: int | None = None
        self._mark_seconds = time.monotonic()
        # Order of records is order of writes, so this lock is held while writing.
        self._file_lock = threading.Lock()
        self._on_disk_lock = threading.Lock()

    @property
    def head(self) -> ChainHead:
        """The last record that this process wrote or found."""
        return self._head

    def start(self, fields: Mapping[str, Any], *, old_key: bool = False) -> None:
        """Hold the chain to its mark, and write the record of a start. Errors as for `append`.

        Where records are missing, a record and the log say so, and the numbers go on after them,
        so that the gap stays. `old_key`: the key was not made for this start.
        """
        with self._file_lock, self._lock:
            self._look()
            mark = load_mark(self._path, self._key)
            self._kept = mark.seq if mark is not None else None
            records: list[Mapping[str, Any]] = []
            if mark is not None and mark.seq > self._head.seq:
                records.append({"event": "missing", "from": self._head.seq + 1, "to": mark.seq})
                _log.error(_MISSING, self._path, self._head.seq + 1, mark.seq)
                self._head = mark
            start = {**fields, "mark": self._kept}
            if old_key and mark is None:
                start["old_key"] = True
                _log.warning(_OLD_KEY, self._path)
            number = self._add((*records, start), mark=True)
        self._wait_for_disk(number)

    def append(self, *records: Mapping[str, Any]) -> None:
        """Write records, all or none. OSError, or FileError when the chain cannot be continued."""
        with self._file_lock, self._lock:
            self._look()
            number = self._add(records)
        self._wait_for_disk(number)

    def stop(self, *records: Mapping[str, Any]) -> None:
        """Write the last records, and let go of the file. Errors as for `append`."""
        with self._file_lock, self._lock:
            self._look()
            self._add(records, mark=True)
        self.close()

    def close(self) -> None:
        """Let go of the file, with everything on the disk."""
        with self._file_lock, self._on_disk_lock:
            self._close_file()
            self._lock.close()

    # -- for holders of the file's lock ------------------------------------------------------------

    def _look(self) -> None:
        """Catch up with what others did: wrote, renamed, cut, or took away."""
        if self._descriptor >= 0:
            status = self._status()
            if status is not None and (status.st_dev, status.st_ino) == self._identity:
                self._read_new_records(status.st_size)
                return
            self._read_new_records(os.fstat(self._descriptor).st_size)
            with self._on_disk_lock:
                self._close_file()
        else:
            earlier, _ = rotated(self._path, self._key)
            if earlier:
                self._follow(end_of(self._key, earlier[-1])[0])
        self._open()
        self._read_new_records(os.fstat(self._descriptor).st_size)

    def _status(self) -> os.stat_result | None:
        """That of the file that the path leads to, None when it leads nowhere."""
        try:
            return os.stat(self._name)  # noqa: PTH116 - a Path costs twice as much, on each call
        except FileNotFoundError:
            return None

    def _open(self) -> None:
        self._descriptor = open_regular(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        status = os.fstat(self._descriptor)
        self._identity = (status.st_dev, status.st_ino)
        self._size, self._begun, self._unfinished = 0, False, b""
        if self._durable:
            replace.sync_folder(self._path.parent)

    def _read_new_records(self, size: int) -> None:
        if size == self._size:
            return
        self._begun, self._unfinished = False, b""
        if size:
            head, self._unfinished = last_record(self._key, self._descriptor, size, self._path)
            self._begun = head is not None
            self._follow(head)
        self._size = size

    def _follow(self, head: ChainHead | None) -> None:
        # When the file was cut, what is remembered is newer: the gap must show.
        if head is not None and head.seq > self._head.seq:
            self._head = head

    def _add(self, records: Sequence[Mapping[str, Any]], *, mark: bool = False) -> int:
        data, head = self._lines(records)
        # A line that is unfinished is vouched for in its own file.
        full = self._begun and self._size + len(data) > self._max_bytes
        if full and not self._unfinished:
            self._rotate()
            data, head = self._lines(records)
        self._write(data)
        self._head, self._begun, self._unfinished = head, True, b""
        self._written += 1
        lag = time.monotonic() - self._mark_seconds
        if mark or head.seq - self._mark_seq >= MARK_RECORDS or lag >= MARK_SECONDS:
            self._keep_mark()
        return self._written

    def _keep_mark(self) -> None:
        """Keep how far the chain goes, once it is on the disk; the next time, when that fails."""
        self._mark_seq, self._mark_seconds = self._head.seq, time.monotonic()
        try:
            if self._descriptor >= 0:
                _to_disk(self._descriptor)
            replace.update(mark_of(self._path), self._newer_mark)
            self._kept = self._mark_seq
        except (OSError, FileError) as error:
            _log.error("how far the audit goes could not be kept: %s", error)

    def _newer_mark(self, old: bytes | None) -> bytes | None:
        before = audit_chain.read_mark(self._key, old) if old is not None else None
        if old is not None and before is None:
            _log.error("the audit's mark was changed by others; it is written anew")
        if before is not None and before.seq > self._head.seq:
            self._head = before  # another process went further, and that was cut off: a gap shows
            return None
        return audit_chain.write_mark(self._key, self._head)

    def _lines(self, records: Sequence[Mapping[str, Any]]) -> tuple[bytes, ChainHead]:
        parts, head = [b"\n" if self._unfinished else b""], self._head
        vouched = {}
        if self._unfinished and audit_chain.read(self._key, self._unfinished) is None:
            vouched = audit_chain.unfinished_fields(self._unfinished)
        opening: list[Mapping[str, Any]] = []
        if vouched or not self._begun:
            # Each file says that a mark is kept, so that one that is gone is missed whichever of
            # the others are left.
            begin = {"event": "begin", "mark": self._kept}
            opening.append({**({"event": "recovered"} if self._begun else begin), **vouched})
        for fields in (*opening, *records):
            time_text = self._clock().isoformat(timespec="milliseconds").replace("+00:00", "Z")
            line, head = audit_chain.write(self._key, head, {"time": time_text, **fields})
            parts.append(line)
        return b"".join(parts), head

    def _rotate(self) -> None:
        """Give the file the number of its last record as a second name part, and begin another."""
        with self._on_disk_lock:
            self._close_file()
        self._path.rename(self._path.with_name(f"{self._path.name}.{self._head.seq:012d}"))
        self._keep_mark()
        self._open()

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            # A full disk may have taken half a line.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)

    def _close_file(self) -> None:
        if self._descriptor < 0:
            return
        descriptor, self._descriptor, self._size = self._descriptor, -1, -1
        try:
            _to_disk(descriptor)
            self._on_disk = self._written
        finally:
            os.close(descriptor)

    def _wait_for_disk(self, number: int) -> None:
        if not self._durable:
            return
        with self._on_disk_lock:
            if self._on_disk < number:
                if self._descriptor < 0:
                    raise OSError(errno.EIO, "the file was closed before it was on the disk")
                written = self._written
                _to_disk(self._descriptor)
                self._on_disk = written
