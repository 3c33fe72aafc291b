"""The corpus of attempts on what a policy protects, and of ordinary reads, on real databases.

The rule: each attempt is sent to databases that differ in nothing but their secrets, and gets the
same answer from them, byte for byte; without the policy it would have told them apart.
"""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pytest

from pgmcp.auth.principal import local
from pgmcp.cli.console import Console
from pgmcp.cli.policy_attempts import attempt_policy
from pgmcp.config import patterns
from pgmcp.config.patterns import ReadRules
from pgmcp.config.policies import Policy
from pgmcp.features import tools
from pgmcp.features.all import ALL
from pgmcp.mcp.feature import Context
from pgmcp.mcp.registry import Registry
from pgmcp.policy.active import ActivePolicy
from pgmcp.selftest.attempt import Attempt, parse
from pgmcp.selftest.policy_trials import (
    PolicyBench,
    Trial,
    leak_trials,
    ordinary_trials,
)
from pgmcp.selftest.protected import Protection
from pgmcp.selftest.runner import AttemptResult, OneDatabase
from tests.databases import settings_for
from tests.leak_objects import OBJECT_ATTEMPTS, POLICY, worlds
from tools.postgres import Server

TOOLS = {tool.name: tool for tool in tools.ALL}
ACTIVE = ActivePolicy(POLICY, b"k" * 32)
# Their tables and columns are in none of the databases but the first two.
ALL_COLUMNS = "you may not read all columns"
SEEN = "public.seen_"  # views that attempts of their own are made on
PARTS = 4  # so that no test takes long
NO_XML = "unsupported XML feature"
MARK = "-- the next statement --"
HIDDEN = {
    "public.users.password",
    "public.base.pin",
    "public.heirs.pin",
    "public.salaries.amount",
    "public.events_old.note",
    "public.snapshot.amount",
    "vault.keys.content",
}


def context(databases: OneDatabase) -> Context:
    return Context(
        local(databases.names()), databases.call, databases, resources=Registry(ALL).resources
    )


@dataclass(frozen=True)
class Worlds:
    """Databases with other secrets, and one without; `newest`: the whole corpus is tried."""

    names: Sequence[str]
    first: PolicyBench
    second: PolicyBench
    absent: PolicyBench
    newest: bool

    def trials(self) -> list[Trial]:
        """Each attempt once, every second on a masked column and the others on each kind in turn;
        on an older server every third of them."""
        by_kind: dict[Protection, list[Trial]] = {kind: [] for kind in Protection}
        columns = [each for each in self.first.columns() if not each.name.startswith(SEEN)]
        for kind, _, trials in leak_trials(columns):
            by_kind[kind] += trials
        common = len(by_kind[Protection.MASKED])
        others = [kind for kind in Protection if kind is not Protection.MASKED]
        chosen = [
            by_kind[Protection.MASKED if number % 2 else others[number // 2 % len(others)]][number]
            for number in range(common)
        ]
        for kind in others:
            chosen += by_kind[kind][common:]
        return chosen if self.newest else chosen[::3]


@pytest.fixture(scope="module")
def opened(postgres: Server, newest_postgres: Server) -> Iterator[Worlds]:
    with worlds(postgres) as names:
        first, second, absent = (
            PolicyBench(settings_for(postgres, name), ACTIVE, TOOLS, context) for name in names
        )
        yield Worlds(names, first, second, absent, postgres is newest_postgres)
        for bench in (first, second, absent):
            bench.close()


def test_there_are_hundreds_of_attempts(opened: Worlds) -> None:
    assert len(opened.trials()) > (300 if opened.newest else 100)


@pytest.mark.parametrize("part", range(PARTS))
def test_no_attempt_tells_the_databases_apart(opened: Worlds, part: int) -> None:
    told = []
    for trial in opened.trials()[part::PARTS]:
        attempt, column = trial.shown, trial.column
        ending = opened.first.leak_ending(trial)
        said = {ending.message}
        said.add(opened.second.answer(attempt.tool, attempt.arguments, ACTIVE).text)
        is_absent = column is not None and column.name in HIDDEN and trial.attempt.needs()
        if is_absent and ALL_COLUMNS not in ending.message:
            said.add(opened.absent.answer(attempt.tool, attempt.arguments, ACTIVE).text)
        if ending.result is AttemptResult.THROUGH or len(said) > 1:
            told.append(f"{attempt.tool} {attempt.text}: {ending.result} {ending.layer} {said}")
    assert told == [], "\n".join(told)


def test_each_attempt_would_have_told_them_apart_without_the_policy(
    opened: Worlds, postgres: Server
) -> None:
    """With neither policy nor gate, as psql runs it; a tool's call without the policy."""
    trials = [
        trial
        for trial in opened.trials()
        if trial.column is None or trial.column.name != "public.managers.bonus"  # which is in all
    ]
    sql = [trial.shown.text for trial in trials if trial.is_sql]
    answers = [psql(postgres, name, sql) for name in opened.names]
    told = {text: len(set(said)) > 1 for text, *said in zip(sql, *answers, strict=True)}
    no_xml = {text for text, said in zip(sql, answers[0], strict=True) if NO_XML in said}
    for trial in trials:
        attempt = trial.shown
        if not trial.is_sql:
            benches = (opened.first, opened.second, opened.absent)
            said = {each.answer(attempt.tool, attempt.arguments, None).text for each in benches}
            told[attempt.text] = len(said) > 1
    alike = [
        text
        for text, differs in told.items()
        # A question in plain language is about no partition.
        if not (differs or text in no_xml or text.startswith("events_old "))
    ]
    # The server is used by other tests too: after some, new objects have OIDs past those tried.
    newest = int(postgres.psql("SELECT max(oid) FROM pg_type", opened.names[0]))
    tried_oids = "generate_series(16384, 17000)"
    alike = [text for text in alike if not (tried_oids in text and newest > 17000)]
    assert alike == [], "\n".join(alike)


def test_no_object_of_users_tells_them_apart(opened: Worlds, postgres: Server) -> None:
    told = []
    for text in OBJECT_ATTEMPTS:
        first, second = (
            bench.answer("query_database", {"query": text}, ACTIVE)
            for bench in (opened.first, opened.second)
        )
        named = "salaries" in first.text.replace(text, "")
        if first.error is None or first.text != second.text or named:
            told.append(f"{text}: {first.text}")
    assert told == [], "\n".join(told)
    answers = [psql(postgres, name, OBJECT_ATTEMPTS) for name in opened.names[:2]]
    alike = [
        text for text, *said in zip(OBJECT_ATTEMPTS, *answers, strict=True) if said[0] == said[1]
    ]
    assert alike == ["explain select pay_of(1)"]


def test_a_function_that_the_policy_names_may_read_more(opened: Worlds) -> None:
    named = replace(POLICY, functions=("public.cards", "public.pay_of"))
    for text in ("select * from cards()", "select pay_of(1)"):
        answer = opened.first.answer("query_database", {"query": text}, ActivePolicy(named))
        assert "4711" in answer.text


def psql(server: Server, database: str, statements: Sequence[str]) -> list[str]:
    """What psql prints for each of these, in a transaction of its own that is rolled back."""
    script = "".join(f"\\echo {MARK}\nBEGIN;\n{text}\n;\nROLLBACK;\n" for text in statements)
    ended = subprocess.run(
        [
            *(server.binaries.program("psql"), "-X", "-q", "-t", "-A", "-h", server.host),
            *("-p", str(server.port), "-U", server.user, "-d", database),
        ],
        input=script,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env={"PGPASSWORD": server.password, "PATH": os.environ.get("PATH", "")},
    )
    said = ended.stdout.split(MARK)[1:]
    assert len(said) == len(statements)
    return said


def test_ordinary_reads_are_answered_as_without_the_policy(opened: Worlds) -> None:
    trials = list(ordinary_trials(opened.first.tables(8)))
    trials = trials[:: 3 if opened.newest else 9]
    endings = [opened.first.ordinary_ending(trial) for trial in trials]
    wrong = [
        f"{ending.attempt.text}: {ending.message}"
        for ending in endings
        if ending.result is AttemptResult.THROUGH
    ]
    assert wrong == [], "\n".join(wrong)
    assert sum(ending.result is AttemptResult.ABSENT for ending in endings) < 5
    assert not opened.newest or len(trials) > 300


def test_what_is_answered_got_through_and_what_is_refused_of_ordinary_reads_is_noticed(
    opened: Worlds, postgres: Server
) -> None:
    columns = opened.first.columns()
    wrong = Policy(read=ReadRules((patterns.parse("*.*"), patterns.parse("not public.orders"))))
    bench = PolicyBench(
        settings_for(postgres, opened.names[0]), ActivePolicy(wrong), TOOLS, context
    )
    attempts = parse(["# any: thing\nselect <secret> from <table>"])[0].attempts
    leaks = [bench.leak_ending(Trial(attempts[0], each.places, each)) for each in columns]
    orders = Trial(Attempt("", "query_database", {"query": "select 1 from orders"}), {})
    ordinary = bench.ordinary_ending(orders)
    bench.close()
    assert {ending.result for ending in leaks} == {AttemptResult.THROUGH}
    assert {column.kind for column in columns} == set(Protection)
    assert ordinary.result is AttemptResult.THROUGH


def test_a_policy_that_keeps_nothing_back_is_said_to_do_so(postgres: Server, database: str) -> None:
    out = io.StringIO()
    console = Console(io.StringIO(), out, out)
    everything = Policy(read=ReadRules((patterns.parse("*.*"),)))
    postgres.psql("CREATE TABLE t (n int, s text)", database)
    assert attempt_policy("open", everything, settings_for(postgres, database), console) == (0, 0)
    assert "main under the policy open" in out.getvalue()
    assert "It keeps nothing back" in out.getvalue()
    assert "ordinary reads of public.t: " in out.getvalue()
