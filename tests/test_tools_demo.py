"""The demo, from its start to Ctrl-C: what it prints works, and nothing stays."""

from __future__ import annotations

import json
import os
import re
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tools import demo_port, sample
from tools.postgres import PostgresError, Server, free_port

CLONE = Path(__file__).resolve().parent.parent
TODAY = date(2026, 3, 31)


class Demo:
    """A demo that runs, and what it has printed."""

    def __init__(self, state: Path, port: int) -> None:
        self.state = state
        self.port = port
        self.printed = ""
        # A shell starts what is to run in the background, such as these tests, without Ctrl-C.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.process = subprocess.Popen(
            [*(sys.executable, "-m", "tools.demonstration"), "--port", str(port), "--state", state],
            cwd=CLONE,
            env={**os.environ, "PGEDGE_DB_HOST": "not.the.demo.example", "PGUSER": "nobody"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        signal.signal(signal.SIGINT, before)

    def read_until(self, text: str, seconds: float = 60.0) -> None:
        """Read what it prints until `text` has come."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while text not in self.printed:
                assert selector.select(deadline - time.monotonic()), self.printed
                data = os.read(self.process.stdout.fileno(), 65536)
                assert data, self.printed
                self.printed += data.decode()

    def end(self, how: signal.Signals = signal.SIGINT) -> int:
        """Stop it; its exit status."""
        self.process.send_signal(how)
        return self.wait()

    def wait(self) -> int:
        """Its exit status, when it ends by itself."""
        self.printed += self.process.communicate(timeout=60)[0].decode()
        return self.process.returncode

    @property
    def token(self) -> str:
        """The token that it printed."""
        found = re.search(r"Token:\n  (\S+)\n", self.printed)
        assert found is not None, self.printed
        return found[1]

    def documents(self) -> list[dict[str, Any]]:
        """The client configurations that it printed."""
        return [
            json.loads(found) for found in re.findall(r"^  \{.*?^  \}$", self.printed, re.M | re.S)
        ]

    def children(self) -> list[int]:
        """The process ids of PostgreSQL and of pgmcp."""
        return [pid for pid, parent in _processes().items() if parent == self.process.pid]


@pytest.fixture
def state(server_folder: Path) -> Iterator[Path]:
    folder = server_folder / "a demo"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def demo(state: Path) -> Iterator[Demo]:
    running = Demo(state, free_port())
    yield running
    if running.process.poll() is None:
        running.end(signal.SIGTERM)


def test_the_demo_serves_stops_and_starts_again_with_what_it_made(demo: Demo) -> None:
    demo.read_until("Ctrl-C stops everything.")
    children = demo.children()
    assert len(children) == 2

    answer = run_curl_line(demo.printed)
    text = answer["result"]["content"][0]["text"]
    assert "platinum" in text
    http, stdio = demo.documents()
    assert http["mcpServers"]["shop"]["headers"]["Authorization"] == f"Bearer {demo.token}"
    entry = stdio["mcpServers"]["shop"]
    over_stdio = ask_over_stdio([entry["command"], *entry["args"]])
    assert over_stdio["result"]["content"][0]["text"] == text

    assert demo.end() == 0
    assert "nothing is left running" in demo.printed
    assert not [pid for pid in children if pid in _processes()]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", demo.port), timeout=5)
    assert secrets_readable_by_others(demo.state) == []

    again = Demo(demo.state, demo.port)
    again.read_until("Ctrl-C stops everything.")
    assert "it is there already" in again.printed
    assert again.token == demo.token
    assert again.end(signal.SIGTERM) == 0


def test_the_demo_says_so_when_the_server_ends(demo: Demo) -> None:
    demo.read_until("Ctrl-C stops everything.")
    for pid in demo.children():
        if "pgmcp" in Path(f"/proc/{pid}/cmdline").read_text():
            os.kill(pid, signal.SIGKILL)
    assert demo.wait() == 1
    assert "ERROR: pgmcp ended" in demo.printed


def test_a_port_that_was_asked_for_and_is_taken_is_named_with_what_to_do(state: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        demo = Demo(state, port)
        assert demo.wait() == 1
    assert f"port {port} of 127.0.0.1" in demo.printed
    assert "Leave out --port" in demo.printed
    assert not state.exists()


def test_without_a_port_the_next_free_one_is_taken_and_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        usual = taken.getsockname()[1]
        monkeypatch.setattr(demo_port, "_USUAL", usual)
        *kept, flag, port = demo_port.choose(["--state", "x"])
        assert kept == ["--state", "x"]
        assert flag == "--port"
        assert int(port) > usual
        assert capsys.readouterr().out == f"Port {usual} of 127.0.0.1 is taken: using {port}\n"
        monkeypatch.setattr(demo_port, "_TRIED", 1)
        with pytest.raises(demo_port.PortError, match="tools/demo --port"):
            demo_port.choose([])


def test_the_port_is_chosen_before_the_environment_is_made(tmp_path: Path) -> None:
    for path in ("demo", "demo_port.py", "environment.py", "__init__.py"):
        (tmp_path / "tools").mkdir(exist_ok=True)
        shutil.copy(CLONE / "tools" / path, tmp_path / "tools" / path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, tmp_path / "tools" / "demo", "--port", str(port)],
            capture_output=True,
            text=True,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"ERROR: port {port} of 127.0.0.1")
    assert not (tmp_path / ".venv").exists()


@pytest.fixture(scope="session")
def postgres(newest_postgres: Server) -> Server:
    """The newest server alone: the demo brings it along, and uses no other."""
    return newest_postgres


@pytest.mark.parametrize("day", [date(2026, 3, 31), date(2028, 2, 29), date(2027, 1, 1)])
def test_the_sample_ends_at_the_day_that_is_given(
    postgres: Server, database: str, day: date
) -> None:
    postgres.psql(sample.script_for(day), database)
    for column, table in (("placed_at", "orders"), ("happened_at", "events")):
        last = f"SELECT max({column})::date FROM {table}"
        assert postgres.psql(f"SET timezone = 'UTC'; {last}", database) == str(day)
    last_month = (
        "SELECT count(*) > 50 FROM orders WHERE date_trunc('month', placed_at, 'UTC') = "
        f"date_trunc('month', date '{day}' - interval '1 month')"
    )
    assert postgres.psql(f"SET timezone = 'UTC'; {last_month}", database) == "t"


def test_the_sample_is_the_same_each_time_and_has_comments_everywhere(
    postgres: Server, database: str
) -> None:
    postgres.psql((CLONE / "tools" / "sample.sql").read_text(encoding="utf-8"), database)
    fingerprint = "SELECT md5(string_agg(o::text, '' ORDER BY id)) FROM orders AS o"
    assert postgres.psql(fingerprint, database) == "eccdd2029f1bdb3f9414442a31c50944"
    without = """
        SELECT c.oid::regclass, a.attname FROM pg_class AS c
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum >= 0
        WHERE c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
          AND c.relnamespace IN ('public'::regnamespace, 'support'::regnamespace)
          AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)"""
    assert postgres.psql(without, database) == ""
    counts = "SELECT count(*) FILTER (WHERE is_active), count(*) FROM users"
    assert postgres.psql(counts, database) == "90|120"


def test_the_role_may_read_the_sample_and_nothing_else(private_postgres: Server) -> None:
    assert sample.load(private_postgres, TODAY)
    assert not sample.load(private_postgres, TODAY)
    sample.grant(private_postgres, "first")
    sample.grant(private_postgres, "it's")

    def ask(sql: str, database: str = sample.DATABASE) -> str:
        return private_postgres.psql(sql, database, user=sample.ROLE, password="it's")

    assert ask("SELECT count(*) FROM support.tickets") == "600"
    for refused in (
        "SET default_transaction_read_only = off; DELETE FROM stock",
        "SET default_transaction_read_only = off; CREATE TABLE public.mine ()",
        "SET default_transaction_read_only = off; CREATE TEMP TABLE mine ()",
        "SELECT pg_read_file('PG_VERSION')",
    ):
        with pytest.raises(PostgresError, match="42501"):  # insufficient_privilege
            ask(f"\\set VERBOSITY sqlstate\n{refused}")


def run_curl_line(printed: str) -> dict[str, Any]:
    """Do what a shell does with the line; with urllib when there is no curl."""
    found = re.search(r"^  (curl .*)$", printed, re.MULTILINE)
    assert found is not None, printed
    if shutil.which("curl"):
        told = subprocess.run(["sh", "-c", found[1]], capture_output=True, check=True).stdout
    else:
        words = shlex.split(found[1])
        headers = dict(words[n + 1].split(": ", 1) for n, word in enumerate(words) if word == "-H")
        body = words[words.index("-d") + 1].encode()
        request = urllib.request.Request(words[2], body, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            told = answer.read()
    decoded: dict[str, Any] = json.loads(told)
    return decoded


def ask_over_stdio(command: list[str]) -> dict[str, Any]:
    """The answer to the demo's example, from a server of the client's own."""
    from tools.demonstration import QUERY
    from tools.serving import call

    request = call("tools/call", {"name": "query_database", "arguments": {"query": QUERY}})
    ended = subprocess.run(
        command, input=request + b"\n", cwd=CLONE, capture_output=True, timeout=60, check=True
    )
    decoded: dict[str, Any] = json.loads(ended.stdout)
    return decoded


def secrets_readable_by_others(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.iterdir()
        if path.is_file() and path.name != "lock" and path.stat().st_mode & 0o077
    ]


def _processes() -> dict[int, int]:
    """Every process with its parent."""
    listed = subprocess.run(
        ["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout
    return {int(line.split()[0]): int(line.split()[1]) for line in listed.splitlines()}
