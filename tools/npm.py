"""Programs from npm, in a folder of their own, each in one version.

The rule: nothing outside the folder changes, and a version that is there is not fetched again.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

NODE = "node"
NODE_VERSION = "22.23.3"


class NpmError(Exception):
    """The packages cannot be fetched. The message says what to do."""


def programs(folder: Path) -> Path:
    """Where the commands of the packages in `folder` are."""
    return folder / "node_modules" / ".bin"


def installed(folder: Path, package: str) -> str:
    """The version that is there, "" for none."""
    described = folder / "node_modules" / package / "package.json"
    with contextlib.suppress(OSError, ValueError):
        return str(json.loads(described.read_text())["version"])
    return ""


def install(folder: Path, versions: Mapping[str, str]) -> None:
    """Have these versions of packages in `folder`, and a Node.js that runs them. NpmError."""
    wanted = {**versions, NODE: NODE_VERSION}
    if all(installed(folder, package) == version for package, version in wanted.items()):
        return
    npm = shutil.which("npm")
    if npm is None:
        raise NpmError("npm is needed to fetch packages: install Node.js, of any version")
    print(f"Fetching {', '.join(versions)} into {folder}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text(json.dumps({"private": True, "dependencies": wanted}))
    done = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", "--loglevel", "error"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise NpmError(f"npm could not fetch them:\n{done.stdout.strip()}")
