"""What a role could do beyond reading.

Only a role without write privileges is a wall; every other protection is depth. So the operator is
told, at start and by `-check`, what stands behind each configured database.

The rule: a role could do what any role could that it inherits from, may SET ROLE to, or may grant
to itself. SQL text and values; what asks the database is handed in.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pgmcp.gate.roles.power_queries import PARAMETER_PRIVILEGES_SINCE, powers_sql
from pgmcp.postgres.rows import Fetch, Value
from pgmcp.sql.names import array_literal
from pgmcp.sql.text import quote_identifier


@dataclass(frozen=True, slots=True)
class Power:
    """Something that the role could do beyond reading tables, and to what.

    `writes` False: it can only read more than is good, which pgmcp refuses to do for it.
    """

    name: str
    detail: str
    writes: bool = True


def powers(rows: Sequence[tuple[Value, ...]]) -> tuple[Power, ...]:
    """The answer to `powers_sql` as values; empty for a role that can only read."""
    return tuple(
        Power((name or b"").decode(), (detail or b"").decode(), writes == b"t")
        for name, detail, writes in rows
    )


def read_powers(fetch: Fetch, trusted: Collection[str] = ()) -> tuple[Power, ...]:
    """What the role could do, asked of its database by `fetch`; errors are those of `fetch`."""
    major = int(fetch(_MAJOR_SQL, ()).rows[0][0] or b"0")
    return powers(fetch(powers_sql(major), (array_literal(sorted(trusted)),)).rows)


_MAJOR_SQL = "SELECT pg_catalog.current_setting('server_version_num')::int / 10000"


@dataclass(frozen=True, slots=True)
class LogProblem:
    """That each new statement's tree goes to the server's log, and what to do about it."""

    message: str
    mend: str


def read_log_problem(fetch: Fetch, role: str) -> LogProblem | None:
    """Whether the trees that pgmcp asks for reach the log of the role's server, None if not."""
    major = int(fetch(_MAJOR_SQL, ()).rows[0][0] or b"0")
    has_grant = major >= PARAMETER_PRIVILEGES_SINCE
    if fetch(_LOG_SQL[has_grant], ()).rows[0][0] == b"t":
        return None
    name = quote_identifier(role)
    message = (
        f"{role} cannot keep the trees of statements out of the server's log: each new statement"
        " leaves an entry there, of 2 kB and more, and of 200 kB for one large view"
    )
    if has_grant:
        return LogProblem(message, f"GRANT SET ON PARAMETER log_min_messages TO {name};")
    return LogProblem(
        message,
        "PostgreSQL has a grant for this from version 15 on. Until then, watch the log's size, or"
        " have a superuser keep the errors of this role out of the log as well:\n"
        f"ALTER ROLE {name} SET log_min_messages = fatal;",
    )


_KEEPS_OUT = (
    "SELECT pg_catalog.current_setting('is_superuser') = 'on'"
    " OR pg_catalog.current_setting('log_min_messages') IN ('fatal', 'panic')"
)
_LOG_SQL = {
    True: f"{_KEEPS_OUT} OR pg_catalog.has_parameter_privilege('log_min_messages', 'SET')",
    False: _KEEPS_OUT,
}
