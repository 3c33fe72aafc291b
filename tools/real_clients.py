"""What -print-client prints, in the clients themselves: Claude Code, Gemini CLI and Codex.

The rule: it is no part of tools/check, because it fetches the clients with npm; tools/check tests
what is printed against the format that each client documents.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence

from tools import npm
from tools.serving import ROOT

STATE = ROOT / ".clients"
PACKAGES = {
    "@anthropic-ai/claude-code": "2.1.332",
    "@google/gemini-cli": "0.61.0",
    "@openai/codex": "0.171.0",
}
_TESTS = "tests/installed_clients.py"


def main(arguments: Sequence[str]) -> int:
    """Fetch the clients and run their tests; the status of these, 1 without the clients."""
    parser = argparse.ArgumentParser(
        prog="tools/clients",
        description="Try what -print-client prints in Claude Code, Gemini CLI and Codex, which "
        "are fetched with npm.",
    )
    parser.parse_args(arguments)
    try:
        npm.install(STATE, PACKAGES)
    except npm.NpmError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    for package in PACKAGES:
        print(f"{package} {npm.installed(STATE, package)}", flush=True)
    path = f"{npm.programs(STATE)}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "pytest", _TESTS]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "PATH": path}).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
