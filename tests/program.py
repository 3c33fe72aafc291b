"""The real program, as a process: a configuration file, a token, and `python -m pgmcp`.

The rule: it is started as a user starts it, and only its sockets, pipes and log are looked at. What
has tests of its own, such as the commands that make tokens, is not started again for each server.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pgmcp.auth.tokens import new_secret, new_token
from pgmcp.stores.files import FileTokenStore
from tests.serving import Reader, Reply
from tools.child import spawn
from tools.postgres import Server, free_port
from tools.serving import ROOT, ServingError, end, environment, wait_until_ready

NOWHERE: Mapping[str, Any] = {
    "name": "nowhere",
    "host": "127.0.0.1",
    "port": 1,
    "user": "nobody",
    "database": "nothing",
}
"""A database for tests that never use one: nothing connects before the first query."""


@dataclass(frozen=True, slots=True)
class Program:
    """A server that runs. `token` is "" when it lets everybody in; `log` is what it says."""

    process: subprocess.Popen[bytes]
    port: int
    token: str
    config: Path
    log: Path

    @property
    def url(self) -> str:
        """Where MCP is served."""
        return f"http://127.0.0.1:{self.port}/mcp/v1"

    def connect(self, timeout_seconds: float = 10) -> socket.socket:
        """A connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout_seconds)

    def ask(self, request: bytes) -> Reply:
        """The answer to one request, on a connection of its own."""
        with self.connect() as sock:
            sock.sendall(request)
            return Reader(sock).reply()


def settings_of(server: Server, database: str) -> dict[str, Any]:
    """An entry of `databases:` for a database of the tests' PostgreSQL."""
    return {
        "name": "main",
        "host": server.host,
        "port": server.port,
        "user": server.user,
        "password": server.password,
        "database": database,
        "sslmode": "disable",
    }


def write_config(
    folder: Path,
    *databases: Mapping[str, Any],
    port: int = 0,
    auth: Mapping[str, Any] = MappingProxyType({}),
    **settings: Any,
) -> Path:
    """A configuration file in `folder`, which also takes the credential files; its path.

    `auth` are further keys of `http.auth`, and `settings` of the top level.
    """
    files = {
        "token_file": str(folder / "tokens.yaml"),
        "user_file": str(folder / "users.yaml"),
    }
    http = {"address": f"127.0.0.1:{port}", "auth": {**files, **auth}}
    config = folder / "pgedge-postgres-mcp.yaml"
    # JSON is YAML.
    config.write_text(json.dumps({"http": http, "databases": list(databases), **settings}))
    return config


def add_token(config: Path, note: str, policy: str | None = None) -> str:
    """Make a token that never expires, as `-add-token` does but without a process for it."""
    path = Path(json.loads(config.read_text())["http"]["auth"]["token_file"])
    secret = new_secret()

    now = datetime.now(UTC)
    FileTokenStore(path).add(
        lambda taken: new_token(
            taken, secret, note=note, database=None, now=now, expires_at=None, policy=policy
        )
    )
    return secret


def command(config: Path, *flags: str) -> list[str]:
    """The command line that serves `config`: over stdio, with `-http` over HTTP."""
    return [sys.executable, "-m", "pgmcp", "-config", str(config), *flags]


def run_program(config: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """What the program says for these flags, when it has ended; nothing is on standard input."""
    return subprocess.run(
        command(config, *flags),
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@contextmanager
def running(
    folder: Path, *databases: Mapping[str, Any], flags: Sequence[str] = (), **settings: Any
) -> Iterator[Program]:
    """Serve over HTTP on a free port until the block ends; a token is made unless `-no-auth`."""
    port = free_port()
    config = write_config(folder, *(databases or (NOWHERE,)), port=port, **settings)
    token = "" if "-no-auth" in flags else add_token(config, "tests")
    log = folder / "log"
    with log.open("wb") as output:
        process = spawn(
            command(config, "-http", *flags), folder=ROOT, environment=environment(), output=output
        )
    try:
        try:
            wait_until_ready(process, port)
        except ServingError as error:
            raise ServingError(f"{error}\n{log.read_text()}") from error
        yield Program(process, port, token, config, log)
    finally:
        end(process)
