"""What is no read is refused, and changes nothing, even for a superuser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pgmcp.calls.call import Call
from pgmcp.errors import StatementError, StatementRefusedError
from pgmcp.gate.databases import DatabaseSet
from tests.databases import open_databases, settings_for
from tools.postgres import Server

NOT_READS = [
    "insert into t values (2)",
    "update t set a = 2",
    "delete from t",
    "truncate t",
    "merge into t using t s on false when not matched then insert values (3)",
    "with w as (insert into t values (2) returning a) select * from w",
    "with w as (select 1) insert into t select * from w",
    "select 1 into u",
    "create table u ()",
    "create table u as select 1",
    "create temp table u as select 1",
    "drop table t",
    "alter table t add b int",
    "comment on table t is 'x'",
    "grant all on t to public",
    "do $$ begin insert into t values (2); end $$",
    "call p()",
    "copy t to stdout",
    "copy t from stdin",
    "copy (select 1) to program 'touch /tmp/pgmcp-was-here'",
    "set work_mem = '1GB'",
    "set transaction read write",
    "set session authorization postgres",
    "reset all",
    "begin",
    "start transaction read write",
    "commit",
    "rollback",
    "savepoint s",
    "prepare p as select 1",
    "execute p",
    "deallocate all",
    "declare c cursor for select 1",
    "fetch all from pgmcp",
    "close pgmcp",
    "lock t",
    "listen x",
    "notify x",
    "unlisten *",
    "vacuum t",
    "analyze t",
    "checkpoint",
    "reindex table t",
    "cluster",
    "refresh materialized view m",
    "security label on table t is 'x'",
    "load 'x'",
    "discard all",
    "explain select 1",
    "explain analyze insert into t values (2)",
    "show work_mem",
    "select 1; commit; insert into t values (2)",
    "select 1; select 2",
    "select 1;;insert into t values (2)",
    "commit; insert into t values (2)",
    "",
    " ; -- nothing",
    "/* only a comment */",
    "select a from t for update",
    "select 1) ; insert into t values (2) --",
    "hold for select 1",
]


@pytest.fixture(scope="module")
def databases(postgres: Server) -> Iterator[DatabaseSet]:
    """Pools on a database with a table, a procedure and nothing else."""
    postgres.drop_database("refusals")
    postgres.create_database("refusals")
    postgres.psql(
        "create table t (a int); insert into t values (1);"
        "create procedure p() language sql as 'insert into t values (9)';"
        "create materialized view m as select 1 as a",
        "refusals",
    )
    made = open_databases([settings_for(postgres, "refusals")])
    yield made
    made.pools.close(2.0)
    postgres.drop_database("refusals")


@pytest.mark.parametrize("text", NOT_READS)
def test_what_is_no_read_is_refused_and_changes_nothing(
    postgres: Server, databases: DatabaseSet, text: str
) -> None:
    before = _state(postgres)
    with pytest.raises((StatementRefusedError, StatementError)):
        databases.database("owner", "main", Call(10)).query(text, max_rows=10)
    with pytest.raises((StatementRefusedError, StatementError)):
        databases.database("owner", "main", Call(10)).explain("ANALYZE", text)
    assert _state(postgres) == before


@pytest.mark.parametrize(
    "text",
    ["insert into t values (2)", "create table u ()", "set work_mem = '1GB'", "vacuum t"],
)
def test_the_refusal_says_what_is_allowed(databases: DatabaseSet, text: str) -> None:
    with pytest.raises(StatementRefusedError, match="single SELECT, VALUES, TABLE or WITH"):
        databases.database("owner", "main", Call(10)).query(text, max_rows=10)


def test_several_statements_are_refused_as_such(databases: DatabaseSet) -> None:
    with pytest.raises(StatementRefusedError, match="several statements"):
        databases.database("owner", "main", Call(10)).query("select 1; select 2", max_rows=10)


@pytest.mark.parametrize(
    "text",
    [
        "show work_mem; drop table t",
        "show work_mem; commit; drop table t",
        "/* show */ drop table t",
    ],
)
def test_show_carries_nothing_else(postgres: Server, databases: DatabaseSet, text: str) -> None:
    before = _state(postgres)
    with pytest.raises(StatementRefusedError):
        databases.database("owner", "main", Call(10)).show(text)
    assert _state(postgres) == before


def _state(postgres: Server) -> str:
    return postgres.psql(
        "select (select string_agg(a::text, ',') from t), (select count(*) from pg_class),"
        " (select count(*) from pg_attribute), (select count(*) from pg_prepared_xacts),"
        " (select relacl from pg_class where relname = 't')",
        "refusals",
    )
