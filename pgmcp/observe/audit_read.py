"""Reading an audit's files back: the key, the files in their order, the last record of one.

The rule: nothing is trusted because it is the last: a record counts when its MAC is right.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from pgmcp import files, replace
from pgmcp.errors import FileError
from pgmcp.observe import audit_chain
from pgmcp.observe.audit_chain import KEY_BYTES, Head

_CHUNK_BYTES = 64 * 1024


def begun(path: Path) -> bool:
    """Whether an audit has records already: then it is not given a new key, for nobody could
    verify both."""
    return path.exists() and path.stat().st_size > 0


def load_key(path: Path, *, create: bool) -> bytes:
    """The key in a file of mode 0600; with `create` a new one when there is no file. FileError."""
    if create and not path.exists():
        new = secrets.token_hex(KEY_BYTES).encode() + b"\n"
        replace.update(path, lambda old: new if old is None else None)
    key = read_key(path)
    replace.tighten(path)
    return key


def read_key(path: Path) -> bytes:
    """The key in a file, which is left as it is; FileError when there is none."""
    text = files.read(path)
    if text is None:
        raise FileError("there is no key", "Put the audit's key back.", origin=str(path))
    try:
        key = bytes.fromhex(text.decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) < KEY_BYTES:
        raise FileError(
            "not a key", f"It holds {2 * KEY_BYTES} hexadecimal digits.", origin=str(path)
        )
    return key


def chain_files(path: Path, key: bytes) -> list[Path]:
    """The files that were rotated away from `path`, oldest first, and `path` if it is there."""
    found: list[tuple[int, Path]] = []
    for other in path.parent.iterdir():
        if other.name.startswith(f"{path.name}.") and other.is_file():
            with other.open("rb") as stream:
                entry = audit_chain.read(key, stream.readline(_CHUNK_BYTES))
            if entry is not None:
                found.append((entry.head.seq, other))
    return [other for _, other in sorted(found)] + ([path] if path.exists() else [])


def last_record(key: bytes, descriptor: int, size: int, path: Path) -> tuple[Head | None, bytes]:
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


def end_of(key: bytes, path: Path) -> tuple[Head | None, bytes]:
    """`last_record` of a file by its path."""
    with path.open("rb") as stream:
        return last_record(key, stream.fileno(), path.stat().st_size, path)


def _read_at(descriptor: int, start: int, length: int) -> bytes:
    os.lseek(descriptor, start, os.SEEK_SET)
    parts = []
    while length > 0 and (part := os.read(descriptor, length)):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
