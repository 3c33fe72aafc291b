"""How this program was called, and the commands that call it so again.

The rule: a command that a message names can be pasted, and uses the same configuration and the same
files of credentials as the command that printed it.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pgmcp.config.layers import Options
from pgmcp.errors import COMMAND, visible

_NAMES = ("pgedge-postgres-mcp", "pgmcp")
_FILES = {"token-file": "PGEDGE_AUTH_TOKEN_FILE", "user-file": "PGEDGE_AUTH_USER_FILE"}


@dataclass(frozen=True, slots=True)
class Invocation:
    """The words that call the program, and those of its flags that say which files it uses."""

    program: tuple[str, ...] = (COMMAND,)
    files: tuple[str, ...] = ()

    def command(self, *words: str) -> str:
        """The command for a shell that calls the program with these words."""
        return shlex.join([*self.program, *self.files, *words])

    def pasteable(self, text: str) -> str:
        """A text whose commands, which begin with `errors.COMMAND`, are those of this program.

        It is printed: what a file's name holds must not drive the terminal.
        """
        return text.replace(f"{COMMAND} ", f"{visible(self.command())} ")


AS_IN_THE_GUIDE = Invocation()
"""How the guide calls the program."""


def of_process(options: Options, environ: Mapping[str, str]) -> Invocation:
    """How this process was called, with these flags. Paths are absolute: a log is read elsewhere.

    A configuration that is found without `-config` will be found again.
    """
    files: list[str] = []
    for flag, variable in {"config": "", **_FILES}.items():
        value = options.get(flag) or environ.get(variable)
        if isinstance(value, str):
            files += [f"-{flag}", str(Path.cwd() / value)]
    return Invocation(_program(sys.argv[0], sys.orig_argv), tuple(files))


def absolute_program() -> tuple[str, ...]:
    """The words that call this program from any folder, whatever its PATH."""
    started = Path(sys.argv[0])
    if _is_module(started):
        return (sys.executable, "-m", "pgmcp")
    path = os.path.abspath(started)  # noqa: PTH100 - not resolve(): a link may be what stays
    return (path,) if os.access(path, os.X_OK) else (sys.executable, path)


def program_dir() -> Path:
    """Where the program stands: the folder of its command.

    With `python -m pgmcp` this is where the command of the same Python is installed; of a source
    tree that is not installed, the tree.
    """
    started = Path(sys.argv[0])
    if not _is_module(started):
        return started.resolve().parent if started.name else Path.cwd()
    import sysconfig  # here, because it is slow to load and the commands do without it

    for scheme in (sysconfig.get_default_scheme(), sysconfig.get_preferred_scheme("user")):
        folder = Path(sysconfig.get_path("scripts", scheme))
        for name in _NAMES:
            if (folder / name).exists() or (folder / f"{name}.exe").exists():
                return (folder / name).resolve().parent
    return started.resolve().parent.parent


def _is_module(started: Path) -> bool:
    return started.name == "__main__.py" and started.parent.name == "pgmcp"


def _program(started: str, words: Sequence[str]) -> tuple[str, ...]:
    """The words before the flags, as short as a shell understands them."""
    path = Path(started)
    if _is_module(path):
        return (_short(words[0]), "-m", "pgmcp")
    if os.access(started, os.X_OK) or os.name == "nt":
        return (_short(started),)
    return (_short(words[0]), started)


def _short(program: str) -> str:
    """A program's bare name where PATH leads to it, else its path."""
    name = Path(program).name
    places = (f"{folder}{os.sep}{name}" for folder in os.get_exec_path())
    first = next((place for place in places if os.access(place, os.X_OK)), "")
    if first and program in (first, name):
        return name
    return program if os.sep in program else f"{os.curdir}{os.sep}{program}"
