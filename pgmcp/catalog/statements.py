"""The statements that find relations, and read columns and keys, for PostgreSQL 13 to 18.

The rule: each works for an ordinary role, names every catalogue table in full, and returns lists as
JSON, so that no name can be mistaken for punctuation. What costs more for a wide table, or for many
tables, is read by OID for the relations that are wanted; nothing there compares names by case.
"""

from __future__ import annotations

_READABLE = """
    pg_catalog.has_schema_privilege(n.oid, 'USAGE')
    AND (pg_catalog.has_table_privilege(c.oid, 'SELECT')
         OR pg_catalog.has_any_column_privilege(c.oid, 'SELECT'))"""
_KINDS = "c.relkind IN ('r', 'p', 'f', 'v', 'm') AND c.relpersistence <> 't'"
_SELECTABLE = f"""
    {_KINDS} AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
    AND {_READABLE}"""
# From the extension's side: few rows, where each table's dependencies would be many.
_EXTENSION = """
    SELECT d.objid, e.extname FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
    WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e'
    AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass"""
_PARENT = """
    SELECT pn.nspname || '.' || p.relname FROM pg_catalog.pg_inherits i
    JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
    JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
    WHERE i.inhrelid = c.oid"""


_COMMENT = """(
    SELECT m.description FROM pg_catalog.pg_description m WHERE m.objoid = c.oid
    AND m.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND m.objsubid = 0)"""


def _columns(comment: str = _COMMENT) -> str:
    """What is read of each relation; `comment` is the expression for the comment on it."""
    # Before PostgreSQL 14 a table that was never analysed has reltuples 0, like an empty one.
    # Whether the bare name finds it: nothing comes before the first schema of the path but
    # pg_catalog. pg_table_is_visible alone takes 5 µs for each table.
    return f"""
SELECT c.oid, n.nspname, c.relname, c.relkind,
       CASE WHEN c.relkind = 'v' OR c.reltuples < 0 THEN NULL
            WHEN c.reltuples = 0 AND c.relpages = 0
                 AND pg_catalog.current_setting('server_version_num')::int < 140000 THEN NULL
            ELSE c.reltuples::bigint END,
       {comment},
       CASE WHEN c.relispartition THEN ({_PARENT}) END,
       CASE WHEN n.nspname <> ALL (path.schemas) THEN false
            WHEN n.nspname = path.schemas[1] AND c.relname NOT LIKE 'pg\\_%' THEN true
            ELSE pg_catalog.pg_table_is_visible(c.oid) END,
       c.relnatts"""


_FROM = """
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN (SELECT pg_catalog.current_schemas(false) AS schemas) path"""

# Joined, since here the comments of all are wanted.
EVERYTHING = f"""{_columns("m.description")}{_FROM}
LEFT JOIN pg_catalog.pg_description m ON m.objoid = c.oid AND m.objsubid = 0
     AND m.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
WHERE {_SELECTABLE}
ORDER BY n.nspname, c.relname"""
"""Every relation that the role may select from, but for the system's."""

_VECTOR = """EXISTS (
    SELECT FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = c.oid AND NOT a.attisdropped
    AND t.typname IN ('vector', 'halfvec', 'sparsevec'))"""
SHOWN = f"""{_columns()}{_FROM}
WHERE {_SELECTABLE} AND ($1::text IS NULL OR n.nspname = $1)
  AND ($2::bool IS NOT TRUE OR {_VECTOR})
  AND NOT c.relispartition AND c.oid NOT IN (SELECT x.objid FROM ({_EXTENSION}) x)
ORDER BY n.nspname, c.relname
LIMIT $3::int"""
"""As EVERYTHING, of one schema ($1, or NULL), with a column of pgvector's ($2), at most $3; without
partitions and without what extensions brought."""

COUNTS = f"""
WITH seen AS MATERIALIZED (
    SELECT c.oid, n.nspname, c.relispartition, x.extname
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN ({_EXTENSION}) x ON x.objid = c.oid
    WHERE {_SELECTABLE} AND ($1::text IS NULL OR n.nspname = $1)
      AND ($2::bool IS NOT TRUE OR {_VECTOR})
)
SELECT 'schema', nspname, pg_catalog.count(*) FROM seen
WHERE NOT relispartition AND extname IS NULL GROUP BY nspname
UNION ALL
SELECT 'extension', extname, pg_catalog.count(*) FROM seen
WHERE NOT relispartition AND extname IS NOT NULL GROUP BY extname
UNION ALL
SELECT 'partition', ({_PARENT}), pg_catalog.count(*) FROM seen c
WHERE c.relispartition GROUP BY 2
ORDER BY 1, 3 DESC, 2"""
"""How many relations SHOWN has by schema, and how many it leaves out by extension and parent."""

NAMED = f"""{_columns()}, {_READABLE}, n.nspname LIKE 'pg\\_%' OR n.nspname = 'information_schema'
{_FROM}
WHERE {_KINDS} AND c.relname = ANY ($1::name[])
ORDER BY n.nspname, c.relname"""
"""The relations of exactly these names, the system's and those that the role may not read too."""

NAMES = f"""
SELECT n.nspname, c.relname, {_READABLE}
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE {_KINDS} AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
ORDER BY 1, 2"""

SCHEMAS = """
SELECT n.nspname, pg_catalog.has_schema_privilege(n.oid, 'USAGE')
FROM pg_catalog.pg_namespace n
WHERE n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
ORDER BY 1"""

OTHER_OBJECTS = """
SELECT n.nspname, c.relname, CASE c.relkind WHEN 'S' THEN 'sequence' WHEN 'c' THEN 'type'
       ELSE 'index' END
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = ANY ($1::name[]) AND c.relkind IN ('S', 'c', 'i', 'I')
UNION
SELECT n.nspname, p.proname, 'function'
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE p.proname = ANY ($1::name[])
UNION
SELECT n.nspname, t.typname, 'type'
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE t.typname = ANY ($1::name[]) AND t.typtype IN ('d', 'e', 'r')
ORDER BY 1, 2, 3 LIMIT 5"""
"""What has one of these names and no rows."""

DATABASE_SIZE = """
SELECT pg_catalog.pg_database_size(d.oid) AS size_bytes,
       pg_catalog.pg_size_pretty(pg_catalog.pg_database_size(d.oid)) AS size
FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()"""
"""How large the database is, with all that a policy may hide."""

SEARCH_PATH = """
SELECT NULL, pg_catalog.array_to_json(pg_catalog.current_schemas(false))::text
UNION ALL
SELECT n.nspname, m.description
FROM pg_catalog.pg_namespace n
JOIN pg_catalog.pg_description m ON m.objoid = n.oid
     AND m.classoid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
WHERE n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
ORDER BY 1 NULLS FIRST"""
"""First the search path, as JSON, then each schema that has a comment."""

COLUMN_COUNTS = """
SELECT a.attrelid, pg_catalog.count(*)
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
  AND (pg_catalog.has_table_privilege(a.attrelid, 'SELECT')
       OR pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT'))
GROUP BY 1"""

# An expression without columns needs no table to be printed: with one, PostgreSQL before 18 names
# all of its columns each time, which took 9 s for a table of 1,000.
COLUMNS = """
SELECT a.attrelid, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), t.typcategory,
       NOT (a.attnotnull OR t.typnotnull),
       pg_catalog.pg_get_expr(
           d.adbin, CASE WHEN a.attgenerated = '' THEN 0::oid ELSE d.adrelid END),
       a.attidentity <> '', a.attgenerated,
       m.description,
       CASE WHEN t.typcategory = 'E' THEN (
           WITH RECURSIVE base(oid, kind, next) AS (
               SELECT t.oid, t.typtype, t.typbasetype
               UNION ALL
               SELECT p.oid, p.typtype, p.typbasetype
               FROM base b JOIN pg_catalog.pg_type p ON p.oid = b.next WHERE b.kind = 'd'
           )
           SELECT pg_catalog.array_to_json(
               pg_catalog.array_agg(l.enumlabel ORDER BY l.enumsortorder))
           FROM base b JOIN pg_catalog.pg_enum l ON l.enumtypid = b.oid
       ) END,
       CASE WHEN t.typname IN ('vector', 'halfvec', 'sparsevec') AND a.atttypmod > 0
            THEN a.atttypmod END
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_catalog.pg_description m ON m.objoid = a.attrelid AND m.objsubid = a.attnum
     AND m.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
  AND (pg_catalog.has_table_privilege(a.attrelid, 'SELECT')
       OR pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT'))
ORDER BY a.attrelid, a.attnum"""


def _names(table: str, numbers: str) -> str:
    """A JSON list of the column names behind an array of attribute numbers, in its order."""
    return f"""(
    SELECT pg_catalog.array_to_json(pg_catalog.array_agg(a.attname ORDER BY k.place))
    FROM pg_catalog.unnest({numbers}) WITH ORDINALITY k(attnum, place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = {table} AND a.attnum = k.attnum)"""


# A foreign key to a partitioned table has a twin for each of its partitions: those are left out.
# A unique index is a key when it covers every row and only plain columns.
KEYS = f"""
SELECT con.conrelid, con.contype::text, con.conname, pg_catalog.pg_get_constraintdef(con.oid),
       {_names("con.conrelid", "con.conkey")},
       rn.nspname, r.relname, {_names("con.confrelid", "con.confkey")}
FROM pg_catalog.pg_constraint con
LEFT JOIN pg_catalog.pg_class r ON r.oid = con.confrelid
LEFT JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
WHERE con.conrelid = ANY ($1::oid[]) AND con.contype IN ('f', 'c')
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint up
                  WHERE up.oid = con.conparentid AND up.conrelid = con.conrelid)
UNION ALL
SELECT x.indrelid, CASE WHEN x.indisprimary THEN 'p' WHEN x.indisunique THEN 'u' ELSE 'i' END,
       i.relname, pg_catalog.pg_get_indexdef(i.oid),
       CASE WHEN x.indisunique AND x.indpred IS NULL AND x.indexprs IS NULL
            THEN {_names("x.indrelid", "(x.indkey::int2[])[0:x.indnkeyatts - 1]")} END,
       NULL, NULL, NULL
FROM pg_catalog.pg_index x
JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
WHERE x.indrelid = ANY ($1::oid[]) AND x.indisvalid
ORDER BY 1, 3"""

# The column of a key that has one is joined, which takes a tenth of the time of a list.
REFERENCES = f"""
SELECT con.conrelid, con.confrelid, con.conname, a.attname, b.attname,
       CASE WHEN k.many THEN {_names("con.conrelid", "con.conkey")} END,
       CASE WHEN k.many THEN {_names("con.confrelid", "con.confkey")} END
FROM pg_catalog.pg_constraint con
CROSS JOIN LATERAL (SELECT pg_catalog.cardinality(con.conkey) > 1 AS many) k
JOIN pg_catalog.pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = con.conkey[1]
JOIN pg_catalog.pg_attribute b ON b.attrelid = con.confrelid AND b.attnum = con.confkey[1]
WHERE con.contype = 'f'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint up
                  WHERE up.oid = con.conparentid AND up.conrelid = con.conrelid)"""
"""Every foreign key, of tables that the role may not read too."""

# Texts, booleans and enums only, and no long values: these are for telling what a column is about.
# The names narrow the view down before it is joined; the OIDs say which of them are meant.
COMMON_VALUES = """
SELECT c.oid, s.attname, pg_catalog.array_to_json((s.most_common_vals::text::text[])[1:30])
FROM pg_catalog.pg_stats s
JOIN pg_catalog.pg_namespace n ON n.nspname = s.schemaname
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = s.tablename
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = s.attname
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE c.oid = ANY ($1::oid[]) AND s.tablename = ANY ($2::name[])
  AND s.most_common_vals IS NOT NULL AND s.avg_width <= 64 AND s.inherited = (c.relkind = 'p')
  AND t.typcategory IN ('S', 'B', 'E')"""
