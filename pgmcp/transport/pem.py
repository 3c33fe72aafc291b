"""PEM files on their way to OpenSSL: read by us, and handed over as the bytes that were read.

The rule: OpenSSL never opens a path of the operator's, where a FIFO would hold the thread for
ever; and what it opens instead is gone when it has been read.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pgmcp.errors import ConfigError, FileError
from pgmcp.storage import files
from pgmcp.storage.protection import refuse_if_others_can_write

MAX_BYTES = 4 * 1024 * 1024


def read(path: Path, kind: str) -> bytes:
    """The bytes of a regular file of a sane size; ConfigError, which says what `kind` it is.

    A file that others could write is refused.
    """
    try:
        refuse_if_others_can_write(path)
    except FileError as error:
        raise ConfigError(f"the TLS {kind} {error.message}", error.hint) from None
    try:
        data = files.read(path, MAX_BYTES)
        reason = "no such file"
    except FileError as error:
        data, reason = None, error.reason
    if data is None:
        raise ConfigError(
            f"cannot read the TLS {kind} {path}: {reason}",
            "Check the path, that it is a file, and that this user may read it.",
        )
    return data


@contextmanager
def as_path(data: bytes) -> Iterator[str]:
    """A path that leads to `data`, inside the block, and only for this user. OSError.

    In memory where the system has such files, so that neither a folder nor space is needed.
    """
    with ExitStack() as stack:
        descriptor, path = _memory() or _temporary(stack)
        stack.callback(os.close, descriptor)
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(data)
        yield path


def _memory() -> tuple[int, str] | None:
    if not hasattr(os, "memfd_create"):
        return None
    try:
        descriptor = os.memfd_create("pgmcp-tls")
    except OSError:  # an old kernel, or one that was told to refuse
        return None
    path = f"/proc/self/fd/{descriptor}"
    if os.access(path, os.R_OK):
        os.fchmod(descriptor, 0o600)
        return descriptor, path
    os.close(descriptor)  # without /proc it cannot be named
    return None


def _temporary(stack: ExitStack) -> tuple[int, str]:
    descriptor, path = tempfile.mkstemp(suffix=".pem")
    stack.callback(os.unlink, path)
    return descriptor, path
