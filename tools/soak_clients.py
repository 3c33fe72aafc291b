"""Clients for the soak: they connect, ask, go on, hang up, and check every answer.

The rule: each query asks for a number of its own, so that an answer meant for somebody else shows.
`python -m tools.soak_clients PORT CLIENTS TOKENS` reads the tokens from a file again and again,
and prints what has happened so far as a line of JSON every second, until it is ended.
"""

from __future__ import annotations

import collections
import contextlib
import http.client
import json
import random
import ssl
import sys
import threading
import time
from pathlib import Path

_PAUSE_SECONDS = 0.02
_REFUSALS = (401, 429)
"""Of a token that is not valid; the second from an address that has sent too many of them."""


class Client:
    """One client, in a thread of its own. `happened` counts over all of them."""

    def __init__(self, port: int, tokens: Path, happened: collections.Counter[str]) -> None:
        self._port = port
        self._tokens = tokens
        self._happened = happened
        self._tls = ssl.create_default_context()
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE
        self._random = random.Random()

    def run(self) -> None:
        """Be a client for ever."""
        while True:
            line = http.client.HTTPSConnection(
                "127.0.0.1", self._port, timeout=60, context=self._tls
            )
            with contextlib.closing(line):
                try:
                    self._converse(line)
                except (OSError, http.client.HTTPException):
                    self._happened["connections lost"] += 1
                    time.sleep(0.2)

    def _read(self) -> dict[str, list[str]]:
        tokens: dict[str, list[str]] = json.loads(self._tokens.read_text())
        return tokens

    def _converse(self, line: http.client.HTTPSConnection) -> None:
        kind, tokens = self._random.random(), self._read()
        if kind < 0.05 and tokens["revoked"]:
            self._ask(line, self._random.choice(tokens["revoked"]), revoked=True)
        elif kind < 0.1:
            line.connect()
            line.send(b"POST /mcp/v1 HTTP/1.1\r\nContent-Le")  # and hangs up
        else:
            for _ in range(self._random.randint(1, 40)):
                self._ask(line, self._random.choice(tokens["valid"]))
                time.sleep(_PAUSE_SECONDS)

    def _ask(self, line: http.client.HTTPSConnection, token: str, *, revoked: bool = False) -> None:
        number = self._random.randrange(10**12)
        rows = self._random.choice((1, 1, 1, 500))
        query = f"SELECT {number} AS n, md5(i::text) AS t FROM generate_series(1, {rows}) AS i"
        arguments = {"query": query, "limit": rows}
        parameters = {"name": "query_database", "arguments": arguments}
        body = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": parameters}
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        line.request("POST", "/mcp/v1", json.dumps(body), headers)
        answer = line.getresponse()
        told = answer.read()
        # Between two requests of a conversation its token may have been taken out of use.
        revoked = revoked or (answer.status in _REFUSALS and token not in self._read()["valid"])
        self._happened[self._judged(answer.status, told, number, revoked=revoked)] += 1

    @staticmethod
    def _judged(status: int, told: bytes, number: int, *, revoked: bool) -> str:
        """What an answer was; "WRONG …" when it should never be given."""
        if revoked:
            return "refused" if status in _REFUSALS else f"WRONG: {status} for a revoked token"
        if status != 200:
            return f"WRONG: {status} for a valid token"
        message = json.loads(told)
        if message.get("id") != number or "result" not in message:
            return f"WRONG: {told[:200].decode(errors='replace')}"
        if message["result"].get("isError"):
            return "tool errors"
        right = str(number) in message["result"]["content"][0]["text"]
        return "answers" if right else "WRONG: somebody else's answer"


def main() -> None:
    """Run the clients until somebody ends the process."""
    port, clients, tokens = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    happened: collections.Counter[str] = collections.Counter()
    for _ in range(clients):
        threading.Thread(target=Client(port, tokens, happened).run, daemon=True).start()
    while True:
        time.sleep(1)
        print(json.dumps(happened), flush=True)


if __name__ == "__main__":
    main()
