"""What several tools share: the accounts, the database and the time of a call, and a result's head.

The rule: a result's first lines say where it comes from and what was run, and a blank line ends
them. The SQL stands there as it was sent, blank lines and all, so that it can be run again.
"""

from __future__ import annotations

import json

from pgmcp.errors import LoginError
from pgmcp.gate.port import Database
from pgmcp.mcp.feature import Accounts, Context
from pgmcp.postgres.rows import Rows

DATABASE = "Name of the database to use; default: the first that you may use."
TIMEOUT_SECONDS = (
    "Give up after this many seconds; the configured statement timeout holds in any case."
)

_BLANKS = " \t\n\r\f\v"  # PostgreSQL's; others are letters to it


def accounts_of(context: Context) -> Accounts:
    """The accounts of the server; LoginError when it asks nobody who they are."""
    if context.accounts is None:
        raise LoginError("authentication is disabled on this server")
    return context.accounts


def database_of(context: Context, name: str | None, timeout_seconds: int | None) -> Database:
    """The database that a call names; from here on the call takes no longer than it asks for.

    All of it: the wait for a connection and an answer that does not come as much as the statement.
    """
    if timeout_seconds is not None:
        context.call.shorten(timeout_seconds)
    return context.databases.get(name)


def heading(
    database: Database, sql: str = "", params: tuple[str, ...] = (), author: str = ""
) -> str:
    """`Database: …`, `SQL: …` without the blanks around it, `Parameters: …`, `SQL written by: …`;
    no newline after."""
    lines = [f"Database: {database.name} ({database.label})"]
    if sql:
        lines.append(f"SQL: {sql.strip(_BLANKS)}")
    if params:
        values = [
            f"${number} = {json.dumps(value, ensure_ascii=False)}"
            for number, value in enumerate(params, 1)
        ]
        lines.append("Parameters: " + ", ".join(values))
    if author:
        lines.append(f"SQL written by: {author}")
    return "\n".join(lines)


def row_note(rows: Rows, offset: int = 0) -> str:
    """One line: how many rows these are, and how to get the next ones when there are more."""
    count = len(rows.rows)
    number = f"{count:,} row{'' if count == 1 else 's'}"
    if not rows.columns:
        number += " without columns"
    after = offset + count
    if rows.withheld:
        return f"{number}, cut: {rows.withheld}"
    if rows.cut_bytes is not None and count == 0:
        return (
            f"0 rows: the next row alone is larger than {rows.cut_bytes:,} bytes. "
            "Select fewer columns, or shorten the long ones with left(column, 1000)."
        )
    if rows.cut_bytes is not None:
        return (
            f"{number}, cut because the result reached {rows.cut_bytes:,} bytes. Continue with "
            f"offset={after}, or select fewer columns."
        )
    if rows.more:
        return f"{number}; there are more. Continue with offset={after} (and a stable ORDER BY)."
    if count == 0 and offset:
        return f"0 rows from offset {offset:,} on."
    return f"{number}."
