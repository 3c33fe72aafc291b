"""A yardstick that needs no network to install: http.server, json and pg8000, and nothing between.

The rule: the standard library's server with TCP_NODELAY and one write per answer, one connection of
pg8000 for each client; no authentication, no gate, no limits. `python -m tools.benchmarks.bare
PORT` reads how to connect, as JSON, from the environment variable BARE_POSTGRES.
"""

from __future__ import annotations

import json
import os
import sys
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pg8000.native

from tools.benchmarks.contender import Contender
from tools.postgres import Server
from tools.serving import ROOT, environment

_POSTGRES = "BARE_POSTGRES"
_LIST_CHARACTERS = 8000  # about as much as pgmcp lists


class Handler(BaseHTTPRequestHandler):
    """Answers initialize, tools/list and tools/call with a statement."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one write per answer
    disable_nagle_algorithm = True

    @cached_property
    def database(self) -> pg8000.native.Connection:
        """The connection of this client."""
        return pg8000.native.Connection(**json.loads(os.environ[_POSTGRES]))

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        result = self._result(message["method"], message.get("params") or {})
        body = json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "result": result}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def _result(self, method: str, parameters: dict[str, Any]) -> dict[str, object]:
        if method != "tools/call":
            return {"text": "x" * _LIST_CHARACTERS if method == "tools/list" else ""}
        rows = self.database.run(parameters["sql"]) or []
        text = "\n".join("\t".join(map(str, row)) for row in rows)
        return {"content": [{"type": "text", "text": text}]}

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def contender(postgres: Server) -> Contender:
    """The yardstick as a server to measure."""
    place = {
        "user": postgres.user,
        "password": postgres.password,
        "host": postgres.host,
        "port": postgres.port,
        "database": "postgres",
    }
    return Contender(
        name="bare http.server",
        version=f"Python {sys.version.split()[0]}, pg8000 {pg8000.__version__}",
        command=lambda port: [sys.executable, "-m", "tools.benchmarks.bare", str(port)],
        query=lambda sql: {"sql": sql},
        folder=Path(ROOT),
        environment={**environment(), _POSTGRES: json.dumps(place)},
    )


def main() -> None:
    """Serve until the process is ended."""
    with ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
