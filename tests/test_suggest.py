"""`-suggest-policy` and `-suggest-role`: what was recorded passes with them, and nothing more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from pgmcp.audit.recorded import RecordedUse, recorded_use
from pgmcp.audit.suggestions import grants_of, policy_of
from tests.databases import eventually
from tests.observing import call, records, run
from tests.operated import text_of
from tests.program import Program, add_token, running, settings_of, write_config
from tests.serving import Reply
from tools.postgres import Server

SCHEMA = """
CREATE TABLE users (id int, name text, "Pass Word" text);
CREATE TABLE orders (id int, user_id int, total numeric);
CREATE TABLE counted (id int, secret text);
CREATE SCHEMA "Other One";
CREATE TABLE "Other One"."select" ("order" int, more int);
CREATE VIEW totals AS SELECT u.name, o.total FROM users u JOIN orders o ON o.user_id = u.id;
CREATE FUNCTION twice(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1; END';
INSERT INTO users VALUES (1, 'Ann', 's3cret');
"""
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("query_database", {"query": "SELECT name FROM users u WHERE id = 1"}),
    ("query_database", {"query": 'SELECT "order" FROM "Other One"."select"'}),
    ("query_database", {"query": "SELECT name, total FROM totals"}),
    ("query_database", {"query": "SELECT 1 AS nothing"}),
    ("execute_explain", {"query": "SELECT count(*) FROM users"}),
    ("count_rows", {"table": "counted"}),
    ("get_schema_info", {"table_name": "users"}),
]
REFUSED = [
    {"query": 'SELECT "Pass Word" FROM users'},
    {"query": "SELECT secret FROM counted"},
    {"query": 'SELECT more FROM "Other One"."select"'},
    {"query": "SELECT id FROM orders"},
]


@pytest.fixture(scope="session")
def postgres(newest_postgres: Server) -> Server:
    """The newest server alone: names are recorded and tested on each."""
    return newest_postgres


def passed(reply: Reply) -> bool:
    return not reply.json["result"].get("isError", False)


def record_calls(folder: Path, postgres: Server, database: str) -> tuple[Program, Path]:
    """A server that has been called, and its audit."""
    audit = folder / "audit.jsonl"
    with running(folder, settings_of(postgres, database), audit={"file": str(audit)}) as program:
        for tool, arguments in CALLS:
            assert passed(call(program, tool, **arguments)), arguments
        assert not passed(call(program, "query_database", query="SELECT pg_sleep('x') FROM users"))
    return program, audit


def test_what_is_suggested_lets_what_was_recorded_pass_and_no_more(
    tmp_path: Path, postgres: Server, database: str
) -> None:
    postgres.psql(SCHEMA, database)
    recorded = tmp_path / "recorded"
    recorded.mkdir()
    program, audit = record_calls(recorded, postgres, database)
    suggested = run(program.config, "-suggest-policy", "-from-audit", str(audit))
    assert suggested.returncode == 0, suggested.stderr
    section = yaml.safe_load(suggested.stdout)
    policy = section["policies"]["suggested"]
    assert policy["databases"] == ["main"]
    assert policy["tools"] == ["count_rows", "execute_explain", "get_schema_info", "query_database"]
    assert policy["read"] == sorted(
        [
            "public.users.id",
            "public.users.name",
            "public.orders.total",
            "public.orders.user_id",
            "public.counted.id",
            "public.totals.name",
            "public.totals.total",
            '"Other One"."select"."order"',
        ]
    )

    held = tmp_path / "held"
    held.mkdir()
    less = dict(policy, read=[line for line in policy["read"] if line != "public.users.name"])
    policies = {"suggested": policy, "less": less}
    with running(held, settings_of(postgres, database), policies=policies) as served:
        token = add_token(served.config, "suggested", "suggested")
        lacking = add_token(served.config, "less", "less")
        assert eventually(lambda: call(served, "get_schema_info", token=lacking).status != 401)
        first = ("query_database", CALLS[0][1])
        for tool, arguments in CALLS:
            reply = call(served, tool, token=token, **arguments)
            assert passed(reply), (arguments, text_of(reply))
        assert not passed(call(served, first[0], token=lacking, **first[1]))
        for refused in REFUSED:
            assert not passed(call(served, "query_database", token=token, **refused)), refused

    sql = run(program.config, "-suggest-role", "-from-audit", str(audit), "-grant-to", "Re Ader")
    assert sql.returncode == 0, sql.stderr
    role = f"reader_{database}"
    grants = sql.stdout.replace('"Re Ader"', role)
    for _ in range(2):
        postgres.psql(grants, database)
    postgres.psql(f"ALTER ROLE {role} LOGIN PASSWORD 'suggested'", database)
    try:
        place = settings_of(postgres, database) | {"user": role, "password": "suggested"}
        granted = tmp_path / "granted"
        granted.mkdir()
        with running(granted, place) as served:
            for tool, arguments in CALLS:
                reply = call(served, tool, **arguments)
                assert passed(reply), (arguments, text_of(reply))
            for refused in [*REFUSED, {"query": "SELECT total FROM orders"}]:
                assert "permission denied" in text_of(call(served, "query_database", **refused))
    finally:
        postgres.psql(f"DROP OWNED BY {role}; DROP ROLE {role}", database)


def test_only_the_calls_of_one_caller_and_only_genuine_records_count(tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    with running(tmp_path, audit={"file": str(audit)}) as program:
        call(program, "get_schema_info")
    config = write_config(tmp_path)
    record = records(audit)[-1]
    forged = record | {"outcome": "ok", "relations": {"public.salaries": ["amount"]}}
    with audit.open("a") as file:
        file.write(json.dumps(forged) + "\n")
    told = run(config, "-suggest-policy", "-from-audit", str(audit))
    assert told.returncode == 1
    assert "cannot be verified" in told.stderr
    assert "no answered call" in told.stderr
    for flags in ((), ("-from-audit", str(tmp_path / "nothing"))):
        assert run(config, "-suggest-role", *flags).returncode == 1
    both = ("-token", "x", "-username", "y")
    assert run(config, "-suggest-policy", "-from-audit", str(audit), *both).returncode == 1


def recorded(**changes: Any) -> dict[str, Any]:
    return {
        "event": "call",
        "outcome": "ok",
        "kind": "token",
        "principal": "token-1",
        "method": "tools/call",
        "name": "query_database",
        "database": "main",
        "relations": {"public.t": ["a"]},
    } | changes


def used(*more: dict[str, Any], **by: str) -> RecordedUse:
    return recorded_use([recorded(), *more], **by)


def test_refused_calls_canaries_and_old_records_are_left_out() -> None:
    relations = {"public.secret": ["b"]}
    old = recorded(sql_fingerprints=["x"])
    del old["relations"]
    use = used(
        recorded(outcome="refused", relations=relations),
        recorded(outcome="error", relations=relations),
        recorded(canaries=["public.secret"], relations=relations),
        old,
        {"event": "start"},
    )
    assert (use.calls, use.unnamed, use.baited) == (1, 1, 1)
    assert policy_of(use)["policies"] == {
        "suggested": {"databases": ["main"], "tools": ["query_database"], "read": ["public.t.a"]}
    }


def test_callers_are_told_apart() -> None:
    other = recorded(principal="token-2", relations={"public.u": ["x"]})
    session = recorded(kind="session", relations={"public.w": ["x"]})
    use = used(other, session, kind="token", name="token-1")
    assert use.databases["main"].relations == {"public.t": {"a"}}
    assert used(session, kind="session", name="token-1").databases["main"].relations == {
        "public.w": {"x"}
    }


def test_what_views_read_is_for_the_policy_and_not_for_the_role() -> None:
    view = recorded(
        relations={"public.v": []},
        behind_views={"public.base": ["x"]},
        first_columns={"public.v": "q"},
        functions=["public.twice", "pg_catalog.pg_relation_size"],
    )
    use = used(view, recorded(relations={"pg_catalog.pg_class": ["oid"]}))
    suggested = policy_of(use)["policies"]
    assert isinstance(suggested, dict)
    assert suggested["suggested"]["read"] == [
        "pg_catalog.pg_class.oid",
        "public.base.x",
        "public.t.a",
        "public.v.q",
    ]
    grants = [line for line in grants_of(use, "r") if line.startswith("GRANT")]
    assert grants == [
        "GRANT USAGE ON SCHEMA public TO r;",
        "GRANT SELECT (a) ON public.t TO r;",
        "GRANT SELECT (q) ON public.v TO r;",
        "GRANT EXECUTE ON FUNCTION public.twice TO r;",
    ]
