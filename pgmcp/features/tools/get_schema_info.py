"""get_schema_info: the tables and columns there are, as they are now."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from pgmcp.catalog import lookup
from pgmcp.catalog import read as catalog_read
from pgmcp.catalog.catalogue import Relation
from pgmcp.features.tools._common import DATABASE, heading
from pgmcp.gate.port import Database
from pgmcp.mcp.feature import Context, Tool
from pgmcp.mcp.result import Result, text
from pgmcp.render import schema as schema_text
from pgmcp.rpc.schema import arg


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
    database: str | None = arg(DATABASE, default=None)


def run(args: Args, context: Context) -> Result:
    """The heading, then TSV tables, each below its title."""
    database = context.databases.get(args.database)
    # An empty string is what some clients send for an argument that was left out.
    relations = _relations(database, args.schema_name or None, args.table_name or None)
    if args.vector_tables_only:
        relations = tuple(r for r in relations if any(map(schema_text.is_vector, r.columns)))
    notes = [heading(database)]
    if not relations:
        kind = "vector tables" if args.vector_tables_only else "tables"
        return text("\n\n".join([*notes, f"There are no {kind} here that you may read."]))
    if not args.table_name:
        relations, note = _without_partitions(relations)
        notes += [note] if note else []
    return text("\n\n".join([*notes, schema_text.describe(relations, compact=args.compact)]))


def _relations(database: Database, schema: str | None, table: str | None) -> tuple[Relation, ...]:
    if table is not None:
        return lookup.relations(database.fetch, table, schema)
    relations = catalog_read.read(database.fetch, schema).relations
    exact = tuple(relation for relation in relations if relation.schema == schema)
    if schema is not None and not relations:
        raise lookup.no_schema(database.fetch, schema)
    return exact or relations


def _without_partitions(
    relations: tuple[Relation, ...],
) -> tuple[tuple[Relation, ...], str]:
    """Partitions repeat their parent: a line that counts them stands for them all."""
    counts = Counter(r.partition_of for r in relations if r.partition_of is not None)
    note = ", ".join(f"{parent} ({count:,})" for parent, count in counts.most_common(20))
    rest = tuple(relation for relation in relations if relation.partition_of is None)
    return rest, f"Partitions, left out below: {note}" if note else ""


TOOL = Tool(
    name="get_schema_info",
    title="Describe the schema",
    description=(
        "Describes the tables, partitioned and foreign tables, views and materialised views that "
        "you may read, as they are now: columns with types, nullability, defaults, keys, "
        "references, the values of enum columns, comments, indexes and constraints, and the "
        "number of rows that PostgreSQL estimates. Call it before writing SQL. The result is "
        "tab-separated, with a header line; an empty field means none, and a tab, newline or "
        "backslash inside a field is \\t, \\n or \\\\. Without arguments it describes "
        "everything, shortened to a summary when that is too much: then ask again with schema_name "
        "or table_name. compact=true is a good first call."
    ),
    args=Args,
    run=run,
    rank=20,
)
