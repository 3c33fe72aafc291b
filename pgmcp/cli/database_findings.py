"""What `-check` finds out about one database: that it answers, and what its role could do.

The rule: each finding comes from PostgreSQL's own answer, asked as a call would ask.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pgmcp.calls.call import Call
from pgmcp.cli.finding import Finding, error, ok, warning
from pgmcp.cli.role_findings import policy_findings, user_findings
from pgmcp.config.databases import DatabaseSettings
from pgmcp.config.policies import Policy
from pgmcp.errors import ToolError
from pgmcp.gate import inspection
from pgmcp.gate.databases import DatabaseSet, require_safe_role
from pgmcp.gate.port import Database
from pgmcp.gate.roles import powers as role
from pgmcp.policy.active import ActivePolicy
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
    policies: Mapping[str, Policy] = MappingProxyType({}),
) -> Generator[Finding, None, None]:
    """Whether it answers, how quickly, what runs there for longer than its time and
    `grace_seconds`, and what its role, and those of the policies, could do beyond reading."""
    pools = Pools([database], require_safe_role)
    databases = DatabaseSet.of(pools)

    def under(policy: Policy | None) -> Database:
        active = None if policy is None else ActivePolicy(policy)
        return databases.database(_OWNER, database.name, Call(_SECONDS), policy=active)

    try:
        reader = under(None)
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
        yield from user_findings(database, reader)
        yield from _log_findings(database, reader)
        yield from policy_findings(database, policies, reader, under)
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
