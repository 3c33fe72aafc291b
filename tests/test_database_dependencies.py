"""A verdict holds while others commit, and no longer than what its statement depends on stays."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pgmcp.calls.call import Call
from pgmcp.config.databases import DatabaseSettings
from pgmcp.config.values import Secret
from pgmcp.errors import StatementRefusedError
from pgmcp.gate import dependencies
from pgmcp.gate.caller_read import gated
from pgmcp.gate.dependencies import Dependencies
from pgmcp.gate.judge import Judge
from pgmcp.gate.transaction import Transactions
from pgmcp.postgres.driver import Connection
from pgmcp.postgres.messages import READ_ONLY, Step
from pgmcp.sql.text import CURSOR
from tests.databases import connect, eventually, settings_for
from tools.postgres import Server

EVIL = "LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE EXCEPTION 'it ran'; END $$"
SCHEMA = f"""
CREATE TABLE items (id int, name varchar, note text);
INSERT INTO items VALUES (1, '1', 'a');
CREATE TABLE others (n int);
CREATE TABLE child (id int, name varchar, note text);
CREATE INDEX by_note ON items (note);
CREATE SCHEMA elsewhere;
CREATE TABLE elsewhere.items (id int, name varchar);
CREATE TABLE split (id int) PARTITION BY LIST (id);
CREATE TABLE split_1 PARTITION OF split FOR VALUES IN (1);
CREATE TABLE split_2 (id int);
CREATE FUNCTION evil(varchar) RETURNS varchar {EVIL};
CREATE FUNCTION evil(varchar, varchar) RETURNS varchar {EVIL};
CREATE FUNCTION evil(int) RETURNS int {EVIL};
"""
TEXT = "select lower(name), name || name, max(id) from items group by name order by name"
PARTS = "select id from split where id = 1"
# What another session commits, after which the statement has to be judged again.
CHANGES = {
    "a function": (TEXT, "ALTER FUNCTION evil(varchar) RENAME TO lower"),
    "an operator": (
        TEXT,
        "CREATE OPERATOR || (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = evil)",
    ),
    "a cast": (TEXT, "CREATE TYPE kind AS ENUM (); CREATE CAST (kind AS int) WITH INOUT"),
    "an operator class": (
        TEXT,
        "CREATE OPERATOR CLASS own FOR TYPE varchar USING hash AS FUNCTION 1 hashtext(text)",
    ),
    "a column": (TEXT, "ALTER TABLE items ADD more int"),
    "another name of a column": (TEXT, "ALTER TABLE items RENAME note TO name_2"),
    "no column": (TEXT, "ALTER TABLE items DROP note"),
    "another type": (TEXT, "ALTER TABLE items ALTER note TYPE varchar"),
    "an index": (TEXT, "CREATE INDEX ON items (evil(name)) WHERE id < 0"),
    "a default": (TEXT, "ALTER TABLE items ALTER note SET DEFAULT 'b'"),
    "a constraint": (TEXT, "ALTER TABLE items ADD CHECK (evil(id) = id) NOT VALID"),
    "statistics": (TEXT, "CREATE STATISTICS s ON (evil(id)), name FROM items"),
    "a policy": (
        TEXT,
        "CREATE POLICY p ON items USING (true); ALTER TABLE items ENABLE ROW LEVEL SECURITY",
    ),
    "a child": (TEXT, "ALTER TABLE child INHERIT items"),
    "another by that name": (
        TEXT,
        "ALTER TABLE items RENAME TO kept; CREATE VIEW items AS SELECT * FROM kept",
    ),
    "one before it in the path": (TEXT, "CREATE SCHEMA postgres; CREATE TABLE postgres.items ()"),
    "a schema by another name": (
        TEXT,
        "ALTER SCHEMA public RENAME TO old; ALTER SCHEMA elsewhere RENAME TO public",
    ),
    "a partition": (PARTS, "ALTER TABLE split ATTACH PARTITION split_2 FOR VALUES IN (2)"),
    "an index of a partition": (PARTS, "CREATE INDEX ON split_1 (evil(id)) WHERE id < 0"),
}


class Reads:
    """Reads over one connection, beside commits of others over another."""

    def __init__(self, settings: DatabaseSettings, connection: Connection, other: Connection):
        self.connection, self._other = connection, other
        self._transactions = Transactions(settings, Judge(), Call(60))

    def is_known(self, text: str) -> bool:
        """Read a text after somebody committed: whether its verdict still held. Else it was judged
        again, and may have been refused, or is no statement any more."""
        self._other.run([Step("SELECT pg_current_xact_id()")], Call(30), limit_bytes=99)
        self._other.ensure_clean(Call(30))
        self.connection.ensure_clean(Call(30))
        fetch = Step("", describe=True, portal=CURSOR, parse=False)
        try:
            steps, outcome = self._transactions.run(self.connection, gated(text, (), (fetch,)))
        except StatementRefusedError:
            return False
        assert outcome.failure is None or "it ran" not in outcome.failure.server.message
        return steps[0] == READ_ONLY and outcome.failure is None

    def until_known(self, text: str) -> bool:
        """Whether its verdict holds at last."""
        return [self.is_known(text) for _ in range(4)][-1]


@pytest.fixture
def reads(postgres: Server, database: str) -> Iterator[Reads]:
    """As a superuser, who owns all."""
    postgres.psql(SCHEMA, database)
    settings = settings_for(postgres, database)
    connections = connect(settings), connect(settings)
    yield Reads(settings, *connections)
    for opened in connections:
        opened.close()


@pytest.mark.parametrize(("text", "change"), CHANGES.values(), ids=CHANGES)
def test_what_a_statement_depends_on_is_judged_again_once_it_changes(
    postgres: Server, database: str, reads: Reads, text: str, change: str
) -> None:
    assert reads.until_known(text)
    postgres.psql(change, database)
    assert not reads.is_known(text)


def test_a_change_that_is_committed_while_a_read_waits_for_its_table_counts(
    postgres: Server, database: str, reads: Reads
) -> None:
    assert reads.until_known(TEXT)
    changing = connect(settings_for(postgres, database))
    steps = ("BEGIN", "LOCK TABLE items", "ALTER FUNCTION evil(varchar) RENAME TO lower")
    changing.run([Step(step) for step in steps], Call(30), limit_bytes=99, last=False)
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    with ThreadPoolExecutor(1) as executor:
        known = executor.submit(reads.is_known, TEXT)
        assert eventually(lambda: postgres.psql(waiting, database) == "1", 20)
        changing.run([Step("COMMIT")], Call(30), limit_bytes=99, last=False)
        assert not known.result(30)
    changing.close()


def test_a_schema_that_the_role_may_use_from_now_on_counts(postgres: Server, database: str) -> None:
    role, group = f"reader_of_{database}", f"group_of_{database}"
    postgres.psql(
        f"{SCHEMA} CREATE ROLE {role} LOGIN PASSWORD 'p'; CREATE ROLE {group};"
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public, elsewhere TO {role};"
        f"GRANT USAGE ON SCHEMA elsewhere TO {group};"
        f"ALTER ROLE {role} SET search_path = elsewhere, public",
        database,
    )
    settings = settings_for(postgres, database, user=role, passwords=(Secret("p"),))
    connections = [connect(settings), connect(settings)]
    reads = Reads(settings, *connections)
    assert reads.until_known(TEXT)
    postgres.psql(f"GRANT {group} TO {role}", database)
    # Before PostgreSQL 16 a session does not notice, and reads what it read.
    reads.connection = connect(settings)
    connections.append(reads.connection)
    assert not reads.is_known(TEXT)
    for opened in connections:
        opened.close()
    postgres.psql(f"DROP OWNED BY {role}, {group}; DROP ROLE {role}, {group}", database)


def test_what_a_statement_does_not_depend_on_may_change(
    postgres: Server, database: str, reads: Reads
) -> None:
    texts = (TEXT, PARTS, "select now() > '2000-01-01', 1 + 1", "select n from others limit 1")
    assert all(reads.until_known(text) for text in texts)
    postgres.psql(
        "CREATE TABLE new (id int); ALTER TABLE child ADD more int; DROP TABLE child; ANALYZE",
        database,
    )
    assert all(reads.is_known(text) for text in texts)


@pytest.mark.parametrize(
    "text",
    [
        "select evil(0) from items where false",
        "select id from split_1",  # with the partition key above it
        "select count(*) from pg_tables",
    ],
)
def test_of_other_statements_the_state_has_to_stay(reads: Reads, text: str) -> None:
    assert not reads.until_known(text)


def test_rows_that_may_have_come_after_the_parse_are_no_proof(
    postgres: Server, database: str, reads: Reads
) -> None:
    running = connect(settings_for(postgres, database))
    running.run(
        [Step("BEGIN"), Step("SELECT pg_current_xact_id()")], Call(20), limit_bytes=99, last=False
    )
    postgres.psql("CREATE INDEX ON items (id)", database)
    assert not reads.until_known(TEXT)
    running.close()
    assert reads.until_known(TEXT)


def test_a_proof_ends_before_transaction_ids_come_again() -> None:
    depends = Dependencies("{1}", "{a}", "{pg_catalog}", "9", 2**33 + 5)
    assert depends.params == ("{1}", "{a}", "{pg_catalog}", "9", "5", str(2**33 + 5 + 2**30))


@pytest.mark.parametrize(
    ("row", "schemas", "read"),
    [
        ((b"{1}", b"{a}", b"9", b"t", b"t"), "{pg_catalog,public}", ("{1}", True)),
        ((b"{1}", b"{a}", b"9", b"t", b"f"), "{pg_catalog,public}", (None, True)),
        ((b"{1}", b"{a}", b"9", b"f", b"t"), "{pg_catalog,public}", (None, False)),
        ((b"{1}", b"{a}", b"9", b"t", b"t"), "{public,pg_catalog}", (None, False)),
    ],
)
def test_dependencies_are_known_of_plain_relations_with_no_newer_rows(
    row: tuple[bytes, ...], schemas: str, read: tuple[str | None, bool]
) -> None:
    depends, ever = dependencies.read(row, "7:9:8", schemas)
    assert (depends and depends.relations, ever) == read
