"""The real program as an operator sees it: signals go in, log lines come out.

The rule: a test waits for what the log says, counted from a mark, and never for time to pass.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.program import command
from tests.serving import Reply, post, rpc, until
from tools.child import spawn
from tools.serving import ROOT, end, environment


@dataclass(slots=True)
class Operated:
    """A server that runs over HTTP with the configuration file `config`."""

    process: subprocess.Popen[bytes]
    config: Path
    log: Path
    mark: int = 0

    def settings(self, **changes: Any) -> None:
        """Change keys of the configuration's top level."""
        self.config.write_text(json.dumps(json.loads(self.config.read_text()) | changes))

    def expect(self, text: str) -> str:
        """Wait for a line with this text behind the mark; the line."""
        until(lambda: any(text in line for line in self._lines()), 20)
        return next(line for line in self._lines() if text in line)

    def reload(self, text: str = "Configuration reloaded") -> str:
        """Send SIGHUP; the line it led to."""
        self.mark = self.log.stat().st_size
        os.kill(self.process.pid, signal.SIGHUP)
        return self.expect(text)

    def _lines(self) -> list[str]:
        assert self.process.poll() is None, self.log.read_text()
        return self.log.read_bytes()[self.mark :].decode().splitlines()


@contextmanager
def operated(
    config: Path, *flags: str, environ: Mapping[str, str] | None = None, **pipes: Any
) -> Iterator[Operated]:
    """Serve until the block ends."""
    log = config.with_name("log")
    with log.open("wb") as output:
        process = spawn(
            command(config, "-http", *flags),
            folder=ROOT,
            environment=environment() | dict(environ or {}),
            output=output,
            **pipes,
        )
    try:
        server = Operated(process, config, log)
        server.expect("Listening on")
        yield server
    finally:
        end(process)


def tool(name: str, token: str | None, **arguments: Any) -> bytes:
    """The request of a tool call."""
    return post(rpc("tools/call", {"name": name, "arguments": arguments}), token=token)


def text_of(reply: Reply) -> str:
    """What a tool answered, or the error."""
    assert reply.status == 200, reply
    found: str = reply.json["result"]["content"][0]["text"]
    return found
