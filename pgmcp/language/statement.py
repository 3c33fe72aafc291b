"""SQL text with its parameters, names in it, and the statements about the catalogue itself.

The rule: a name from the catalogue goes into SQL through `quoted`, everything else as a parameter.
"""

from __future__ import annotations

from dataclasses import dataclass

from pgmcp.language.question import Describe, Listing, TableRef
from pgmcp.sql.names import quoted


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL and the texts of its parameters `$1`, `$2`, …"""

    text: str
    params: tuple[str, ...] = ()


def qualified(table: TableRef, on_search_path: bool) -> str:
    """A table's name, with its schema where the bare name does not find it."""
    name = quoted(table.table)
    return name if on_search_path else f"{quoted(table.schema)}.{name}"


def listing(question: Listing) -> Statement:
    """The names of the tables, views or schemas that the role may use."""
    where = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
    if question.what == "schemas":
        return Statement(
            "SELECT n.nspname AS schema, obj_description(n.oid, 'pg_namespace') AS comment\n"
            f"FROM pg_catalog.pg_namespace AS n\nWHERE {where}"
            "\n  AND has_schema_privilege(n.oid, 'USAGE')\nORDER BY 1"
        )
    kinds, name = ("'r', 'p', 'f'", "table") if question.what == "tables" else ("'v', 'm'", "view")
    if question.schema is not None:
        where = "n.nspname = $1::text"
    text = (
        f'SELECT n.nspname AS schema, c.relname AS "{name}",'
        " obj_description(c.oid, 'pg_class') AS comment\n"
        "FROM pg_catalog.pg_class AS c\n"
        "JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace\n"
        f"WHERE c.relkind IN ({kinds}) AND NOT c.relispartition\n  AND {where}\n"
        "  AND has_schema_privilege(n.oid, 'USAGE')"
        " AND has_any_column_privilege(c.oid, 'SELECT')\nORDER BY 1, 2"
    )
    return Statement(text, () if question.schema is None else (question.schema,))


def description(question: Describe) -> Statement:
    """The columns of a table: name, type, whether nullable, default and comment."""
    return Statement(
        'SELECT a.attname AS "column", format_type(a.atttypid, a.atttypmod) AS type,'
        ' NOT a.attnotnull AS nullable, pg_get_expr(d.adbin, d.adrelid) AS "default",'
        " col_description(c.oid, a.attnum) AS comment\n"
        "FROM pg_catalog.pg_attribute AS a\n"
        "JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid\n"
        "JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace\n"
        "LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum\n"
        "WHERE n.nspname = $1::text AND c.relname = $2::text"
        " AND a.attnum > 0 AND NOT a.attisdropped\nORDER BY a.attnum",
        (question.table.schema, question.table.table),
    )
