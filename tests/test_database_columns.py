"""Which columns a statement reads, and that nobody reads credentials through the gate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from pgmcp.calls.call import Call
from pgmcp.config.values import Secret
from pgmcp.errors import StatementRefusedError
from pgmcp.gate import trees
from pgmcp.gate.caller_read import gated
from pgmcp.gate.databases import DatabaseSet
from pgmcp.gate.port import Database
from pgmcp.judging.columns import ColumnRead, columns_read
from pgmcp.postgres.driver import Connection
from pgmcp.postgres.messages import Reply, Step
from tests.databases import connect, open_databases, settings_for
from tools.postgres import Server

Open = Callable[..., Database]
ROLES = ["superuser", "reads all data"]

SCHEMA = """
CREATE TABLE t (a int, b int, c int);
CREATE VIEW v AS SELECT a, b FROM t;
CREATE VIEW over_v AS SELECT a FROM v;
CREATE TABLE guarded (x int, y int);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON guarded USING (y IN (SELECT c FROM t));
CREATE VIEW names AS SELECT rolname AS name FROM pg_authid;
CREATE VIEW verifiers AS SELECT rolname, rolpassword AS harmless FROM pg_authid;
CREATE VIEW rows AS SELECT a FROM pg_authid a;
CREATE EXTENSION file_fdw;
CREATE SERVER far FOREIGN DATA WRAPPER file_fdw;
"""


@pytest.fixture
def session(postgres: Server, database: str) -> Iterator[Connection]:
    postgres.psql(SCHEMA, database)
    connection = connect(settings_for(postgres, database))
    yield connection
    connection.close()


@pytest.fixture
def open_database(postgres: Server, database: str) -> Iterator[Open]:
    """Makes the database as pgmcp sees it, in each role."""
    postgres.psql(SCHEMA, database)
    reader = f"all_data_{database}"
    postgres.psql(f"CREATE ROLE {reader} LOGIN PASSWORD 'x'; GRANT pg_read_all_data TO {reader}")
    opened: list[DatabaseSet] = []

    def make(role: str) -> Database:
        changes = {"user": reader, "passwords": (Secret("x"),)} if role != "superuser" else {}
        databases = open_databases([settings_for(postgres, database, **changes)])
        opened.append(databases)
        return databases.database("owner", "main", Call(30))

    yield make
    for databases in opened:
        databases.pools.close(5)
    postgres.psql(f"DROP ROLE {reader}")


def tree_of(session: Connection, text: str) -> str:
    """The tree that the judge gets to see where there are views or policies."""
    return trees.rewritten(replies_to(session, trees.rewriting(text, session.server_major))[1])


def bound_tree_of(session: Connection, text: str) -> str:
    """The tree that the judge gets to see where there is neither."""
    steps = [Step("BEGIN"), trees.show(session.server_major), *gated(text, (), ()).bound]
    (tree,) = trees.bound(replies_to(session, [*steps, *trees.HIDE])[2])
    return tree


def replies_to(session: Connection, steps: Sequence[Step]) -> list[Reply]:
    outcome = session.run(steps, Call(30), limit_bytes=10_000_000)
    session.ensure_clean(Call(30))
    assert outcome.failure is None, outcome.failure
    return outcome.replies


READS = [
    ("select 1", ""),
    ("select count(*) from t", ""),
    ("select a from t", "t.1"),
    ("select t from t", "t.0"),
    ("select row_to_json(x) from t x", "t.0"),
    ("select (x).b from t x", "t.0 t.2"),
    ("select * from t", "t.1 t.2 t.3"),
    ("select 1 from t where c > 0 order by b", "t.2 t.3"),
    ("select 1 from t x join t y using (b)", "t.2"),
    ("select 1 from (select a, c from t) x natural join (select c from t) y", "t.1 t.3"),
    ("select j from (t x join t y on true) j", "t.0"),
    ("select ctid, tableoid from t", "t.-1 t.-6"),
    ("with w as (select b from t) select 1 from w", "t.2"),
    ("select (select max(x.c) from t y) from t x", "t.3"),
    ("select 1 where exists (select from t where a = 1)", "t.1"),
    ("select a from t union select b from t", "t.1 t.2"),
    ("select a from v", "v.1 t.1@v t.2@v"),
    ("select count(*) from v", "t.1@v t.2@v"),
    ("select v from v", "v.0 t.1@v t.2@v"),
    ("select 1 from v where b > 0 union select c from t", "v.2 t.3 t.1@v t.2@v"),
    ("select a from over_v", "over_v.1 v.1@over_v t.1@v t.2@v"),
    ("select x.a, y.c from over_v x, t y", "over_v.1 t.3 v.1@over_v t.1@v t.2@v"),
]


def test_the_columns_that_a_statement_reads(session: Connection) -> None:
    read = {
        text: {spelled(session, read) for read in columns_read(tree_of(session, text))}
        for text, _ in READS
    }
    assert read == {text: set(expected.split()) for text, expected in READS}
    for text, expected in READS:
        if "@" not in expected:
            bound = columns_read(bound_tree_of(session, text))
            assert {spelled(session, read) for read in bound} == read[text], text


def spelled(session: Connection, read: ColumnRead) -> str:
    relation = f"{name_of(session, read.relation)}.{read.attribute}"
    return f"{relation}@{name_of(session, read.view)}" if read.view else relation


def name_of(session: Connection, oid: int) -> str:
    outcome = session.run(
        [Step(f"SELECT {oid}::regclass", describe=True)], Call(30), limit_bytes=99
    )
    session.ensure_clean(Call(30))
    return (outcome.replies[0].rows[0][0] or b"").decode()


def test_what_a_policy_reads_of_other_tables_is_read(
    session: Connection, postgres: Server, database: str
) -> None:
    name = f"guarded_{database}"
    postgres.psql(
        f"CREATE ROLE {name} LOGIN PASSWORD 'x'; GRANT SELECT ON guarded, t TO {name}", database
    )
    other = connect(settings_for(postgres, database, user=name, passwords=(Secret("x"),)))
    try:
        found = columns_read(tree_of(other, "select x from guarded"))
    finally:
        other.close()
        postgres.psql(f"DROP OWNED BY {name}; DROP ROLE {name}", database)
    assert {spelled(session, read) for read in found} == {"guarded.1", "t.3"}


READS_CREDENTIALS = [
    "select rolpassword from pg_authid",
    "select * from pg_authid",
    "table pg_authid",
    "select a from pg_authid a",
    "select a::text from pg_catalog.pg_authid a",
    "select row_to_json(a) from pg_authid a",
    "select to_jsonb(a) - 'rolname' from pg_authid a",
    "select (a).rolpassword from pg_authid a",
    "select (a).* from (select x as a from pg_authid x) y",
    "select array_agg(a) from pg_authid a",
    "select count(distinct rolpassword) from pg_authid",
    "select 1 from pg_authid where rolpassword like 'SCRAM%'",
    "select rolname from pg_authid order by rolpassword",
    "select rolname from pg_authid group by rolname having max(rolpassword) > 'S'",
    "select rolname, rank() over (order by rolpassword) from pg_authid",
    "select 1 from pg_authid a join pg_authid b using (rolpassword)",
    "select 1 from pg_authid a natural join pg_authid b",
    "select 1 from pg_authid a join (select 'x'::text as rolpassword) b using (rolpassword)",
    "with w as (select * from pg_authid) select rolname from w",
    "with w as materialized (select a from pg_authid a) select hashtext(w::text) from w",
    "select (select min(rolpassword) from pg_authid)",
    "select 1 where exists (select from pg_authid where rolpassword > 'S')",
    "select x from pg_roles r, lateral (select rolpassword x from pg_authid where oid = r.oid) y",
    "select j from (pg_authid a join pg_roles r on a.oid = r.oid) j",
    "select rolpassword from pg_authid tablesample system (100)",
    "select * from verifiers",
    "select harmless from verifiers",
    "select * from rows",
    "select passwd from pg_shadow",
    "select * from pg_shadow",
    "select s from pg_shadow s",
    "select 1 from pg_shadow where passwd ~ '^SCRAM'",
    "select umoptions from pg_user_mapping",
    "select * from pg_user_mappings",
    "select pg_options_to_table(umoptions) from pg_user_mapping",
    "select option_value from information_schema.user_mapping_options",
    "select umoptions from information_schema._pg_user_mappings",
    "select subconninfo from pg_subscription",
    "select md5(subconninfo) from pg_subscription",
]
READS_NONE = [
    "select count(*) from pg_authid",
    "select rolname, rolsuper, rolvaliduntil from pg_authid",
    "select oid, rolname from pg_authid where rolcanlogin order by rolname",
    "select count(*) from pg_shadow",
    "select usename, valuntil from pg_shadow",
    "select * from pg_user",
    "select u from pg_user u",
    "select * from pg_roles",
    "select r::text, rolpassword from pg_roles r",
    "select * from pg_group",
    "select * from names",
    "select umid, usename from pg_user_mappings",
    "select count(*) from pg_user_mapping",
    "select option_name from information_schema.user_mapping_options",
    "select * from information_schema.user_mappings",
    "select * from information_schema.applicable_roles",
    "select pg_get_userbyid(10), 10::regrole",
]
"""A role that may not read a column is refused by PostgreSQL itself, and that is no fault here."""


@pytest.mark.parametrize("role", ROLES)
def test_nobody_reads_credentials(open_database: Open, role: str) -> None:
    judged = open_database(role)
    wrong = []
    for text in READS_CREDENTIALS:
        try:
            judged.query(text, max_rows=5)
        except StatementRefusedError as refused:
            if refused.gate != "judge" or "password" not in refused.message:
                wrong.append(f"{text}: {refused.message}")
        else:
            wrong.append(text)
    assert wrong == []
    with pytest.raises(StatementRefusedError, match="rolpassword"):
        judged.explain("ANALYZE", "select rolpassword from pg_authid")


@pytest.mark.parametrize("role", ROLES)
def test_what_hides_credentials_may_be_read(open_database: Open, role: str) -> None:
    judged = open_database(role)
    for text in READS_NONE:
        judged.query(text, max_rows=5)


@pytest.mark.parametrize("role", ROLES)
def test_the_samples_that_analyze_keeps_of_credentials_are_not_read(
    open_database: Open, postgres: Server, role: str
) -> None:
    judged = open_database(role)
    texts = ("select * from pg_stats", "select stavalues1 from pg_statistic", "table pg_statistic")
    postgres.psql("ANALYZE pg_authid")
    for text in texts:
        with pytest.raises(StatementRefusedError, match="samples of passwords"):
            judged.query(text, max_rows=5)
    judged.query("select tablename, attname, n_distinct, null_frac from pg_stats", max_rows=5)
