"""Canaries as an operator and a thief see them: the real program over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.observing import ALICE, add_user, ask, call, get, log_in, records, run, session_of
from tests.operated import text_of
from tests.program import Program, add_token, running, settings_of, write_config
from tests.serving import Reader, post, rpc, until
from tools.postgres import Server

SCHEMA = """
CREATE TABLE users (id int, name text, ssn text);
CREATE TABLE vault (word text);
INSERT INTO vault VALUES ('honey');
"""
POLICIES: dict[str, Any] = {
    "default": {"read": ["public.*"], "canaries": ["public.vault", "public.users.ssn"]},
    "hidden": {"read": ["public.users"], "canaries": ["public.vault"]},
    "alarm": {"read": ["public.*"], "canaries": ["public.vault"], "canary_action": "alarm"},
}
BAIT = {"query": "SELECT word FROM vault"}
ABSENT = 'ERROR: relation "vault" does not exist'


@pytest.fixture(scope="session")
def postgres(newest_postgres: Server) -> Server:
    """The newest server alone: which uses are seen is tested on each."""
    return newest_postgres


@pytest.fixture(scope="module")
def baited(postgres: Server) -> Iterator[str]:
    name = "canaries_program"
    postgres.create_database(name)
    postgres.psql(SCHEMA, name)
    yield name
    postgres.drop_database(name)


@pytest.fixture(scope="module")
def program(
    postgres: Server, baited: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    """Two workers, with an audit, metrics and a user."""
    folder = tmp_path_factory.mktemp("canaries")
    write_config(folder)
    add_user(folder / "pgedge-postgres-mcp.yaml", *ALICE)
    settings = {
        "audit": {"file": str(folder / "audit.jsonl")},
        "metrics": {"enabled": True},
        "auth": {"rate_limit_max_attempts": 10_000},
        "policies": POLICIES,
    }
    flags = ("-workers", "2")
    with running(folder, settings_of(postgres, baited), flags=flags, **settings) as served:
        yield served


def token_for(program: Program, policy: str | None = None) -> tuple[str, str]:
    """A new token that works in every worker, and its id."""
    token = add_token(program.config, "bait", policy)
    listed = run(program.config, "-list-tokens").stdout.split("ID: ")
    until(lambda: all(_works(program, token) for _ in range(6)), 30)
    return token, listed[-1].splitlines()[0]


def _works(program: Program, token: str) -> bool:
    return ask(program, "ping", {}, token=token).status == 200


def audited(program: Program) -> dict[str, Any]:
    return records(program.config.with_name("audit.jsonl"))[-1]


def test_a_token_that_uses_a_canary_is_stopped_in_every_process_before_it_hears(
    program: Program,
) -> None:
    token, token_id = token_for(program)
    fine = call(program, "query_database", token=token, query="SELECT name FROM users")
    assert "0 rows" in text_of(fine)
    said = text_of(call(program, "query_database", token=token, **BAIT))
    assert "stopped" in said
    assert "honey" not in said
    assert [_works(program, token) for _ in range(8)] == [False] * 8
    record = audited(program)
    assert record["canaries"] == ["public.vault"]
    assert record["canary_action"] == "stop"
    assert record["relations"] == {"public.vault": ["word"]}
    line = next(x for x in program.log.read_text().splitlines() if "canary used" in x)
    assert "public.vault" in line
    assert token_id in line
    page = get(program, "/metrics").body.decode()
    assert 'pgmcp_canaries_total{action="stop"}' in page
    assert "STOPPED" in run(program.config, "-list-tokens").stdout
    assert "enabled" in run(program.config, "-enable-token", token_id).stdout
    until(lambda: all(_works(program, token) for _ in range(6)), 30)
    assert "not stopped" in run(program.config, "-enable-token", token_id).stdout
    verified = run(program.config, "-verify-audit", str(program.config.with_name("audit.jsonl")))
    assert verified.stdout.splitlines()[-1].startswith("Whole")


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("query_database", {"query": "how many vault are there?"}),
        ("execute_explain", BAIT),
        ("count_rows", {"table": "vault"}),
        ("count_rows", {"table": "users", "filter": [{"column": "ssn", "op": "is null"}]}),
    ],
)
def test_every_tool_that_uses_one_stops_its_token(
    program: Program, tool: str, arguments: dict[str, Any]
) -> None:
    token, _ = token_for(program)
    call(program, "get_schema_info", token=token, table_name="vault")
    assert _works(program, token), "a description uses no row"
    assert "honey" not in text_of(call(program, tool, token=token, **arguments))
    assert not _works(program, token)


def test_a_hidden_canary_is_answered_as_absent_and_its_token_is_stopped(program: Program) -> None:
    for arguments in (BAIT, {"query": "SELECT nothing FROM vault"}, {"table": "vault"}):
        token, _ = token_for(program, "hidden")
        tool = "query_database" if "query" in arguments else "count_rows"
        absent = {key: value.replace("vault", "tluav") for key, value in arguments.items()}
        expected = text_of(call(program, tool, token=token, **absent)).replace("tluav", "vault")
        assert _works(program, token)
        assert text_of(call(program, tool, token=token, **arguments)) == expected
        assert not _works(program, token)


def test_an_alarm_stops_nothing(program: Program) -> None:
    token, _ = token_for(program, "alarm")
    assert "honey" in text_of(call(program, "query_database", token=token, **BAIT))
    assert _works(program, token)
    assert audited(program)["canary_action"] == "alarm"


def test_a_user_is_disabled_and_every_session_ends(program: Program) -> None:
    sessions = [session_of(log_in(program, *ALICE)) for _ in range(2)]
    assert all(_works(program, session) for session in sessions)
    call(program, "query_database", token=sessions[0], **BAIT)
    assert not any(_works(program, session) for session in sessions * 4)
    refused = log_in(program, *ALICE).body.decode()
    assert "disabled" in refused
    assert "DISABLED" in run(program.config, "-list-users").stdout
    run(program.config, "-enable-user", "-username", ALICE[0])
    until(lambda: "session_token" in log_in(program, *ALICE).body.decode(), 30)


def test_what_a_narrowed_token_uses_stops_its_parent_and_all_running_calls(
    program: Program, postgres: Server, baited: str
) -> None:
    made = run(
        program.config, "-add-token", "-attenuable", "-token-note", "x", "-token-expiry", "never"
    )
    parent = made.stdout.split("Token: ")[1].split()[0]
    narrowed = run(program.config, "-attenuate", parent, "-token-rows", "5").stdout.split()[-1]
    until(lambda: all(_works(program, token) for token in (parent, narrowed) * 3), 30)
    sleep = {"name": "query_database", "arguments": {"query": "SELECT pg_sleep(60)"}}
    with program.connect(60) as sleeper:
        sleeper.sendall(post(rpc("tools/call", sleep), token=parent))
        asleep = (
            "SELECT count(*) FROM pg_stat_activity"
            f" WHERE wait_event = 'PgSleep' AND datname = '{baited}'"
        )
        until(lambda: postgres.psql(asleep, baited).strip() != "0", 30)
        call(program, "query_database", token=narrowed, **BAIT)
        assert Reader(sleeper).reply().status == 200
    assert not any(_works(program, token) for token in (parent, narrowed) * 4)


def test_what_cannot_be_written_is_stopped_in_memory_until_it_can(program: Program) -> None:
    folder = program.config.parent
    token, token_id = token_for(program)
    session = session_of(log_in(program, *ALICE))
    locks = [folder / f".{name}.yaml.lock" for name in ("tokens", "users")]
    for lock in locks:  # a folder in its place cannot be locked, even by root
        lock.unlink()
        lock.mkdir()
    for credential in (token, session):
        call(program, "query_database", token=credential, **BAIT)
        assert [_works(program, credential) for _ in range(8)] == [False] * 8
    log = program.log.read_text()
    assert f'the token "{token_id}" is stopped in memory only' in log
    assert 'the account "alice" is disabled in memory only' in log
    assert "disabled" in log_in(program, *ALICE).body.decode()
    for lock in locks:
        lock.rmdir()
    until(lambda: "STOPPED" in run(program.config, "-list-tokens").stdout.split(token_id)[1], 30)
    until(lambda: "DISABLED" in run(program.config, "-list-users").stdout, 30)
    run(program.config, "-enable-token", token_id)
    until(lambda: all(_works(program, token) for _ in range(6)), 30)
    run(program.config, "-enable-user", "-username", ALICE[0])
    until(lambda: "session_token" in log_in(program, *ALICE).body.decode(), 30)


def test_without_a_credential_it_is_an_alarm(tmp_path: Path, postgres: Server, baited: str) -> None:
    settings = settings_of(postgres, baited)
    audit = {"file": str(tmp_path / "audit.jsonl")}
    flags = ("-no-auth",)
    with running(tmp_path, settings, flags=flags, policies=POLICIES, audit=audit) as served:
        assert "honey" in text_of(call(served, "query_database", token=None, **BAIT))
        assert audited(served)["canary_action"] == "alarm"
        assert "honey" in text_of(call(served, "query_database", token=None, **BAIT))
