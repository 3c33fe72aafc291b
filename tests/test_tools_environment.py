"""Setting up from nothing: what happens when it cannot be done."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import tools.environment as environment

CLONE = Path(__file__).resolve().parent.parent


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with nothing in it but what setting up needs, at a path with a space."""
    folder = tmp_path / "a clone"
    (folder / "tools").mkdir(parents=True)
    for name in ("__init__.py", "environment.py", "check", "packages.lock"):
        shutil.copy(CLONE / "tools" / name, folder / "tools" / name)
    shutil.copy(CLONE / "pyproject.toml", folder)
    return folder


def run(
    clone: Path, *, python: str = sys.executable, **environ: str
) -> subprocess.CompletedProcess[str]:
    base = {"PATH": os.environ["PATH"], "HOME": str(clone), "TMPDIR": "/tmp"}
    return subprocess.run(
        [python, clone / "tools" / "check"],
        env=base | environ,
        cwd=clone.parent,
        capture_output=True,
        text=True,
        check=False,
    )


def make_python(folder: Path, name: str, prints: str) -> None:
    """A program that answers the question for its version with `prints`."""
    path = folder / name
    path.write_text(f"#!/bin/sh\nprintf '{prints}'\n")
    path.chmod(0o755)


@pytest.mark.timeout(600)  # it makes an environment, which is much work for a busy machine
def test_a_failed_installation_says_why_and_is_not_taken_for_a_whole_one(clone: Path) -> None:
    offline = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0"}
    ended = run(clone, **offline, PYTHONDONTWRITEBYTECODE="1")  # a pip that is used once
    assert ended.returncode == 1
    assert "installing the packages failed" in ended.stderr
    assert "check the network" in ended.stderr
    assert not (clone / ".venv" / "made-from.json").exists()


def test_a_clone_that_cannot_be_written_is_an_error(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "CLONE", clone)
    monkeypatch.setattr(environment, "VENV", clone / ".venv")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(environment.SetUpError, match="cannot be written"):
        environment._make("dev")


def test_an_older_python_finds_a_newer_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_python(tmp_path, "old", "3.9\\nvenv\\n")
    make_python(tmp_path, "python3.13", "")  # a version manager's stub for what is not installed
    make_python(tmp_path, "python3.12", "3.12\\nvenv\\n")
    monkeypatch.setattr(sys, "_base_executable", str(tmp_path / "old"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment._find_python() == str(tmp_path / "python3.12")


def test_no_python_that_is_new_enough_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_python(tmp_path, "python3", "3.10\\nvenv\\n")
    monkeypatch.setattr(sys, "_base_executable", str(tmp_path / "python3"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(environment.SetUpError, match=r"Python 3\.11 or later is needed"):
        environment._find_python()


def test_a_python_without_venv_comes_with_the_package_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_python(tmp_path, "python3", "3.11\\n")
    monkeypatch.setattr(sys, "_base_executable", str(tmp_path / "python3"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(environment.SetUpError, match=r"apt install python3\.11-venv"):
        environment._find_python()


@pytest.mark.parametrize(
    "change", ["pyproject", "lock", "clone", "extras", "interrupted", "no python"]
)
def test_an_environment_is_used_again_only_when_nothing_changed(
    clone: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    venv = clone / ".venv"
    monkeypatch.setattr(environment, "CLONE", clone)
    monkeypatch.setattr(environment, "_PYTHON", venv / "bin" / "python")
    monkeypatch.setattr(environment, "_STAMP", venv / "made-from.json")
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    monkeypatch.setattr(environment, "LOCK", clone / "tools" / "packages.lock")
    stamp = {"clone": str(clone), "extras": ["dev"], "python": "3.11", **environment._wanted()}
    (venv / "made-from.json").write_text(json.dumps(stamp))
    assert environment._is_ready("dev")
    if change == "pyproject":
        (clone / "pyproject.toml").write_text("changed")
    elif change == "lock":
        (clone / "tools" / "packages.lock").write_text("changed")
    elif change == "clone":
        monkeypatch.setattr(environment, "CLONE", clone.parent)
        shutil.copy(clone / "pyproject.toml", clone.parent)
    elif change == "interrupted":
        (venv / "made-from.json").write_text('{"clone":')
    elif change == "no python":
        (venv / "bin" / "python").unlink()
        (venv / "bin" / "python").symlink_to("/nowhere")
    assert not environment._is_ready("demo" if change == "extras" else "dev")


@pytest.mark.parametrize("name", ["check", "demo", "bench", "lock"])
def test_the_commands_can_be_executed(name: str) -> None:
    assert (CLONE / "tools" / name).stat().st_mode & stat.S_IXOTH
