"""get_schema_info: the tables and columns there are, as they are now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pgmcp.catalog import lookup
from pgmcp.catalog import read as catalog_read
from pgmcp.catalog.catalogue import Listed, Relation
from pgmcp.features.tools._common import DATABASE, heading
from pgmcp.gate.port import Database
from pgmcp.mcp.feature import Context, Tool
from pgmcp.mcp.result import Result, text
from pgmcp.render import schema as schema_text
from pgmcp.rpc.schema import arg
from pgmcp.sql.names import qualified, quoted

_SHOWN_PARENTS = 20


@dataclass(frozen=True, slots=True)
class Args:
    """The arguments of get_schema_info."""

    schema_name: str | None = arg(
        "Only this schema; default: every schema.", default=None, max_length=200
    )
    table_name: str | None = arg(
        'Only this table or view: a name, "schema.table", or a quoted name; default: all.',
        default=None,
        max_length=300,
    )
    vector_tables_only: bool = arg(
        "true leaves out the tables that have no column of a pgvector type.", default=False
    )
    compact: bool = arg(
        "true gives one line a table, with its columns' names and types, and saves most of the "
        "space.",
        default=False,
    )
    include_definition: bool = arg(
        "true adds the SQL that defines each view and materialised view.", default=False
    )
    database: str | None = arg(DATABASE, default=None)


def run(args: Args, context: Context) -> Result:
    """The description as one text."""
    return text(described(args, context))


def described(args: Args, context: Context) -> str:
    """The heading, then TSV tables, each below its title."""
    database = context.databases.get(args.database)
    notes = [heading(database)]
    # An empty string is what some clients send for an argument that was left out.
    if args.table_name:
        listed = lookup.listed(database.fetch, args.table_name, args.schema_name or None)
        if args.vector_tables_only:
            listed = [each for each in listed if _has_vector(database, each)]
        schemas: Mapping[str, int] = {"": len(listed)}
    else:
        listed, counts = catalog_read.presentable(
            database.fetch,
            lookup.schema(database.fetch, args.schema_name) if args.schema_name else None,
            vectors=args.vector_tables_only,
            at_most=schema_text.MAX_LISTED,
        )
        schemas = counts.schemas
        notes += _left_out(counts)
    if not listed:
        kind = "vector tables" if args.vector_tables_only else "tables"
        return "\n\n".join([*notes, f"There are no {kind} here that you may read."])
    return "\n\n".join([*notes, _tables(context, database, listed, schemas, args)])


def _tables(
    context: Context,
    database: Database,
    listed: Sequence[Listed],
    schemas: Mapping[str, int],
    args: Args,
) -> str:
    def read(detail: schema_text.Detail) -> Sequence[Relation]:
        relations = catalog_read.relations_of(database.fetch, listed, values=False)
        if args.table_name:
            context.trail.described(
                {qualified(r.schema, r.name): [c.name for c in r.columns[:1]] for r in relations}
            )
        if detail == "columns" and not args.include_definition:
            return relations
        return catalog_read.with_facts(
            database.fetch,
            listed,
            relations,
            partitions=bool(args.table_name),
            definitions=args.include_definition,
        )

    def count_columns(some: Sequence[Listed]) -> Sequence[Listed]:
        return catalog_read.column_counts(database.fetch, some)

    return schema_text.describe(listed, read, count_columns, compact=args.compact, schemas=schemas)


def _has_vector(database: Database, listed: Listed) -> bool:
    (relation,) = catalog_read.relations_of(database.fetch, [listed], values=False)
    return any(map(schema_text.is_vector, relation.columns))


def _left_out(counts: catalog_read.Counts) -> list[str]:
    """Partitions repeat their parent, and an extension's own tables are seldom what is asked for:
    a line that counts them stands for them all."""
    notes = []
    if counts.partitions:
        parents = list(counts.partitions.items())[:_SHOWN_PARENTS]
        listed = ", ".join(f"{parent} ({count:,})" for parent, count in parents)
        notes.append(f"Partitions, left out below: {listed}")
    if counts.extensions:
        listed = ", ".join(f"{quoted(name)} ({n:,})" for name, n in counts.extensions.items())
        notes.append(f"Tables of extensions, left out below unless table_name asks: {listed}")
    return notes


TOOL = Tool(
    name="get_schema_info",
    title="Describe the schema",
    description=(
        "Describes the tables, partitioned and foreign tables, views and materialised views that "
        "you may read, as they are now: columns with types, nullability, defaults, keys, "
        "references, the values of enum columns, comments, indexes and constraints, partitions, "
        "inheritance, row security, the types that are not PostgreSQL's own, and the number of "
        "rows that PostgreSQL estimates. Call it before writing SQL. The result is "
        "tab-separated, with a header line; an empty field means none, and a tab, newline or "
        "backslash inside a field is \\t, \\n or \\\\. Without arguments it describes "
        "everything, shortened to a summary when that is too much: then ask again with schema_name "
        "or table_name. compact=true is a good first call."
    ),
    args=Args,
    run=run,
    rank=20,
)
