"""The one command for all checks: its order, its end, and the Python that CI starts it with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import checks
from tools.checks import Check

CLONE = Path(__file__).resolve().parent.parent
PASSES = Check("first", ("json.tool", "--help"), "nothing")
FAILS = Check("second", ("json.tool", "/nowhere"), "mend the second")


def test_the_first_failure_ends_it_with_what_mends_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checks, "CHECKS", (PASSES, FAILS, Check("third", ("this",), "")))
    assert checks.main([]) != 0
    printed = capfd.readouterr()
    assert "== first" in printed.out
    assert "== third" not in printed.out
    assert printed.err.endswith("second failed. To mend it: mend the second\n")


def test_nothing_is_printed_after_the_last_check(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checks, "CHECKS", (PASSES, Check("last", ("this",), "")))
    assert checks.main([]) == 0
    assert capfd.readouterr().out.endswith("let's do more of those!\n")


def test_the_tests_are_the_last_check() -> None:
    assert checks.CHECKS[-1].command[0] == "pytest"


def test_ci_takes_the_first_python_that_starts(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    (tmp_path / "tools").mkdir()
    shutil.copy(CLONE / ".ci" / "run", tmp_path / ".ci")
    (tmp_path / "tools" / "check").write_text("never read")
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, script in (
        ("python3", "exit 127"),  # a version manager's stub for what is not installed
        ("python3.12", '[ "$1" = -c ] || echo "started $*"'),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    (programs / "dirname").symlink_to(shutil.which("dirname") or "/usr/bin/dirname")
    ended = subprocess.run(
        [shutil.which("bash") or "/bin/bash", tmp_path / ".ci" / "run"],
        env={**os.environ, "PATH": str(programs)},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout == "started tools/check\n"


def test_under_ci_a_test_that_skips_itself_fails(tmp_path: Path) -> None:
    shutil.copy(CLONE / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "def test_skips_itself(): pytest.skip('no such server')\n"
        "@pytest.mark.skipif(True, reason='another system')\n"
        "def test_is_for_another_system(): pass\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(CLONE), "CI": "true"}
    ended = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, check=False)
    assert b"1 failed, 1 skipped" in ended.stdout
    assert b"skipped, which CI does not allow" in ended.stdout
    environment["CI"] = ""
    ended = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, check=False)
    assert b"2 skipped" in ended.stdout
