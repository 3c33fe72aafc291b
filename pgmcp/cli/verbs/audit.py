"""`-verify-audit FILE`: whether an audit says what was written into it.

The rule: the first thing that is wrong is named by file and line, and nothing after it is vouched
for. Only what is whole beyond doubt ends with status 0.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pgmcp.audit.read import AuditSnapshot, lines_of, read_key, snapshot
from pgmcp.audit.verify import Verification
from pgmcp.cli.flag_table import PROGRAM
from pgmcp.cli.verb import Command, Flag, Verb
from pgmcp.config.audit import Audit
from pgmcp.errors import ConfigError, FileError
from pgmcp.storage.files import os_error
from pgmcp.storage.regular_file import read_regular

_VERB = "verify-audit"


def verify_audit(command: Command, audit: Audit | None) -> int:
    """Check the files that were rotated away from FILE, oldest first, and FILE. FileError when
    something is wrong or in doubt.

    Nothing is changed. A server may go on writing: what it writes meanwhile is not looked at.
    """
    given = Path(command.text(_VERB) or "")
    path = Path(os.path.realpath(given))
    if not path.exists() and not any(path.parent.glob(f"{_literal(path.name)}.[0-9]*")):
        raise ConfigError(f"{given}: there is no such file", "Name the audit's newest file.")
    key = read_key(key_file(command, audit, given))
    with _opened(path, key) as files:
        checked = Verification(key, files.mark)
        whole = all(_check(checked, file, None, 0) for file in files.rotated)
        if whole and files.newest is not None:
            whole = _check(checked, path, files.newest, files.size)
        if whole:
            checked.end()
    for note in _notes(checked, files, path):
        command.console.say(f"Note: {note}")
    for uncertainty in checked.uncertainties:
        command.console.say(f"Doubt: {uncertainty}")
    if checked.problem is not None:
        vouched = f"{checked.records} records before it are whole." if checked.records else ""
        raise FileError(checked.problem, vouched)
    number = len(files.rotated) + (files.newest is not None)
    last = checked.head.seq if checked.head else 0
    said = f"records {checked.first} to {last} in {number} file{'' if number == 1 else 's'}"
    if checked.uncertainties:
        raise FileError(
            f"{said} are as they were written, and others may be missing: "
            f"{checked.uncertainties[0]}",
            "Compare the last number with pgmcp_audit_sequence, or with a copy of the mark.",
        )
    command.console.say(f"Whole: {said}")
    return 0


@contextmanager
def _opened(path: Path, key: bytes) -> Iterator[AuditSnapshot]:
    try:
        files = snapshot(path, key)
    except OSError as error:
        raise os_error(Path(error.filename or path), error) from error
    try:
        yield files
    finally:
        if files.newest is not None:
            files.newest.close()


def _check(checked: Verification, path: Path, stream: BinaryIO | None, size: int) -> bool:
    try:
        if stream is not None:
            return checked.check(path.name, lines_of(stream, size))
        with read_regular(path) as rotated:
            return checked.check(path.name, rotated)
    except OSError as error:
        raise os_error(path, error) from error


def _notes(checked: Verification, files: AuditSnapshot, path: Path) -> Iterator[str]:
    yield from checked.notes
    for other in files.others:
        yield f"{other.name} holds no record, and is not looked at"
    if checked.unstopped:
        first, more = checked.unstopped[0], len(checked.unstopped) - 1
        yield (
            f"record {first}{f' and {more} more' if more else ''}: a server started with no stop "
            "before it: one was killed, the end was cut off, or several run side by side"
        )
    if checked.problem is not None:
        return
    if checked.first != 1:
        yield f"the files with the records before {checked.first} are not here"
    if files.newest is None:
        yield f"{path.name} is not here: the next record makes it"
    if checked.last_event != "stop":
        yield "the last record is no stop: the server runs, was killed, or the end was cut off"


def _literal(name: str) -> str:
    """A name as a pattern that only it matches."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def key_file(command: Command, audit: Audit | None, path: Path) -> Path:
    """The one that is named, else the configuration's for this audit, else the one beside it, or
    beside the file that it was rotated away from."""
    given = command.text("audit-key")
    if given:
        return Path(given)
    if audit is not None and path.absolute().name.startswith(audit.file.name):
        return audit.key_file
    beside = path.with_name(f"{path.name}.key")
    newest = path.with_name(f"{path.name.rpartition('.')[0]}.key")
    return newest if newest.exists() and not beside.exists() else beside


AUDIT_KEY = Flag(
    "audit-key",
    "The audit's key. Default: audit.key_file, else the one beside the audit.",
    "FILE",
)

VERBS = (
    Verb(
        _VERB,
        PROGRAM,
        "Verify an audit: the files that were rotated away from this one, and this one.",
        verify_audit,
        ("audit",),
        (AUDIT_KEY,),
        "FILE",
    ),
)
