"""What is under tools/deploy starts the program with flags that it has."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from pgmcp.cli import flags

_DEPLOY = Path(__file__).resolve().parent.parent / "tools" / "deploy"
_UNITS = sorted(_DEPLOY.glob("*.service")) + sorted(_DEPLOY.glob("*.socket"))


def _unit(name: str) -> str:
    return (_DEPLOY / name).read_text().replace("\\\n", " ")


def _comments(text: str) -> str:
    return text.replace("\\\n#", " ")


def test_the_unit_serves_http_with_its_own_files() -> None:
    found = re.search(r"^ExecStart=(.*)$", _unit("pgedge-postgres-mcp.service"), re.MULTILINE)
    assert found is not None
    options = flags.parse(shlex.split(found[1])[1:])
    assert options.verb is None
    assert options.values["http"] is True
    assert str(options.values["token-file"]).startswith("%S/pgedge-postgres-mcp/")


def test_the_container_serves_http_with_its_own_files() -> None:
    text = (_DEPLOY / "Containerfile").read_text()
    found = re.search(r"^CMD (\[.*?\])", text.replace("\\\n", ""), re.MULTILINE)
    assert found is not None
    options = flags.parse(json.loads(found[1]))
    assert options.values["http"] is True
    assert str(options.values["user-file"]).startswith("/var/lib/pgedge-postgres-mcp/")


@pytest.mark.parametrize("name", ["pgedge-postgres-mcp.service", "Containerfile"])
def test_the_commands_in_the_comments_are_understood(name: str) -> None:
    text = _comments((_DEPLOY / name).read_text())
    commands = re.findall(r"^#.*\bpgedge-postgres-mcp ((?: *-[a-z].*))$", text, re.MULTILINE)
    assert commands
    for command in commands:
        flags.parse(shlex.split(command, comments=True))


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("pgedge-postgres-mcp.service", "systemctl enable --now"),
        ("Containerfile", "podman run --name"),
    ],
)
def test_the_comments_make_a_token_before_the_first_start(name: str, start: str) -> None:
    # Without a token file the server refuses to start, and nothing can be run inside a container
    # that has ended.
    text = _comments((_DEPLOY / name).read_text())
    state, token, started = (
        text.index(part) for part in ("/var/lib/pgedge-postgres-mcp", "-add-token", start)
    )
    assert state < token < started


def test_the_commands_keep_the_health_check() -> None:
    text = (_DEPLOY / "Containerfile").read_text()
    assert "\nHEALTHCHECK" in text
    assert "podman build --format docker" in text, "OCI's format has none, and podman drops it"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    copies = []
    for unit in _UNITS:
        copies.append(tmp_path / unit.name)
        copies[-1].write_text(unit.read_text().replace("=/usr/local/bin/", "=/bin/true "))
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *copies],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
