"""query_database: a caller's SQL or plain question, its rows as TSV.

The rule: the text decides only which way a statement goes; whether it may run is decided below.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from pgmcp.errors import StatementError, StatementRefusedError, ToolError
from pgmcp.features.tools._common import DATABASE, TIMEOUT_SECONDS, database_of, heading, row_note
from pgmcp.gate.port import Database
from pgmcp.mcp.feature import Annotations, Context, Tool
from pgmcp.mcp.result import Result, text
from pgmcp.postgres.rows import Rows
from pgmcp.render import tsv
from pgmcp.rpc.schema import arg
from pgmcp.sql import lexer
from pgmcp.sql import text as sql

_MAX_KNOWN = 512
_KNOWN_CHARS = 2000
"""Of so many texts, which are no longer than this, the way that they go is kept."""


@dataclass(frozen=True, slots=True)
class Args:
    """The arguments of query_database."""

    query: str = arg(
        "One SQL statement that reads (SELECT, WITH, VALUES, TABLE, SHOW or EXPLAIN), or a simple "
        "question in English, such as: show me all active users.",
        min_length=1,
        max_length=sql.MAX_TEXT_BYTES,
    )
    limit: int = arg(
        "At most this many rows; there is no need for LIMIT in the SQL.",
        default=100,
        minimum=1,
        maximum=1000,
    )
    offset: int = arg(
        "Leave out this many rows first: how to read on when there are more than limit.",
        default=0,
        minimum=0,
        maximum=1_000_000_000,
    )
    database: str | None = arg(DATABASE, default=None)
    timeout_seconds: int | None = arg(TIMEOUT_SECONDS, default=None, minimum=1, maximum=86_400)


def run(args: Args, context: Context) -> Result:
    """The heading, a blank line, the rows with their header, a blank line, and the number of rows.

    The last line is always the note on the number of rows, whatever the rows hold.
    """
    way = _known_way(args.query) if len(args.query) <= _KNOWN_CHARS else _way(args.query)
    database = database_of(context, args.database, args.timeout_seconds)
    if way.is_prose:
        return _answer_prose(args, database, context)
    try:
        rows, offset = _answer(args, way, database)
    except (StatementError, StatementRefusedError) as error:
        from pgmcp.features.tools._plain_language import meant_as_prose, refuse_change

        if not meant_as_prose(way.body, error, database):
            refuse_change(args.query, error)
            raise
        return _answer_prose(args, database, context)
    return _shown(heading(database, args.query), rows, offset)


@dataclass(frozen=True, slots=True)
class _Way:
    """Which way a text goes. `body`: the text behind its comments; `statement`: without the empty
    statements in front. `explain`: what it is if it is an EXPLAIN."""

    body: str
    is_prose: bool
    statement: str = ""
    is_show: bool = False
    explain: sql.Explain | None = None


def _way(query: str) -> _Way:
    """Which way a text goes, by nothing but itself; ToolError for what is too long or no text."""
    # Here, because the grammar takes longer to load than a server may take to start.
    from pgmcp.language.facade import looks_like_sql

    sql.encode(query)  # before anything reads it
    # Behind its comments, as PostgreSQL reads them: they nest.
    body = query[lexer.skip_space(query) :]
    if looks_like_sql(body) is False:
        return _Way(body, is_prose=True)
    statement = sql.without_empty(query)
    is_show = sql.first_word(statement) == "show"
    explain = None if is_show else sql.split_explain(statement)
    return _Way(body, is_prose=False, statement=statement, is_show=is_show, explain=explain)


_known_way = lru_cache(maxsize=_MAX_KNOWN)(_way)


def _shown(head: str, rows: Rows, offset: int) -> Result:
    return text("\n".join([head, "", tsv.render(rows), "", row_note(rows, offset)]))


def _answer_prose(args: Args, database: Database, context: Context) -> Result:
    from pgmcp.features.tools._plain_language import explain_empty, translate

    written = translate(args.query, database, context)
    head = heading(database, written.sql, written.params, written.author)
    try:
        rows = database.query(written.sql, written.params, max_rows=args.limit, offset=args.offset)
    except ToolError as error:
        raise ToolError(f"{head}\n\n{error.for_client()}", "") from error
    note = explain_empty(written, rows, database) if args.offset == 0 else ""
    return _shown(f"{head}\nNote: {note}" if note else head, rows, args.offset)


def _answer(args: Args, way: _Way, database: Database) -> tuple[Rows, int]:
    """The rows, and the offset that they begin at."""
    statement, explain = way.statement, way.explain
    if way.is_show:
        return database.show(statement), 0
    if explain is not None:
        # Blanks instead of the EXPLAIN, so that the position of an error is the caller's.
        explained = " " * explain.offset + statement[explain.offset :]
        options = sql.explain_options(explain.options)
        return database.explain(options, explained), 0
    rows = database.query(statement, max_rows=args.limit, offset=args.offset)
    return rows, args.offset


TOOL = Tool(
    name="query_database",
    title="Query the database",
    description=(
        "Runs one read-only SQL statement (PostgreSQL) and returns its rows. Call get_schema_info "
        "first when you do not know the tables. A simple question in English works too: the result "
        "shows the SQL that was run for it, and a question that is not understood is not run. "
        "SELECT, WITH, VALUES, TABLE, SHOW and EXPLAIN "
        "run; everything that writes, changes a setting or is more than one statement is refused. "
        "EXPLAIN without ANALYZE also takes a statement that writes, and runs nothing of it. "
        "The result: the database, the SQL, a blank line, then tab-separated lines with a header, "
        "then a line that says how many rows these are and, when there are more, with which offset "
        "to continue. Values are written as PostgreSQL writes them. NULL is \\N and an empty "
        "string is empty; inside a value a tab is \\t, a newline \\n, a carriage return \\r, a "
        "backslash \\\\ and a byte that is no UTF-8 \\xNN. Use ORDER BY when you page. An error "
        "gives PostgreSQL's message, SQLSTATE, hint and position."
    ),
    args=Args,
    run=run,
    rank=10,
    annotations=Annotations(idempotent=False),
)
