"""The corpus of attempts: nothing of it gets through, and what would is noticed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import pytest

from pgmcp.auth.principal import local
from pgmcp.calls.call import Call
from pgmcp.cli.attempts import family_lines, summary
from pgmcp.config.databases import DatabaseSettings
from pgmcp.config.values import Secret
from pgmcp.errors import ArgumentError
from pgmcp.features import tools
from pgmcp.features.all import ALL
from pgmcp.gate.databases import require_safe_role
from pgmcp.mcp.feature import Context
from pgmcp.mcp.registry import Registry
from pgmcp.postgres.connector import Connector
from pgmcp.rpc.schema import arg, build
from pgmcp.selftest import derived, runner
from pgmcp.selftest.attempt import Attempt, AttemptFamily, parse
from pgmcp.selftest.runner import AttemptResult, Bench, Ending, OneDatabase
from pgmcp.selftest.witness import Witness
from tests.databases import settings_for
from tests.selftest_objects import OBJECTS
from tools.postgres import Server

ORDINARY, PASSWORD = "self_test_reader", "reads"
TOOLS = {tool.name: tool for tool in tools.ALL}


@pytest.fixture
def prepared(postgres: Server, database: str) -> Iterator[str]:
    """A database with the objects that hide calls, and an ordinary role beside it."""
    postgres.psql(OBJECTS, database)
    postgres.psql(f"CREATE ROLE {ORDINARY} LOGIN PASSWORD '{PASSWORD}'", database)
    yield database
    postgres.psql(f"DROP ROLE {ORDINARY}", database)


def context(databases: OneDatabase) -> Context:
    return Context(
        local(databases.names()), databases.call, databases, resources=Registry(ALL).resources
    )


def run(database: DatabaseSettings) -> dict[str, list[Ending]]:
    made = runner.run(database, TOOLS, context)
    return {family.name: endings for family, endings in made}


def run_without(left_out: Set[str], database: DatabaseSettings) -> dict[str, list[Ending]]:
    families = [family for family in runner.corpus(TOOLS) if family.name not in left_out]
    assert len(families) == len(runner.corpus(TOOLS)) - len(left_out)
    with bench_of(database) as bench:
        return {
            family.name: [bench.ending(attempt) for attempt in family.attempts]
            for family in families
        }


@contextmanager
def bench_of(database: DatabaseSettings) -> Iterator[Bench]:
    call = Call(600)
    witness = Witness(Connector(database, require_safe_role).connect(call), call)
    try:
        with runner.bench(database, TOOLS, context, witness) as bench:
            yield bench
    finally:
        witness.close()


def describe(endings: Mapping[str, list[Ending]], result: AttemptResult) -> list[str]:
    return [
        f"{name}: {ending.attempt.text} {ending.message} {ending.changed}"
        for name, found in endings.items()
        for ending in found
        if ending.result is result
    ]


def test_there_are_many_attempts_of_many_kinds_and_none_twice() -> None:
    families = runner.corpus(TOOLS)
    texts = [attempt.text for family in families for attempt in family.attempts]
    assert len(texts) > 300
    assert len(families) > 20
    assert sorted({text for text in texts if texts.count(text) > 1}) == []
    assert {attempt.tool for f in families for attempt in f.attempts} <= TOOLS.keys()


def test_every_argument_of_every_tool_is_tried_without_anybody_writing_it_down() -> None:
    @dataclass(frozen=True, slots=True)
    class Args:
        query: str = arg("Text.")
        rows: int = arg("A number.", default=1, minimum=0, maximum=9)
        mode: Literal["a", "b"] = arg("A word.", default="a")

    tool = replace(next(iter(TOOLS.values())), name="new_tool", args=Args)
    attempts = derived.family([tool]).attempts
    assert [(attempt.arguments, attempt.may_answer) for attempt in attempts] == [
        ({"query": "x", "pgmcp_self_test": "pgmcp_self_test"}, False),
        ({}, False),
        ({"query": {}}, False),
        ({"query": "\0'\""}, True),
        ({"query": "x", "rows": {}}, False),
        ({"query": "x", "rows": -1}, False),
        ({"query": "x", "rows": 10}, False),
        ({"query": "x", "mode": {}}, False),
        ({"query": "x", "mode": "pgmcp_self_test"}, False),
    ]
    for attempt in attempts:
        if not attempt.may_answer:
            with pytest.raises(ArgumentError):
                build(Args, attempt.arguments)


@pytest.mark.parametrize("role", ["superuser", "ordinary"])
def test_nothing_gets_through(postgres: Server, prepared: str, role: str) -> None:
    changes = {"user": ORDINARY, "passwords": (Secret(PASSWORD),)} if role == "ordinary" else {}
    database = settings_for(postgres, prepared, pool_max_conns=1, **changes)
    # What a statement may cost does not depend on the role; the manual's -self-test tries it too.
    endings = run_without({"Time", "Rows", "Memory"}, database) if changes else run(database)
    assert describe(endings, AttemptResult.THROUGH) == []
    hidden = endings["Hidden by objects of yours"]
    layers = {ending.attempt.text: ending.layer for ending in hidden}
    unstopped = {text for text, layer in layers.items() if layer != "judge"}
    assert len(unstopped) <= 4, unstopped  # what a version has not, and a superuser's policy
    assert postgres.psql("SELECT is_called FROM self_test_sequence", prepared) == "f"


def test_an_attempt_that_is_answered_got_through(postgres: Server, prepared: str) -> None:
    open_door = settings_for(postgres, prepared, trusted_functions=("pg_catalog.pg_read_file",))
    bench = _endings(open_door, "select pg_read_file('PG_VERSION')", "select 1; select 2")
    assert [ending.result for ending in bench] == [AttemptResult.THROUGH, AttemptResult.STOPPED]
    shown = family_lines(AttemptFamily("f", "t", ()), bench)
    assert "GOT THROUGH" in "\n".join(shown)
    assert "1 got through" in summary(bench)


def test_an_effect_got_through_even_where_an_answer_is_expected(
    postgres: Server, prepared: str
) -> None:
    postgres.psql(
        "CREATE FUNCTION self_test_writes() RETURNS int LANGUAGE plpgsql AS $$ BEGIN"
        f" COPY (SELECT 1) TO '{postgres.data}/pgmcp_self_test'; RETURN 1; END $$",
        prepared,
    )
    trusting = settings_for(postgres, prepared, trusted_functions=("public.self_test_writes",))
    try:
        (ending,) = _endings(trusting, "reads: select self_test_writes()")
    finally:
        (postgres.data / "pgmcp_self_test").unlink()
    assert ending.result is AttemptResult.THROUGH
    assert ending.changed == ("files",)


def test_an_answer_is_harmless_where_it_is_expected(postgres: Server, prepared: str) -> None:
    assert _endings(settings_for(postgres, prepared), "reads: select 1")[0].result is (
        AttemptResult.HARMLESS
    )


def test_what_is_not_there_proves_nothing(postgres: Server, database: str) -> None:
    endings = _endings(
        settings_for(postgres, database), "select nextval('<sequence>')", "select no_function()"
    )
    assert [ending.result for ending in endings] == [AttemptResult.ABSENT, AttemptResult.ABSENT]


def _endings(database: DatabaseSettings, *lines: str) -> list[Ending]:
    (family,) = parse(["# one: thing\n" + "\n".join(lines)])
    with bench_of(database) as bench:
        return [bench.ending(attempt) for attempt in family.attempts]


@pytest.mark.parametrize(
    ("sql", "fact"),
    [
        ("CREATE TABLE pgmcp_self_test_x ()", "objects of the self-test"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "pg_proc"),
        ("SELECT nextval('self_test_sequence')", "sequence public.self_test_sequence"),
        ("DELETE FROM self_test_table WHERE id = 1", "rows of public.self_test_table"),
        ("SELECT lo_create(0)", "pg_largeobject_metadata"),
        ("GRANT SELECT ON self_test_table TO pg_monitor", "grants on relations"),
        ("NOTIFY pgmcp_self_test", "notifications"),
        ("COMMENT ON TABLE self_test_table IS 'x'", "pg_description"),
        ("SELECT pg_stat_reset(); SELECT pg_sleep(0.1)", "statistics reset"),
    ],
)
def test_the_witness_sees_what_changes(
    postgres: Server, prepared: str, sql: str, fact: str
) -> None:
    call = Call(30)
    witness = Witness(
        Connector(settings_for(postgres, prepared), require_safe_role).connect(call), call
    )
    try:
        before = witness.look()
        postgres.psql(sql, prepared)
        after = witness.look()
    finally:
        witness.close()
    assert fact in [name for name in after if after[name] != before[name]]


def test_places_are_filled_everywhere_in_the_arguments() -> None:
    attempt = Attempt("", "t", {"a": ["<table>", {"b": "x <column>"}], "c": 1})
    assert attempt.needs() == {"table", "column"}
    assert attempt.filled({"table": "s.t", "column": "id"}) == {"a": ["s.t", {"b": "x id"}], "c": 1}
