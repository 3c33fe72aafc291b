"""The configuration file: where it is looked for, and how it is read.

The rule: a file that others could write is refused, since it says who may come in.
"""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from pgmcp.config.layers import Options
from pgmcp.errors import COMMAND, ConfigError, FileError
from pgmcp.storage.protection import refuse_if_others_can_write

FILE_NAME = "pgedge-postgres-mcp.yaml"
SYSTEM_FILE = Path("/etc/pgedge") / FILE_NAME
_MAX_BYTES = 1 << 20

_log = logging.getLogger("pgmcp.config")


def find(
    options: Options,
    cwd: Path,
    program_dir: Path,
    system_file: Path = SYSTEM_FILE,
) -> Path | None:
    """`-config`, else the system's file, else the one beside the program, else None.

    The folder that the program is started from does not count: a client starts it in folders whose
    files are somebody else's.

    Raises ConfigError when `-config` names nothing, or a file cannot even be looked for.
    """
    if "config" in options:
        file = cwd / str(options["config"])
        if not options["config"] or not _exists(file):
            raise ConfigError(
                f"flag -config: configuration file not found: {options['config'] or '(empty)'}",
                f"Write it with: {COMMAND} -init\nOr name the right file.",
            )
        return file
    places = (system_file, default_file(program_dir))
    return next((file for file in places if _exists(file)), None)


def default_file(program_dir: Path) -> Path:
    """Where a configuration is looked for last, and written when no place is named."""
    return program_dir / FILE_NAME


def describe(file: Path | None, program_dir: Path) -> str:
    """The line that says which configuration is used, or where there is none."""
    if file is not None:
        return f"Configuration: {file}"
    return f"Configuration: none (looked for {SYSTEM_FILE} and {default_file(program_dir)})"


def read(file: Path) -> object:
    """The parsed YAML of up to 1 MiB; FileError when it cannot be read or parsed.

    It need not be a regular file: `-config <(command)` is a pipe. A file that others could write
    is refused.
    """
    refuse_if_others_can_write(file)
    try:
        with file.open("rb") as stream:
            text = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise FileError(
            problem, "Check the path, the owner and the mode.", origin=str(file)
        ) from None
    if len(text) > _MAX_BYTES:
        raise FileError("larger than 1 MiB", "Name a YAML file.", origin=str(file))
    from pgmcp.storage.files import load_yaml  # here, because many a start has no file to parse

    return load_yaml(text, str(file))


def warn_if_exposed(file: Path) -> None:
    """Log a warning when others can read a file that holds a password."""
    if os.name != "nt" and file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        _log.warning(
            "%s holds a password and others can read it: chmod 600 it, or use password_file", file
        )


def _exists(file: Path) -> bool:
    """Whether there is anything at the path. A broken link is there, and fails when read."""
    try:
        file.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{file}: cannot be looked for: {getattr(error, 'strerror', error)}",
            "Check the folder's owner and mode, or name another file with -config.",
        ) from None
    return True
