"""The statements that tell whether what was read of the catalogue still holds.

The rule: a row that is written anew has a new xmin, so the number of rows and the sum of their xmin
change with every change. VACUUM and ANALYZE overwrite rows in place, and change neither.
"""

from __future__ import annotations

SNAPSHOT = "SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text"


def _mark(table: str, where: str) -> str:
    return (
        "(SELECT pg_catalog.concat(pg_catalog.count(*), ':',"
        " pg_catalog.sum(t.xmin::text::bigint))"
        f" FROM pg_catalog.{table} t WHERE {where})"
    )


# pg_attribute has the most rows: the list depends on those only that have rights of their own.
FINGERPRINT = "SELECT pg_catalog.current_setting('search_path'), " + ", ".join(
    (
        _mark("pg_class", "t.relkind IN ('r', 'p', 'f', 'v', 'm')"),
        _mark("pg_namespace", "true"),
        _mark("pg_constraint", "t.contype = 'f'"),
        _mark("pg_description", "t.objsubid = 0"),
        _mark("pg_attribute", "t.attacl IS NOT NULL"),
        _mark("pg_auth_members", "true"),
        _mark("pg_type", "t.typrelid = 0 AND t.typelem = 0"),
        _mark("pg_enum", "true"),
    )
)
"""Of what the list of tables and the types of columns depend on."""

RELATION_FINGERPRINT = (
    "SELECT r.oid, pg_catalog.concat_ws(' ', "
    + ", ".join(
        (
            _mark("pg_class", "t.oid = r.oid"),
            _mark("pg_attribute", "t.attrelid = r.oid"),
            _mark("pg_constraint", "t.conrelid = r.oid"),
            _mark("pg_index", "t.indrelid = r.oid"),
            _mark(
                "pg_description",
                "t.objoid = r.oid AND t.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass",
            ),
        )
    )
    + ") FROM pg_catalog.unnest($1::oid[]) AS r(oid)"
)
"""Of each of these relations, for what is described of it."""
