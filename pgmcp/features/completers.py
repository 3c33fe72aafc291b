"""What the arguments of prompts and resource templates can be completed to.

The rule: names that the caller may see, of the database, and the schema, that were given before.
What begins with the typed text comes first, then what holds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pgmcp.catalog.tables import CatalogueTables
from pgmcp.mcp.feature import Completer, Context

Given = Mapping[str, str]


def databases(context: Context, typed: str, _: Given) -> list[str]:
    """The databases that the caller may use."""
    return _fitting(context.databases.names(), typed)


def schemas(context: Context, typed: str, given: Given) -> list[str]:
    """The schemas that hold a table which the caller may read."""
    listed = dict.fromkeys(schema for schema, _ in _tables(context, given).list.listed)
    return _fitting(listed, typed)


def tables(context: Context, typed: str, given: Given) -> list[str]:
    """The tables and views of the schema that was given, or of all schemas."""
    schema = given.get("schema")
    names = (
        name
        for in_schema, name in _tables(context, given).list.listed
        if not schema or in_schema == schema
    )
    return _fitting(dict.fromkeys(names), typed)


OF_A_TABLE: Mapping[str, Completer] = {"database": databases, "schema": schemas, "table": tables}


def _tables(context: Context, given: Given) -> CatalogueTables:
    return context.databases.get(given.get("database") or None).tables()


def _fitting(names: Iterable[str], typed: str) -> list[str]:
    wanted = typed.casefold()
    fitting = [name for name in names if wanted in name.casefold()]
    return sorted(fitting, key=lambda name: (not name.casefold().startswith(wanted), name))
