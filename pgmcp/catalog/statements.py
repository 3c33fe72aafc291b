"""The statements that read the catalogue, for PostgreSQL 13 to 18.

The rule: each works for an ordinary role, names every catalogue table in full, and returns lists as
JSON, so that no name can be mistaken for punctuation. `$1` and `$2` narrow the answer to a schema
and a table, compared without case; NULL is any.
"""

from __future__ import annotations

_SELECTABLE = """
    c.relkind IN ('r', 'p', 'f', 'v', 'm') AND c.relpersistence <> 't'
    AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
    AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
    AND (pg_catalog.has_table_privilege(c.oid, 'SELECT')
         OR pg_catalog.has_any_column_privilege(c.oid, 'SELECT'))
    AND ($1::text IS NULL OR pg_catalog.lower(n.nspname) = pg_catalog.lower($1::text))
    AND ($2::text IS NULL OR pg_catalog.lower(c.relname) = pg_catalog.lower($2::text))"""


def _comment(oid: str, catalogue: str) -> str:
    return f"""(
    SELECT m.description FROM pg_catalog.pg_description m WHERE m.objoid = {oid}
    AND m.classoid = 'pg_catalog.{catalogue}'::pg_catalog.regclass AND m.objsubid = 0)"""


NAMES = f"""
SELECT n.nspname, c.relname
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE {_SELECTABLE}
ORDER BY 1, 2"""

# Before PostgreSQL 14 a table that was never analysed has reltuples 0, like an empty one.
RELATIONS = f"""
SELECT c.oid, n.nspname, c.relname, c.relkind,
       CASE WHEN c.relkind = 'v' OR c.reltuples < 0 THEN NULL
            WHEN c.reltuples = 0 AND c.relpages = 0
                 AND pg_catalog.current_setting('server_version_num')::int < 140000 THEN NULL
            ELSE c.reltuples::bigint END,
       {_comment("c.oid", "pg_class")},
       CASE WHEN c.relispartition THEN (
           SELECT pn.nspname || '.' || p.relname FROM pg_catalog.pg_inherits i
           JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
           JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
           WHERE i.inhrelid = c.oid) END,
       pg_catalog.pg_table_is_visible(c.oid),
       {_comment("n.oid", "pg_namespace")},
       pg_catalog.array_to_json(pg_catalog.current_schemas(false))
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE {_SELECTABLE}"""

COLUMNS = f"""
WITH RECURSIVE enums(oid, enum) AS (
    SELECT oid, oid FROM pg_catalog.pg_type WHERE typtype = 'e'
    UNION ALL
    SELECT d.oid, e.enum FROM pg_catalog.pg_type d JOIN enums e ON d.typbasetype = e.oid
    WHERE d.typtype = 'd'
), labels(oid, list) AS MATERIALIZED (
    SELECT e.oid,
           pg_catalog.array_to_json(pg_catalog.array_agg(l.enumlabel ORDER BY l.enumsortorder))
    FROM enums e JOIN pg_catalog.pg_enum l ON l.enumtypid = e.enum GROUP BY e.oid
)
SELECT c.oid, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), t.typcategory,
       NOT (a.attnotnull OR t.typnotnull),
       pg_catalog.pg_get_expr(d.adbin, d.adrelid),
       a.attidentity <> '', a.attgenerated <> '',
       m.description,
       CASE WHEN t.typcategory = 'E' THEN
           (SELECT labels.list FROM labels WHERE labels.oid = a.atttypid) END,
       CASE WHEN t.typname IN ('vector', 'halfvec', 'sparsevec') AND a.atttypmod > 0
            THEN a.atttypmod END
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
LEFT JOIN pg_catalog.pg_description m ON m.objoid = c.oid AND m.objsubid = a.attnum
     AND m.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
WHERE {_SELECTABLE}
  AND (pg_catalog.has_table_privilege(c.oid, 'SELECT')
       OR pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT'))
ORDER BY c.oid, a.attnum"""


def _names(table: str, numbers: str) -> str:
    """A JSON list of the column names behind an array of attribute numbers, in its order."""
    return f"""(
    SELECT pg_catalog.array_to_json(pg_catalog.array_agg(a.attname ORDER BY k.place))
    FROM pg_catalog.unnest({numbers}) WITH ORDINALITY k(attnum, place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = {table} AND a.attnum = k.attnum)"""


# A foreign key to a partitioned table has a twin for each of its partitions: those are left out.
# A unique index is a key when it covers every row and only plain columns.
KEYS = f"""
SELECT c.oid, con.contype::text, con.conname, pg_catalog.pg_get_constraintdef(con.oid),
       {_names("con.conrelid", "con.conkey")},
       rn.nspname, r.relname, {_names("con.confrelid", "con.confkey")}
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_constraint con ON con.conrelid = c.oid AND con.contype IN ('f', 'c')
LEFT JOIN pg_catalog.pg_class r ON r.oid = con.confrelid
LEFT JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
WHERE {_SELECTABLE}
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint up
                  WHERE up.oid = con.conparentid AND up.conrelid = con.conrelid)
UNION ALL
SELECT c.oid, CASE WHEN x.indisprimary THEN 'p' WHEN x.indisunique THEN 'u' ELSE 'i' END,
       i.relname, pg_catalog.pg_get_indexdef(i.oid),
       CASE WHEN x.indisunique AND x.indpred IS NULL AND x.indexprs IS NULL
            THEN {_names("c.oid", "(x.indkey::int2[])[0:x.indnkeyatts - 1]")} END,
       NULL, NULL, NULL
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_index x ON x.indrelid = c.oid AND x.indisvalid
JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
WHERE {_SELECTABLE}
ORDER BY 1, 3"""

# Texts, booleans and enums only, and no long values: these are for telling what a column is about.
COMMON_VALUES = f"""
SELECT c.oid, a.attname,
       pg_catalog.array_to_json((s.most_common_vals::text::text[])[1:30])
FROM pg_catalog.pg_stats s
JOIN pg_catalog.pg_namespace n ON n.nspname = s.schemaname
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = s.tablename
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = s.attname
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE {_SELECTABLE}
  AND s.most_common_vals IS NOT NULL AND s.avg_width <= 64 AND s.inherited = (c.relkind = 'p')
  AND t.typcategory IN ('S', 'B', 'E')"""
