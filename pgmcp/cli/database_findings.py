"""What `-check` finds out about one database: that it answers, and what its role could do.

The rule: each finding comes from PostgreSQL's own answer, asked as a call would ask.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

from pgmcp.calls.call import Call
from pgmcp.cli.finding import Finding, error, ok, warning
from pgmcp.config.databases import DatabaseSettings
from pgmcp.errors import ToolError
from pgmcp.gate import inspection
from pgmcp.gate.databases import DatabaseSet, require_safe_role
from pgmcp.gate.port import Database
from pgmcp.gate.roles import powers as role
from pgmcp.gate.roles import reader_role
from pgmcp.gate.roles.reader_role import Tables
from pgmcp.pool.pools import Pools
from pgmcp.postgres.rows import texts

_SECONDS = 30.0
_CLOSE_SECONDS = 2.0
_OWNER = "check"

_SERVER_SQL = """
SELECT pg_catalog.current_setting('server_version'), pg_catalog.pg_is_in_recovery(),
  COALESCE((SELECT ssl FROM pg_catalog.pg_stat_ssl WHERE pid = pg_catalog.pg_backend_pid()), false)
"""

_AT_WORK_SQL = """
SELECT pid, pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - query_start)::int
FROM pg_catalog.pg_stat_activity
WHERE usename = current_user AND application_name = 'pgmcp' AND state = 'active'
  AND pid <> pg_catalog.pg_backend_pid()
  AND query_start < pg_catalog.clock_timestamp() - $1::interval
ORDER BY 1
"""


def database_findings(
    database: DatabaseSettings,
    clock: Callable[[], float] = time.monotonic,
    *,
    grace_seconds: float = 10.0,
) -> Generator[Finding, None, None]:
    """Whether it answers, how quickly, what runs there for longer than its time and
    `grace_seconds`, and what its role could do beyond reading."""
    pools = Pools([database], require_safe_role)
    try:
        reader = DatabaseSet.of(pools).database(_OWNER, database.name, Call(_SECONDS))
        started = clock()
        server = reader.fetch(_SERVER_SQL).rows[0]
        connected = clock() - started
        version, recovering, encrypted = ((value or b"").decode() for value in server)
        reader.query("SELECT 1", max_rows=1)  # the first one is judged
        started = clock()
        reader.query("SELECT 1", max_rows=1)
        yield ok(
            database.name,
            f"{database.label}: PostgreSQL {version}"
            f"{', a standby' if recovering == 't' else ''}"
            f", {'TLS' if encrypted == 't' else 'not encrypted'}"
            f", connected in {connected * 1000:.0f} ms, SELECT 1 in "
            f"{(clock() - started) * 1000:.1f} ms",
        )
        yield from _stuck_findings(database, reader, grace_seconds)
        yield from _role_findings(database, reader)
        yield from _log_findings(database, reader)
        for unjudged in _UNJUDGED:
            yield from unjudged.findings(database, reader)
        yield from _extension_findings(database, reader)
    except ToolError as failure:
        yield error(database.name, failure.message, failure.hint or "Mend this first.")
    finally:
        pools.close(_CLOSE_SECONDS)


def _stuck_findings(
    database: DatabaseSettings, reader: Database, grace_seconds: float
) -> Iterator[Finding]:
    """Statements of pgmcp's, this or another, that run on past the time that they may take."""
    allowed = database.statement_timeout_seconds
    if not allowed:
        return
    for pid, seconds in reader.fetch(_AT_WORK_SQL, (f"{allowed + grace_seconds:g} s",)).rows:
        process, age = (pid or b"").decode(), (seconds or b"").decode()
        yield warning(
            f"{database.name}: stuck",
            f"process {process} has worked on a statement of pgmcp's for {age} s, and may for "
            f"{allowed:g} s: PostgreSQL cannot interrupt what it does, or was not told to",
            "Its connection is counted until it ends. Try pg_terminate_backend, and a restart of "
            "PostgreSQL if that does not end it.",
        )


def _role_findings(database: DatabaseSettings, reader: Database) -> Iterator[Finding]:
    powers = role.read_powers(reader.fetch, database.trusted_functions)
    tables = reader_role.read_tables(reader.fetch)
    writes = [power for power in powers if power.writes]
    if not writes:
        yield ok(f"{database.name}: role", f"{database.user} can only read")
    for number, power in enumerate(writes, 1):
        last = number == len(writes)
        yield warning(
            f"{database.name}: role",
            f"{database.user}: {power.name} ({power.detail})",
            "Only a role that cannot write is a wall. This makes one; then configure it as the"
            " user of this database:\n"
            + reader_role.reader_role_sql(reader.fetch, database.database, tables)
            if last
            else "",
        )
    for power in powers:
        if not power.writes:
            yield warning(
                f"{database.name}: role",
                f"{database.user}: {power.name} ({power.detail})",
                "pgmcp refuses to read them. Better grant SELECT on the tables that are meant.",
            )
    yield _table_finding(database, tables)


def _table_finding(database: DatabaseSettings, tables: Sequence[Tables]) -> Finding:
    """How much of the database the role may read, and what not."""
    count = sum(each.count for each in tables)
    readable = sum(each.readable for each in tables)
    subject = f"{database.name}: tables"
    if not count:
        return ok(subject, "there are no tables yet")
    if readable == count:
        return ok(subject, f"reads all {count} tables")
    names = [name for each in tables for name in each.unreadable][: reader_role.MOST_NAMES]
    unnamed = count - readable - len(names)
    message = (
        f"reads {readable} of {count} tables; not {', '.join(names)}"
        f"{f' and {unnamed} more' if unnamed else ''}"
    )
    if readable:
        return ok(subject, message)
    return warning(
        subject,
        message,
        "An administrator lets it read them with:\n"
        + "\n".join(reader_role.grants_sql(database.user, tables)),
    )


def _log_findings(database: DatabaseSettings, reader: Database) -> Iterator[Finding]:
    problem = role.read_log_problem(reader.fetch, database.user)
    if problem is not None:
        yield warning(f"{database.name}: log", problem.message, problem.mend)


@dataclass(frozen=True, slots=True)
class _Unjudged:
    """Functions that PostgreSQL calls although no statement names them, so that no judge sees it.

    `sql` gives a name, what is called, and its `schema.name`, as trusted_functions names it.
    """

    sql: str
    about: str
    problem: str
    hint: str

    def findings(self, database: DatabaseSettings, reader: Database) -> Iterator[Finding]:
        for name, called, qualified in _texts(reader, self.sql):
            if qualified not in database.trusted_functions:
                problem = self.problem.format(name=name, called=called)
                yield warning(f"{database.name}: {self.about}", problem, self.hint)


_UNJUDGED = (
    _Unjudged(
        inspection.CHECKED_DOMAINS_SQL,
        "domain",
        "{name} is checked by {called}, which runs when PostgreSQL reads a literal of it inside an "
        "array or a row, before pgmcp can judge the statement",
        "See that this function changes nothing.",
    ),
    _Unjudged(
        inspection.KEPT_CALLS_SQL,
        "expression",
        "{name} calls {called}, which PostgreSQL may run while it plans any read of the table; "
        "where it may, reads of the table are refused",
        "See that this function changes nothing, then name it in trusted_functions.",
    ),
)


def _extension_findings(database: DatabaseSettings, reader: Database) -> Iterator[Finding]:
    for name, owner, function in _texts(reader, inspection.EXTENSIONS_SQL):
        problem = (
            f"{function} of the extension {name} belongs to no superuser: it is refused"
            if function
            else f"{name} belongs to {owner}, who is no superuser and may add functions to it: its"
            " functions are refused"
        )
        yield warning(
            f"{database.name}: extension",
            problem,
            "Have a superuser create the extension, or name its functions in trusted_functions.",
        )


def _texts(reader: Database, sql: str) -> list[tuple[str, ...]]:
    return texts(reader.fetch(sql).rows)
