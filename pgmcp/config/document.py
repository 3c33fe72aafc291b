"""The configuration file: found, read, and flattened to dotted keys.

The rule: an unknown key is an error, because a setting that is silently ignored is worse than a
start that fails.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from pgmcp.config.needed import EVERYTHING, Needed, holds_needed, may_be_needed, warn
from pgmcp.errors import COMMAND, ConfigError, FileError
from pgmcp.storage.protection import refuse_if_others_can_write

FILE_NAME = "pgedge-postgres-mcp.yaml"
SYSTEM_FILE = Path("/etc/pgedge") / FILE_NAME
_MAX_BYTES = 1 << 20

_log = logging.getLogger("pgmcp.config")


def find(
    options: Mapping[str, str | bool],
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


def flatten(
    node: object,
    known: Iterable[str],
    file: Path,
    prefix: str = "",
    needed: Needed = EVERYTHING,
) -> dict[str, object]:
    """The leaves of a document by dotted path.

    `known` are the paths of leaves; one that ends in `.NAME` takes any last part.
    `prefix` goes before a path in messages only. ConfigError for an unknown key, a warning where
    it can only be meant for a key that is not `needed`.
    """
    return _Shape(frozenset(known), file, prefix, needed).walk(node, "")


class _Shape:
    """The keys that a document, or a part of it, may have."""

    def __init__(self, leaves: frozenset[str], file: Path, prefix: str, needed: Needed) -> None:
        self._leaves = leaves
        self._sections = {
            ".".join(parts[:depth])
            for parts in (leaf.split(".") for leaf in leaves)
            for depth in range(1, len(parts))
        }
        self._file = file
        self._prefix = prefix
        self._needed = needed

    def walk(self, node: object, at: str) -> dict[str, object]:
        """The leaves below the section `at`, "" for the whole document."""
        if node is None:
            return {}
        if not isinstance(node, dict):
            self._refuse_value(node, at)
            return {}
        leaves: dict[str, object] = {}
        for name, value in node.items():
            path = f"{at}.{name}" if at else str(name)
            if f"{at}.NAME" in self._leaves and isinstance(name, str):
                leaves[path] = value
            elif not isinstance(name, str) or "." in name:
                self._refuse_name(at, str(name)[:60])
            elif path in self._leaves:
                leaves[path] = value
            elif path in self._sections:
                leaves.update(self.walk(value, path))
            else:
                self._refuse_name(at, name)
        return leaves

    def _siblings(self, at: str) -> list[str]:
        inside = f"{at}." if at else ""
        paths = sorted(self._leaves | self._sections)
        names = [path.removeprefix(inside) for path in paths if path.startswith(inside)]
        return [name for name in names if "." not in name]

    def _refuse_value(self, node: object, at: str) -> None:
        what = self._prefix + at or "the file"
        error = ConfigError(
            f"{self._file}: {what.rstrip('.')} must be a section of keys, not {type_name(node)}",
            f"Known keys: {', '.join(self._siblings(at))}.",
        )
        if holds_needed(self._needed, at):
            raise error
        warn(error)

    def _refuse_name(self, at: str, name: str) -> None:
        path = self._prefix + (f"{at}.{name}" if at else name)
        error = ConfigError(
            f"{self._file}: unknown key {path!r}", suggestion(name, self._siblings(at))
        )
        if may_be_needed(self._needed, at, name, self._leaves):
            raise error
        warn(error)


def suggestion(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: the nearest known one, else all of them."""
    import difflib  # here: no other start needs it

    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {close[0]}?" if close else f"Known here: {', '.join(known)}."


def type_name(value: object) -> str:
    """What a YAML value is called in a message."""
    if isinstance(value, bool):
        return "true or false"
    names = {str: "text", int: "a number", float: "a number", list: "a list", dict: "a section"}
    return names.get(type(value), "nothing that belongs there")


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
