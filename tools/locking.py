"""The lock of the development environment: every package with its version and its hashes.

The rule: one file for every Python and platform, which plain pip installs. Its sections are the
extras of pyproject.toml in their order, and each has only what the ones before it have not, so that
an extra's packages are the file from its beginning to the end of that extra's section.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "tools" / "packages.lock"
BASE = "base"
"""The section of the project's own dependencies and of its build back end."""

_HEAD = """\
# The packages of the development environment, for every Python and platform. tools/lock writes it.
"""
_HEADING = "# == "


class LockError(Exception):
    """The lock cannot be made. The message says what uv said."""


def requirements() -> dict[str, list[str]]:
    """What pyproject.toml asks for, by section."""
    read = tomllib.loads((ROOT / "pyproject.toml").read_text())
    base = [*read["build-system"]["requires"], *read["project"]["dependencies"]]
    return {BASE: base, **read["project"]["optional-dependencies"]}


def sections(lock: str) -> dict[str, dict[str, str]]:
    """The entries of a lock, by section and by package; an entry is its lines in the file."""
    read: dict[str, dict[str, str]] = {}
    section, name = dict[str, str](), ""
    for line in lock.splitlines(keepends=True):
        if line.startswith(_HEADING):
            section = read.setdefault(line.removeprefix(_HEADING).strip(), {})
        elif line.startswith(" "):
            section[name] += line
        elif not line.startswith("#"):
            name = name_of(line)
            section[name] = line
    return read


def name_of(requirement: str) -> str:
    """The package that a requirement or an entry is of, as the index writes it."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None, requirement
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def render(wanted: Mapping[str, Sequence[str]]) -> str:
    """The lock of these requirements: asks the package index. Raises LockError."""
    everything = _compile([line for lines in wanted.values() for line in lines])
    pins = [re.split(r"[\s;]", entry)[0] for entry in everything.values()]
    written: set[str] = set()
    text, asked = _HEAD, list[str]()
    for section, lines in wanted.items():
        asked += lines
        names = [name for name in _compile(asked, pins) if name not in written]
        text += f"{_HEADING}{section}\n" + "".join(everything[name] for name in names)
        written.update(names)
    return text


def _compile(wanted: Sequence[str], pins: Sequence[str] = ()) -> dict[str, str]:
    """The entries of all the packages that these requirements lead to, by name."""
    with tempfile.TemporaryDirectory() as name:
        asked, pinned = Path(name) / "requirements.in", Path(name) / "pins.txt"
        asked.write_text("\n".join(wanted))
        pinned.write_text("\n".join(pins))
        command: list[str | Path] = [
            *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal"),
            *("--python-version", "3.11", "--only-binary", ":all:", "--generate-hashes"),
            *("--no-header", "--no-annotate", "--constraint", pinned, asked),
        ]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise LockError(ended.stderr.strip())
    return sections(f"{_HEADING}{BASE}\n{ended.stdout}")[BASE]


def main() -> int:
    """Write the lock; says which versions changed."""
    before = sections(LOCK.read_text()) if LOCK.exists() else {}
    try:
        text = render(requirements())
    except LockError as error:
        print(f"ERROR: tools/packages.lock cannot be made: {error}", file=sys.stderr)
        return 1
    LOCK.write_text(text)
    print(*_changes(before, sections(text)), sep="\n")
    return 0


def versions(entries: Mapping[str, str]) -> dict[str, str]:
    """The version that each entry pins, by package."""
    return {name: re.split(r"==|[\s;]", entry)[1] for name, entry in entries.items()}


def _changes(
    before: Mapping[str, Mapping[str, str]], after: Mapping[str, Mapping[str, str]]
) -> Iterator[str]:
    old = {name: version for part in before.values() for name, version in versions(part).items()}
    new = {name: version for part in after.values() for name, version in versions(part).items()}
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            yield f"{name}: {old.get(name, 'not there')} -> {new.get(name, 'not there')}"
    yield "Locked. The next tools/check installs it and tries it."
