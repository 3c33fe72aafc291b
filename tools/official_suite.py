"""MCP's official conformance suite against a server of this clone, in front of a real PostgreSQL.

The server has, beside its own features, those that the suite asks for (`tests.suite_features`).

The rule: `conformance.yaml` names what may fail and why; anything else that fails, and anything
named there that passes, is a failure of this command. It is no part of tools/check, because it
fetches the suite and a Node.js to run it with npm.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools import npm
from tools.binaries import available
from tools.child import spawn
from tools.postgres import PostgresError, Server, free_port, running
from tools.serving import ROOT, ServingError, end, environment, wait_until_ready

STATE = ROOT / ".conformance"
EXPECTED = ROOT / "tools" / "conformance.yaml"
SUITE, SUITE_VERSION = "@modelcontextprotocol/conformance", "0.2.0-alpha.12"
REVISIONS = ("2026-07-28", "2025-11-25")

_SUITE_SECONDS = 600
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class SuiteError(Exception):
    """The suite cannot run. The message says what to do."""


def main(arguments: Sequence[str]) -> int:
    """Run the suite; 0 when nothing failed but what is expected, 1 otherwise."""
    parser = argparse.ArgumentParser(
        prog="tools/conformance",
        description="Run MCP's official conformance suite. It is fetched with npm.",
    )
    parser.add_argument("revisions", nargs="*", default=REVISIONS, help=" ".join(REVISIONS))
    options = parser.parse_args(arguments)
    try:
        npm.install(STATE, {SUITE: SUITE_VERSION})
        with _served() as port:
            print(f"pgmcp {_version(port)}, suite {SUITE_VERSION}, Node.js {npm.NODE_VERSION}")
            passed = [_run(revision, port) for revision in options.revisions]
    except (SuiteError, npm.NpmError, ServingError, PostgresError) as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    return 0 if all(passed) else 1


# -- the suite -------------------------------------------------------------------------------------


def _run(revision: str, port: int) -> bool:
    """Run what one revision requires and print how it went; whether it went as expected."""
    results = STATE / "results" / revision
    shutil.rmtree(results, ignore_errors=True)
    suite = STATE / "node_modules" / SUITE
    try:
        done = subprocess.run(
            [
                *(npm.programs(STATE) / npm.NODE, suite / "dist" / "index.js", "server"),
                *("--url", f"http://127.0.0.1:{port}/mcp/v1", "--requirements", revision),
                *("--expected-failures", EXPECTED, "--output-dir", results),
            ],
            cwd=STATE,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SUITE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SuiteError(f"the suite did not end within {_SUITE_SECONDS} s") from error
    said = _COLOUR.sub("", done.stdout)
    _, heading, summary = said.partition("=== SUMMARY ===")
    print(f"\n== {revision}\n{summary.strip() if heading else said.strip()}")
    print(f"Every check, with what was sent: {results}", flush=True)
    return done.returncode == 0


# -- the server ------------------------------------------------------------------------------------


@contextlib.contextmanager
def _served() -> Iterator[int]:
    """A server without authentication, which the suite has no token for; its port."""
    servers = available()
    if not servers:
        raise SuiteError("no PostgreSQL was found: remove .venv and run tools/conformance again")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pgmcp-suite-")))
        folder.chmod(0o755)  # as root, PostgreSQL runs as somebody else
        postgres = stack.enter_context(running(folder / "postgres", binaries=servers[0]))
        port = free_port()
        config = _configuration(folder, postgres, port)
        with (STATE / "pgmcp.log").open("wb") as log:
            server = spawn(
                [sys.executable, "-m", "tests.suite_server", config],
                folder=ROOT,
                environment=environment(),
                output=log,
            )
        stack.callback(end, server)
        try:
            wait_until_ready(server, port)
        except ServingError as error:
            raise SuiteError(f"{error}\n{(STATE / 'pgmcp.log').read_text()}") from error
        yield port


def _configuration(folder: Path, postgres: Server, port: int) -> Path:
    database = {
        "name": "suite",
        "host": postgres.host,
        "port": postgres.port,
        "database": "postgres",
        "user": postgres.user,
        "password": postgres.password,
        "sslmode": "disable",
    }
    config = folder / "pgedge-postgres-mcp.yaml"
    with open(os.open(config, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:  # noqa: PTH123
        http = {"enabled": True, "address": f"127.0.0.1:{port}", "auth": {"enabled": False}}
        json.dump({"http": http, "databases": [database]}, file)
    return config


def _version(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
        return str(json.load(answer)["version"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
