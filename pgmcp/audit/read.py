"""An audit's files: their lock, the key, the mark, their order, the last record.

The rule: nothing is trusted because it is the last: a record counts when its MAC is right.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pgmcp.audit import chain as audit_chain
from pgmcp.audit.chain import ChainHead
from pgmcp.errors import FileError
from pgmcp.storage import files, replace, secret_key
from pgmcp.storage.regular_file import open_regular, read_regular

LOCK_WAIT_SECONDS = 5.0
LOCK_RETRY_SECONDS = 0.001
_CHUNK_BYTES = 64 * 1024
_LINE_BYTES = 64 * 1024 * 1024
_OF_OURS = (".key", ".mark")
"""How names of files end that stand beside an audit by default, and hold no records."""

_NO_KEY = (
    "Put the audit's key back; to begin another audit, move all files of the old one away, "
    "its .mark too."
)

_log = logging.getLogger("pgmcp.audit")


def lock_file(path: Path) -> Path:
    """The file beside an audit by whose lock its writers take turns."""
    return path.with_name(f".{path.name}.lock")


def kept_locked(path: Path) -> FileError:
    """What it ends with when another process keeps an audit locked."""
    return FileError(
        "another process keeps it locked",
        "Try again when that process is done, or end it.",
        origin=str(path),
    )


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep writers out of an audit that is read.

    Nothing is made: where there is no lock that can be opened, nobody is kept out, for no server of
    ours runs there. FileError when another process keeps the lock for LOCK_WAIT_SECONDS.
    """
    try:
        descriptor = open_regular(lock_file(path), os.O_RDONLY)
    except OSError:
        yield
        return
    try:
        if not replace.lock_within(descriptor, LOCK_WAIT_SECONDS, LOCK_RETRY_SECONDS):
            raise kept_locked(path)
        yield
    finally:
        os.close(descriptor)


def begun(path: Path) -> bool:
    """Whether an audit has records already: then it is not given a new key, for nobody could
    verify both. A mark and files that were rotated away are left of records, too."""
    if (path.exists() and path.stat().st_size > 0) or mark_of(path).exists():
        return True
    real = Path(os.path.realpath(path))
    return real.parent.is_dir() and any(
        other.name.startswith(f"{real.name}.") and other.name[len(real.name) + 1 :].isdigit()
        for other in real.parent.iterdir()
    )


def mark_of(path: Path) -> Path:
    """Where an audit's mark is kept: beside it, so that it can be written wherever the audit can,
    and tells of the records when the audit is cut, or moved away without it."""
    real = Path(os.path.realpath(path))
    return real.with_name(f"{real.name}.mark")


def load_mark(path: Path, key: bytes) -> ChainHead | None:
    """How far an audit went, None when that was not kept; FileError for what is no mark."""
    mark = mark_of(path)
    data = files.read(mark)
    if data is None:
        return None
    head = audit_chain.read_mark(key, data)
    if head is None:
        raise FileError(
            "it cannot be verified, so how far the audit went is not known",
            f"Run -verify-audit {path}, put the right key back, or move the mark elsewhere.",
            origin=str(mark),
        )
    return head


def load_key(path: Path, *, create: bool) -> bytes:
    """The audit's key; with `create` a new one when there is no file. FileError."""
    key, was_readable = secret_key.load_key(path, create=create, missing=_NO_KEY)
    if was_readable:
        _log.warning("WARNING: others could read the audit's key %s; its mode is now 0600", path)
    return key


def read_key(path: Path) -> bytes:
    """The key in a file, which is left as it is; FileError when there is none."""
    return secret_key.read_key(path, _NO_KEY)


def chain_files(path: Path, key: bytes) -> list[Path]:
    """The files that were rotated away from `path`, oldest first, and `path` if it is there."""
    return rotated(path, key)[0] + ([path] if path.exists() else [])


def rotated(path: Path, key: bytes) -> tuple[list[Path], list[Path]]:
    """The files that were rotated away from `path`, oldest first, and those named like one that
    hold no record.

    A file with a number for its last name part counts whatever it holds: one that was spoilt must
    not drop out. Any other counts when a record is in it, wherever. OSError.
    """
    numbered: list[tuple[int, str, Path]] = []
    others: list[Path] = []
    for other in path.parent.iterdir():
        suffix = other.name.removeprefix(f"{path.name}.")
        if suffix == other.name or not other.is_file():
            continue
        try:
            first = _first_number(other, key)
        except FileNotFoundError:
            continue  # put away since it was listed
        if first is None and re.fullmatch(r"[0-9]+", suffix):
            first = int(suffix)
        if first is not None:
            numbered.append((first, other.name, other))
        elif not other.name.endswith(_OF_OURS):
            others.append(other)
    return [other for _, _, other in sorted(numbered)], sorted(others)


def _first_number(path: Path, key: bytes) -> int | None:
    """The number of a file's first intact record, of its first broken one when none is intact."""
    broken = None
    with read_regular(path) as stream:
        while line := stream.readline(_LINE_BYTES):
            entry = audit_chain.read(key, line)
            if entry is not None and entry.intact:
                return entry.head.seq
            if entry is not None and broken is None:
                broken = entry.head.seq
    return broken


def last_record(
    key: bytes, descriptor: int, size: int, path: Path
) -> tuple[ChainHead | None, bytes]:
    """The last record of a file, None when there is none, and the bytes of an unfinished line.

    FileError when the last whole line is no record of this key: a chain is not continued there.
    """
    length = _CHUNK_BYTES
    while True:
        start = max(0, size - length)
        data = _read_at(descriptor, start, size - start)
        lines, _, rest = data.rpartition(b"\n")
        if start == 0 or b"\n" in lines:
            break
        length *= 4
    if rest and (entry := audit_chain.read(key, rest)) is not None and entry.intact:
        return entry.head, rest  # only its newline is missing
    line = lines.rpartition(b"\n")[2]
    if not line:
        return None, rest
    entry = audit_chain.read(key, line)
    if entry is None or not entry.intact:
        raise FileError(
            "its last record cannot be verified, so the chain cannot be continued",
            f"Run -verify-audit {path}, put the right key back, or move the file elsewhere.",
            origin=str(path),
        )
    return entry.head, rest


def end_of(key: bytes, path: Path) -> tuple[ChainHead | None, bytes]:
    """`last_record` of a file by its path."""
    with read_regular(path) as stream:
        return last_record(key, stream.fileno(), path.stat().st_size, path)


@dataclass(frozen=True, slots=True)
class AuditSnapshot:
    """Where an audit stands at one moment: its mark, the files that were rotated away, those named
    like one that hold no record, and the newest file, open, with its size; None when it is gone."""

    mark: ChainHead | None
    rotated: list[Path]
    others: list[Path]
    newest: BinaryIO | None
    size: int


def snapshot(path: Path, key: bytes) -> AuditSnapshot:
    """Where an audit stands, between two records of a server that runs. OSError or FileError.

    Nothing is made or changed. The newest file is the caller's to close.
    """
    with locked(path):
        mark = load_mark(path, key)
        before, others = rotated(path, key)
        newest = read_regular(path) if path.exists() else None
        size = os.fstat(newest.fileno()).st_size if newest is not None else 0
        return AuditSnapshot(mark, before, others, newest, size)


def lines_of(stream: BinaryIO, size: int) -> Iterator[bytes]:
    """The lines in the first `size` bytes: what is written later is not looked at."""
    while size > 0 and (line := stream.readline(size)):
        size -= len(line)
        yield line


def _read_at(descriptor: int, start: int, length: int) -> bytes:
    os.lseek(descriptor, start, os.SEEK_SET)
    parts = []
    while length > 0 and (part := os.read(descriptor, length)):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
