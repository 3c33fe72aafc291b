"""A question in plain language, answered by the grammar or by the configured model.

The rule: whatever wrote the SQL, it goes the way of any caller's SQL; and what is not understood is
not run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from pgmcp.errors import ModelError, StatementError, StatementRefusedError, ToolError
from pgmcp.gate.port import Database
from pgmcp.language.explain import explain_declined
from pgmcp.language.lexicon import Lexicon
from pgmcp.language.prose import MAX_QUESTION_CHARS, is_prose
from pgmcp.language.question import ColumnRef, Declined
from pgmcp.language.render import MAX_VALUES, to_sql, values_sql
from pgmcp.language.understand import resolve
from pgmcp.mcp.feature import Context

GRAMMAR = "pgmcp, from plain language"


@dataclass(frozen=True, slots=True)
class Translation:
    """The SQL that a question comes to, its parameters, and who wrote it."""

    sql: str
    params: tuple[str, ...]
    author: str


def meant_as_prose(
    text: str, error: StatementError | StatementRefusedError, database: Database
) -> bool:
    """Whether a text that PostgreSQL did not run as SQL was a question in plain language."""
    sqlstate = error.server.sqlstate if isinstance(error, StatementError) else None
    return is_prose(text, sqlstate, lambda: database.of_catalogue(Lexicon.of))


def translate(text: str, database: Database, context: Context) -> Translation:
    """The SQL for a question; ToolError, with what would help, for one not understood."""
    if len(text) > MAX_QUESTION_CHARS:
        raise ToolError(
            f"the question is longer than {MAX_QUESTION_CHARS:,} characters",
            "Ask for less at once, or write SQL, which may be longer.",
        )
    lexicon = database.of_catalogue(Lexicon.of)
    answer = resolve(text, lexicon, today=_today(database), read=_reader(database, lexicon))
    if not isinstance(answer, Declined):
        statement = to_sql(answer, lexicon)
        return Translation(statement.text, statement.params, GRAMMAR)
    if context.model is None:
        raise ToolError(explain_declined(answer, lexicon))
    try:
        sql = context.model.sql_for(text, database.catalogue(), context.call)
    except ModelError as error:
        declined = explain_declined(answer, lexicon)
        raise ToolError(f"{error.for_client()}\n\n{declined}") from error
    return Translation(sql, (), context.model.name)


def _today(database: Database) -> date:
    """The date where the session is, as "yesterday" and "this year" mean it."""
    (today,) = database.fetch("SELECT pg_catalog.to_char(pg_catalog.now(), 'YYYY-MM-DD')").rows[0]
    return date.fromisoformat((today or b"").decode())


def _reader(database: Database, lexicon: Lexicon) -> Callable[[ColumnRef], tuple[str, ...]]:
    def read(column: ColumnRef) -> tuple[str, ...]:
        # As a caller's statement and not as one of ours: the column may be a view's.
        rows = database.query(values_sql(column, lexicon).text, max_rows=MAX_VALUES)
        if rows.more or rows.cut_bytes is not None:
            return ()
        return tuple(value.decode(errors="replace") for (value,) in rows.rows if value is not None)

    return read
