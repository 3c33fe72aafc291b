"""What `-check` finds out about the files of the log, the audit and the metrics.

The rule: nothing is made or changed, not even a mode; it is said what the server would do.
"""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from pgmcp.audit.chain import KEY_BYTES
from pgmcp.audit.read import begun, chain_files, end_of, load_mark, read_key
from pgmcp.cli.finding import OTHERS, Finding, error, exposure, ok, warning
from pgmcp.config.audit import Audit
from pgmcp.config.model import Config
from pgmcp.errors import ConfigError, FileError
from pgmcp.storage.files import os_error
from pgmcp.storage.protection import refuse_if_others_can_write
from pgmcp.storage.regular_file import open_regular

_EVERYBODY = 0o007  # a log is often read by a group
_NO_KEY = bytes(KEY_BYTES)  # verifies what a new key does: nothing
_ELSEWHERE = "Name a file in a folder that pgmcp may write to."


def observing_findings(config: Config) -> Iterator[Finding]:
    """Whether what happens can be written down, and read by those who may."""
    if config.log.file is not None:
        yield from log_findings(config.log.file)
    if config.audit is not None:
        yield from audit_findings(config.audit)
    metrics = config.metrics
    if config.http.enabled and metrics.enabled and metrics.token_file is not None:
        yield from metrics_findings(metrics.token_file)


def log_findings(path: Path) -> Iterator[Finding]:
    """Whether the log can be opened, as the server opens it."""
    try:
        there = _writable(path)
        yield ok("log file", f"{path}: {'can be written' if there else 'will be made'}")
        if there:
            yield from exposure("log file", path, _EVERYBODY)
    except FileError as failure:
        yield error("log file", failure.message, failure.hint)
    except OSError as failure:
        yield error("log file", os_error(path, failure).message, _ELSEWHERE)


def metrics_findings(path: Path) -> Iterator[Finding]:
    """Whether the token for the metrics can be read, and by nobody else."""
    from pgmcp.server.pages import MetricsPage  # here: few servers have one

    try:
        MetricsPage(path, tuple)
        yield ok("metrics token", f"{path}: holds a token")
        yield from exposure("metrics token", path)
    except (ConfigError, FileError) as failure:
        yield error("metrics token", failure.message, failure.hint or "Mend the file.")


def audit_findings(audit: Audit) -> Iterator[Finding]:
    """Whether the audit can be begun, or its chain continued, as the server's start does it."""
    try:
        yield from _key_and_chain(audit)
    except FileError as failure:
        yield error("audit", failure.message, failure.hint or _ELSEWHERE)
    except OSError as failure:
        path = Path(failure.filename or audit.file)
        yield error("audit", os_error(path, failure).message, _ELSEWHERE)


def _key_and_chain(audit: Audit) -> Iterator[Finding]:
    file = Path(os.path.realpath(audit.file))
    there = _writable(file)
    _see_folder(file.parent)  # a lock is made beside it, and it is renamed there when it is full
    key = _NO_KEY
    if begun(file) or audit.key_file.exists():
        refuse_if_others_can_write(audit.key_file)
        key = read_key(audit.key_file)
        yield from _key_of_mode(audit.key_file)
    files = chain_files(file, key)
    newest, unfinished = 0, b""
    for other in files[-2:] if there else files[-1:]:
        head, unfinished = end_of(key, other)
        newest = head.seq if head is not None else newest
    if key is _NO_KEY:
        _writable(audit.key_file)
        yield ok("audit key", f"{audit.key_file}: will be made")
    mark = load_mark(file, key)
    if mark is not None and mark.seq > newest:
        yield warning(
            "audit file",
            f"{audit.file}: its mark tells of record {mark.seq}, and the last that is there is "
            f"{newest}: the end was cut off, or files were taken away",
            "Put them back before the server starts, or it will say so in the audit for good.",
        )
        newest = mark.seq
    if mark is None and newest:
        yield warning(
            "audit file",
            f"{audit.file}: its mark is not there: records may have been cut off or taken away",
            "Put the .mark back before the server starts, or it will say so in the audit for good.",
        )
    yield ok("audit file", f"{audit.file}: {_prospect(audit.file, there, newest)}")
    if unfinished:
        yield warning(
            "audit file",
            f"{audit.file}: its last line is unfinished; the next record will say so",
            "Nothing to do: a program that was killed leaves this behind.",
        )
    if there:
        yield from exposure("audit file", file)


def _prospect(file: Path, there: bool, newest: int) -> str:
    begins = "can be written" if there else "will be made"
    if newest == 0:
        return f"{begins}, and begins a chain"
    return f"{begins}, and goes on from record {newest}; -verify-audit {file} checks those before"


def _key_of_mode(path: Path) -> Iterator[Finding]:
    """The key's mode: the server tightens it, and does not start when it may not."""
    status = path.stat()
    foreign = hasattr(os, "geteuid") and os.geteuid() not in (0, status.st_uid)
    if status.st_mode & OTHERS and foreign:
        yield error(
            "audit key",
            f"{path} has mode {status.st_mode & 0o777:04o}, and belongs to somebody else: the "
            "server cannot take it from others, and does not start",
            f"Give it to the server's user, and: chmod 600 {shlex.quote(str(path))}",
        )
        return
    yield ok("audit key", f"{path}: can be read")
    yield from exposure("audit key", path)


def _writable(path: Path) -> bool:
    """Whether there is a file to write to, False when it would be made; OSError or FileError when
    neither."""
    target = Path(os.path.realpath(path))
    try:
        os.close(open_regular(target, os.O_WRONLY | os.O_APPEND))
    except FileNotFoundError:
        _see_folder(target.parent)
        return False
    return True


def _see_folder(folder: Path) -> None:
    """OSError when nothing can be made in a folder."""
    if not folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(folder))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "nothing can be made in this folder", str(folder))
