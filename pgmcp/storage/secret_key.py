"""Keys: random bytes in a file of mode 0600, as hexadecimal digits on one line."""

from __future__ import annotations

import secrets
from pathlib import Path

from pgmcp.errors import FileError
from pgmcp.storage import files, replace
from pgmcp.storage.protection import refuse_if_others_can_write

KEY_BYTES = 32


def load_key(path: Path, *, create: bool, missing: str) -> tuple[bytes, bool]:
    """The key in a file; with `create` a new one when there is no file. FileError.

    A key that others could read is taken from them, and the second value says so: it may be known
    to them. `missing`: what to do where there is none.
    """
    if create and not path.exists():
        new = secrets.token_hex(KEY_BYTES).encode() + b"\n"
        replace.update(path, lambda old: new if old is None else None)
    refuse_if_others_can_write(path)
    return read_key(path, missing), replace.tighten(path)


def read_key(path: Path, missing: str) -> bytes:
    """The key in a file, which is left as it is; FileError when there is none."""
    text = files.read(path)
    if text is None:
        raise FileError("there is no key", missing, origin=str(path))
    try:
        key = bytes.fromhex(text.decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) < KEY_BYTES:
        raise FileError(
            "not a key", f"It holds {2 * KEY_BYTES} hexadecimal digits.", origin=str(path)
        )
    return key
