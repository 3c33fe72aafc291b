"""The yardsticks: what the same machine does with nothing of pgmcp's in between.

The rule: the standard library's server with TCP_NODELAY and one write per answer, and pg8000 as it
comes; no authentication, no JSON, no limits.
"""

from __future__ import annotations

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pg8000.native

from tools.postgres import Server


def serve(answer_bytes: int) -> None:
    """Answer every POST with this many bytes; prints the port, then never returns."""
    body = b"x" * answer_bytes

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one write per answer
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


def query(postgres: Server, database: str, sql: str, seconds: float) -> tuple[list[int], float]:
    """The latencies in microseconds of one pg8000 connection, and the seconds they took."""
    connection = pg8000.native.Connection(
        postgres.user,
        host=postgres.host,
        port=postgres.port,
        password=postgres.password,
        database=database,
    )
    latencies: list[int] = []
    began = now = time.perf_counter()
    while now - began < seconds:
        sent_at = now
        connection.run(sql)
        now = time.perf_counter()
        latencies.append(int((now - sent_at) * 1e6))
    connection.close()
    return latencies, now - began


if __name__ == "__main__":
    serve(int(sys.argv[1]))
