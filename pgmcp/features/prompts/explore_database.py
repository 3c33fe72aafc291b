"""explore-database: get to know a database before answering questions about it."""

from __future__ import annotations

from dataclasses import dataclass

from pgmcp.features.completers import schemas
from pgmcp.mcp.feature import Context, Prompt
from pgmcp.rpc.schema import arg


@dataclass(frozen=True, slots=True)
class Args:
    """The arguments of explore-database."""

    goal: str = arg(
        'What you want to find out, for example "which customers stopped ordering".', default=""
    )
    schema: str = arg("The schema to look at; default: every schema.", default="")


_TEXT = """\
Explore this PostgreSQL database with the tools of this server, and tell me what is in it.

1. Call get_schema_info with compact=true{narrowed}. If it answers with a summary, choose the \
tables by their names and comments and ask for those, one at a time.
2. Work out what each table that matters stands for, and how the tables belong together: follow \
the references, and where none are declared, the columns that are named alike. Say which of these \
links you assume.
3. Look before you trust. For the tables that matter, call count_rows, then query_database for a \
few rows (limit 5) and for the values of columns that look like a status or a category \
(SELECT column, count(*) … GROUP BY 1 ORDER BY 2 DESC). Note columns that are mostly NULL, and how \
far dates reach.
4. Keep it cheap: never read a whole table to learn something that a count, a GROUP BY or a sample \
shows, and use execute_explain before a query over more than a few hundred thousand rows.

{task}

End with: the tables in one line each; how they connect; what surprised you or looks wrong in the \
data; and three questions that this data can answer, each with its SQL, which you have run."""


def render(args: Args, _: Context) -> str:
    """The message to the model."""
    goal = args.goal.strip()
    schema = args.schema.strip()
    return _TEXT.format(
        narrowed=f' and schema_name="{schema}"' if schema else "",
        task=(
            f"What I want to find out in the end: {goal}\nLook first at what bears on it, and "
            "answer it with a query that you have run, if the data can; say so if it cannot."
            if goal
            else "I have no particular question yet: find out what this database is for."
        ),
    )


PROMPT = Prompt(
    name="explore-database",
    title="Explore the database",
    description="Get to know the tables, how they connect and what the data looks like.",
    args=Args,
    render=render,
    completers={"schema": schemas},
    rank=10,
)
