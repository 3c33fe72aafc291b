"""The program as it is installed: a command in a folder of its own, called as in a shell."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tools.serving import ROOT, environment

NAME = "pgedge-postgres-mcp"


@dataclass(frozen=True, slots=True)
class Installed:
    """A command in `folder`, which PATH leads to."""

    folder: Path
    cwd: Path

    @property
    def config(self) -> Path:
        """The configuration beside the command."""
        return self.folder / f"{NAME}.yaml"

    @property
    def environ(self) -> dict[str, str]:
        """The environment of its commands."""
        path = f"{self.folder}{os.pathsep}{os.environ['PATH']}"
        return environment() | {"PATH": path, "HOME": str(self.cwd), "PYTHONPATH": str(ROOT)}

    def run(self, *words: str | Path, typed: str = "") -> subprocess.CompletedProcess[str]:
        """Call the command by its name."""
        return self._run([str(self.folder / NAME), *map(str, words)], typed)

    def shell(self, line: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """Run a line that a message told somebody to paste."""
        return self._run(["/bin/sh", "-c", line], typed)

    def _run(self, words: list[str], typed: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            cwd=self.cwd,
            env=self.environ,
            input=typed,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


def install(folder: Path) -> Installed:
    """Put the command into `folder`/bin, as pip does, and begin in `folder`/work."""
    made = Installed(folder / "bin", folder / "work")
    made.folder.mkdir()
    made.cwd.mkdir()
    command = made.folder / NAME
    command.write_text(
        f"#!{sys.executable}\nimport sys\nfrom pgmcp.cli.main import main\nsys.exit(main())\n"
    )
    command.chmod(0o755)
    return made
