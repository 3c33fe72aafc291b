"""Every check there is, the quick ones first; the first that fails ends the run.

The rule: what CI runs is what a person runs, and a failure comes with the command that mends it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Check:
    """A command, run with this environment's `python -m`, and what to do when it fails."""

    name: str
    command: tuple[str, ...]
    mend: str


# One process for each processor; one that has nothing left takes over what another has waiting.
TESTS = ("pytest", "-n", "logical", "--dist", "worksteal")

CHECKS = (
    Check("formatting", ("ruff", "format", "--check", "--quiet"), "tools/check --fix"),
    Check("lint", ("ruff", "check", "--quiet"), "tools/check --fix, and by hand what is left"),
    Check("imports", ("tools.check_imports",), "change the import, or tools/imports.toml"),
    Check("documentation", ("tools.docs", "--check"), "tools/check --fix"),
    Check("types", ("mypy",), "edit the lines named above, then .venv/bin/mypy"),
    Check("tests", TESTS, ".venv/bin/pytest PATH::TEST, with a name from above"),
)

FIXES = (("ruff", "check", "--fix", "--quiet"), ("ruff", "format", "--quiet"), ("tools.docs",))


def main(arguments: Sequence[str]) -> int:
    """Run the checks; the status of the first that fails, 0 when none does."""
    parser = argparse.ArgumentParser(
        prog="tools/check",
        description="Run formatting, lint, the import table, the generated documentation, "
        "strict types and all tests.",
    )
    parser.add_argument(
        "--fix", action="store_true", help="first mend what can be mended by a program"
    )
    options = parser.parse_args(arguments)
    if options.fix:
        for command in FIXES:
            run(command)
    for check in CHECKS:
        print(f"== {check.name}", flush=True)
        began = time.monotonic()
        status = run(check.command)
        if status != 0:
            print(f"\n{check.name} failed. To mend it: {check.mend}", file=sys.stderr)
            return status
        if check is not CHECKS[-1]:  # pytest has said it itself, in the last line
            print(f"   passed in {time.monotonic() - began:.1f} s", flush=True)
    return 0


def run(command: Sequence[str]) -> int:
    """The exit status of `python -m command`, at the top of the clone."""
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode
