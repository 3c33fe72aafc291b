"""Whether a new connection may be used: `databases[].require_safe_role`.

The rule: a role of which it is not known that it can only read is refused.
"""

from __future__ import annotations

from pgmcp.calls.call import Call
from pgmcp.config.databases import DatabaseSettings
from pgmcp.errors import DatabaseUnavailableError
from pgmcp.gate.roles.power_queries import powers_sql
from pgmcp.gate.roles.powers import powers
from pgmcp.postgres.driver import Connection
from pgmcp.postgres.messages import CATALOGUE_PATH, READ_ONLY, Step
from pgmcp.sql.names import array_literal

_POWERS_BYTES = 64 * 1024


def close_unless_safe(database: DatabaseSettings, connection: Connection, call: Call) -> None:
    """Ask PostgreSQL what the role could do. DatabaseUnavailableError when that is more than read,
    or not known; the connection is closed then."""
    ask = Step(
        powers_sql(connection.server_major),
        (array_literal(sorted(database.trusted_functions)),),
    )
    outcome = connection.run((READ_ONLY, CATALOGUE_PATH, ask), call, limit_bytes=_POWERS_BYTES)
    if not connection.closed:
        connection.ensure_clean(call)
    rows = outcome.replies[-1].rows if outcome.replies else ()
    writing = [power.name for power in powers(rows) if power.writes]
    if outcome.failure is None and not writing and not connection.closed:
        return
    connection.close()
    could = ", ".join(writing) or "what it could do is not known"
    raise DatabaseUnavailableError(
        f"{database.name} is not served: its role could do more than read ({could})",
        "The operator set require_safe_role; pgedge-postgres-mcp -check shows the SQL for a"
        " role that can only read.",
        lasting=bool(writing),
    )
