"""The statements that read what else is true of a relation: partitions, policies, types, views.

The rule: as in `statements`; every one takes the OIDs of the relations that are wanted.
"""

from __future__ import annotations

from pgmcp.sql.oids import FIRST_USER_OID

PROPERTIES = """
SELECT oid, kind, name, definition FROM (
    SELECT c.oid, 1, 'partition key', '', pg_catalog.pg_get_partkeydef(c.oid)
    FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1::oid[]) AND c.relkind = 'p'
    UNION ALL
    SELECT c.oid, 2, 'partition bound', '', pg_catalog.pg_get_expr(c.relpartbound, 0::oid)
    FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1::oid[]) AND c.relispartition
    UNION ALL
    SELECT i.inhparent, CASE WHEN c.relispartition THEN 3 ELSE 5 END,
           CASE WHEN c.relispartition THEN 'partition' ELSE 'inherited by' END,
           pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),
           CASE WHEN c.relispartition THEN pg_catalog.pg_get_expr(c.relpartbound, 0::oid)
                ELSE '' END
    FROM pg_catalog.pg_inherits i
    JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE i.inhparent = ANY ($1::oid[]) AND ($2::bool OR NOT c.relispartition)
    UNION ALL
    SELECT i.inhrelid, 4, 'inherits',
           pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(p.relname), ''
    FROM pg_catalog.pg_inherits i
    JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid AND NOT c.relispartition
    JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
    JOIN pg_catalog.pg_namespace n ON n.oid = p.relnamespace
    WHERE i.inhrelid = ANY ($1::oid[])
    UNION ALL
    SELECT con.conrelid, 6, CASE con.contype WHEN 'x' THEN 'exclusion' WHEN 'p' THEN 'primary key'
           ELSE 'unique' END, con.conname, pg_catalog.pg_get_constraintdef(con.oid)
    FROM pg_catalog.pg_constraint con
    WHERE con.conrelid = ANY ($1::oid[])
      AND (con.contype = 'x' OR con.contype IN ('p', 'u')
           AND (con.condeferrable OR pg_catalog.to_jsonb(con) ->> 'conperiod' = 'true'))
    UNION ALL
    SELECT c.oid, 7, 'row security', '',
           CASE WHEN NOT c.relrowsecurity THEN 'off' WHEN c.relforcerowsecurity
                THEN 'on, for the owner too' ELSE 'on' END
    FROM pg_catalog.pg_class c
    WHERE c.oid = ANY ($1::oid[]) AND (c.relrowsecurity OR EXISTS (
        SELECT FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid))
    UNION ALL
    SELECT p.polrelid, 8, 'policy', p.polname,
           CASE WHEN p.polpermissive THEN '' ELSE 'AS RESTRICTIVE ' END || 'FOR '
           || CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
              WHEN 'd' THEN 'DELETE' ELSE 'ALL' END || ' TO '
           || (SELECT pg_catalog.string_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE
                   pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(r)) END, ', ')
               FROM pg_catalog.unnest(p.polroles) r)
           || COALESCE(' USING (' || pg_catalog.pg_get_expr(p.polqual, p.polrelid) || ')', '')
           || COALESCE(' WITH CHECK (' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)
                       || ')', '')
    FROM pg_catalog.pg_policy p WHERE p.polrelid = ANY ($1::oid[])
) facts(oid, place, kind, name, definition)
ORDER BY oid, place, name"""
"""$2: whether the partitions of a partitioned table are listed."""

# Behind arrays, domains, ranges and fields, five levels deep: a row type may hold an array of
# itself. Only types of users are followed: PostgreSQL's own lead to none of them, and for so few
# rows the planner does not have the statement compiled, which takes 0.1 s.
TYPES = f"""
WITH RECURSIVE used(relation, type, depth) AS (
    SELECT a.attrelid, a.atttypid, 0 FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
      AND a.atttypid >= {FIRST_USER_OID}
      AND (pg_catalog.has_table_privilege(a.attrelid, 'SELECT')
           OR pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT'))
    UNION
    SELECT u.relation, inner_types.type, u.depth + 1
    FROM used u
    JOIN pg_catalog.pg_type t ON t.oid = u.type
    CROSS JOIN LATERAL (
        SELECT t.typelem AS type WHERE t.typcategory = 'A' AND t.typelem <> 0
        UNION ALL
        SELECT t.typbasetype WHERE t.typtype = 'd'
        UNION ALL
        SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid
        UNION ALL
        SELECT a.atttypid FROM pg_catalog.pg_attribute a
        WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
    ) inner_types
    WHERE u.depth < 5 AND inner_types.type >= {FIRST_USER_OID}
), listed(relation, type, depth) AS (
    SELECT relation, type, pg_catalog.min(depth) FROM used GROUP BY 1, 2
)
SELECT l.relation, pg_catalog.format_type(t.oid, NULL),
       CASE t.typtype WHEN 'd' THEN 'domain' WHEN 'c' THEN 'composite' WHEN 'r' THEN 'range'
            ELSE 'enum' END,
       CASE t.typtype
       WHEN 'd' THEN pg_catalog.format_type(t.typbasetype, t.typtypmod)
           || CASE WHEN t.typnotnull THEN ' NOT NULL' ELSE '' END
           || COALESCE(' DEFAULT ' || pg_catalog.pg_get_expr(t.typdefaultbin, 0::oid), '')
           || COALESCE((SELECT pg_catalog.string_agg(
                   ' ' || pg_catalog.pg_get_constraintdef(con.oid), '' ORDER BY con.conname)
               FROM pg_catalog.pg_constraint con
               WHERE con.contypid = t.oid AND con.contype = 'c'), '')
       WHEN 'c' THEN (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname) || ' '
               || pg_catalog.format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
           FROM pg_catalog.pg_attribute a
           WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
       WHEN 'r' THEN (SELECT 'of ' || pg_catalog.format_type(r.rngsubtype, NULL)
           FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid)
       ELSE (SELECT pg_catalog.string_agg(pg_catalog.quote_literal(e.enumlabel), ', '
                                          ORDER BY e.enumsortorder)
           FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid) END
FROM listed l
JOIN pg_catalog.pg_type t ON t.oid = l.type
WHERE (t.typtype IN ('d', 'c', 'r') OR t.typtype = 'e' AND l.depth > 0)
ORDER BY 1, 2"""

DEFINITIONS = """
SELECT c.oid, pg_catalog.pg_get_viewdef(c.oid, true)
FROM pg_catalog.pg_class c
WHERE c.oid = ANY ($1::oid[]) AND c.relkind IN ('v', 'm')"""
