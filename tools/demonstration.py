"""The demo: a PostgreSQL with something in it, and pgmcp in front of it, until Ctrl-C.

The rule: what it makes is in `.demo`, a second start uses it again, and nothing stays running.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tools import demo_port, sample
from tools.binaries import available
from tools.child import spawn
from tools.demo_port import PortError
from tools.postgres import PostgresError, Server, can_hold_data, server_user, start
from tools.serving import (
    RefusedError,
    ServingError,
    add_token,
    call,
    end,
    environment,
    post,
    wait_until_ready,
)

ROOT = Path(__file__).resolve().parent.parent
QUERY = (
    "SELECT tier, count(*) AS customers, avg(credit_limit)::numeric(10,2) AS average_limit "
    "FROM customers GROUP BY tier ORDER BY tier"
)


class DemoError(Exception):
    """The demo cannot go on. The message says what to do."""


def main(arguments: Sequence[str]) -> int:
    """Run the demo; 0 after Ctrl-C or SIGTERM, 1 when something it needs failed."""
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, _interrupt)
    try:
        options = demo_port.parser().parse_args(demo_port.choose(list(arguments)))
        _demonstrate(options.state.resolve(), options.port)
    except KeyboardInterrupt:
        print("Stopped: nothing is left running.")
        return 0
    except (DemoError, PortError, PostgresError, ServingError) as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    return 0


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _demonstrate(state: Path, port: int) -> None:
    # As root, PostgreSQL runs as somebody else, who must be able to go through this folder.
    state.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
    with _alone(state), contextlib.ExitStack() as stack:
        postgres = _start_postgres(state)
        stack.callback(_quietly, postgres.stop)
        config = _prepare(state, postgres, port)
        token = _token(state, config, new=False)
        server = _serve(config)
        stack.callback(_quietly, lambda: end(server))
        wait_until_ready(server, port)
        if not _ask(port, token):  # the token was removed meanwhile
            token = _token(state, config, new=True)
            _wait_until_admitted(port, token)
        print(_instructions(port, token, config), flush=True)
        _watch(server, postgres)


def _quietly(stop: Callable[[], None]) -> None:
    """Stop something, whatever else is pressed while it stops."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    stop()


@contextlib.contextmanager
def _alone(state: Path) -> Iterator[None]:
    with (state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DemoError(
                f"a demo is running already with the files in {state}.\n"
                "Stop it, or give this one a place of its own: tools/demo --state FOLDER"
            ) from error
        yield


def _start_postgres(state: Path) -> Server:
    servers = available()
    if not servers:
        raise DemoError("no PostgreSQL was found: remove .venv and run tools/demo again")
    folder = state / "postgres"
    if not can_hold_data(folder):  # a clone below /root, which PostgreSQL's user cannot enter
        name = hashlib.sha256(os.fsencode(state)).hexdigest()[:12]
        folder = Path("/var/tmp") / f"pgmcp-demo-{name}"
        _claim(folder)
    binaries = servers[0]
    version = f"{binaries.major}.{binaries.version % 10000}"
    print(f"Starting PostgreSQL {version}, with its data in {folder}", flush=True)
    return start(folder, binaries=binaries, durable=True)


def _claim(folder: Path) -> None:
    """Make a folder in a place that everybody can write, or see that it is ours."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if folder.is_symlink() or status.st_uid not in (os.geteuid(), server_user()[0]):
        raise DemoError(f"{folder} belongs to somebody else: choose a place with --state FOLDER")


def _prepare(state: Path, postgres: Server, port: int) -> Path:
    """Load the sample, make the role, write the configuration; its path."""
    print("Loading the sample database", end="", flush=True)
    print(
        "" if sample.load(postgres, datetime.now(UTC).date()) else ": it is there already",
        flush=True,
    )
    password_file = state / "role-password"
    if not password_file.exists():
        _write(password_file, secrets.token_urlsafe(24) + "\n")
    sample.grant(postgres, password_file.read_text().strip())
    config = state / "pgedge-postgres-mcp.yaml"
    _write(config, _configuration(state, postgres, port, password_file))
    return config


def _configuration(state: Path, postgres: Server, port: int, password_file: Path) -> str:
    """The file, as a person would write one. A JSON string is a YAML string."""
    quote = json.dumps
    return f"""\
# Written by tools/demo at each start.
http:
  address: "127.0.0.1:{port}"
  auth:
    token_file: {quote(str(state / "pgedge-postgres-mcp-tokens.yaml"))}
    user_file: {quote(str(state / "pgedge-postgres-mcp-users.yaml"))}
databases:
  - name: {sample.DATABASE}
    host: {postgres.host}
    port: {postgres.port}
    database: {sample.DATABASE}
    user: {sample.ROLE}
    password_file: {quote(str(password_file))}
    sslmode: disable
"""


def _token(state: Path, config: Path, *, new: bool) -> str:
    """The token of the last start, or a new one: pgmcp itself keeps only its hash."""
    kept = state / "token"
    if kept.exists() and not new and (state / "pgedge-postgres-mcp-tokens.yaml").exists():
        return kept.read_text().strip()
    print("Making a token", flush=True)
    token = add_token(config, "tools/demo")
    _write(kept, token + "\n")
    return token


def _serve(config: Path) -> subprocess.Popen[bytes]:
    print("Starting pgmcp", flush=True)
    return spawn(
        [sys.executable, "-m", "pgmcp", "-http", "-config", config],
        folder=ROOT,
        environment=environment(),
    )


def _ask(port: int, token: str) -> bool:
    """Ask what the instructions suggest; False when the token is refused."""
    try:
        post(port, token, _example())
    except RefusedError:
        return False
    return True


def _wait_until_admitted(port: int, token: str) -> None:
    """The server notices the new token by itself; give it the time."""
    for _ in range(5):
        if _ask(port, token):
            return
        time.sleep(1)
    raise DemoError("pgmcp does not accept the token that it made: remove .demo and try again")


def _example() -> bytes:
    return call("tools/call", {"name": "query_database", "arguments": {"query": QUERY}})


def _watch(server: subprocess.Popen[bytes], postgres: Server) -> None:
    """Wait for Ctrl-C, or for the end of something that should not end."""
    while True:
        if server.poll() is not None:
            raise DemoError(f"pgmcp ended with status {server.returncode}; it said why above")
        if not postgres.running:
            raise DemoError(f"PostgreSQL ended; it said why in {postgres.log}")
        time.sleep(0.2)


def _instructions(port: int, token: str, config: Path) -> str:
    url = f"http://127.0.0.1:{port}/mcp/v1"
    curl = shlex.join(
        [
            *("curl", "-sS", url, "-H", f"Authorization: Bearer {token}"),
            *("-H", "Content-Type: application/json", "-d", _example().decode()),
        ]
    )
    over_http = {"type": "http", "url": url, "headers": {"Authorization": f"Bearer {token}"}}
    program = Path(sys.executable).with_name("pgedge-postgres-mcp")
    command = [str(program)] if program.exists() else [sys.executable, "-m", "pgmcp"]
    over_stdio = {"command": command[0], "args": [*command[1:], "-config", str(config)]}
    return f"""
Serving {url}

Token:
  {token}

Try it, in another terminal:
  {curl}

For an MCP client over HTTP:
{_indented({"mcpServers": {"shop": over_http}})}

For an MCP client that starts its servers itself, while the demo runs:
{_indented({"mcpServers": {"shop": over_stdio}})}

Ctrl-C stops everything."""


def _indented(value: object) -> str:
    return "\n".join("  " + line for line in json.dumps(value, indent=2).splitlines())


def _write(path: Path, text: str) -> None:
    """Write a file for our eyes only, whole or not at all."""
    half = path.with_name(path.name + ".half")
    half.unlink(missing_ok=True)
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(text)
    half.replace(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
