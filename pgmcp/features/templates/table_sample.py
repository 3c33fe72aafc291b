"""pg://{database}/{schema}/{table}/sample: some rows of a table or view."""

from __future__ import annotations

from collections.abc import Mapping

from pgmcp.catalog import lookup
from pgmcp.errors import ToolError
from pgmcp.features.completers import OF_A_TABLE
from pgmcp.mcp.feature import Context, ResourceTemplate
from pgmcp.render import tsv
from pgmcp.sql.text import quote_identifier

ROWS = 10


def read(context: Context, values: Mapping[str, str]) -> str:
    """TSV with a header line, of the columns that the caller may read."""
    database = context.databases.get(values["database"])
    relation = lookup.relation(database.fetch, values["table"], values["schema"])
    if not relation.columns:
        raise ToolError(
            f"{lookup.plain_name(relation)} has no column that you may read",
            "Choose another table: get_schema_info lists them.",
        )
    columns = ", ".join(quote_identifier(column.name) for column in relation.columns)
    # As a caller's statement: what the policy masks is masked, and a view's functions are judged.
    rows = database.query(
        f"SELECT {columns} FROM {lookup.quoted_name(relation)} LIMIT {ROWS}", max_rows=ROWS
    )
    return tsv.render(rows)


TEMPLATE = ResourceTemplate(
    uri_template="pg://{database}/{schema}/{table}/sample",
    name="table_sample",
    title="Sample of a table",
    description=(
        f"Up to {ROWS} rows of a table or view, in no order, as tab-separated text with a header "
        "line: what the values look like."
    ),
    mime_type="text/tab-separated-values",
    read=read,
    completers=OF_A_TABLE,
    rank=20,
)
