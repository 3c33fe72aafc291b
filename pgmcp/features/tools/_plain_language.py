"""A question in plain language, answered by the grammar or by the configured model.

The rule: whatever wrote the SQL, it goes the way of any caller's SQL; and what is not understood is
not run.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from pgmcp.errors import BudgetError, ModelError, StatementError, StatementRefusedError, ToolError
from pgmcp.gate.port import Database
from pgmcp.language import facade
from pgmcp.language.facade import Lexicon, Probe, Refusal
from pgmcp.mcp.feature import Context
from pgmcp.postgres.rows import Rows
from pgmcp.sql.lookalikes import without_unseen
from pgmcp.sql.text import ALLOWED

GRAMMAR = "pgmcp, from plain language"


@dataclass(frozen=True, slots=True)
class Translation:
    """The SQL that a question comes to, its parameters, and who wrote it.

    `probe`: what to run when the answer is empty.
    """

    sql: str
    params: tuple[str, ...]
    author: str
    probe: Probe | None = None


def meant_as_prose(
    text: str, error: StatementError | StatementRefusedError, database: Database
) -> bool:
    """Whether a text that PostgreSQL did not run as SQL is a question in plain language."""
    sqlstate = error.server.sqlstate if isinstance(error, StatementError) else None
    return facade.is_prose(text, sqlstate, lambda: Lexicon.of(database.tables()))


def refuse_change(text: str, error: ToolError | None = None) -> None:
    """StatementRefusedError for a text that asks to change something.

    `error`: what PostgreSQL said of it; only a syntax error leaves open what it would have done.
    """
    sqlstate = error.server.sqlstate if isinstance(error, StatementError) else None
    if error is not None and sqlstate != facade.SYNTAX_ERROR:
        return
    if word := facade.asks_to_change(text):
        raise StatementRefusedError(
            f"{ALLOWED}: “{word.upper()}” would change something, and this server only reads.",
            "Nothing was run.",
        )


def translate(text: str, database: Database, context: Context) -> Translation:
    """Translate a question to SQL; ToolError, with what would help, when it is not understood."""
    if len(text) > facade.MAX_QUESTION_CHARS:
        raise ToolError(
            f"the question is longer than {facade.MAX_QUESTION_CHARS:,} characters",
            "Ask for less at once, or write SQL, which may be longer.",
        )
    lexicon = Lexicon.of(database.tables())

    def read_values(sql: str) -> tuple[str, ...]:
        # As a caller's statement and not as one of ours: the column may be a view's.
        try:
            rows = database.query(sql, max_rows=facade.MAX_VALUES, sent=False)
        except StatementRefusedError:  # by a policy: a masked column's values tell nothing
            return ()
        if rows.more or rows.cut_bytes is not None:
            return ()
        return tuple(value.decode(errors="replace") for (value,) in rows.rows if value is not None)

    question = without_unseen(text)
    answer = facade.translate(question, lexicon, today=_today(database), read_values=read_values)
    if not isinstance(answer, Refusal):
        return Translation(answer.sql, answer.params, GRAMMAR, answer.probe)
    refuse_change(text)
    if context.model is None:
        raise ToolError(answer.help, "")
    try:
        sql = context.model.sql_for(text, database.catalogue(), context.call)
    except ModelError as error:
        raise ToolError(f"{error.for_client()}\n\n{answer.help}", "") from error
    return Translation(sql, (), context.model.name)


def explain_empty(written: Translation, rows: Rows, database: Database) -> str:
    """What to say of an empty answer whose question names a value that no row holds, or "".

    One more query, as a caller's, and only when there are no rows or the one figure is 0 or NULL.
    """
    if written.probe is None or not _is_empty(rows):
        return ""
    statement = written.probe.statement
    try:
        near = database.query(statement.text, statement.params, max_rows=facade.MAX_PROBE_ROWS)
    except (BudgetError, StatementError, StatementRefusedError):
        return ""  # the answer stands without it
    values = [
        (int(number), value.decode(errors="replace"))
        for number, value in near.rows
        if number is not None and value is not None
    ]
    return facade.near_values(written.probe, values)


def _is_empty(rows: Rows) -> bool:
    return not rows.rows or (
        len(rows.rows) == len(rows.columns) == 1 and rows.rows[0][0] in (b"0", None)
    )


def _today(database: Database) -> date:
    """The date where the session is, as "yesterday" and "this year" mean it."""
    (today,) = database.fetch("SELECT pg_catalog.to_char(pg_catalog.now(), 'YYYY-MM-DD')").rows[0]
    return date.fromisoformat((today or b"").decode())
