"""Policies as an operator and a client see them: the real program over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.operated import Operated, operated, text_of, tool
from tests.program import Program, add_token, run_program, settings_of, write_config
from tests.serving import Reply, post, rpc, until
from tools.postgres import Server, free_port

SCHEMA = """
CREATE TABLE users (id int, name text, secret text);
CREATE TABLE salaries (amount int);
INSERT INTO users VALUES (1, 'Ann', 's3cret');
"""
POLICIES: dict[str, Any] = {
    "support": {
        "tools": ["query_database", "get_schema_info"],
        "read": ["public.*", "not public.salaries", "not public.users.secret"],
    },
    "nothing": {},
}


@pytest.fixture(scope="session")
def postgres(newest_postgres: Server) -> Server:
    """The newest server alone: the tests of the rules themselves use each."""
    return newest_postgres


@pytest.fixture
def server(tmp_path: Path, postgres: Server, database: str) -> Iterator[Operated]:
    postgres.psql(SCHEMA, database)
    port = free_port()
    config = write_config(tmp_path, settings_of(postgres, database), port=port, policies=POLICIES)
    tokens = {
        name: add_token(config, name, policy=policy)
        for name, policy in (("open", None), ("support", "support"), ("lost", "gone"))
    }
    (tmp_path / "secrets").write_text(json.dumps(tokens))
    with operated(config) as running:
        yield running


def ask(server: Operated, who: str, request: Any) -> Reply:
    tokens = json.loads((server.config.parent / "secrets").read_text())
    port = int(json.loads(server.config.read_text())["http"]["address"].rpartition(":")[2])
    program = Program(server.process, port, tokens[who], server.config, server.log)
    return program.ask(request(tokens[who]))


def query(text: str) -> Any:
    return lambda token: tool("query_database", token, query=text)


def test_a_token_reads_what_its_policy_lets_it_read(server: Operated) -> None:
    assert "s3cret" in text_of(ask(server, "open", query("SELECT secret FROM users")))
    assert "Ann" in text_of(ask(server, "support", query("SELECT name FROM users")))
    refused = text_of(ask(server, "support", query("SELECT secret FROM users")))
    assert 'column "secret" does not exist' in refused
    described = text_of(ask(server, "support", lambda token: tool("get_schema_info", token)))
    assert "users" in described
    assert "salaries" not in described
    assert "secret" not in described


def test_a_token_has_the_tools_that_its_policy_names(server: Operated) -> None:
    listed = ask(server, "support", lambda token: post(rpc("tools/list", {}), token=token))
    names = {each["name"] for each in listed.json["result"]["tools"]}
    assert names == {"query_database", "get_schema_info"}
    counted = ask(server, "support", lambda token: tool("count_rows", token, table="users"))
    assert "unknown tool" in counted.json["error"]["message"]
    assert "1" in text_of(
        ask(server, "open", lambda token: tool("count_rows", token, table="users"))
    )


def test_a_policy_that_is_not_there_refuses_the_credential(server: Operated) -> None:
    assert ask(server, "lost", query("SELECT 1")).status == 401
    server.expect("has a policy that is not there: gone")


def test_a_reload_changes_what_may_be_read_and_a_bad_one_changes_nothing(
    server: Operated,
) -> None:
    server.settings(policies=POLICIES | {"support": {"read": ["users"]}})
    assert "names no table" in server.reload("not reloaded")
    assert "Ann" in text_of(ask(server, "support", query("SELECT name FROM users")))
    server.settings(policies=POLICIES | {"support": {"read": ["public.salaries"]}})
    server.reload()
    assert "does not exist" in text_of(ask(server, "support", query("SELECT name FROM users")))
    assert "0" in text_of(ask(server, "support", query("SELECT count(*) FROM salaries")))
    default = {"read": ["public.salaries", "public.salary"]}
    server.settings(policies=POLICIES | {"default": default})
    server.reload()
    server.expect("policy default: 'public.salary' matches no table or column")
    assert "does not exist" in text_of(ask(server, "open", query("SELECT name FROM users")))


def test_a_call_ends_under_the_policy_that_it_began_under(
    server: Operated, postgres: Server
) -> None:
    answers: list[str] = []
    sleeping = query("SELECT name, pg_sleep(2) FROM users")
    asking = threading.Thread(
        target=lambda: answers.append(text_of(ask(server, "support", sleeping)))
    )
    asking.start()
    running = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    until(lambda: postgres.psql(running) == "1")
    server.settings(policies=POLICIES | {"support": {"read": ["public.salaries"]}})
    server.reload()
    assert "does not exist" in text_of(ask(server, "support", query("SELECT name FROM users")))
    asking.join(20)
    assert "Ann" in answers[0]


def test_hours_networks_and_limits_hold(server: Operated) -> None:
    support = POLICIES["support"]
    server.settings(policies=POLICIES | {"support": support | {"networks": ["10.0.0.0/8"]}})
    server.reload()
    assert "from this address" in text_of(ask(server, "support", query("SELECT 1")))
    limits = {"rows_per_call": 2, "statement_timeout": "50ms"}
    here = {"networks": ["127.0.0.0/8"], "limits": limits}
    server.settings(policies=POLICIES | {"support": support | here})
    server.reload()
    rows = text_of(ask(server, "support", query("SELECT generate_series(1, 9)")))
    assert "2 rows; there are more" in rows
    slow = text_of(ask(server, "support", query("SELECT pg_sleep(20)")))
    assert "statement timeout" in slow


def test_flags_give_tokens_and_users_a_policy(tmp_path: Path) -> None:
    config = write_config(tmp_path, policies=POLICIES)
    details = ("-token-note", "x", "-token-expiry", "never")
    made = run_program(config, "-add-token", *details, "-token-policy", "support")
    assert "Policy: support" in made.stdout
    wrong = run_program(config, "-add-token", *details, "-token-policy", "suport")
    assert wrong.returncode == 1
    assert "there is no policy 'suport'" in wrong.stderr
    assert "support" in wrong.stderr
    alice = ("-username", "alice")
    run_program(config, "-add-user", *alice, "-password", "long enough", "-user-policy", "support")
    assert "policy: support" in (tmp_path / "users.yaml").read_text()
    run_program(config, "-update-user", *alice, "-user-policy", "")
    assert "policy" not in (tmp_path / "users.yaml").read_text()


def test_a_check_says_what_a_policy_would_allow_and_why(
    tmp_path: Path, postgres: Server, database: str
) -> None:
    postgres.psql(SCHEMA, database)
    masked = POLICIES["support"] | {"mask": {"public.users.name": "partial"}}
    config = write_config(
        tmp_path, settings_of(postgres, database), policies=POLICIES | {"support": masked}
    )
    add_token(config, "x", policy="support")
    file = tmp_path / "statements.sql"
    file.write_text(
        "SELECT id FROM users; SELECT name, id FROM users;\n"
        "SELECT amount FROM salaries; SELECT secret FROM users; SELECT * FROM users;"
        "SELECT nothing FROM users; SELECT ';' -- ;\n; EXPLAIN SELECT id FROM users; SHOW timezone"
    )
    checked = run_program(config, "-policy-check", "-policy", "support", "-file", str(file))
    assert checked.returncode == 1
    words = [line.split()[0] for line in checked.stdout.splitlines() if line[:1].strip()]
    assert words == ["allow", "mask", *["refuse"] * 4, "allow", "allow", "allow"]
    assert "result column 1 is shown by the mask partial" in checked.stdout
    assert "does not let public.salaries be read" in checked.stdout
    assert "does not let public.users.secret be read" in checked.stdout
    assert 'column "nothing" does not exist' in checked.stdout
    one = run_program(config, "-policy-check", "-token", "token-", "SELECT 1")
    assert one.returncode == 1
    listed = run_program(config, "-list-tokens").stdout
    token_id = next(line for line in listed.splitlines() if line.startswith("ID: "))[4:]
    one = run_program(config, "-policy-check", "-token", token_id, "SELECT 1")
    assert (one.returncode, one.stdout) == (0, "allow  SELECT 1\n")
    none = run_program(config, "-policy-check", "-policy", "suport", "SELECT 1")
    assert none.returncode == 1
    assert "the credential is refused" in none.stderr
    assert run_program(config, "-policy-check", "-policy", "support").returncode == 1
