"""The audit of a running server, and `-verify-audit`."""

from __future__ import annotations

import json
import re
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pgmcp.audit.chain import fingerprint
from pgmcp.audit.read import load_key, mark_of
from tests.observing import (
    ALICE,
    add_user,
    ask,
    call,
    get,
    log_in,
    records,
    run,
    session_of,
)
from tests.program import NOWHERE, Program, running, settings_of, write_config
from tests.serving import Reply
from tools.postgres import Server

SECRET_VALUE = "4111-1111-1111-1111"
linux = pytest.mark.skipif(sys.platform != "linux", reason="prlimit is Linux's")


@dataclass(frozen=True)
class Audited:
    """A program, and its audit's file."""

    program: Program
    file: Path

    @property
    def last(self) -> dict[str, Any]:
        return records(self.file)[-1]

    def call(self, tool: str, *, token: str | None = "", **arguments: Any) -> dict[str, Any]:
        """The record of a call, which carries the request's id."""
        reply = call(self.program, tool, token=token, **arguments)
        record = self.last
        assert record["request"] == reply.headers["x-request-id"]
        return record


@pytest.fixture(scope="session")
def postgres(newest_postgres: Server) -> Server:
    """The newest server alone: what is recorded of an answer is the same with each."""
    return newest_postgres


@pytest.fixture(scope="module")
def audited(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    folder = tmp_path_factory.mktemp("audited")
    file = folder / "audit.jsonl"
    write_config(folder, NOWHERE)
    add_user(folder / "pgedge-postgres-mcp.yaml", *ALICE)
    audit = {"file": str(file), "required": True}
    with running(folder, settings_of(postgres, "postgres"), audit=audit) as program:
        yield Audited(program, file)


def test_a_record_names_the_tables_and_columns_that_a_call_used(
    audited: Audited, postgres: Server
) -> None:
    postgres.psql("CREATE TABLE IF NOT EXISTS audited (id int, name text, secret text)")
    name, table = "public.audited", "audited"
    query = {"query": "SELECT a.name FROM audited AS a WHERE a.id = 1"}
    for tool in ("query_database", "execute_explain"):
        for _ in range(2):
            assert audited.call(tool, **query)["relations"] == {name: ["id", "name"]}
    counted = audited.call("count_rows", table=table)
    assert (counted["relations"], counted["first_columns"]) == ({name: []}, {name: "id"})
    where = [{"column": "secret", "op": "is null"}]
    assert audited.call("count_rows", table=table, filter=where)["relations"] == {name: ["secret"]}
    assert audited.call("get_schema_info", table_name=table)["relations"] == {name: []}
    assert audited.call("get_schema_info")["relations"] == {}
    asked = audited.call("query_database", query="how many audited are there?")
    assert asked["relations"] == {name: []}
    failed = audited.call("query_database", query="SELECT pg_read_file(secret) FROM audited")
    assert (failed["outcome"], failed["relations"]) == ("refused", {name: ["secret"]})
    assert audited.call("query_database", query="SELECT no FROM audited")["relations"] == {}


def test_a_call_leaves_one_record(audited: Audited) -> None:
    before = len(records(audited.file))
    sql = f"SELECT x, '{SECRET_VALUE}' FROM generate_series(1, 3) x"
    record = audited.call("query_database", query=f" {sql}; ")
    assert len(records(audited.file)) == before + 1
    key = load_key(audited.file.with_name("audit.jsonl.key"), create=False)
    assert record["sql_fingerprints"] == [fingerprint(key, sql)]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["time"])
    assert 0 < record["seconds"] < 10
    said = {
        name: record[name]
        for name in ("kind", "address", "method", "name", "database", "outcome", "rows")
    }
    assert said == {
        "kind": "token",
        "address": "127.0.0.1",
        "method": "tools/call",
        "name": "query_database",
        "database": "main",
        "outcome": "ok",
        "rows": 3,
    }
    assert (record["error"], record["sqlstate"], record["gate"]) == (None, None, None)
    assert record["principal"] not in ("", audited.program.token)


@pytest.mark.parametrize(
    ("tool", "arguments", "expected"),
    [
        ("query_database", {"query": "DELETE FROM x"}, ("refused", "grammar", None)),
        ("query_database", {"query": "SELECT pg_ls_dir('.')"}, ("refused", "judge", None)),
        ("query_database", {"query": "SELECT 1", "database": "b"}, ("refused", "database", None)),
        ("query_database", {"query": "SELECT 1/0"}, ("error", None, "22012")),
        ("query_database", {"query": "SELECT * FROM missing"}, ("error", None, "42P01")),
        ("query_database", {"q": 1}, ("error", None, None)),
        ("nothing", {}, ("error", None, None)),
    ],
)  # fmt: skip
def test_a_call_that_fails_says_how(
    audited: Audited, tool: str, arguments: Any, expected: tuple[str | None, ...]
) -> None:
    record = audited.call(tool, **arguments)
    assert (record["outcome"], record["gate"], record["sqlstate"]) == expected
    assert record["error"].endswith("Error")
    assert record["name"] == (tool if tool != "nothing" else "other")


def test_what_is_not_sql_is_recorded_too(audited: Audited) -> None:
    ask(audited.program, "resources/read", {"uri": "pg://system_info"})
    assert audited.last["name"] == "pg://system_info"
    ask(audited.program, "prompts/get", {"name": "explore-database", "arguments": {}})
    assert (audited.last["method"], audited.last["name"]) == ("prompts/get", "explore-database")
    count = len(records(audited.file))
    ask(audited.program, "tools/list", {})
    get(audited.program, "/health")
    call(audited.program, "query_database", token="no such token", query="SELECT 1")
    assert len(records(audited.file)) == count, "no call"


def test_logging_in_and_out_is_recorded_with_the_name(audited: Audited) -> None:
    log_in(audited.program, "alice", "wrong")
    failed = audited.last
    assert (failed["kind"], failed["user"], failed["outcome"]) == ("anonymous", "alice", "refused")
    assert (failed["gate"], failed["error"]) == ("credential", "LoginError")
    for typed in ("Correct-horse-7-battery", "Alice-s-password " * 500):
        log_in(audited.program, typed, "wrong")
        assert (audited.last["name"], audited.last["outcome"]) == ("authenticate_user", "refused")
        assert "user" not in audited.last, "a password where the name belongs"
        assert typed[:16] not in audited.file.read_text()
    token = session_of(log_in(audited.program, *ALICE))
    assert (audited.last["user"], audited.last["outcome"]) == ("alice", "ok")
    record = audited.call("query_database", token=token, query="SELECT 1")
    assert (record["kind"], record["principal"]) == ("session", "alice")
    out = audited.call("logout_user", token=token)
    assert (out["kind"], out["principal"], out["outcome"]) == ("session", "alice", "ok")


def test_what_the_limiter_turns_away_does_not_fill_the_disk(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    limit = {"rate_limit_max_attempts": 2}
    with running(tmp_path, auth=limit, audit={"file": str(file)}) as program:
        for _ in range(5):
            log_in(program, "nobody", "wrong")
    assert len(records(file)) == 2


def test_no_value_and_no_secret_is_in_the_audit(audited: Audited, postgres: Server) -> None:
    condition = {"column": "relname", "value": SECRET_VALUE}
    audited.call("count_rows", table="pg_class", schema="pg_catalog", filter=[condition])
    audited.call("query_database", query=f"SELECT '{SECRET_VALUE}'")
    text = audited.file.read_text()
    for secret in (SECRET_VALUE, ALICE[1], audited.program.token, "SELECT"):
        assert secret not in text
    assert not postgres.password or postgres.password not in text


def test_sql_is_recorded_when_that_is_asked_for(postgres: Server, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    audit = {"file": str(file), "sql": True}
    with running(tmp_path, settings_of(postgres, "postgres"), audit=audit) as program:
        call(program, "query_database", query="SELECT 7")
        assert records(file)[-1]["sql"] == ["SELECT 7"]


def test_verifying_says_whole_while_it_runs_and_names_what_is_broken(
    audited: Audited, tmp_path: Path
) -> None:
    audited.call("query_database", query="SELECT 1")
    done = run(audited.program.config, "-verify-audit", str(audited.file))
    assert done.returncode == 0
    assert re.search(r"^Whole: records 1 to \d+ in 1 file$", done.stdout, re.MULTILINE)
    assert "Note: the last record is no stop" in done.stdout
    copy, key = tmp_path / "audit.jsonl", tmp_path / "key"
    lines = audited.file.read_bytes().splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if b'"outcome":"ok"' in line)
    lines[at] = lines[at].replace(b'"ok"', b'"no"')
    copy.write_bytes(b"".join(lines))
    key.write_bytes(audited.file.with_name("audit.jsonl.key").read_bytes())
    broken = run(audited.program.config, "-verify-audit", str(copy), "-audit-key", str(key))
    assert (broken.returncode, broken.stdout) == (1, "")
    assert broken.stderr.endswith(
        f"ERROR: audit.jsonl, line {at + 1}: record {at + 1} was changed: its MAC is wrong\n"
        f"{at} records before it are whole.\n"
    )


def test_verifying_without_a_file_or_its_key_says_what_to_do(tmp_path: Path) -> None:
    config = write_config(tmp_path, NOWHERE)
    missing = run(config, "-verify-audit", str(tmp_path / "none"))
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "there is no such file" in missing.stderr
    (tmp_path / "audit.jsonl").write_text("x\n")
    keyless = run(config, "-verify-audit", str(tmp_path / "audit.jsonl"))
    assert "there is no key" in keyless.stderr
    assert run(config, "-verify-audit", "").returncode == 2


def test_a_kill_and_a_restart_leave_a_chain_that_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    audit = {"file": str(file), "max_bytes": 4096}
    with running(tmp_path, audit=audit) as program:
        for _ in range(20):
            call(program, "nothing")
        program.process.kill()
        program.process.wait()
    with file.open("ab") as stream:
        stream.write(b'{"seq":99,"time":"20')
    with running(tmp_path, audit=audit) as program:
        call(program, "nothing")
    done = run(tmp_path / "pgedge-postgres-mcp.yaml", "-verify-audit", str(file))
    assert done.returncode == 0, done.stderr
    assert "unfinished, and the next record says so" in done.stdout
    assert re.search(r"^Whole: records 1 to \d+ in \d files$", done.stdout, re.MULTILINE)
    assert "the last record is no stop" not in done.stdout
    assert re.search(r"^Note: record \d+: a server started with no stop", done.stdout, re.MULTILINE)


def test_a_server_whose_audit_cannot_be_opened_does_not_start(tmp_path: Path) -> None:
    file = tmp_path / "none" / "audit.jsonl"
    config = write_config(tmp_path, NOWHERE, audit={"file": str(file)})
    done = run(config)
    assert done.returncode == 1
    assert f"ERROR: audit.file: {file}: there is no such folder\n" in done.stderr
    (tmp_path / "none").mkdir()
    file.write_text('{"seq":1}\n')
    assert "there is no key" in run(config).stderr, "a file is not continued under a new key"


def test_an_audit_that_was_taken_away_with_its_mark_is_a_doubt(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    config = write_config(tmp_path, NOWHERE, audit={"file": str(file)})
    assert "no mark" not in run(config).stderr
    for taken in (file, mark_of(file)):
        taken.unlink()
    assert "there is a key, and no mark" in run(config).stderr
    done = run(config, "-verify-audit", str(file))
    assert "Doubt: record 2: a server found a key and no mark" in done.stdout


def test_required_without_a_file_is_a_contradiction(tmp_path: Path) -> None:
    config = write_config(tmp_path, NOWHERE, audit={"required": True})
    done = run(config)
    assert done.returncode == 1
    assert "audit.required: it has no effect without audit.file" in done.stderr


def _limit(program: Program, file_bytes: int) -> None:
    """Make every file of the program full at this size: what a full disk looks like to it."""
    hard = resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE, (file_bytes, hard))


def _unlimit(program: Program) -> None:
    hard = resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE, (hard, hard))


def _text(reply: Reply) -> str:
    return json.dumps(reply.json)


@linux
def test_a_full_disk_stops_calls_until_there_is_room(postgres: Server, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    audit = {"file": str(file), "required": True}
    with running(tmp_path, settings_of(postgres, "postgres"), audit=audit) as program:
        for _ in range(20):
            call(program, "query_database", query="SELECT 'wanted'")
        _limit(program, file.stat().st_size + 20)
        size = file.stat().st_size
        withheld = call(program, "query_database", query="SELECT 'wan' || 'ted'")
        assert withheld.json["error"]["message"].startswith("the audit cannot be written")
        assert "wanted" not in _text(withheld)
        refused = call(program, "query_database", query="SELECT pg_sleep(30)")
        assert refused.json["error"] == withheld.json["error"]
        assert ask(program, "tools/list", {}).json["result"], "no call, and nothing to record"
        assert file.stat().st_size == size
        _unlimit(program)
        assert "result" in call(program, "query_database", query="SELECT 1").json
    log = program.log.read_text()
    assert log.count("the audit cannot be written") == 1
    assert "the audit is written again: 1 records are missing" in log
    assert [record["lost"] for record in records(file, "resumed")] == [1]
    assert run(tmp_path / "pgedge-postgres-mcp.yaml", "-verify-audit", str(file)).returncode == 0


@linux
def test_a_full_disk_is_said_once_and_counted_when_the_audit_is_not_required(
    tmp_path: Path,
) -> None:
    file = tmp_path / "audit.jsonl"
    audit, metrics = {"file": str(file)}, {"enabled": True}
    with running(tmp_path, audit=audit, metrics=metrics) as program:
        for _ in range(20):
            call(program, "read_resource", list=True)
        _limit(program, file.stat().st_size + 20)
        for _ in range(3):
            assert "result" in call(program, "read_resource", list=True).json
        page = get(program, "/metrics").body.decode()
        assert "\npgmcp_audit_failures_total 3\n" in page
        assert "\npgmcp_audit_failing 1\n" in page
        _unlimit(program)
        call(program, "read_resource", list=True)
        assert "\npgmcp_audit_failing 0\n" in get(program, "/metrics").body.decode()
    assert program.log.read_text().count("the audit cannot be written") == 1
    assert [record["lost"] for record in records(file, "resumed")] == [3]


def test_calls_over_stdio_are_recorded_too(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    config = write_config(tmp_path, NOWHERE, audit={"file": str(file)})
    params = {"name": "read_resource", "arguments": {"list": True}}
    request = {"jsonrpc": "2.0", "id": "seven", "method": "tools/call", "params": params}
    done = run(config, typed=json.dumps(request) + "\n")
    assert json.loads(done.stdout)["id"] == "seven"
    (record,) = records(file)
    assert (record["request"], record["kind"]) == ("seven", "local")
    assert (record["address"], record["name"], record["outcome"]) == (
        "stdio",
        "read_resource",
        "ok",
    )
    assert len(records(file, "stop")) == 1


def test_servers_side_by_side_write_one_chain(tmp_path: Path) -> None:
    """As clients over stdio start one server each, with one configuration."""
    file = tmp_path / "audit.jsonl"
    audit = {"file": str(file), "max_bytes": 4096}
    (tmp_path / "other").mkdir()
    with running(tmp_path, audit=audit) as one, running(tmp_path / "other", audit=audit) as other:
        for _ in range(10):
            call(one, "nothing")
            call(other, "nothing")
    done = run(tmp_path / "pgedge-postgres-mcp.yaml", "-verify-audit", str(file))
    assert done.returncode == 0, done.stderr
    assert re.search(r"^Whole: records 1 to \d+ in \d files$", done.stdout, re.MULTILINE)
