"""What `-check` looks for in a database: code that runs without a statement naming it.

The rule: SQL text alone, for any role; each row is names for people.
"""

from __future__ import annotations

from pgmcp.sql.oids import FIRST_USER_OID

_VOUCHED_FOR = """
EXISTS (SELECT FROM pg_catalog.pg_depend m
        JOIN pg_catalog.pg_extension e ON e.oid = m.refobjid
        JOIN pg_catalog.pg_roles creator ON creator.oid = e.extowner AND creator.rolsuper
        JOIN pg_catalog.pg_roles owner ON owner.oid = p.proowner AND owner.rolsuper
        WHERE m.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND m.objid = p.oid
          AND m.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND m.deptype = 'e')
"""

CHECKED_DOMAINS_SQL = f"""
SELECT DISTINCT c.contypid::pg_catalog.regtype::text, p.oid::pg_catalog.regprocedure::text,
       p.pronamespace::pg_catalog.regnamespace || '.' || p.proname
FROM pg_catalog.pg_constraint c
JOIN pg_catalog.pg_depend d
  ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND d.objid = c.oid
  AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
JOIN pg_catalog.pg_proc p ON p.oid = d.refobjid
WHERE c.contypid <> 0 AND p.oid >= {FIRST_USER_OID} AND NOT {_VOUCHED_FOR}
ORDER BY 1, 2
"""
"""The domains whose checks call functions that are neither PostgreSQL's nor a superuser's
extension's: domain, function, and its name as trusted_functions has it."""

KEPT_CALLS_SQL = f"""
WITH kept AS (
  SELECT d.classid, d.objid, d.refobjid AS function FROM pg_catalog.pg_depend d
  WHERE d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
  UNION
  SELECT d.classid, d.objid, o.oprcode
  FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_operator o ON o.oid = d.refobjid
  WHERE d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass
)
SELECT pg_catalog.pg_describe_object(kept.classid, kept.objid, 0),
       p.oid::pg_catalog.regprocedure::pg_catalog.text,
       p.pronamespace::pg_catalog.regnamespace || '.' || p.proname
FROM kept
JOIN pg_catalog.pg_proc p ON p.oid = kept.function
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
WHERE p.oid >= {FIRST_USER_OID} AND (p.provolatile = 'i' OR l.lanname = 'sql')
  AND NOT {_VOUCHED_FOR}
  AND (kept.classid IN ('pg_catalog.pg_class'::pg_catalog.regclass,
                        'pg_catalog.pg_statistic_ext'::pg_catalog.regclass)
       OR EXISTS (SELECT FROM pg_catalog.pg_constraint c
                  WHERE kept.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
                    AND c.oid = kept.objid AND c.conrelid <> 0 AND c.contype = 'c'))
ORDER BY 1, 2
LIMIT 100
"""
"""The expressions of tables that call such functions: what calls, the function, its name."""

EXTENSIONS_SQL = """
SELECT e.extname, creator.rolname,
       CASE WHEN NOT creator.rolsuper THEN NULL
            ELSE pg_catalog.min(p.oid::pg_catalog.regprocedure::pg_catalog.text) END
FROM pg_catalog.pg_extension e
JOIN pg_catalog.pg_roles creator ON creator.oid = e.extowner
LEFT JOIN pg_catalog.pg_depend m
  ON m.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND m.refobjid = e.oid
  AND m.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND m.deptype = 'e'
LEFT JOIN pg_catalog.pg_proc p ON p.oid = m.objid
LEFT JOIN pg_catalog.pg_roles owner ON owner.oid = p.proowner
WHERE NOT creator.rolsuper AND p.oid IS NOT NULL OR NOT owner.rolsuper
GROUP BY e.extname, creator.rolname, creator.rolsuper
ORDER BY 1
"""
"""The extensions whose functions, or one of them, do not belong to superusers: extension, its
owner, and the function where only that is another's."""
