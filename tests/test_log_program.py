"""The log of a running server: its forms, its file, slow calls, and what is never in it."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.observing import ALICE, add_user, ask, call, get, log_in, run, session_of
from tests.program import NOWHERE, running, settings_of, write_config
from tests.serving import until
from tools.postgres import Server

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \[[A-Z]+\] [ -~]+")
VALUE = "4111-1111-1111-1111"


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_debug_logs_each_request_with_its_duration_under_the_clients_id(tmp_path: Path) -> None:
    with running(tmp_path, flags=("-debug",)) as program:
        reply = call(program, "read_resource", list=True)
        get(program, "/health")
        # Either is logged once its answer is out, by a thread of its own.
        until(lambda: all(word in program.log.read_text() for word in ("/health", "POST")))
        lines = program.log.read_text().splitlines()
    mine = [line for line in lines if f"request={reply.headers['x-request-id']}" in line]
    assert all(LINE.fullmatch(line) for line in lines)
    assert len(mine) == 3, "who was admitted, the call, the answer"
    assert not any("slow call" in line for line in lines)
    assert re.search(r"\[CALL\] call request=\w+ seconds=0\.\d+ principal=token:", mine[1])
    assert "name=read_resource outcome=ok" in mine[1]
    assert re.search(r"\[HTTP\] 127\.0\.0\.1: POST '/mcp/v1' 200 .*seconds=0\.\d+", mine[2])


def test_json_lines_have_their_members(tmp_path: Path) -> None:
    log = {"format": "json", "level": "debug"}
    with running(tmp_path, log=log) as program:
        request_id = call(program, "nothing").headers["x-request-id"]
        until(lambda: '"POST' in program.log.read_text() or "POST" in program.log.read_text())
        found = events(program.log)
    calls = [event for event in found if event["area"] == "call"]
    assert len(calls) == 1
    assert calls[0]["request"] == request_id
    assert (calls[0]["level"], calls[0]["message"]) == ("debug", "call")
    assert (calls[0]["name"], calls[0]["outcome"]) == ("other", "error")
    assert calls[0]["error"] == "InvalidParamsError"
    assert isinstance(calls[0]["seconds"], float)
    assert all({"time", "level", "area", "message"} <= set(event) for event in found)


@pytest.fixture(scope="session")
def postgres(newest_postgres: Server) -> Server:
    """The newest server alone: what is logged of a call is the same with each."""
    return newest_postgres


def test_the_start_tells_of_a_role_that_fills_the_servers_log(
    postgres: Server, database: str, tmp_path: Path
) -> None:
    name = f"fills_{database}"
    postgres.psql(f"CREATE ROLE {name} LOGIN PASSWORD 'x'; GRANT pg_read_all_data TO {name}")
    main = {**settings_of(postgres, database), "user": name, "password": "x"}
    try:
        with running(tmp_path, main) as program:
            until(lambda: "log_min_messages" in program.log.read_text())
            told = program.log.read_text()
    finally:
        postgres.psql(f"DROP ROLE {name}")
    assert f'GRANT SET ON PARAMETER log_min_messages TO "{name}"' in told
    assert "reads credentials: pg_authid.rolpassword" in told


def test_a_slow_call_says_how_long_it_took_and_for_whom(postgres: Server, tmp_path: Path) -> None:
    log = {"slow_call_seconds": "200ms", "format": "json"}
    main = settings_of(postgres, "postgres")
    with running(tmp_path, main, log=log, metrics={"enabled": True}) as program:
        call(program, "query_database", query=f"SELECT '{VALUE}'")
        slow = call(program, "query_database", query=f"SELECT pg_sleep(0.3), '{VALUE}'")
        page = get(program, "/metrics").body
    found = [event for event in events(program.log) if event["message"] == "slow call"]
    # On a busy machine the other call may have been slow too.
    (mine,) = [event for event in found if event["request"] == slow.headers["x-request-id"]]
    assert 0.3 <= mine["seconds"] < 5
    assert mine["principal"].startswith("token:")
    assert (mine["name"], mine["database"]) == ("query_database", "main")
    assert "sql" not in mine
    assert f"\npgmcp_slow_calls_total {len(found)}\n".encode() in page


def test_sql_is_in_the_log_when_that_is_asked_for(postgres: Server, tmp_path: Path) -> None:
    log = {"level": "debug", "format": "json", "sql": True}
    with running(tmp_path, settings_of(postgres, "postgres"), log=log) as program:
        call(program, "query_database", query="SELECT 'x'\n, 1")
    found = [event for event in events(program.log) if event["message"] == "call"]
    assert found[-1]["sql"] == "SELECT 'x'\n, 1"


def test_the_file_is_opened_anew_on_sighup_and_the_level_follows(tmp_path: Path) -> None:
    file = tmp_path / "pgmcp.log"
    with running(tmp_path, log={"file": str(file)}) as program:
        until(lambda: "Listening on" in file.read_text())
        assert file.stat().st_mode & 0o777 == 0o600
        old = file.rename(tmp_path / "pgmcp.log.1")
        settings = json.loads(program.config.read_text())
        settings["log"] |= {"level": "debug", "format": "json"}
        program.config.write_text(json.dumps(settings))
        program.process.send_signal(signal.SIGHUP)
        until(lambda: file.exists() and "Configuration reloaded" in file.read_text())
        size = old.stat().st_size
        call(program, "nothing")
        until(lambda: any(event["message"] == "call" for event in events(file)))
        assert old.stat().st_size == size
        assert "Listening" not in program.log.read_text()


def test_a_log_that_cannot_be_opened_ends_the_start_and_changes_nothing_later(
    tmp_path: Path,
) -> None:
    bad = {"file": str(tmp_path / "none" / "log")}
    config = write_config(tmp_path, NOWHERE, log=bad)
    done = run(config)
    assert done.returncode == 1
    reason = os.strerror(errno.ENOENT).lower()
    assert f"ERROR: log.file: {bad['file']}: {reason}" in done.stderr
    with running(tmp_path) as program:
        settings = json.loads(program.config.read_text())
        program.config.write_text(json.dumps(settings | {"log": bad | {"level": "error"}}))
        program.process.send_signal(signal.SIGHUP)
        until(lambda: "nothing has changed: log.file:" in program.log.read_text())


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_no_value_and_no_sql_is_ever_logged(
    postgres: Server, tmp_path: Path, form: str
) -> None:
    secret_file, audit = tmp_path / "metrics-token", tmp_path / "audit.jsonl"
    secret_file.write_text("a-token-for-prometheus")
    config = write_config(tmp_path, NOWHERE)
    add_user(config, *ALICE)
    extra = {
        "log": {"format": form, "slow_call_seconds": "0.001ms"},
        "metrics": {"enabled": True, "token_file": str(secret_file)},
        "audit": {"file": str(audit)},
    }
    main = settings_of(postgres, "postgres")
    wrong = {**main, "name": "wrong", "password": "Not-the-right-one-5"}
    with running(
        tmp_path, main, wrong, flags=("-debug",), log=extra["log"], metrics=extra["metrics"],
        audit=extra["audit"],
    ) as program:  # fmt: skip
        session = session_of(log_in(program, *ALICE))
        condition = {"column": "relname", "value": VALUE}
        for token in (program.token, session):
            call(program, "query_database", token=token, query=f"SELECT '{VALUE}'")
            call(program, "query_database", token=token, query=f"SELECT '{VALUE}'::int")
            call(program, "query_database", token=token, query=f'DROP TABLE "{VALUE}"')
            call(program, "query_database", token=token, query=f"SELECT 1 /* {VALUE}")
            call(program, "count_rows", token=token, table="pg_class", filter=[condition])
            call(program, "count_rows", token=token, table=VALUE)
            call(program, "query_database", token=token, query=[VALUE])
            call(program, "query_database", token=token, query="SELECT 1", database=VALUE)
            call(program, VALUE, token=token)
            ask(program, "resources/read", {"uri": VALUE}, token=token)
            ask(program, VALUE, {}, token=token)
        log_in(program, "alice", "Wrong-password-9")
        log_in(program, *("alice", {"x": "Wrong-password-9"}))  # type: ignore[arg-type]
        call(program, "query_database", token="Wrong-token-3", query="SELECT 1")
        get(program, "/metrics", token="a-token-for-prometheus")
        get(program, "/ready")
        program.ask(b"GET /mcp/v1?key=" + VALUE.encode() + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        program.process.send_signal(signal.SIGHUP)
        until(lambda: "Configuration reloaded" in program.log.read_text())
        secrets = [program.token, session, *ALICE[1:], "Wrong-password-9", "Wrong-token-3"]
    text = program.log.read_text() + audit.read_text()
    assert text.count("slow call") >= 10
    key = audit.with_name("audit.jsonl.key").read_text().strip()
    secrets += ["a-token-for-prometheus", "Not-the-right-one-5", key, VALUE, "SELECT", "DROP"]
    secrets += [postgres.password] if postgres.password else []
    for secret in secrets:
        assert secret not in text
