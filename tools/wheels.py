"""The packages that go into the one file: wheels whose SHA-256 tools/wheels.lock fixes.

The rule: nothing is read from a wheel before its hash is right, and the index is asked only for
what is not there yet. The lock is in the format of sha256sum.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "tools" / "wheels.lock"

PLATFORMS: Mapping[str, str] = {
    "linux-glibc-x86_64": "manylinux2014_x86_64",
    "linux-glibc-aarch64": "manylinux2014_aarch64",
    "linux-musl-x86_64": "musllinux_1_1_x86_64",
    "linux-musl-aarch64": "musllinux_1_1_aarch64",
    "macos-universal2": "macosx_10_12_universal2",
    "windows-x86_64": "win_amd64",
    "windows-arm64": "win_arm64",
}
"""Our name for a platform, and the oldest tag of a wheel that runs on all of it."""

# One Python's wheel of PyYAML has the same Python files as any other's; its compiled part is for
# that Python only and stays behind. bcrypt's compiled part serves every Python (abi3).
_PYTHON = "3.11"
_COMPILED = "bcrypt"
# 600 files of time zones that only dateutil.tz.gettz reads, which nothing here calls.
_LEFT_OUT = frozenset({"tzdata"})
_PIP = ("-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check")


class WheelError(Exception):
    """A wheel is missing or is not the one that was locked. The message says what to do."""


@dataclass(frozen=True)
class Wheel:
    """One downloaded wheel."""

    path: Path
    sha256: str

    @property
    def name(self) -> str:
        """The distribution's name, in lower case and with hyphens."""
        return self.path.name.split("-")[0].replace("_", "-").lower()

    @property
    def version(self) -> str:
        """The distribution's version."""
        return self.path.name.split("-")[1]

    @property
    def platform(self) -> str | None:
        """Our name of the platform that its compiled module is for; None when that is left out."""
        if self.name != _COMPILED:
            return None
        return next(ours for ours, tag in PLATFORMS.items() if tag in self.path.name)

    @cached_property
    def files(self) -> Mapping[str, bytes]:
        """The contents, by path in the wheel."""
        with zipfile.ZipFile(self.path) as archive:
            return {name: archive.read(name) for name in sorted(archive.namelist())}

    @cached_property
    def metadata(self) -> Mapping[str, list[str]]:
        """The fields of METADATA; each may be there several times."""
        name = next(name for name in self.files if name.endswith(".dist-info/METADATA"))
        message = HeaderParser().parsestr(self.files[name].decode())
        return {key: [str(value) for value in message.get_all(key, [])] for key in message}


def read_lock(lock: Path = LOCK) -> dict[str, str]:
    """SHA-256 by file name."""
    lines = (line.split() for line in lock.read_text().splitlines())
    return {name: digest for digest, name in lines}


def locked(wheelhouse: Path, *, download: bool) -> list[Wheel]:
    """Every wheel of the lock, checked; those that are missing are downloaded if they may be."""
    lock = read_lock()
    wheels = [Wheel(wheelhouse / name, digest) for name, digest in lock.items()]
    missing = [wheel for wheel in wheels if not wheel.path.exists()]
    if missing and not download:
        names = "\n".join(f"  {wheel.path.name}" for wheel in missing)
        raise WheelError(
            f"{wheelhouse} has not all the wheels of tools/wheels.lock:\n{names}\n"
            "Where there is a network, fetch them with: tools/build --download-only"
        )
    _fetch(missing, wheelhouse)
    for wheel in wheels:
        actual = hashlib.sha256(wheel.path.read_bytes()).hexdigest()
        if actual != wheel.sha256:
            raise WheelError(
                f"{wheel.path} is not the wheel of tools/wheels.lock:\n"
                f"  it has SHA-256 {actual}\n  locked is     {wheel.sha256}\n"
                "Remove it and build again; if that does not help, do not use it"
            )
    return wheels


def update(wheelhouse: Path) -> None:
    """Lock the newest versions that pyproject.toml allows, for every platform."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wheelhouse.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=wheelhouse) as name:
        folder = Path(name)
        first = next(iter(PLATFORMS.values()))
        _pip(folder, [first], project["dependencies"], dependencies=True)
        compiled = next(folder.glob(f"{_COMPILED}-*.whl")).name.split("-")[1]
        for tag in PLATFORMS.values():
            _pip(folder, [tag], [f"{_COMPILED}=={compiled}"])
        lines = []
        for path in sorted(folder.iterdir()):
            if Wheel(path, "").name not in _LEFT_OUT:
                lines.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
                path.replace(wheelhouse / path.name)
        LOCK.write_text("".join(lines))


def requirements(wheel: Wheel) -> Iterator[str]:
    """The names of the distributions that it needs, those that are left out excepted."""
    for line in wheel.metadata.get("Requires-Dist", []):
        match = re.match(r"[A-Za-z0-9._-]+", line)
        if match and "extra ==" not in line:
            name = re.sub(r"[-_.]+", "-", match[0]).lower()
            if name not in _LEFT_OUT:
                yield name


def _fetch(wheels: Iterable[Wheel], wheelhouse: Path) -> None:
    """Download these wheels, with one pip for each platform."""
    wheelhouse.mkdir(parents=True, exist_ok=True)
    wanted: dict[str, list[str]] = {}
    for wheel in wheels:
        tag = PLATFORMS[wheel.platform or next(iter(PLATFORMS))]
        line = f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}"
        wanted.setdefault(tag, []).append(line)
    for tag, lines in wanted.items():
        with tempfile.TemporaryDirectory() as name:
            listed = Path(name) / "wanted.txt"
            listed.write_text("\n".join(lines))
            _pip(wheelhouse, [tag], ["--require-hashes", "--requirement", str(listed)])


def _pip(
    folder: Path, tags: Iterable[str], wanted: Sequence[str], *, dependencies: bool = False
) -> None:
    if importlib.util.find_spec("pip") is None:
        raise WheelError(
            f"{sys.executable} has no pip to download wheels with.\n"
            "Build with a Python that has it, for example after tools/check: "
            ".venv/bin/python tools/build"
        )
    command = [
        *(sys.executable, *_PIP, "download", "--dest", str(folder), "--only-binary", ":all:"),
        *("--implementation", "cp", "--python-version", _PYTHON),
        *("--abi", f"cp{_PYTHON.replace('.', '')}", "--abi", "abi3", "--abi", "none"),
        *(word for tag in tags for word in ("--platform", tag)),
        *(() if dependencies else ("--no-deps",)),
        *wanted,
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise WheelError(
            f"pip could not download {' '.join(wanted)}:\n{ended.stderr.strip()}\n"
            "Check the network, or build from wheels that are there: tools/build --wheelhouse DIR"
        )
