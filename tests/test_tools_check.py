"""The one command for all checks: its order, its end, and the Python that CI starts it with."""

from __future__ import annotations

import os
import py_compile
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import checks, torn
from tools.checks import Check

CLONE = Path(__file__).resolve().parent.parent
PASSES = Check("first", ("json.tool", "--help"), "nothing")
FAILS = Check("second", ("json.tool", "/nowhere"), "mend the second")


def test_the_first_failure_ends_it_with_what_mends_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checks, "GROUPS", ((PASSES, FAILS), (Check("third", ("this",), ""),)))
    assert checks.main([]) != 0
    printed = capfd.readouterr()
    assert "== first, second\n" in printed.out
    assert "third" not in printed.out
    assert printed.err.endswith("second failed. To mend it: mend the second\n")


@pytest.fixture(params=[signal.default_int_handler, signal.SIG_IGN], ids=["by hand", "behind &"])
def started(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have Ctrl-C handled as in a program that a shell has started, in front or behind."""
    before = signal.signal(signal.SIGINT, request.param)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("started")
def test_a_failure_shows_what_was_printed_and_ends_what_still_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "ready")
    (tmp_path / "fails.py").write_text("open('ready').read(); print('what is wrong'); exit(3)")
    (tmp_path / "waits.py").write_text(
        "import time\n"
        "try:\n"
        "    open('ready', 'w').close()\n"
        "    time.sleep(600)\n"
        "except KeyboardInterrupt:\n"
        "    open('interrupted', 'w').close()\n"
    )
    monkeypatch.setattr(checks, "ROOT", tmp_path)
    both = (Check("fails", ("fails",), "mend it"), Check("waits", ("waits",), ""))
    assert checks.side_by_side(both) == 3
    assert (tmp_path / "interrupted").exists()
    assert "what is wrong\n" in capfd.readouterr().out


def test_the_time_of_each_check_and_of_all_is_printed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checks, "GROUPS", ((PASSES,), (Check("last", ("this",), ""),)))
    assert checks.main([]) == 0
    *_, shown, last, together = capfd.readouterr().out.splitlines()
    assert shown.endswith("let's do more of those!")
    assert re.fullmatch(r"   last passed in \d+\.\d s", last)
    assert re.fullmatch(r"All passed in \d+ s", together)


def test_the_tests_are_the_last_check_and_quick_leaves_out_some_of_them() -> None:
    commands, quick = (
        [check.command for group in groups for check in group]
        for groups in (checks.GROUPS, checks.QUICK)
    )
    assert commands[-1][0] == "pytest"
    assert quick[:-1] == commands[:-1]
    assert quick[-1][:3] == ("pytest", "-m", "quick")
    assert quick[-1][-2:] == commands[-1][-2:] == ("--durations", "10")


def test_byte_code_that_was_cut_short_is_removed_before_anything_runs(tmp_path: Path) -> None:
    folder = tmp_path / "pgmcp" / "auth" / "__pycache__"
    names = ("whole", "cut", "empty", "head")
    made = {name: folder / f"{name}.cpython.pyc" for name in names}
    for name, path in made.items():
        source = tmp_path / f"{name}.py"
        source.write_text("x = {1: 'a', 2: ('b', 'c')}\n")
        py_compile.compile(str(source), str(path))
    whole = made["whole"].read_bytes()
    for name, length in (("cut", len(whole) - 1), ("empty", 0), ("head", 16)):
        made[name].write_bytes(whole[:length])
    assert sorted(torn.remove([tmp_path])) == sorted(made[name] for name in names[1:])
    assert list(folder.iterdir()) == [made["whole"]]


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


def run_tests(folder: Path, code: str, *flags: str, **environ: str) -> str:
    """What pytest says of a file of tests beside the conftest.py of ours."""
    shutil.copy(CLONE / "tests" / "conftest.py", folder)
    (folder / "test_it.py").write_text(code)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *flags, str(folder)],
        env={**os.environ, "PYTHONPATH": str(CLONE), "CI": "", **environ},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.stdout


def test_under_ci_a_test_that_skips_itself_fails(tmp_path: Path) -> None:
    code = (
        "import pytest\n"
        "def test_skips_itself(): pytest.skip('no such server')\n"
        "@pytest.mark.skipif(True, reason='another system')\n"
        "def test_is_for_another_system(): pass\n"
    )
    said = run_tests(tmp_path, code, CI="true")
    assert "1 failed, 1 skipped" in said
    assert "skipped, which CI does not allow" in said
    assert "2 skipped" in run_tests(tmp_path, code)


def test_what_is_quick_is_found_out_and_checked(tmp_path: Path) -> None:
    code = (
        "import os, subprocess, sys, pytest\n"
        "def helper(): subprocess.run([sys.executable, '-c', ''], check=True)\n"
        "class Helper:\n"
        "    @property\n"
        "    def value(self): return os.system('true')\n"
        "@pytest.fixture\n"
        "def helped(): helper()\n"
        "def test_pure(tmp_path): assert os.sep\n"
        "def test_itself(): subprocess.run([sys.executable, '-c', ''])\n"
        "def test_through_a_fixture(helped): pass\n"
        "def test_through_a_class(): Helper().value\n"
        "def test_inside():\n"
        "    def inner(): helper()\n"
        "    inner()\n"
        "@pytest.mark.parametrize('call', [helper, print])\n"
        "def test_by_a_parameter(call): call()\n"
        "def test_with_postgresql(postgres): pass\n"
        "def test_hidden(): getattr(subprocess_of(), 'run')(['true'])\n"
        "def subprocess_of(): return sys.modules['subprocess']\n"
    )
    listed = run_tests(tmp_path, code, "-m", "quick", "--collect-only", "-q")
    assert listed.count("::") == 3
    for name in ("test_pure", "test_by_a_parameter[print]", "test_hidden"):
        assert f"::{name}\n" in listed
    said = run_tests(tmp_path, code, "-m", "quick")
    assert "1 failed, 2 passed" in said
    assert "mark it with pytest.mark.starts_process" in said
