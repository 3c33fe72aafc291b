"""Every check there is, the quick ones first; the first that fails ends the run.

The rule: what CI runs is what a person runs, and a failure comes with the command that mends it.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tools import torn

ROOT = Path(__file__).resolve().parent.parent
_LOOK_SECONDS = 0.05
_STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Check:
    """A command, run with this environment's `python -m`, and what to do when it fails."""

    name: str
    command: tuple[str, ...]
    mend: str


_PROCESSORS = os.cpu_count() or 1
# More processes than there are processors, because tests also wait: for other programs, for
# deadlines. With one more, an eighth of two processors was idle. The quick ones only compute, and
# each process collects them all first. A process that has nothing left takes over what another has
# waiting.
_STEAL = ("--dist", "worksteal")
_MANY, _FEW = str(min(_PROCESSORS + 2, 16)), str(min(_PROCESSORS, 16))
_SLOWEST = ("--durations", "10")
_AGAIN = ".venv/bin/pytest PATH::TEST, with a name from above"

GROUPS = (
    (
        Check("formatting", ("ruff", "format", "--check", "--quiet"), "tools/check --fix"),
        Check("lint", ("ruff", "check", "--quiet"), "tools/check --fix, and by hand what is left"),
        Check("imports", ("tools.check_imports",), "change the import, or tools/imports.toml"),
        Check("names and complexity", ("tools.check_code",), "edit the places named above"),
        Check("documentation", ("tools.docs", "--check"), "tools/check --fix"),
    ),
    (
        Check("types", ("mypy",), "edit the lines named above, then .venv/bin/mypy"),
        Check("tests", ("pytest", "-n", _MANY, *_STEAL, *_SLOWEST), _AGAIN),
    ),
)
"""The checks of a group run at the same time, and the groups one after the other."""

QUICK = (
    GROUPS[0],
    (
        GROUPS[1][0],
        Check("tests", ("pytest", "-m", "quick", "-n", _FEW, *_STEAL, *_SLOWEST), _AGAIN),
    ),
)
"""Of the tests those that start no process, and so use no PostgreSQL, with fewer examples each."""

FIXES = (
    ("ruff", "check", "--fix", "--quiet"),
    ("ruff", "format", "--quiet"),
    ("tools.docs",),
    ("tools.check_code", "--shrink"),
)


def main(arguments: Sequence[str]) -> int:
    """Run the checks; the status of the first that fails, 0 when none does."""
    parser = argparse.ArgumentParser(
        prog="tools/check",
        description="Run formatting, lint, the import table, names, the generated documentation, "
        "strict types and all tests.",
    )
    parser.add_argument(
        "--fix", action="store_true", help="first mend what can be mended by a program"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="leave out the tests that start a process, as all do that use PostgreSQL, and most "
        "random examples",
    )
    options = parser.parse_args(arguments)
    if options.fix:
        for command in FIXES:
            run(command)
    began = time.monotonic()
    for path in torn.remove(ROOT / name for name in ("pgmcp", "tests", "tools")):
        print(f"Removed, since it was cut short: {path}", flush=True)
    for group in QUICK if options.quick else GROUPS:
        status = side_by_side(group)
        if status != 0:
            return status
    print(f"All passed in {time.monotonic() - began:.0f} s", flush=True)
    return 0


def run(command: Sequence[str]) -> int:
    """The exit status of `python -m command`, at the top of the clone."""
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode


def side_by_side(checks: Sequence[Check]) -> int:
    """Run checks at the same time: the status of the first that fails, which ends the others.

    The last one prints as it goes; what the others print is shown when they fail.
    """
    print(f"== {', '.join(check.name for check in checks)}", flush=True)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # So a shell starts what is to run in the background, and children inherit it: they could
        # not be interrupted.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with ExitStack() as stack:
        outputs = [stack.enter_context(tempfile.TemporaryFile()) for _ in checks[:-1]]
        running = [_start(*both) for both in zip(checks, [*outputs, None], strict=True)]
        stack.callback(_end, running)
        while running:
            for ended in [each for each in running if each.process.poll() is not None]:
                running.remove(ended)
                if ended.process.returncode != 0:
                    return _failed(ended)
                took = time.monotonic() - ended.began
                print(f"   {ended.check.name} passed in {took:.1f} s", flush=True)
            time.sleep(_LOOK_SECONDS)
    return 0


@dataclass(slots=True)
class _Running:
    check: Check
    process: subprocess.Popen[bytes]
    output: IO[bytes] | None
    began: float


def _start(check: Check, output: IO[bytes] | None) -> _Running:
    command = [sys.executable, "-m", *check.command]
    process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
    return _Running(check, process, output, time.monotonic())


def _failed(ended: _Running) -> int:
    """Show what it printed and what mends it; its status."""
    if ended.output is not None:
        ended.output.seek(0)
        sys.stdout.write(ended.output.read().decode(errors="replace"))
        sys.stdout.flush()
    print(f"\n{ended.check.name} failed. To mend it: {ended.check.mend}", file=sys.stderr)
    return ended.process.returncode


def _end(running: Sequence[_Running]) -> None:
    """Interrupt them, as Ctrl-C does: pytest stops its servers then."""
    for each in running:
        each.process.send_signal(signal.SIGINT)
    for each in running:
        try:
            each.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            each.process.kill()
            each.process.wait()
