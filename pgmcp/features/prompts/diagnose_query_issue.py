"""diagnose-query-issue: find out why a query is slow, fails, or gives the wrong rows."""

from __future__ import annotations

from dataclasses import dataclass

from pgmcp.mcp.feature import Context, Prompt
from pgmcp.rpc.schema import arg


@dataclass(frozen=True, slots=True)
class Args:
    """The arguments of diagnose-query-issue."""

    issue: str = arg('What is wrong: "it takes 30 seconds", an error message, "rows are missing".')
    query: str = arg("The SQL in question, if there is one.", default="")


_TEXT = """\
Something is wrong with a PostgreSQL query. Find the cause with the tools of this server; do not \
guess.

The problem: {issue}
{query}
First decide which of these it is, and say so.

It fails:
- Read the message, SQLSTATE, hint and position of the error. Call get_schema_info for the tables \
it names and compare names, quoting (mixed case needs double quotes) and types.
- Cut the query down until it works; what you cut last is the cause.

It is slow:
- execute_explain first without analyze. If the estimated cost is bearable, again with \
analyze=true, buffers=true and a timeout_seconds; the query really runs then.
- Look for the lowest node where expected and actual rows differ widely: everything above it was \
planned on wrong numbers. Look at what the tool says stands out.
- Check what indexes there are (get_schema_info), whether the conditions can use them (a function \
or a cast around the column prevents it), how big the tables are, and in pg_stat_user_tables when \
they were last analysed and vacuumed.
- read_resource pg://system_info shows work_mem and the other settings. If the same query is only \
sometimes slow, look at pg_stat_activity and pg_locks for what it waits for.

It gives wrong rows:
- Count rows before and after each join (count_rows, or count(*) in a subquery): joins that \
multiply rows, inner joins that lose them, NULL in NOT IN or <>, time zones and open-ended date \
ranges are the usual causes.
- Show a row that is wrong, and the step that makes it so.

Then give: the cause, with the evidence (numbers from the plan or from queries you ran); the \
corrected query, run or explained, with before and after; and, if it needs one, the statement to \
create an index or to refresh statistics, for a person to run: this server only reads. If the \
evidence does not settle it, say what would."""


def render(args: Args, _: Context) -> str:
    """The message to the model."""
    query = args.query.strip()
    shown = f"\nThe query:\n\n{query}\n" if query else "\nAsk me for the SQL if you need it.\n"
    return _TEXT.format(issue=args.issue.strip(), query=shown)


PROMPT = Prompt(
    name="diagnose-query-issue",
    title="Diagnose a query",
    description="Find out why a query is slow, fails or gives the wrong rows, with evidence.",
    args=Args,
    render=render,
    rank=20,
)
