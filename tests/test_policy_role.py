"""The role and the settings of a policy: each statement runs under its own, and leaves neither.

The rule: all callers share one pool, so that a role or a setting that stayed would be the next
one's.
"""

from __future__ import annotations

import dataclasses
import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from pgmcp.calls.call import Call
from pgmcp.cli.database_findings import database_findings
from pgmcp.cli.finding import Finding
from pgmcp.cli.policy_answers import PolicyAnswers
from pgmcp.config.databases import DatabaseSettings
from pgmcp.config.patterns import ReadRules, parse
from pgmcp.config.policies import Policy, PolicyLimits
from pgmcp.config.values import Secret
from pgmcp.errors import (
    DatabaseUnavailableError,
    PolicyRefusedError,
    StatementRefusedError,
    ToolError,
)
from pgmcp.features.resources import system_info
from pgmcp.features.tools import count_rows, get_schema_info
from pgmcp.gate.caller_read import gated
from pgmcp.gate.database import ReadOnlyDatabase
from pgmcp.gate.databases import DatabaseSet
from pgmcp.gate.judge import Judge
from pgmcp.gate.transaction import Transactions
from pgmcp.policy.active import ActivePolicy
from pgmcp.postgres.driver import Connection
from pgmcp.postgres.messages import READ_ONLY, Step
from pgmcp.postgres.rows import Rows
from pgmcp.sql.text import CURSOR
from tests.databases import connect, open_databases, settings_for
from tests.tool_calls import Calls
from tools.binaries import Binaries
from tools.postgres import Server

SCHEMA = """
CREATE ROLE {login} LOGIN PASSWORD 'p' NOINHERIT;
CREATE ROLE {a}; CREATE ROLE {b}; CREATE ROLE {outside};
GRANT {a}, {b} TO {login};
GRANT SET ON PARAMETER log_min_messages TO {login};
CREATE SCHEMA {a}; CREATE SCHEMA {b};
CREATE TABLE notes AS SELECT 'public' AS owner;
CREATE TABLE {a}.notes AS SELECT 'a' AS owner;
CREATE TABLE {b}.notes AS SELECT 'b' AS owner;
CREATE TABLE only_b AS SELECT 1 AS id;
CREATE TABLE invoices (tenant text, amount int);
INSERT INTO invoices VALUES ('42', 1), ('43', 2), ('43', 3);
ALTER TABLE invoices ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON invoices USING (tenant = current_setting('app.tenant_id', true));
CREATE VIEW totals WITH (security_invoker) AS SELECT sum(amount) AS total FROM invoices;
CREATE FUNCTION own_notes() RETURNS bigint STABLE LANGUAGE sql AS 'SELECT count(*) FROM notes';
CREATE FUNCTION other_tenant() RETURNS text LANGUAGE sql SET app.tenant_id = '43'
  AS $$ SELECT current_setting('app.tenant_id') $$;
CREATE FUNCTION leave() RETURNS text LANGUAGE sql AS $$ SELECT set_config('role', 'none', true) $$;
GRANT USAGE ON SCHEMA {a} TO {a}; GRANT USAGE ON SCHEMA {b} TO {b};
GRANT SELECT ON ALL TABLES IN SCHEMA {a} TO {a}; GRANT SELECT ON ALL TABLES IN SCHEMA {b} TO {b};
GRANT SELECT ON notes, invoices, totals TO {login}, {a}, {b};
GRANT SELECT ON only_b TO {b};
ANALYZE;
"""
WHO = "select current_user, current_setting('app.tenant_id', true), (select owner from notes)"
# They read no table, so that there is less to confirm.
BARE = (
    ("select current_user", 1),
    ("select current_user, current_setting('app.tenant_id', true)", 2),
)
Seen = tuple[str, str, str]


class World(NamedTuple):
    """A database, those who may read it, and what each of them is."""

    server: Server
    name: str
    settings: DatabaseSettings
    databases: DatabaseSet
    policies: dict[str, ActivePolicy | None]
    seen: dict[str, Seen]

    def database(
        self, who: str, seconds: float = 30.0, call: Call | None = None
    ) -> ReadOnlyDatabase:
        return self.databases.database(
            "owner", "main", call or Call(seconds), policy=self.policies[who]
        )

    def role(self, name: str) -> str:
        return f"{name}_{self.name}"


def active(*read: str, **more: object) -> ActivePolicy:
    rules = ReadRules(tuple(map(parse, read or ("*.*",))))
    return ActivePolicy(dataclasses.replace(Policy(read=rules), **more))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def world(postgres: Server) -> Iterator[World]:
    name = f"roles_{postgres.binaries.major}"
    roles = {each: f"{each}_{name}" for each in ("login", "a", "b", "outside")}
    postgres.create_database(name)
    postgres.psql(SCHEMA.format(**roles), name)
    login = {"user": roles["login"], "passwords": (Secret("p"),)}
    settings = settings_for(
        postgres, name, **login, pool_max_conns=2, max_result_bytes=100_000, statistics="all"
    )
    limits = PolicyLimits(statement_timeout_seconds=0.05)
    tenant = (("app.tenant_id", "42"),)
    policies = {
        "nobody": None,
        "a": active(role=roles["a"], settings=tenant),
        "b": active(role=roles["b"], settings=(("app.tenant_id", "43"), ("app.x", "it's; $1"))),
        "tenant": active(settings=tenant),
        "quick b": active(role=roles["b"], limits=limits),
        "missing": active(role="no such role"),
        "outside": active(role=roles["outside"]),
    }
    seen = {
        "nobody": (roles["login"], "", "public"),
        "a": (roles["a"], "42", "a"),
        "b": (roles["b"], "43", "b"),
        "tenant": (roles["login"], "42", "public"),
        "quick b": (roles["b"], "", "b"),
    }
    databases = open_databases([settings])
    yield World(postgres, name, settings, databases, policies, seen)
    databases.pools.close(5)
    postgres.drop_database(name)
    postgres.psql("".join(f"DROP OWNED BY {each}; DROP ROLE {each};" for each in roles.values()))


def texts(rows: Rows) -> list[tuple[str, ...]]:
    return [tuple((value or b"").decode() for value in row) for row in rows.rows]


def test_a_statement_runs_under_its_policys_role_and_settings(world: World) -> None:
    for _ in range(2):  # judged, and known
        for who, seen in world.seen.items():
            database = world.database(who)
            assert texts(database.query(WHO, max_rows=9)) == [seen]
            for text, count in BARE:
                assert texts(database.query(text, max_rows=9)) == [seen[:count]]
            amounts = texts(database.query("select amount from invoices", max_rows=9))
            of_tenant = {"": [], "42": [("1",)], "43": [("2",), ("3",)]}
            assert amounts == of_tenant[seen[1]]
            role = "none" if seen[0] == world.settings.user else seen[0]
            assert texts(database.show("show role")) == [(role,)]
            plan = database.explain("ANALYZE", "select from notes where owner = 'a'").rows[0][0]
            assert (b" rows=1" in (plan or b"").split(b"actual")[1]) is (who == "a")
    value = world.database("b").query("select current_setting('app.x')", max_rows=1)
    assert texts(value) == [("it's; $1",)]


def test_what_is_asked_for_a_caller_is_asked_under_the_role(world: World) -> None:
    listed = {}
    for who in ("a", "b"):
        calls = Calls(world.databases, world.name, world.policies[who])
        listed[who] = calls(get_schema_info.TOOL)
        assert "public\tnotes\ttable\t1\t" in listed[who]
        assert "public\tinvoices\ttable\t\t" in listed[who]  # three, of which they see fewer
        assert "\n1\n" in f"\n{calls(count_rows.TOOL, table='notes')}\n"
        assert f'"role": "{world.role(who)}"' in system_info.read(calls.context)
        names = {name for _, name in calls.get().tables().list.listed}
        assert ("only_b" in names) is (who == "b")
    assert "only_b" in listed["b"]
    assert "only_b" not in listed["a"]
    assert world.role("b") not in listed["a"]


LEAVING = [
    "select set_config('role', 'none', false)",
    "select set_config('app.tenant_id', '43', true)",
    "select set_config(name, 'none', true) from (values ('role')) v (name)",
    "select pg_catalog.set_config('session_authorization', 'default', true)",
    "select leave()",
    "select other_tenant()",
    "reset role",
    "set role none",
    "set local role none",
    "set session authorization default",
    "reset all",
    "discard all",
    "rollback",
    "select 1; reset role",
    "do $$ begin reset role; end $$",
]


def test_who_is_refused_set_config_is_not_told_that_it_can_be_allowed(world: World) -> None:
    policy = active(role=world.role("a"), functions=("pg_catalog.set_config",))
    settings = dataclasses.replace(world.settings, trusted_functions=("pg_catalog.set_config",))
    databases = open_databases([settings])
    try:
        with pytest.raises(ToolError) as refused:
            Calls(databases, world.name, policy).get().query(LEAVING[0], max_rows=1)
        assert refused.value.hint == "Leave it out of the statement."
    finally:
        databases.pools.close(5)


@pytest.mark.parametrize("trusted", [False, True], ids=["as always", "trusted"])
def test_no_statement_leaves_the_role_or_changes_a_setting(world: World, trusted: bool) -> None:
    policy, databases = world.policies["a"], world.databases
    if trusted:  # by whoever did not think of roles
        names = ("pg_catalog.set_config",)
        settings = dataclasses.replace(world.settings, trusted_functions=names)
        databases = open_databases([settings])
        policy = active(functions=names, role=world.role("a"), settings=(("app.tenant_id", "42"),))
    try:
        calls = Calls(databases, world.name, policy)
        for text in LEAVING:
            with pytest.raises(ToolError):
                calls.get().query(text, max_rows=1)
            with pytest.raises(ToolError):
                calls.get().explain("ANALYZE", text)
            assert texts(calls.get().query(WHO, max_rows=9)) == [world.seen["a"]]
    finally:
        if trusted:
            databases.pools.close(5)


def test_a_role_that_is_missing_or_not_granted_refuses_the_call_alone(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    assert texts(world.database("a").query(WHO, max_rows=9)) == [world.seen["a"]]
    connections = world.databases.pools.connections
    for who, reason in (("missing", "does not exist"), ("outside", "permission denied")):
        role = world.policies[who].policy.role  # type: ignore[union-attr]
        for text in ("select 1", WHO, "select nothing", "reset role", "select from only_b"):
            caplog.clear()
            with pytest.raises(PolicyRefusedError) as refused:
                world.database(who).query(text, max_rows=1)
            assert str(role) not in refused.value.for_client()
            assert [str(role) in line for line in caplog.messages] == [True]
            assert reason in caplog.messages[0]
        with pytest.raises(PolicyRefusedError):
            world.database(who).show("show role")
        with pytest.raises(PolicyRefusedError):
            world.database(who).catalogue()
        assert texts(world.database("a").query(WHO, max_rows=9)) == [world.seen["a"]]
    assert world.databases.pools.connections == connections


def test_a_role_that_is_taken_back_refuses_the_next_call(world: World) -> None:
    known = ("select 1", WHO)  # the first means the same everywhere
    for text in known * 2:
        world.database("b").query(text, max_rows=1)
    role, login = world.role("b"), world.settings.user
    world.server.psql(f"REVOKE {role} FROM {login}")
    try:
        for text in known:
            with pytest.raises(PolicyRefusedError):
                world.database("b").query(text, max_rows=1)
    finally:
        world.server.psql(f"GRANT {role} TO {login}")
    assert texts(world.database("b").query(WHO, max_rows=1)) == [world.seen["b"]]


def test_a_known_text_takes_one_write_whichever_roles_take_turns(world: World) -> None:
    connection = connect(world.settings)
    judge = Judge()
    try:
        for turn in range(3):
            for who in ("a", "b", "nobody", "tenant"):
                steps = _read(world, connection, judge, who)
                if turn == 2:
                    assert steps[0] == READ_ONLY
                    assert len(steps) == (8 if who == "nobody" else 9)
    finally:
        connection.close()


def _read(world: World, connection: Connection, judge: Judge, who: str) -> list[Step]:
    connection.ensure_clean(Call(30))
    transactions = Transactions(world.settings, judge, Call(30), world.policies[who])
    fetch = Step("", describe=True, portal=CURSOR, parse=False)
    steps, outcome = transactions.run(connection, gated(WHO, (), (fetch,)))
    assert outcome.failure is None
    assert texts(Rows((), outcome.replies[-1].rows)) == [world.seen[who]]
    return list(steps)


def test_trees_stay_out_of_the_servers_log_under_a_role_that_may_not_do_that(world: World) -> None:
    before = world.server.log.stat().st_size
    reads = ("select count(*) as n from notes", "select * from totals", "select own_notes()")
    named = active(role=world.role("a"), functions=("public.own_notes",))
    database = world.databases.database("owner", "main", Call(30), policy=named)
    for text in reads:
        database.query(text, max_rows=1)
    database.explain("", "select owner from notes where owner = 'x'")
    assert b"parse tree" not in world.server.log.read_bytes()[before:]
    # The next transaction is logged as any other.
    with pytest.raises(ToolError):
        world.database("a").query("select owner, 1 / 0 from notes", max_rows=1)
    with pytest.raises(ToolError):
        world.database("a").query("select owner, 1 / 0 from notes", max_rows=1)
    assert b"division by zero" in world.server.log.read_bytes()[before:]


def test_a_function_that_others_could_replace_is_refused_for_what_the_sessions_role_could_do(
    world: World,
) -> None:
    """In the place of the function, one could go back to that role."""
    login, outside = world.settings.user, world.role("outside")
    named = active(role=world.role("a"), functions=("public.replaceable",))
    database = world.databases.database("owner", "main", Call(30), policy=named)
    world.server.psql(
        "CREATE FUNCTION replaceable() RETURNS int LANGUAGE sql AS 'SELECT 1';"
        f"ALTER FUNCTION replaceable OWNER TO {outside}",
        world.name,
    )
    try:
        database.query("select replaceable()", max_rows=1)
        world.server.psql(f"ALTER ROLE {login} CREATEDB")
        with pytest.raises(StatementRefusedError, match="could replace it"):
            database.query("select replaceable()", max_rows=1)
    finally:
        world.server.psql(f"ALTER ROLE {login} NOCREATEDB; DROP FUNCTION replaceable", world.name)


def test_a_role_that_can_write_is_not_served_where_safe_roles_are_required(world: World) -> None:
    settings = dataclasses.replace(world.settings, require_safe_role=True)
    for grant, served in (("REVOKE", True), ("GRANT", False)):
        where = "FROM" if grant == "REVOKE" else "TO"
        world.server.psql(f"{grant} INSERT ON notes {where} {world.role('b')}", world.name)
        databases = open_databases([settings])
        try:
            database = databases.database("owner", "main", Call(30), policy=world.policies["b"])
            if served:
                database.query("select 1", max_rows=1)
            else:
                with pytest.raises(DatabaseUnavailableError, match="may write to tables"):
                    database.query("select 1", max_rows=1)
        finally:
            databases.pools.close(5)
    world.server.psql(f"REVOKE INSERT ON notes FROM {world.role('b')}", world.name)


def test_a_check_of_a_policy_asks_under_its_role(world: World) -> None:
    said = {}
    for who in ("a", "b", "missing"):
        policy = world.policies[who]
        assert policy is not None
        answers = PolicyAnswers(world.settings, policy.policy)
        try:
            said[who] = answers.of("select id from only_b")
        finally:
            answers.close(5)
    assert said["b"].word == "allow"
    assert said["a"].word == "refuse"
    assert "permission denied for table only_b" in said["a"].reasons[0]
    assert 'role "no such role" does not exist' in said["missing"].reasons[0]


def check(world: World, **policies: Policy) -> list[Finding]:
    """What -check says of policies, beside what it says of the database's user."""
    without = list(map(str, database_findings(world.settings)))[1:]  # the first has times
    findings = database_findings(world.settings, policies=policies)
    return [each for each in list(findings)[1:] if str(each) not in without]


def test_check_says_what_a_policys_role_could_do_and_reads(world: World) -> None:
    a = Policy(role=world.role("a"), settings=(("app.x", "1"),))
    elsewhere = Policy(role="no such role", databases=("another",))
    can_read, reads = check(world, a=a, again=a, elsewhere=elsewhere, none=Policy())
    assert (can_read.status, can_read.subject) == ("ok", "main: a")
    assert can_read.message == f"{world.role('a')} can only read"
    assert "not" in reads.message
    assert "only_b" in reads.message
    world.server.psql(f"GRANT INSERT ON notes TO {world.role('a')}", world.name)
    try:
        (writes, *_) = check(world, a=a)
    finally:
        world.server.psql(f"REVOKE INSERT ON notes FROM {world.role('a')}", world.name)
    assert (writes.status, writes.message) == (
        "warning",
        f"{world.role('a')}: may write to tables (public.notes)",
    )


def test_check_names_what_is_missing_for_a_role(world: World) -> None:
    (outside,) = check(world, outside=Policy(role=world.role("outside")))
    assert (outside.status, "may not SET ROLE" in outside.message) == ("error", True)
    world.server.psql(outside.next_step)
    assert "error" not in [
        each.status for each in check(world, x=Policy(role=world.role("outside")))
    ]
    world.server.psql(f"REVOKE {world.role('outside')} FROM {world.settings.user}")
    made = world.role("made")
    (missing,) = check(world, missing=Policy(role=made))
    assert (missing.status, missing.message) == ("error", f"there is no role {made}")
    world.server.psql(missing.next_step)
    try:
        assert "error" not in [each.status for each in check(world, x=Policy(role=made))]
    finally:
        world.server.psql(f"DROP ROLE {made}")


def test_check_names_what_is_missing_for_a_setting(world: World) -> None:
    login = world.settings.user
    world.server.psql(f"ALTER ROLE {login} SET session_preload_libraries = auto_explain")
    try:
        settings = (("app.x", "1"), ("auto_explain.log_analyze", "on"))
        (denied,) = check(world, x=Policy(role=world.role("a"), settings=settings))
        assert (denied.status, "auto_explain.log_analyze" in denied.message) == ("error", True)
        world.server.psql(denied.next_step)
        assert "error" not in [each.status for each in check(world, x=Policy(settings=settings))]
        wrong = (("auto_explain.log_format", "no format"),)
        world.server.psql(f"GRANT SET ON PARAMETER auto_explain.log_format TO {login}")
        (invalid,) = check(world, x=Policy(settings=wrong))
        assert (invalid.status, invalid.next_step) == ("error", "Correct the policy's settings.")
    finally:
        parameters = "auto_explain.log_analyze, auto_explain.log_format"
        world.server.psql(f"REVOKE SET ON PARAMETER {parameters} FROM {login}")
        world.server.psql(f"ALTER ROLE {login} RESET session_preload_libraries")


# -- any sequence ----------------------------------------------------------------------------------

ROUNDS = 11
"""Of each of two threads, on the newest PostgreSQL; two on others. A round has each kind of step as
often as it stands in the list."""
_KINDS = (
    *("query",) * 60,
    *("plan", "bare", "show", "own", "view", "error", "denied", "parameter"),
    *("cut", "time-out", "cancel", "terminate", "missing"),
)


class Walk:
    """Calls in a random order, each of which says under which role and settings it ran."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.ran: Counter[str] = Counter()
        self.killer = connect(settings_for(world.server, world.name))

    def step(self, kind: str) -> None:
        who = self.random.choice(list(self.world.seen))
        try:
            getattr(self, f"_{kind.replace('-', '_')}")(who)
        except ToolError:
            self.ran[f"{kind} failed"] += 1
        else:
            self.ran[kind] += 1

    def _expect(self, who: str, rows: Rows) -> None:
        assert texts(rows)[0][:3] == self.world.seen[who]

    def _query(self, who: str) -> None:
        text = f"{WHO}, {self.random.randrange(5)}"
        self._expect(who, self.world.database(who).query(text, max_rows=5))

    def _bare(self, who: str) -> None:
        for text, count in BARE:
            (said,) = texts(self.world.database(who).query(text, max_rows=1))
            assert said == self.world.seen[who][:count]

    def _plan(self, who: str) -> None:
        self.world.database(who).explain("ANALYZE", WHO)
        self._query(who)

    def _show(self, who: str) -> None:
        shown = texts(self.world.database(who).show("show app.tenant_id"))
        assert shown == [(self.world.seen[who][1],)]

    def _own(self, who: str) -> None:
        text = WHO.replace("from notes", "from public.notes")
        (said,) = texts(self.world.database(who).fetch(text))
        assert said[:2] == self.world.seen[who][:2]

    def _view(self, who: str) -> None:
        total = texts(self.world.database(who).query("select * from totals", max_rows=1))
        assert total == [({"": "", "42": "1", "43": "5"}[self.world.seen[who][1]],)]

    def _error(self, who: str) -> None:
        self.world.database(who).query(f"{WHO}, 1 / (select count(*) from notes) / 0", max_rows=1)

    def _denied(self, who: str) -> None:
        self.world.database(who).query("select * from pg_catalog.pg_authid", max_rows=1)

    def _parameter(self, who: str) -> None:
        text = f"{WHO}, $1::text"
        self._expect(who, self.world.database(who).query(text, ("x",), max_rows=1))

    def _cut(self, who: str) -> None:
        text = f"{WHO}, repeat('x', 1000) from generate_series(1, 500)"
        rows = self.world.database(who).query(text, max_rows=self.random.choice((1, 500)))
        self._expect(who, rows)

    def _time_out(self, who: str) -> None:
        self.world.database(who, 0.01).query(f"{WHO}, pg_sleep(20)", max_rows=1)

    def _cancel(self, who: str) -> None:
        call = Call(30)
        threading.Timer(self.random.random() * 0.01, call.cancel, ("no more",)).start()
        self.world.database(who, call=call).query(f"{WHO}, pg_sleep(20)", max_rows=1)

    def _terminate(self, _: str) -> None:
        pids = (
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity"
            f" WHERE usename = '{self.world.settings.user}'"
        )
        self.killer.run([Step(pids)], Call(30), limit_bytes=9999)
        self.killer.ensure_clean(Call(30))

    def _missing(self, _: str) -> None:
        self.world.database(self.random.choice(("missing", "outside"))).query(WHO, max_rows=1)


def test_no_sequence_of_calls_runs_a_statement_under_anothers_role(
    world: World, newest: Binaries
) -> None:
    walks = [Walk(world, seed) for seed in range(2)]
    rounds = ROUNDS if world.server.version == newest.version else 2

    def go(walk: Walk) -> None:
        for kind in walk.random.sample(_KINDS * rounds, k=len(_KINDS) * rounds):
            walk.step(kind)

    try:
        with ThreadPoolExecutor(len(walks)) as executor:
            list(executor.map(go, walks))
    finally:
        for walk in walks:
            walk.killer.close()
    ran = sum((walk.ran for walk in walks), Counter[str]())
    assert ran["query"] > len(_KINDS) * rounds
    for kind in ("error", "denied", "time-out", "cancel", "missing"):
        assert ran[f"{kind} failed"] > 0, ran
    for kind in ("plan", "bare", "show", "own", "view", "parameter", "cut", "terminate"):
        assert ran[kind] > 0, ran
