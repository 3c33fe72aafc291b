"""Change a small private file in place of another: whole, mode 0600, one writer at a time.

The rule: whoever opens the file at any instant, even after `kill -9` or on a full disk, finds the
old content or the new. Commands and servers share the lock, a file beside the one it guards.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pgmcp.errors import FileError
from pgmcp.storage import files
from pgmcp.storage.regular_file import open_regular

LOCK_WAIT_SECONDS = 30.0
_RETRY_SECONDS = 0.005


def update(path: Path, change: Callable[[bytes | None], bytes | None]) -> bool:
    """Replace a file by what `change` makes of it; True when something was written.

    `change` gets the content under the lock, None when there is no file, and returns the new
    content, or None to leave things as they are. A symlink stays, its target is replaced; the
    owner stays. FileError says what was in the way.
    """
    return _change(path, change, keep=True)


def dry_run(path: Path, change: Callable[[bytes | None], bytes | None]) -> None:
    """Do all that `update` does, but for the last step: the file stays as it is. FileError."""
    _change(path, change, keep=False)


def tighten(path: Path) -> bool:
    """Take a file's permissions from everybody but its owner; True when there were any.

    FileError when that cannot be done: a credential file others can read is not to be trusted.
    """
    if sys.platform == "win32":
        return False
    try:
        mode = path.stat().st_mode & 0o7777
        if mode & 0o077 == 0:
            return False
        path.chmod(0o600)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise FileError(
            "others can read it, and its permissions cannot be changed",
            f"Run: chmod 600 {shlex.quote(str(path))}",
            origin=str(path),
        ) from error
    return True


def _change(path: Path, change: Callable[[bytes | None], bytes | None], *, keep: bool) -> bool:
    target = Path(os.path.realpath(path))
    try:
        with _locked(target):
            old = files.read(target)
            new = change(old)
            if new is None:
                return False
            _write(target, new, keep=keep)
    except OSError as error:
        raise files.os_error(target, error) from error
    return True


def _write(target: Path, content: bytes, *, keep: bool) -> None:
    temporary = target.with_name(f".{target.name}.tmp")
    # Only the holder of the lock gets here: a temporary file that is there was left by a writer
    # that died.
    temporary.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            _keep_owner(stream.fileno(), target)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        if keep:
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(target.parent)


def _keep_owner(descriptor: int, target: Path) -> None:
    """Give the new file to the old one's owner, or to the folder's when there was none.

    An administrator's command must not leave a file that the server's user cannot read.
    """
    if sys.platform == "win32":
        return
    model = target if target.exists() else target.parent
    wanted, have = model.stat(), os.fstat(descriptor)
    if (wanted.st_uid, wanted.st_gid) == (have.st_uid, have.st_gid):
        return
    try:
        os.fchown(descriptor, wanted.st_uid, wanted.st_gid)
    except OSError as error:
        # EINVAL: an owner that has no number in this user namespace.
        if not isinstance(error, PermissionError) and error.errno != errno.EINVAL:
            raise
        if model == target and wanted.st_uid != have.st_uid:
            raise FileError(
                "belongs to another user, who would lose it",
                "Run this command as that user.",
                origin=str(target),
            ) from None


def sync_folder(folder: Path) -> None:
    """Write a folder's entries to the disk: after that a rename survives a power failure."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Hold the lock of a file; the system releases it when the process dies."""
    lock = target.with_name(f".{target.name}.lock")
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    try:
        descriptor = open_regular(lock, flags)
    except OSError as error:
        raise files.os_error(lock, error) from error
    try:
        if os.fstat(descriptor).st_size == 0:
            _keep_owner(descriptor, target)
        if not lock_within(descriptor, LOCK_WAIT_SECONDS, _RETRY_SECONDS):
            raise FileError(
                f"locked by another process ({lock})",
                "Try again when that process is done, or end it.",
                origin=str(target),
            )
        yield
    finally:
        os.close(descriptor)


def lock_within(descriptor: int, wait_seconds: float, retry_seconds: float) -> bool:
    """Take the lock of an open file, trying again until the time is up; whether it was taken."""
    deadline = time.monotonic() + wait_seconds
    while not try_lock(descriptor):
        if time.monotonic() > deadline:
            return False
        time.sleep(retry_seconds)
    return True


if sys.platform == "win32":
    import msvcrt

    def try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def unlock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
