"""`-verify-audit FILE`: whether an audit says what was written into it.

The rule: the first thing that is wrong is named by file and line, and nothing after it is vouched
for.
"""

from __future__ import annotations

from pathlib import Path

from pgmcp.cli.command import Command
from pgmcp.errors import ConfigError, FileError
from pgmcp.files import os_error
from pgmcp.observe.audit_chain import Verification
from pgmcp.observe.audit_read import chain_files, load_key

VERB = "verify-audit"


def verify(command: Command) -> int:
    """Check the files that were rotated away from FILE, oldest first, and FILE; 1 when broken."""
    path = Path(command.text(VERB) or "")
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file", "Name the audit's newest file.")
    key = load_key(_key_file(command, path), create=False)
    found = Verification(key)
    files = chain_files(path, key)
    for file in files:
        try:
            with file.open("rb") as stream:
                whole = found.check(file.name, stream)
        except OSError as error:
            raise os_error(file, error) from error
        if not whole:
            break
    for note in found.notes:
        command.console.say(f"Note: {note}")
    if found.problem is not None:
        vouched = f"{found.records} records before it are whole." if found.records else ""
        raise FileError(found.problem, vouched)
    _report(command, found, len(files))
    return 0


def _report(command: Command, found: Verification, files: int) -> None:
    say = command.console.say
    if found.first != 1:
        say(f"Note: the files with the records before {found.first} are not here")
    if found.last_event != "stop":
        say("Note: the last record is no stop: the server runs, was killed, or the end was cut off")
    last = found.head.seq if found.head else 0
    say(f"Whole: records {found.first} to {last} in {files} file{'' if files == 1 else 's'}")


def _key_file(command: Command, path: Path) -> Path:
    """The one that is named, else the configuration's for this audit, else the one beside it."""
    given = command.text("audit-key")
    if given:
        return Path(given)
    settings = command.loaded.audit
    if settings is not None and path.absolute().name.startswith(settings.file.name):
        return settings.key_file
    beside = path.with_name(f"{path.name}.key")
    if beside.exists():
        return beside
    return path.with_name(f"{path.name.rpartition('.')[0]}.key")
