"""Calling a running program and looking at what an operator sees of it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.program import Program, command
from tests.serving import Reply, post, rpc
from tools.serving import ROOT, environment

ALICE = ("alice", "Correct-horse-7-battery")


def call(program: Program, tool: str, *, token: str | None = "", **arguments: Any) -> Reply:
    """Call a tool, with the program's own token unless another is given; None for none."""
    params = {"name": tool, "arguments": arguments}
    return ask(program, "tools/call", params, token=token)


def ask(program: Program, method: str, params: Any, *, token: str | None = "") -> Reply:
    """Ask anything."""
    return program.ask(post(rpc(method, params), token=program.token if token == "" else token))


def get(program: Program, path: str, *headers: str, token: str | None = None) -> Reply:
    """GET a page."""
    return program.ask(post(b"", *headers, path=path, method="GET", token=token, length=None))


def log_in(program: Program, name: str, password: str) -> Reply:
    """Ask for a session."""
    return call(program, "authenticate_user", token=None, username=name, password=password)


def session_of(reply: Reply) -> str:
    """The token that a log-in gave."""
    text = reply.json["result"]["content"][0]["text"]
    token: str = json.loads(text)["session_token"]
    return token


def add_user(config: Path, name: str, password: str) -> None:
    """Make an account."""
    run(config, "-add-user", "-username", name, "-password", "-", typed=password + "\n")


def run(config: Path, *flags: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command(config, *flags),
        cwd=ROOT,
        env=environment(),
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def records(path: Path, event: str = "call") -> list[dict[str, Any]]:
    """The records of an audit's newest file."""
    lines = path.read_bytes().splitlines()
    return [record for record in map(json.loads, lines) if record["event"] == event]
