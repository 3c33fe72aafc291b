"""pg://{database}/{schema}/{table}: a table or view as get_schema_info describes it."""

from __future__ import annotations

from collections.abc import Mapping

from pgmcp.features.completers import OF_A_TABLE
from pgmcp.features.tools import get_schema_info
from pgmcp.mcp.feature import Context, ResourceTemplate
from pgmcp.sql.names import qualified


def read(context: Context, values: Mapping[str, str]) -> str:
    """The heading, then TSV tables, each below its title."""
    table = qualified(values["schema"], values["table"])
    args = get_schema_info.Args(
        table_name=table, include_definition=True, database=values["database"]
    )
    return get_schema_info.described(args, context)


TEMPLATE = ResourceTemplate(
    uri_template="pg://{database}/{schema}/{table}",
    name="table",
    title="Table",
    description=(
        "A table or view: its columns with types, keys, references and comments, its indexes and "
        "constraints, the SQL of a view, and the number of rows that PostgreSQL estimates."
    ),
    mime_type="text/plain",
    read=read,
    completers=OF_A_TABLE,
    rank=10,
)
