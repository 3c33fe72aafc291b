"""Budgets as an operator and a client see them: the real program over HTTP, and its file."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.observing import ALICE, add_user, log_in, run, session_of
from tests.operated import Operated, operated, tool
from tests.program import Program, add_token, run_program, settings_of, write_config
from tests.serving import Reply, post, rpc, until
from tests.test_processes import one_to_each
from tools.postgres import Server, free_port

POLICIES: dict[str, Any] = {
    "rows": {"read": ["*.*"], "limits": {"rows_per_day": 20}},
    "bytes": {"read": ["*.*"], "limits": {"bytes_per_day": "1kB", "rows_per_day": 1000}},
    "calls": {"read": ["*.*"], "limits": {"calls_per_minute": 2}},
    "listed": {
        "read": ["*.*"],
        "limits": {"rows_per_day": 20_000, "bytes_per_day": "5MB", "calls_per_minute": 60},
    },
    "free": {"read": ["*.*"]},
    "alice": {"read": ["*.*"], "limits": {"rows_per_day": 20}},
}
SERIES = "SELECT generate_series(1, %d)"


@dataclass(frozen=True)
class Served:
    """A server, and the secret of a token for each policy."""

    server: Operated
    port: int
    tokens: dict[str, str]

    @property
    def usage(self) -> Path:
        return self.server.config.with_name("usage.json")

    def used(self) -> dict[str, Any]:
        """What the file says, by owner."""
        if not self.usage.exists():
            return {}
        used: dict[str, Any] = json.loads(self.usage.read_text())["used"]
        return used

    @property
    def program(self) -> Program:
        server = self.server
        return Program(server.process, self.port, "", server.config, server.log)

    def ask(self, who: str, sql: str) -> list[str]:
        """The texts of the answer to a query."""
        return texts(self.program.ask(tool("query_database", self.tokens.get(who, who), query=sql)))


def texts(reply: Reply) -> list[str]:
    return [part["text"] for part in reply.json["result"]["content"]]


@pytest.fixture(scope="session")
def postgres(newest_postgres: Server) -> Server:
    """The newest server alone: what is tested here is the same with each."""
    return newest_postgres


def configured(folder: Path, postgres: Server, **settings: Any) -> tuple[Path, int, dict[str, str]]:
    port = free_port()
    config = write_config(
        folder,
        settings_of(postgres, "postgres"),
        port=port,
        policies=POLICIES,
        usage_file=str(folder / "usage.json"),
        **settings,
    )
    tokens = {name: add_token(config, name, policy=name) for name in POLICIES}
    return config, port, tokens


@pytest.fixture(scope="module")
def served(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    config, port, tokens = configured(
        tmp_path_factory.mktemp("budgets"), postgres, metrics={"enabled": True}
    )
    add_user(config, *ALICE)
    run_program(config, "-update-user", "-username", ALICE[0], "-user-policy", "alice")
    with operated(config) as server:
        yield Served(server, port, tokens)


def test_rows_are_cut_where_the_budget_ends_and_then_refused(served: Served) -> None:
    first = served.ask("rows", SERIES % 15)
    assert len(first) == 1, "15 of 20 is not little left, but 5"
    crossing, note = served.ask("rows", SERIES % 15)
    assert crossing.split("\n")[-1].startswith("5 rows, cut: your credential has used its 20 rows")
    assert note.startswith("0 of 20 rows left today")
    [refused] = served.ask("rows", "SELECT 1")
    assert "has used its 20 rows of today" in refused
    assert "It opens again at" in refused
    reply = served.program.ask(tool("get_schema_info", served.tokens["rows"]))
    assert "has used its 20 rows" in texts(reply)[0], "no tool reaches a database any more"
    read = rpc("resources/read", {"uri": "pg://system_info"})
    resource = served.program.ask(post(read, token=served.tokens["rows"]))
    assert "has used its 20 rows" in resource.json["error"]["message"]


def test_sessions_of_a_user_share_one_budget(served: Served) -> None:
    sessions = [session_of(log_in(served.program, *ALICE)) for _ in range(2)]
    served.ask(sessions[0], SERIES % 20)
    assert "has used its 20 rows" in served.ask(sessions[1], "SELECT 1")[0]


def test_usage_is_listed_for_each_credential_that_counts(served: Served) -> None:
    served.ask("listed", SERIES % 7)
    removed = "token:token-9:0123456789abcdef"
    until(lambda: any(used["rows"] == 7 for used in served.used().values()))
    day = json.loads(served.usage.read_text())["day"]
    used = {**served.used(), removed: {"rows": 3, "bytes": 6, "calls": 1}}
    served.usage.write_text(json.dumps({"day": day, "used": used}))
    before = served.usage.stat()
    listed = run_program(served.server.config, "-list-usage")
    assert listed.returncode == 0, listed.stderr
    lines = [line.split() for line in listed.stdout.splitlines()]
    assert ["Credential", "Policy", "Rows", "Bytes", "Calls"] in lines
    rest = ["listed", "7", "of", "20,000", "14", "of", "5,000,000", "1", "(60", "a", "minute)"]
    assert [line[3:] for line in lines if line[2:3] == ["(listed)"]] == [rest]
    assert [line[2:] for line in lines if line[:2] == ["token", "token-9,"]] == [
        ["removed", "-", "3", "6", "1"]
    ]
    assert [line[:3] for line in lines if "alice" in line[1:2]] == [["user", "alice", "alice"]]
    assert "(free)" not in listed.stdout
    assert served.usage.stat().st_ino == before.st_ino
    served.usage.with_name("other.yaml").write_text(
        json.dumps(json.loads(served.server.config.read_text()) | {"usage_file": "broken.json"})
    )
    served.usage.with_name("broken.json").write_text("{")
    broken = run_program(served.usage.with_name("other.yaml"), "-list-usage")
    assert broken.returncode == 1
    assert "not a file of usage" in broken.stderr


def test_bytes_are_counted_of_plans_too(served: Served) -> None:
    explain = tool("execute_explain", served.tokens["bytes"], query="SELECT 1", format="json")
    assert '"Plan"' in texts(served.program.ask(explain))[0]
    cut, note = served.ask("bytes", "SELECT repeat('x', 99) FROM generate_series(1, 9)")
    assert 0 < cut.count("x" * 99) < 9, "900 bytes by themselves would fit"
    assert "has used its 1,000 bytes of today" in cut
    assert note.startswith("0 of 1,000 bytes left")


def test_calls_too_many_in_a_minute_are_refused_and_counted_by_the_metrics(served: Served) -> None:
    answers = [served.ask("calls", "SELECT 1")[0] for _ in range(3)]
    assert ["2 calls a minute" in answer for answer in answers] == [False, False, True]
    assert "Try again in" in answers[2]
    page = served.program.ask(post(path="/metrics", method="GET", token=None)).body.decode()
    assert 'pgmcp_call_errors_total{error="BudgetError",gate="budget"}' in page


def test_a_kill_and_a_restart_forget_nothing_that_was_saved(
    postgres: Server, tmp_path: Path
) -> None:
    config, port, tokens = configured(tmp_path, postgres)
    with operated(config) as server:
        served = Served(server, port, tokens)
        served.ask("rows", SERIES % 15)
        until(lambda: any(used["rows"] for used in served.used().values()))
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
    with operated(config) as server:
        served = Served(server, port, tokens)
        assert served.ask("rows", SERIES % 9)[1].startswith("0 of 20 rows left")
    assert [(used["rows"], used["calls"]) for used in served.used().values()] == [(20, 2)]
    served.usage.write_text("{")
    with operated(config) as server:
        server.expect("Usage of today is not known, so all daily budgets count as spent")
        served = Served(server, port, tokens)
        assert "not known" in served.ask("bytes", "SELECT 1")[0]
        assert "1 row" in served.ask("calls", "SELECT 1")[0]
        assert served.usage.read_text() == "{"
        served.usage.unlink()
        server.settings(log={"level": "info"})
        server.reload()
        assert "1 row" in served.ask("bytes", "SELECT 1")[0]


def test_a_reload_may_bring_the_first_budget_and_what_cannot_be_saved_holds_up_nobody(
    postgres: Server, tmp_path: Path
) -> None:
    config, port, tokens = configured(tmp_path, postgres)
    settings = json.loads(config.read_text())
    free = {name: policy | {"limits": {}} for name, policy in POLICIES.items()}
    config.write_text(json.dumps(settings | {"policies": free}))
    with operated(config) as server:
        served = Served(server, port, tokens)
        served.usage.mkdir()
        served.ask("rows", SERIES % 100)
        server.settings(policies=POLICIES)
        server.reload()
        server.expect("Usage of today is not known")
        served.usage.rmdir()
        server.reload()
        served.usage.mkdir()
        served.ask("rows", SERIES % 15)
        server.expect("Usage is not saved, and a restart would forget it")
        served.ask("rows", SERIES % 15)
        assert "has used its 20 rows" in served.ask("rows", "SELECT 1")[0]
        served.usage.rmdir()
        server.expect("Usage is saved again")
        assert [used["rows"] for used in served.used().values()] == [20]
        assert server.log.read_text().count("Usage is not saved") == 1


def test_worker_processes_share_what_is_left(postgres: Server, tmp_path: Path) -> None:
    config, port, tokens = configured(tmp_path, postgres)
    with operated(config, "-workers", "2") as server:
        served = Served(server, port, tokens)
        with ExitStack() as stack:
            lines = one_to_each(served.program, stack)
            answers = [texts(line.query(SERIES % 12, tokens["rows"]))[0] for line in lines]
            assert ["cut" in answer for answer in answers] == [False, True]
            for line in lines:
                assert "has used its 20 rows" in texts(line.query("SELECT 1", tokens["rows"]))[0]
            calls = [texts(line.query("SELECT 1", tokens["calls"]))[0] for line in lines * 2]
            assert ["a minute" in each for each in calls] == [False, False, True, True]
    counts = [(used["rows"], used["calls"]) for used in served.used().values()]
    assert sorted(counts) == [(2, 2), (20, 2)], "saved when it ends"


def test_over_stdio_the_default_policy_counts_and_is_saved_at_the_end(
    postgres: Server, tmp_path: Path
) -> None:
    config, _, _ = configured(tmp_path, postgres)
    settings = json.loads(config.read_text())
    config.write_text(json.dumps(settings | {"policies": {"default": POLICIES["rows"]}}))
    params = {"name": "query_database", "arguments": {"query": SERIES % 12}}
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    notes = [run(config, typed=json.dumps(request) + "\n").stdout for _ in range(2)]
    assert ["cut" in note for note in notes] == [False, True]
    used = json.loads((tmp_path / "usage.json").read_text())["used"]
    assert (used["local"]["rows"], used["local"]["calls"]) == (20, 2)
