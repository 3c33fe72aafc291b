"""The way of one `tools/call` of SELECT 1 through pgmcp: `python -m tools.stations`.

The rule: the program runs as a user starts it, and Python's own profile hook writes down each
function of ours that runs between the request's first byte and the answer's last.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from tools.binaries import available
from tools.postgres import free_port, running
from tools.serving import ROOT, add_token, call, end, environment, post, wait_until_ready

_WARM_CALLS = 20


class Recorder:
    """Functions of ours in the order of their calls, each with its depth, while `on`."""

    def __init__(self) -> None:
        self.on = False
        self.calls: list[tuple[int, str]] = []
        self._depths: dict[int, int] = {}

    def profile(self, frame: FrameType, event: str, _: Any) -> None:
        """A hook for `threading.setprofile`."""
        module = str(frame.f_globals.get("__name__", ""))
        if not self.on or not module.startswith("pgmcp"):
            return
        thread = threading.get_ident()
        depth = self._depths.get(thread, 0)
        if event == "call":
            name = getattr(frame.f_code, "co_qualname", frame.f_code.co_name)
            self.calls.append((depth, f"{module}:{name}"))
            self._depths[thread] = depth + 1
        elif event == "return":
            self._depths[thread] = max(0, depth - 1)


def serve(config: str) -> int:
    """Serve, and print what ran since a SIGUSR1."""
    from pgmcp.cli.main import main as pgmcp_main

    recorder = Recorder()

    def begin(*_: object) -> None:
        print("recording", flush=True)
        recorder.on = True

    signal.signal(signal.SIGUSR1, begin)
    threading.setprofile(recorder.profile)
    status = pgmcp_main(["-config", config, "-http"])
    print(json.dumps(recorder.calls))
    return status


def record() -> list[tuple[int, str]]:
    """The calls of one SELECT 1 on a server that has answered some already."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        Path(folder).chmod(0o755)  # PostgreSQL runs as another user when root starts it
        server = stack.enter_context(running(Path(folder) / "pg", binaries=available()[0]))
        port = free_port()
        database = {
            "name": "main",
            "host": server.host,
            "port": server.port,
            "user": server.user,
            "password": server.password,
            "database": "postgres",
            "sslmode": "disable",
        }
        files = {"token_file": f"{folder}/tokens", "user_file": f"{folder}/users"}
        config = Path(folder) / "pgmcp.yaml"
        config.write_text(
            json.dumps(
                {
                    "http": {"address": f"127.0.0.1:{port}", "auth": files},
                    "databases": [database],
                }
            )
        )
        config.chmod(0o600)
        token = add_token(config, "stations")
        program = subprocess.Popen(
            [sys.executable, "-m", "tools.stations", str(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env=environment(),
        )
        stack.callback(end, program)
        wait_until_ready(program, port)
        body = call("tools/call", {"name": "query_database", "arguments": {"query": "SELECT 1"}})
        for _ in range(_WARM_CALLS):
            post(port, token, body)
        assert program.stdout is not None
        program.send_signal(signal.SIGUSR1)
        program.stdout.readline()
        post(port, token, body)
        program.terminate()
        told, _ = program.communicate(timeout=60)
        return [(depth, name) for depth, name in json.loads(told)]


def main(arguments: list[str]) -> int:
    """Print the way and its length."""
    if arguments:
        return serve(arguments[0])
    calls = record()
    for depth, name in calls:
        print("  " * depth + name)
    names = {name for _, name in calls}
    modules = {name.partition(":")[0] for name in names}
    print(f"{len(calls)} calls of {len(names)} functions in {len(modules)} modules")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
