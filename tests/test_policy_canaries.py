"""Canaries: which uses of them are seen, on each server that there is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from pgmcp.calls.call import Call
from pgmcp.calls.trail import Trail
from pgmcp.config import patterns
from pgmcp.config.patterns import CanaryRules, ReadRules
from pgmcp.config.policies import Policy
from pgmcp.errors import CallEndedError, ToolError
from pgmcp.gate.database import ReadOnlyDatabase
from pgmcp.gate.databases import DatabaseSet
from pgmcp.policy.active import ActivePolicy
from tests.databases import open_databases, settings_for
from tools.postgres import Server

SCHEMA = """
CREATE TABLE users (id int PRIMARY KEY, name text, ssn text);
CREATE TABLE safes (vault text, kind text);
CREATE TABLE vault (id int, word text);
CREATE VIEW words AS SELECT word FROM vault;
CREATE VIEW people AS SELECT id, name, ssn FROM users;
CREATE TABLE events (id int, day date) PARTITION BY RANGE (day);
CREATE TABLE bait PARTITION OF events FOR VALUES FROM ('2000-01-01') TO ('2001-01-01');
CREATE TABLE parent (id int);
CREATE TABLE child (more int) INHERITS (parent);
INSERT INTO users VALUES (1, 'Ann', '123');
INSERT INTO vault VALUES (1, 'honey');
"""
LINES = ("public.vault", "public.users.ssn", "public.bait", "public.parent")


def policy(*read: str, canaries: tuple[str, ...] = LINES, action: Any = "alarm") -> ActivePolicy:
    lines = [patterns.parse(line) for line in read or ("public.*",)]
    baits = tuple(map(patterns.parse, canaries))
    rules = ReadRules(tuple(lines))
    return ActivePolicy(Policy(read=rules, canaries=CanaryRules(baits), canary_action=action))


READABLE = policy()
HIDDEN = policy("public.*", "not public.vault", "not public.words", "not public.users.ssn")
STOPPING = policy(action="stop")


@pytest.fixture(scope="module")
def databases(postgres: Server) -> Iterator[DatabaseSet]:
    name = f"canaries_{postgres.version}"
    postgres.create_database(name)
    postgres.psql(SCHEMA, name)
    opened = open_databases([settings_for(postgres, name)])
    yield opened
    opened.pools.close(5)
    postgres.drop_database(name)


def opened(databases: DatabaseSet, active: ActivePolicy, trail: Trail) -> ReadOnlyDatabase:
    return databases.database("x", "main", Call(30), trail, active)


def ask(databases: DatabaseSet, active: ActivePolicy, text: str) -> tuple[str, list[str]]:
    """What is answered, and the canaries that are reported."""
    trail = Trail()
    try:
        rows = opened(databases, active, trail).query(text, max_rows=10)
    except ToolError as error:
        return error.for_client(), trail.canaries
    return repr(rows.rows), trail.canaries


VAULT, SSN = ["public.vault"], ["public.users.ssn"]
USES = [
    ("SELECT word FROM vault", VAULT),
    ("SELECT v.word FROM public.vault AS v", VAULT),
    ("SELECT count(*) FROM vault", VAULT),
    ("SELECT 1 FROM users u JOIN vault v ON v.id = u.id", VAULT),
    ("SELECT name FROM users WHERE EXISTS (SELECT FROM vault)", VAULT),
    ("WITH w AS (TABLE vault) SELECT 1", VAULT),
    ("SELECT word FROM words", VAULT),
    ("SELECT vault FROM vault", VAULT),
    ("SELECT NULL::vault", VAULT),
    ("SELECT 1 / (id - id) FROM vault", VAULT),
    ("SELECT pg_read_file(word) FROM vault", VAULT),
    ("SELECT ssn FROM users", SSN),
    ("SELECT * FROM users", SSN),
    ("SELECT name FROM users WHERE ssn LIKE '1%'", SSN),
    ("SELECT name FROM users ORDER BY ssn", SSN),
    ("SELECT u FROM users u", SSN),
    ("SELECT ssn FROM people", SSN),
    ("SELECT count(*) FROM (SELECT ssn FROM users) s", SSN),
    ("SELECT id FROM events", ["public.bait"]),
    ("SELECT more FROM child", ["public.parent"]),
]
OTHER = [
    "SELECT name FROM users",
    "SELECT id, name FROM people",
    "SELECT count(*) FROM users",
    "SELECT vault FROM safes",
    "SELECT 'vault', 1 AS vault",
    "SELECT name FROM users JOIN safes ON kind = name",
    "SELECT vault FROM safes WHERE nothing = 1",
    "SELECT 1 AS vault FROM nowhere",
    "SELECT ssn FROM safes",
    "what is in the safes?",
]


@pytest.mark.parametrize(("text", "canaries"), USES)
def test_each_use_of_a_canary_is_reported_each_time(
    databases: DatabaseSet, text: str, canaries: list[str]
) -> None:
    for _ in range(2):
        assert ask(databases, READABLE, text)[1] == canaries


@pytest.mark.parametrize("text", OTHER)
def test_what_uses_none_is_not_reported(databases: DatabaseSet, text: str) -> None:
    for active in (READABLE, HIDDEN, STOPPING):
        assert ask(databases, active, text)[1] == []


def test_plans_are_uses(databases: DatabaseSet) -> None:
    for options in ("", "ANALYZE"):
        trail = Trail()
        opened(databases, READABLE, trail).explain(options, "SELECT word FROM words")
        assert trail.canaries == VAULT
    trail = Trail()
    opened(databases, READABLE, trail).explain("", "DELETE FROM users USING vault")
    assert trail.canaries == VAULT


@pytest.mark.parametrize("text", [text for text, _ in USES[:8]])
def test_where_the_credential_is_stopped_nothing_runs(databases: DatabaseSet, text: str) -> None:
    for _ in range(2):
        trail = Trail()
        with pytest.raises(CallEndedError, match="stopped"):
            opened(databases, STOPPING, trail).query(text, max_rows=1)
        assert (trail.canaries, trail.canary_action) == (VAULT, "stop")


@pytest.mark.parametrize(
    ("text", "canaries"),
    [
        ("SELECT word FROM vault", VAULT),
        ("SELECT ssn FROM users", SSN),
        ("SELECT word FROM words", VAULT),
        ("SELECT nothing FROM vault", VAULT),
        ("SELECT 1 FROM users, vault WHERE nothing = 1", VAULT),
        ("DELETE FROM vault", VAULT),
        ("COPY vault TO STDOUT", VAULT),
        ("DROP TABLE public.vault", VAULT),
        ("SELECT 'public.vault'::regclass", VAULT),
        ("SELECT to_regclass('\"vault\"')", VAULT),
    ],
)
def test_an_attempt_at_a_hidden_canary_is_reported_and_answered_as_without_it(
    databases: DatabaseSet, text: str, canaries: list[str]
) -> None:
    said, reported = ask(databases, HIDDEN, text)
    assert reported == canaries
    plain = ActivePolicy(replace(HIDDEN.policy, canaries=CanaryRules()))
    assert ask(databases, plain, text) == (said, [])
    stopping = ActivePolicy(replace(HIDDEN.policy, canary_action="stop"))
    assert ask(databases, stopping, text) == (said, canaries)


def test_what_pgmcp_asks_by_itself_neither_reads_nor_reports_a_canary(
    databases: DatabaseSet,
) -> None:
    trail = Trail()
    database = opened(databases, STOPPING, trail)
    with pytest.raises(ToolError):
        database.query("SELECT DISTINCT ssn FROM users", max_rows=9, sent=False)
    assert trail.canaries == []


def test_a_verdict_of_before_stops_nobody_for_another_meaning(
    databases: DatabaseSet, postgres: Server
) -> None:
    name = f"canaries_{postgres.version}"
    postgres.psql("CREATE VIEW changing AS SELECT word FROM vault", name)
    assert ask(databases, READABLE, "SELECT word FROM changing")[1] == VAULT
    postgres.psql("CREATE OR REPLACE VIEW changing AS SELECT name AS word FROM users", name)
    assert ask(databases, READABLE, "SELECT word FROM changing")[1] == []
    postgres.psql("DROP VIEW changing", name)
