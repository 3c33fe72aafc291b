"""A pgmcp that a tool starts, asks and ends, as a user would: by its command line and over HTTP.

The rule: nothing of the package is imported; what works here works for everybody.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_READY_SECONDS = 30.0
_STOP_SECONDS = 20.0


class ServingError(Exception):
    """pgmcp did not do what it was asked. The message says what it said."""


class RefusedError(ServingError):
    """The token is not valid."""


def environment() -> dict[str, str]:
    """Ours, without the variables that would change what a configuration file says or have it
    compile itself at each start."""
    left_out = ("PG", "PYTHONDONTWRITEBYTECODE")
    return {key: value for key, value in os.environ.items() if not key.startswith(left_out)}


def add_token(config: Path, note: str) -> str:
    """Have pgmcp make a token that never expires."""
    made = subprocess.run(
        [
            *(sys.executable, "-m", "pgmcp", "-config", config),
            *("-add-token", "-token-note", note, "-token-expiry", "never"),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(),
        check=False,
    )
    match = re.search(r"^Token: (\S+)$", made.stdout, re.MULTILINE)
    if made.returncode != 0 or match is None:
        raise ServingError(f"no token could be made:\n{made.stderr.strip()}")
    return match[1]


def end(server: subprocess.Popen[bytes]) -> None:
    """Stop it: politely, then not."""
    if server.poll() is None:
        server.terminate()
        try:
            server.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def wait_until_ready(server: subprocess.Popen[bytes], port: int) -> None:
    """Return when /health answers."""
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise ServingError(f"pgmcp ended with status {server.returncode}, and said why")
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer,
        ):
            if json.load(answer).get("status") == "ok":
                return
        time.sleep(0.05)
    raise ServingError(f"pgmcp did not answer on port {port} within {_READY_SECONDS:.0f} s")


def call(method: str, parameters: dict[str, Any]) -> bytes:
    """A JSON-RPC request."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
    return json.dumps(request).encode()


def post(port: int, token: str, body: bytes) -> bytes:
    """The result of one request; ServingError when it is anything but a result."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/mcp/v1",
        body,
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            told: bytes = answer.read()
    except urllib.error.HTTPError as error:
        if error.code == 401:
            raise RefusedError("pgmcp refuses the token") from error
        raise ServingError(f"pgmcp answered {error.code}: {error.read().decode()}") from error
    message = json.loads(told)
    if "error" in message or message.get("result", {}).get("isError"):
        raise ServingError(f"pgmcp answered {told.decode()}")
    return told
