"""design-schema: design tables for a need, beside what there is already."""

from __future__ import annotations

from dataclasses import dataclass

from pgmcp.mcp.feature import Context, Prompt
from pgmcp.rpc.schema import arg


@dataclass(frozen=True, slots=True)
class Args:
    """The arguments of design-schema."""

    requirements: str = arg("What the tables have to hold and which questions they have to answer.")
    scale: str = arg(
        'Expected size and load, for example "2 million orders a year, mostly reads".', default=""
    )


_TEXT = """\
Design a PostgreSQL schema for this:

{requirements}

{scale}

Look at what there is first: get_schema_info with compact=true for the existing tables and their \
conventions (names, key types, timestamps, soft deletes), and read_resource pg://system_info for \
the version and the extensions. Reuse a table that already holds something instead of a second \
one, and follow the conventions that you find. This server only reads: your result is DDL for a \
person to review and run.

Decide, and give the reason in a sentence where it is not obvious:
- Entities, and what identifies each: natural keys as UNIQUE constraints, identity columns (or \
uuid) as primary keys.
- Relations: foreign keys with an ON DELETE that fits, bridge tables for many-to-many.
- Types: timestamptz for moments, date for days, numeric for money, text with a CHECK instead of \
varchar(n), boolean instead of flags in text; jsonb only for what has no fixed form. NOT NULL \
unless absence means something.
- Rules that the database can hold: CHECK, UNIQUE, partial unique indexes, exclusion constraints.
- Indexes for the questions above and for foreign keys that are searched or deleted through; none \
without a query that uses it.
- Partitioning only if size or retention asks for it, and by what.

Give: the questions you would ask, with the answers you assumed; the DDL in one script that runs \
from top to bottom, with COMMENT ON for every table and for columns that need it; one query for \
each question in the requirements, against that schema; and what you left out on purpose."""


def render(args: Args, _: Context) -> str:
    """The message to the model."""
    scale = args.scale.strip()
    return _TEXT.format(
        requirements=args.requirements.strip(),
        scale=f"Expected size and load: {scale}"
        if scale
        else "Assume a moderate size, and say so.",
    )


PROMPT = Prompt(
    name="design-schema",
    title="Design a schema",
    description="Design tables, keys, constraints and indexes for a need, as DDL to review.",
    args=Args,
    render=render,
    rank=30,
)
