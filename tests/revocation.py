"""How long a token works on after the command that removes it has returned.

Run as a program it prints the figure: python -m tests.revocation [TRIALS]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from pgmcp.auth.api_tokens import ApiTokens
from pgmcp.storage import replace
from pgmcp.storage.watch import Watcher
from pgmcp.stores.files import FileTokenStore
from pgmcp.stores.token_file import TokenFile

_COMMAND = """
import json, sys
from pathlib import Path
from tests.admin_commands import configuration, run
folder, verb, options = json.loads(sys.argv[1])
done = run(configuration(Path(folder)), verb, options)
print(done.out, done.err, end="")
raise SystemExit(done.status)
"""


def command(folder: Path, verb: str, options: dict[str, str]) -> str:
    """Run an admin command in a process of its own; what it printed."""
    words = json.dumps([str(folder), verb, options])
    done = subprocess.run(
        [sys.executable, "-c", _COMMAND, words], capture_output=True, text=True, check=True
    )
    return done.stdout


def measure(trials: int, folder: Path) -> list[float]:
    """Seconds from the return of `-remove-token` until the token is refused, sorted."""
    path = folder / "pgedge-postgres-mcp-tokens.yaml"
    replace.update(path, lambda data: TokenFile().dump())
    tokens = ApiTokens(
        FileTokenStore(path), clock=lambda: datetime.now(UTC), on_ended=lambda ended: None
    )
    watcher = Watcher()
    watcher.watch(path, tokens.reload, "auth")
    tokens.start()
    watcher.start()
    try:
        return sorted(
            _trial(folder, lambda secret: tokens.find(secret) is None) for _ in range(trials)
        )
    finally:
        watcher.stop()


def percentile(seconds: list[float], percent: float) -> float:
    """A percentile of sorted values."""
    return seconds[min(len(seconds) - 1, int(len(seconds) * percent / 100))]


def _trial(folder: Path, refused: Callable[[str], bool]) -> float:
    shown = command(folder, "add-token", {"token-note": "trial", "token-expiry": "never"})
    lines = dict(line.split(": ", 1) for line in shown.splitlines() if ": " in line)
    _wait(lambda: not refused(lines["Token"]))
    command(folder, "remove-token", {"remove-token": lines["ID"]})
    returned = time.monotonic()
    _wait(lambda: refused(lines["Token"]))
    return time.monotonic() - returned


def _wait(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10.0
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.0005)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        figures = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 200, Path(name))
    print(
        f"revocation after the command's return: median {percentile(figures, 50) * 1000:.1f} ms, "
        f"p99 {percentile(figures, 99) * 1000:.1f} ms, {len(figures)} trials"
    )
