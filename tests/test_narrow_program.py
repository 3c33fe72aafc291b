"""Tokens that were narrowed, as their holder, the operator and two serving processes see them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest

from pgmcp.auth.attenuation import attenuated, new_attenuable_secret
from pgmcp.auth.narrowing import Narrowing
from pgmcp.auth.tokens import ApiToken, new_token
from pgmcp.stores.attenuation_key import FileKeyStore
from pgmcp.stores.files import FileTokenStore
from tests.operated import text_of, tool
from tests.program import Program, run_program, running, settings_of
from tests.serving import post, rpc, until
from tests.test_processes import ASLEEP, WORKERS, one_to_each
from tools.postgres import Server
from tools.serving import ROOT, environment

POLICIES = {
    "wide": {"read": ["public.*", "not public.hidden"], "limits": {"rows_per_call": 100}},
    "small": {"read": ["public.shown"], "mask": {"public.shown.name": "partial"}},
    "other role": {"read": ["public.*"], "role": "other"},
    "daily": {"read": ["public.*"], "limits": {"rows_per_day": 12}},
    "baited": {"read": ["public.*"], "canaries": ["public.third"]},
}
SLEEP = "SELECT pg_sleep(120)"


@pytest.fixture(scope="session")
def postgres(newest_postgres: Server) -> Server:
    """The newest server alone: what is tested here is the same with each."""
    return newest_postgres


@pytest.fixture(scope="module")
def program(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """Two workers, with a database and an audit."""
    folder = tmp_path_factory.mktemp("narrow")
    postgres.psql("CREATE DATABASE narrow", "postgres")
    postgres.psql(
        "CREATE TABLE shown AS SELECT n AS id, 'Annabel' AS name FROM generate_series(1, 9) n;"
        "CREATE TABLE hidden AS SELECT 1 AS id; CREATE TABLE third AS SELECT 1 AS id",
        "narrow",
    )
    places = [settings_of(postgres, "narrow"), settings_of(postgres, "narrow") | {"name": "more"}]
    audit = {"file": str(folder / "audit.jsonl")}
    settings = {"audit": audit, "policies": POLICIES, "usage_file": str(folder / "usage.json")}
    with running(folder, *places, flags=WORKERS, **settings) as program:
        yield program


def parent(program: Program, policy: str | None = None) -> tuple[str, ApiToken]:
    """The text of a new token that can be narrowed, and its entry."""
    folder = program.config.parent
    key = FileKeyStore(folder / "tokens.yaml.key").made()
    secret = new_attenuable_secret(key)
    made = FileTokenStore(folder / "tokens.yaml").add(
        lambda taken: new_token(
            taken,
            secret,
            note="",
            database=None,
            now=datetime.now(UTC),
            expires_at=None,
            policy=policy,
            attenuable=key.id,
        )
    )
    known_to_all(program, secret)
    return secret, made


def known_to_all(program: Program, token: str) -> None:
    with ExitStack() as stack:
        for line in one_to_each(program, stack):
            until(lambda line=line: line.query("SELECT 1", token).status == 200)  # type: ignore[misc]


def narrowed(token: str, *flags: str) -> str:
    """What -attenuate says last, in a folder where there is nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "pgmcp", "-attenuate", "-", *flags],
        cwd=ROOT,
        env=environment(),
        input=f"{token}\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.split()[-1]


def test_a_holder_narrows_a_token_and_each_process_holds_it_to_that(program: Program) -> None:
    details = ("-token-note", "parent", "-token-expiry", "never", "-token-policy", "wide")
    made = run_program(program.config, "-add-token", "-attenuable", *details)
    assert made.returncode == 0, made.stderr
    said = dict(line.split(": ", 1) for line in made.stdout.splitlines() if ": " in line)
    token, token_id = said["Token"], said["ID"]
    known_to_all(program, token)
    tools = ("-token-tool", "query_database,get_schema_info")
    child = narrowed(token, *tools, "-token-rows", "5", "-token-network", "127.0.0.0/8")
    grandchild = narrowed(child, "-token-rows", "2", "-token-policy", "small")
    with ExitStack() as stack:
        for line in one_to_each(program, stack):
            listed = line.ask(post(rpc("tools/list", {}), token=child))
            names = {each["name"] for each in listed.json["result"]["tools"]}
            assert names == {"query_database", "get_schema_info"}
            counted = line.ask(tool("count_rows", child, table="shown"))
            assert "unknown tool" in counted.json["error"]["message"]
            assert "5 rows; there are more" in text_of(line.query("SELECT id FROM shown", child))
            assert "does not exist" in text_of(line.query("SELECT id FROM hidden", child))
            assert "1" in text_of(line.query("SELECT id FROM third", child))
            rows = text_of(line.query("SELECT id, name FROM shown", grandchild))
            assert "A***l" in rows
            assert "2 rows; there are more" in rows
            assert "does not exist" in text_of(line.query("SELECT id FROM third", grandchild))
            assert "9 rows" in text_of(line.query("SELECT id, name FROM shown", token))
            described = text_of(line.ask(tool("get_schema_info", grandchild)))
            assert "shown" in described
            assert "third" not in described
            for refused in (
                attenuated(child, Narrowing(policies=("small", "gone"))),
                attenuated(child, Narrowing(networks=(("10.0.0.0/8",),))),
                child[:-1],
                grandchild.replace(f"{grandchild.split('.')[3]}.", ""),
            ):
                assert line.query("SELECT 1", refused).status == 401
    ordinary, *others = run_program(program.config, "-list-tokens").stdout.split("ID: ")[1:]
    assert "Attenuable" not in ordinary
    assert "Attenuable: yes" in next(text for text in others if text.startswith(token_id))
    assert (program.config.parent / "tokens.yaml.key").stat().st_mode & 0o777 == 0o600
    log = program.log.read_text()
    assert f'token="{token_id}" narrowed="tools=query_database,get_schema_info rows=5 net' in log
    assert child not in log + (program.config.parent / "audit.jsonl").read_text()


def test_a_narrowed_token_reaches_no_database_and_no_role_that_it_has_not(
    program: Program,
) -> None:
    token, entry = parent(program)
    for narrowing in (
        Narrowing(databases=("more",)),  # a token that is bound to none has the default one
        Narrowing(policies=("other role",)),
    ):
        child = attenuated(token, narrowing)
        answer = text_of(program.ask(tool("query_database", child, query="SELECT 1")))
        assert "SELECT 1" not in answer
        assert "no database" in answer or "differ in role" in answer
    audit = (program.config.parent / "audit.jsonl").read_text().splitlines()
    record = json.loads(audit[-1])
    assert (record["principal"], record["kind"]) == (entry.id, "token")
    assert record["narrowed"] == {"policies": ["other role"]}


def test_what_narrowed_tokens_use_counts_for_the_token_that_they_were_made_of(
    program: Program,
) -> None:
    token, _ = parent(program, "daily")
    first, second = (attenuated(token, Narrowing(rows=rows)) for rows in (4, 5))
    with ExitStack() as stack:
        first_line, second_line = one_to_each(program, stack)
        assert "4 rows" in text_of(first_line.query("SELECT id FROM shown", first))
        assert "5 rows" in text_of(second_line.query("SELECT id FROM shown", second))
        left = text_of(first_line.query("SELECT id FROM shown", token))
        assert "1 row" in left
        spent = text_of(second_line.query("SELECT id FROM shown", first))
        assert "12" in spent
        assert "id" not in spent.split()


def test_a_canary_that_a_narrowed_token_reads_stops_the_token_that_it_was_made_of(
    program: Program,
) -> None:
    token, entry = parent(program, "baited")
    child, sibling = (attenuated(token, Narrowing(rows=rows)) for rows in (4, 5))
    with ExitStack() as stack:
        first_line, second_line = one_to_each(program, stack)
        assert second_line.query("SELECT id FROM shown", sibling).status == 200
        first_line.query("SELECT id FROM third", child)
        for line in (first_line, second_line):
            for secret in (child, sibling, token):
                assert line.query("SELECT 1", secret).status == 401
    assert f"id: {entry.id}" in (program.config.parent / "tokens.yaml").read_text()


def test_a_call_ends_with_its_token_and_with_the_one_that_was_narrowed(
    program: Program, postgres: Server
) -> None:
    token, entry = parent(program)
    lasting = attenuated(token, Narrowing(rows=5))
    brief = attenuated(token, Narrowing(expires_at=datetime.now(UTC) + timedelta(seconds=3)))

    def asleep(count: str) -> None:
        until(lambda: postgres.psql(ASLEEP % "narrow", "postgres").strip() == count)

    with ExitStack() as stack:
        first, second = one_to_each(program, stack)
        for line, child in ((first, brief), (second, lasting)):
            line.send(tool("query_database", child, query=SLEEP))
        asleep("2")
        assert "token expired" in text_of(first.reader.reply())
        assert first.query("SELECT 1", brief).status == 401
        asleep("1")
        tokens = FileTokenStore(program.config.parent / "tokens.yaml")
        assert tokens.remove(lambda other: other.hash == entry.hash)
        assert "token removed" in text_of(second.reader.reply())
        asleep("0")
        for line in (first, second):
            assert line.query("SELECT 1", lasting).status == 401
            assert line.query("SELECT 1", token).status == 401
