"""The statement that was judged is the one that runs, whatever others commit meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from pgmcp.calls.call import Call
from pgmcp.config.values import Secret
from pgmcp.errors import StatementError, StatementRefusedError
from pgmcp.gate.caller_read import gated
from pgmcp.gate.databases import DatabaseSet
from pgmcp.gate.judge import Judge
from pgmcp.gate.port import Database
from pgmcp.gate.state import all_invalidations_sent
from pgmcp.gate.transaction import Transactions
from pgmcp.postgres.driver import Connection
from pgmcp.postgres.messages import READ_ONLY, Outcome, Step
from pgmcp.sql.text import CURSOR
from tests.databases import connect, eventually, open_databases, settings_for
from tools.postgres import Server

EVIL = "RETURNS {} LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE EXCEPTION 'it ran'; END $$"
SCHEMA = f"""
CREATE TABLE devt (id int, name varchar);
INSERT INTO devt VALUES (1, '1');
CREATE VIEW inner_view AS SELECT id, name FROM devt;
CREATE VIEW outer_view AS SELECT id, name FROM inner_view;
CREATE TABLE parent (id int) PARTITION BY RANGE (id);
CREATE TABLE part PARTITION OF parent FOR VALUES FROM (0) TO (10);
CREATE FUNCTION in_string() RETURNS text LANGUAGE sql AS 'SELECT max(lower(name)) FROM devt';
CREATE FUNCTION in_tree() RETURNS text LANGUAGE sql
  BEGIN ATOMIC SELECT max(name) FROM outer_view; END;
CREATE FUNCTION evil(varchar) {EVIL.format("varchar")};
CREATE FUNCTION evil_int(varchar) {EVIL.format("int")};
CREATE FUNCTION evil_two(varchar, varchar) {EVIL.format("varchar")};
"""
LOCK = "LOCK TABLE devt IN ACCESS EXCLUSIVE MODE"
# What is read, and what another session does before it commits.
CHANGES = {
    "a function": (
        "select lower(name) from devt",
        LOCK,
        "ALTER FUNCTION evil(varchar) RENAME TO lower",
    ),
    "an operator": (
        "select name || name from devt",
        LOCK,
        "CREATE OPERATOR || (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = evil_two)",
    ),
    "a cast": (
        "select name::int from devt",
        LOCK,
        "CREATE CAST (varchar AS int) WITH FUNCTION evil_int(varchar)",
    ),
    "a view behind a view": (
        "select name from outer_view",
        "CREATE OR REPLACE VIEW inner_view AS SELECT id, evil(name) AS name FROM devt",
    ),
    "a function in the body of another": (
        "select in_string()",
        LOCK,
        "ALTER FUNCTION evil(varchar) RENAME TO lower",
    ),
    "a view behind a function": (
        "select in_tree()",
        "CREATE OR REPLACE VIEW inner_view AS SELECT id, evil(name) AS name FROM devt",
    ),
    "a policy": (
        "select name from devt",
        "CREATE POLICY p ON devt USING (evil(name) <> '')",
        "ALTER TABLE devt ENABLE ROW LEVEL SECURITY",
    ),
    "another by that name": (
        "select name from devt",
        "ALTER TABLE devt RENAME TO kept",
        "CREATE VIEW devt AS SELECT evil(name) AS name FROM kept",
        "GRANT SELECT ON devt TO PUBLIC",
    ),
}

Open = Callable[..., Database]


@pytest.fixture
def read_as(postgres: Server, database: str) -> Iterator[Open]:
    """Makes databases for a role that may read and no more."""
    role = f"reader_of_{database}"
    postgres.psql(
        SCHEMA + f"CREATE ROLE {role} LOGIN PASSWORD 'p';"
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
        database,
    )
    opened: list[DatabaseSet] = []

    def make(**changes: object) -> Database:
        who = {"user": role, "passwords": (Secret("p"),)}
        opened.append(open_databases([settings_for(postgres, database, **who, **changes)]))
        return opened[-1].database("owner", "main", Call(30))

    yield make
    for databases in opened:
        databases.pools.close(5)
    postgres.psql(f"DROP OWNED BY {role}; DROP ROLE {role}", database)


def outcome_of(read: Callable[[], object]) -> str:
    """What became of a read: an attack's function says "it ran"."""
    try:
        read()
    except StatementRefusedError:
        return "refused"
    except StatementError as error:
        return error.message
    return "answered"


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_is_committed_while_a_read_waits_for_a_lock_is_judged(
    read_as: Open, postgres: Server, database: str, change: tuple[str, ...]
) -> None:
    text, *changes = change
    reader = read_as()
    assert outcome_of(lambda: reader.query(text, max_rows=5)) == "answered"
    reads = [
        lambda: reader.query(text, max_rows=5),
        lambda: reader.query(text + " -- not judged yet", max_rows=5),
        lambda: reader.explain("ANALYZE", text),
    ]
    other = connect(settings_for(postgres, database))
    statements = [Step("BEGIN"), *map(Step, changes)]
    changed = other.run(statements, Call(20), limit_bytes=1000, last=False)
    assert changed.failure is None, changed.failure
    waiting = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted"
    with ThreadPoolExecutor(len(reads)) as executor:
        outcomes = [executor.submit(outcome_of, read) for read in reads]
        assert eventually(lambda: postgres.psql(waiting, database) == str(len(reads)), 20)
        other.run([Step("COMMIT")], Call(20), limit_bytes=1000, last=False)
        assert [outcome.result(30) for outcome in outcomes] == ["refused"] * len(reads)
    other.close()


def test_a_lock_that_only_the_planner_asks_for_is_not_waited_for_behind_the_judgement(
    read_as: Open, postgres: Server, database: str
) -> None:
    text = "select id from parent"
    reader = read_as(lock_timeout_seconds=20.0)
    impatient = read_as(lock_timeout_seconds=0.2)
    reader.query(text, max_rows=5)
    other = connect(settings_for(postgres, database))
    held = [Step("BEGIN"), Step("LOCK TABLE part IN ACCESS EXCLUSIVE MODE")]
    other.run(held, Call(20), limit_bytes=1000, last=False)
    assert "lock timeout" in outcome_of(lambda: impatient.query(text, max_rows=5))
    with ThreadPoolExecutor(1) as executor:
        answer = executor.submit(outcome_of, lambda: reader.query(text, max_rows=5))
        other.run([Step("COMMIT")], Call(20), limit_bytes=1000, last=False)
        assert answer.result(30) == "answered"
    other.close()


def test_reads_are_judged_and_run_while_others_commit_all_the_time(
    read_as: Open, postgres: Server, database: str
) -> None:
    reader = read_as()
    over = threading.Event()
    committed = []

    def commit() -> None:
        writer = connect(settings_for(postgres, database))
        while not over.is_set():
            call = Call(20)
            writer.run([Step("SELECT pg_current_xact_id()")], call, limit_bytes=1000)
            writer.ensure_clean(call)
            committed.append(1)
        writer.close()

    thread = threading.Thread(target=commit)
    thread.start()
    assert eventually(lambda: len(committed) > 10)
    for number in range(10):
        for text in (f"select {number}", f"select {number} from outer_view, devt"):
            assert reader.query(text, max_rows=5).rows == [(str(number).encode(),)]
        before = len(committed)
        assert eventually(lambda before=before: len(committed) > before)  # type: ignore[misc]
    over.set()
    thread.join(20)


def test_rows_can_be_skipped_and_counted_in_what_was_judged(read_as: Open) -> None:
    reader = read_as()
    text = "select g from generate_series(1, $1::int) g"
    for _ in range(2):
        rows = reader.query(text, ("10",), max_rows=3, offset=4)
        assert (rows.rows, rows.more) == ([(b"5",), (b"6",), (b"7",)], True)
        rows = reader.query(text, ("10",), max_rows=3, offset=7)
        assert (len(rows.rows), rows.more) == (3, False)


@pytest.mark.parametrize(
    ("locks", "told"),
    [
        ("", True),
        ("3/7 100", True),  # it runs
        ("3/7 100,3/7 101", True),  # its subtransaction
        ("3/7 109", True),  # it came later
        ("3/7 99", False),  # committed, and still holds its lock
        ("3/7 100,4/2 102", False),
    ],
)
def test_who_has_committed_and_not_told_yet_is_seen_by_the_lock(locks: str, told: bool) -> None:
    assert all_invalidations_sent("100:105:100,103", locks) is told
    # the same where the counter has gone round, of which locks show the lower half
    beyond = [f"{holder} {int(xid) - 102 & 0xFFFFFFFF}" for holder, xid in _pairs(locks)]
    epoch = 2**32 - 102
    state = f"{epoch + 100}:{epoch + 105}:{epoch + 100},{epoch + 103}"
    assert all_invalidations_sent(state, ",".join(beyond)) is told


def _pairs(locks: str) -> list[list[str]]:
    return [lock.split() for lock in locks.split(",") if lock]


@pytest.mark.parametrize(
    ("text", "is_known"),
    [
        ("select 1", True),
        ("SELECT -1, 'a''b' AS x, null, true;", True),
        ("select 1 from devt", False),
        ("select 1 + 1", False),
        ("select lower('a')", False),
    ],
)
def test_beside_commits_of_others_only_what_names_nothing_is_known(
    postgres: Server, database: str, read_as: Open, text: str, is_known: bool
) -> None:
    read_as()
    settings = settings_for(postgres, database)
    connection = connect(settings)
    try:
        transactions = Transactions(settings, Judge(), Call(30))
        for _ in range(2):
            postgres.psql("CREATE TABLE others (); DROP TABLE others", database)
            steps, outcome = run_as_cursor(transactions, connection, text)
            assert (outcome.failure, len(outcome.replies[-1].rows)) == (None, 1)
        assert (steps[0] == READ_ONLY) is is_known
    finally:
        connection.close()


def run_as_cursor(
    transactions: Transactions, connection: Connection, text: str
) -> tuple[Sequence[Step], Outcome]:
    """The steps that brought the rows of a text, and their outcome."""
    connection.ensure_clean(Call(30))
    fetch = Step("", describe=True, portal=CURSOR, parse=False)
    return transactions.run(connection, gated(text, (), (fetch,)))


def test_where_others_commit_all_the_time_the_state_is_looked_for_now_and_then(
    postgres: Server, database: str
) -> None:
    postgres.psql("CREATE VIEW kept AS SELECT 'a'::varchar AS name", database)
    settings = settings_for(postgres, database)
    judge = Judge()
    transactions = Transactions(settings, judge, Call(60))
    connection = connect(settings)
    texts = ("select lower(name) from kept", "select 1")
    try:
        for text in texts:
            run_as_cursor(transactions, connection, text)
        known, everywhere = (run_as_cursor(transactions, connection, text)[0] for text in texts)
        assert (known[0], everywhere[0]) == (READ_ONLY, READ_ONLY)
        judge.note_commits()
        calls = 0
        while run_as_cursor(transactions, connection, texts[0])[0][0] != READ_ONLY:
            assert run_as_cursor(transactions, connection, texts[1])[0][0] == READ_ONLY
            calls += 1
        assert 10 < calls < 100
    finally:
        connection.close()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_where_others_commit_all_the_time_what_they_change_is_judged_anew(
    read_as: Open, postgres: Server, database: str, change: tuple[str, ...]
) -> None:
    read_as()
    text, *changes = change
    role = {"user": f"reader_of_{database}", "passwords": (Secret("p"),)}
    settings = settings_for(postgres, database, **role)
    judge = Judge()
    transactions = Transactions(settings, judge, Call(60))
    reader, other = connect(settings), connect(settings_for(postgres, database))
    try:
        for _ in range(3):  # judged, and judged again, before and after it is kept
            assert run_as_cursor(transactions, reader, text)[1].failure is None
            judge.note_commits()
        statements = [Step("BEGIN"), *map(Step, changes)]
        changed = other.run(statements, Call(20), limit_bytes=1000, last=False)
        assert changed.failure is None, changed.failure
        with ThreadPoolExecutor(1) as executor:
            read = executor.submit(run_as_cursor, transactions, reader, text)
            waiting = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted"
            assert eventually(lambda: postgres.psql(waiting, database) == "1", 20)
            other.run([Step("COMMIT")], Call(20), limit_bytes=1000, last=False)
            with pytest.raises(StatementRefusedError):
                read.result(30)
    finally:
        reader.close()
        other.close()
