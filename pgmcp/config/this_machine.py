"""The machine that the program runs on, as the configuration asks it.

The rule: a file with a secret that others can read is not used (libpq, "The Password File").
"""

from __future__ import annotations

import logging
import os
import shlex
import stat
from pathlib import Path

from pgmcp.config import pgpass
from pgmcp.config.pgpass import PgpassEntry
from pgmcp.config.values import Secret
from pgmcp.errors import ConfigError, FileError
from pgmcp.storage.protection import refuse_if_others_can_write

_MAX_SECRET_BYTES = 4096

_log = logging.getLogger("pgmcp.config")


class ThisMachine:
    """`config.machine.Machine` by asking the operating system; it keeps nothing."""

    def is_file(self, path: Path) -> bool:
        """See Machine."""
        try:
            return path.is_file()
        except OSError:
            return False

    def user(self) -> str:
        """See Machine."""
        try:
            import pwd

            return pwd.getpwuid(os.geteuid()).pw_name
        except (ImportError, KeyError):  # Windows; a user id without an entry, as in containers
            return ""

    def pgpass(self, path: Path) -> list[PgpassEntry]:
        """See Machine. A file that libpq would not use is logged."""
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                _log.warning("%s is ignored: it is not a plain file", path)
                return []
            if _open_to_others(status):
                _log.warning("%s is ignored: others have access to it. Run: chmod 600 it", path)
                return []
            refuse_if_others_can_write(path)
            return pgpass.parse(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except FileError as error:
            _log.warning("%s is ignored: %s. %s", path, error.reason, error.hint)
            return []
        except OSError as error:
            _log.warning("%s is ignored: %s", path, error.strerror)
            return []

    def secret(self, path: Path, label: str, what: str) -> Secret:
        """See Machine. The file's last line end is not part of the secret."""
        text = _read_protected(path, label)
        line = text.removesuffix(b"\n").removesuffix(b"\r")
        if not line or len(text) > _MAX_SECRET_BYTES or b"\n" in line or b"\0" in line:
            raise ConfigError(
                f"{label}: {path} does not hold one {what} on one line",
                f"Put the {what} in it and nothing else.",
            )
        try:
            return Secret(line.decode())
        except UnicodeDecodeError:
            raise ConfigError(f"{label}: {path} is not UTF-8", "Save it as UTF-8.") from None


def _read_protected(path: Path, label: str) -> bytes:
    """The first bytes of a file that only its owner may read. ConfigError begins with `label`."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{label}: {path} is not a plain file", "Name a file.")
        if _open_to_others(status):
            raise ConfigError(
                f"{label}: others have access to {path}", f"Run: chmod 600 {shlex.quote(str(path))}"
            )
        refuse_if_others_can_write(path)
        with path.open("rb") as stream:
            return stream.read(_MAX_SECRET_BYTES + 1)
    except FileError as error:
        raise ConfigError(f"{label}: {error.message}", error.hint) from None
    except OSError as error:
        raise ConfigError(
            f"{label}: cannot read {path}: {error.strerror}",
            "Check the path, the owner and the mode.",
        ) from None


def _open_to_others(status: os.stat_result) -> bool:
    return os.name != "nt" and bool(status.st_mode & (stat.S_IRWXG | stat.S_IRWXO))
