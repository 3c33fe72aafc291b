"""The program as one file, built for tests and run in places that are unkind to it."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

CLONE = Path(__file__).resolve().parent.parent
NAME = "pgedge-postgres-mcp"
NOBODY = 65534
PASSWORD = "correct horse battery"

INITIALIZE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}


def build(
    output: Path,
    *arguments: str | Path,
    clone: Path = CLONE,
    environ: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.CompletedProcess[str]:
    """Run `tools/build` with byte code for this Python only."""
    return subprocess.run(
        [
            *(sys.executable, clone / "tools" / "build"),
            *("--output", output, "--python", sys.executable, *arguments),
        ],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


@dataclass(frozen=True)
class Place:
    """Where the file lies and how it is started: as whom, with which variables, behind what."""

    program: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    python: str = sys.executable
    user: int | None = None

    def command(self, *arguments: str | Path) -> list[str | Path]:
        """The whole command line."""
        return [*self.before, self.python, self.program, *arguments]

    def run(self, *arguments: str | Path, typed: str = "") -> subprocess.CompletedProcess[str]:
        """Run it to its end, with no more of the environment than is given."""
        return subprocess.run(
            self.command(*arguments),
            env=dict(self.environ),
            cwd="/",
            input=typed,
            capture_output=True,
            text=True,
            check=False,
            user=self.user,
            group=self.user,
        )

    def add_user(self, users: Path, name: str = "alice") -> subprocess.CompletedProcess[str]:
        """Make an account, which takes bcrypt."""
        return self.run(
            *("-user-file", users, "-add-user", "-username", name, "-user-note", ""),
            *("-password", "-"),
            typed=f"{PASSWORD}\n",
        )


def nobodys_python() -> str | None:
    """A Python that a user without rights can start; None without root or without such a Python."""
    if os.geteuid() != 0:
        return None
    names = [f"python3.{minor}" for minor in range(11, 20)]
    candidates = [Path(bin_) / name for bin_ in ("/usr/local/bin", "/usr/bin") for name in names]
    for python in (Path(sys.executable), *candidates):
        with contextlib.suppress(OSError):
            if subprocess.run([python, "-c", ""], user=NOBODY, check=False).returncode == 0:
                return str(python)
    return None


def mounter(*, as_root: bool = True) -> tuple[str, ...] | None:
    """What makes a process able to mount folders for itself alone; None when nothing does.

    With `as_root` False it does so for a user without rights, who is root in there only.
    """
    if shutil.which("unshare") is None:
        return None
    mapped = ("unshare", "--mount", "--map-root-user")
    user = NOBODY if os.geteuid() == 0 and not as_root else None
    for command in (("unshare", "--mount"), mapped) if as_root else (mapped,):
        tried = subprocess.run(
            [*command, "mount", "-t", "tmpfs", "none", "/mnt"],
            capture_output=True,
            check=False,
            user=user,
            group=user,
        )
        if tried.returncode == 0:
            return command
    return None


def mounted(command: Sequence[str], *mounts: Sequence[str | Path]) -> tuple[str, ...]:
    """A command before another that makes the mounts first."""
    lines = [shlex.join(["mount", *map(str, mount)]) for mount in mounts]
    return (*command, "sh", "-ec", "\n".join([*lines, 'exec "$@"']), "sh")


def ask(place: Place, *requests: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """What the program answers over standard input and output, after the handshake."""
    numbered = enumerate([("initialize", INITIALIZE), *requests])
    lines = [
        json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        for number, (method, params) in numbered
    ]
    ended = place.run(typed="".join(f"{line}\n" for line in lines))
    answers = {answer["id"]: answer for answer in map(json.loads, ended.stdout.splitlines())}
    assert len(answers) == len(lines), ended.stderr
    return [answers[number] for number in range(1, len(lines))]
