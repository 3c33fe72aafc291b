"""-print-client in the clients themselves, which `tools/clients` fetches and puts on PATH.

The rule: no test of tools/check, which takes only the files that are named test_*.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgmcp.cli.clients import TOKEN_VARIABLE
from tests.installed import Installed, install
from tests.program import NOWHERE, Program, running

COMMANDS = {"claude-code": "claude", "gemini": "gemini", "codex": "codex"}


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    """The program, with a configuration whose path has a blank in it."""
    folder = tmp_path / "my shop"
    folder.mkdir()
    made = install(folder)
    made.config.write_text(json.dumps({"databases": [dict(NOWHERE)]}))
    made.config.chmod(0o600)
    return made


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with running(tmp_path_factory.mktemp("served")) as program:
        yield program


def said(done: subprocess.CompletedProcess[str]) -> str:
    """What a command printed, in all."""
    return f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("way", ["stdio", "http"])
def test_the_client_takes_the_command(
    installed: Installed, served: Program, name: str, way: str
) -> None:
    """Claude Code and Gemini CLI call the server, Codex reads its entry."""
    url = ["-url", served.url] if way == "http" else []
    printed = installed.run("-print-client", name, *url).stdout
    trusted = installed.cwd / ".gemini" / "trustedFolders.json"
    trusted.parent.mkdir()
    trusted.write_text(json.dumps({str(installed.cwd): "TRUST_FOLDER"}))
    token = f"{TOKEN_VARIABLE}={served.token}"
    added = installed.shell(f"{token} {printed}")
    assert added.returncode == 0, said(added)
    listed = said(installed.shell(f"{token} {COMMANDS[name]} mcp list"))
    assert "postgres" in listed
    assert ("enabled" if name == "codex" else "Connected") in listed, listed
