"""Passwords from files: libpq's ~/.pgpass, and a file that holds one password.

The rule: a file that others can read is not used (libpq, "The Password File").
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pgmcp.config.values import Host, Secret
from pgmcp.errors import ConfigError, FileError
from pgmcp.storage.protection import refuse_if_others_can_write

_SOCKET_DIRS = ("/tmp", "/var/run/postgresql", "/run/postgresql")  # noqa: S108
_MAX_PASSWORD_BYTES = 4096
_FIELD = re.compile(r"((?:[^:\\]|\\.|\\$)*)(?::|$)")
_ESCAPE = re.compile(r"\\(.)")

_log = logging.getLogger("pgmcp.config")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: the patterns as they stand in the file, and the password, unescaped."""

    patterns: tuple[str, str, str, str]
    password: str = field(repr=False)

    def matches(self, wanted: Sequence[str]) -> bool:
        """Whether each pattern is `*` or says the wanted host, port, database and user."""
        return all(
            pattern == "*" or _unescape(pattern) == value
            for pattern, value in zip(self.patterns, wanted, strict=True)
        )


def parse(text: bytes) -> list[Entry]:
    """The entries of a password file, in order. A line of another shape is skipped.

    A comment needs no care: no host begins with `#`.
    """
    entries = []
    for raw in text.splitlines():
        try:
            line = raw.decode()
        except UnicodeDecodeError:
            continue
        fields = _FIELD.findall(line)
        if len(fields) < 5:
            continue
        host, port, database, user, password = fields[:5]
        entries.append(Entry((host, port, database, user), _unescape(password)))
    return entries


def find(entries: Sequence[Entry], host: Host, database: str, user: str) -> Secret | None:
    """The password of the first entry that matches; a default socket directory is `localhost`."""
    name = "localhost" if host.host.rstrip("/") in _SOCKET_DIRS else host.host
    wanted = (name, str(host.port), database, user)
    password = next((entry.password for entry in entries if entry.matches(wanted)), "")
    return Secret(password) if password else None


def read(file: Path) -> list[Entry]:
    """The entries of a password file, none when it is not there; a file that libpq would not use
    is logged, and has none."""
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            _log.warning("%s is ignored: it is not a plain file", file)
            return []
        if _open_to_others(status):
            _log.warning("%s is ignored: others have access to it. Run: chmod 600 it", file)
            return []
        refuse_if_others_can_write(file)
        return parse(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except FileError as error:
        _log.warning("%s is ignored: %s. %s", file, error.reason, error.hint)
        return []
    except OSError as error:
        _log.warning("%s is ignored: %s", file, error.strerror)
        return []


def read_single(file: Path, label: str, what: str = "password") -> Secret:
    """The one password that a file holds, without its last line end. ConfigError names `label`.

    `what` the file holds instead, for messages.
    """
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{label}: {file} is not a plain file", "Name a file.")
        if _open_to_others(status):
            raise ConfigError(
                f"{label}: others have access to {file}", f"Run: chmod 600 {shlex.quote(str(file))}"
            )
        refuse_if_others_can_write(file)
        with file.open("rb") as stream:
            text = stream.read(_MAX_PASSWORD_BYTES + 1)
    except FileError as error:
        raise ConfigError(f"{label}: {error.message}", error.hint) from None
    except OSError as error:
        raise ConfigError(
            f"{label}: cannot read {file}: {error.strerror}",
            "Check the path, the owner and the mode.",
        ) from None
    password = text.removesuffix(b"\n").removesuffix(b"\r")
    if not password or len(text) > _MAX_PASSWORD_BYTES or b"\n" in password or b"\0" in password:
        raise ConfigError(
            f"{label}: {file} does not hold one {what} on one line",
            f"Put the {what} in it and nothing else.",
        )
    try:
        return Secret(password.decode())
    except UnicodeDecodeError:
        raise ConfigError(f"{label}: {file} is not UTF-8", "Save it as UTF-8.") from None


def _unescape(text: str) -> str:
    return _ESCAPE.sub(r"\1", text)


def _open_to_others(status: os.stat_result) -> bool:
    return os.name != "nt" and bool(status.st_mode & (stat.S_IRWXG | stat.S_IRWXO))
