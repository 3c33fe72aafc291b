"""What the judge asks PostgreSQL's catalogue of the objects that a statement names.

The rule: SQL text for the catalogue's own search_path; every object by its OID, never by a name
that a user's schema could have too.
"""

from __future__ import annotations

from pgmcp.sql.oids import FIRST_USER_OID

BUILTINS_SQL = f"""
SELECT p.oid, 'pg_catalog.' || p.proname, p.oid::pg_catalog.regprocedure
FROM pg_catalog.pg_proc p
WHERE p.oid OPERATOR(pg_catalog.<) {FIRST_USER_OID}
  AND (p.proname OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.name[])
       OR (p.provolatile OPERATOR(pg_catalog.=) 'v' OR p.proparallel OPERATOR(pg_catalog.=) 'u')
          AND NOT (p.proname OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.name[])))
"""
"""The built-in functions that are refused; parameters the arrays HARMLESS and REFUSED."""

LOOKUP_SQL = f"""
WITH RECURSIVE
operators AS (
  SELECT pg_catalog.unnest($2::pg_catalog.oid[]) AS oid
  UNION
  SELECT other.oid  -- the planner puts these in its place, for NOT and to swap the two sides
  FROM operators
  JOIN pg_catalog.pg_operator o USING (oid)
  CROSS JOIN LATERAL (VALUES (o.oprnegate), (o.oprcom)) other (oid)
  WHERE other.oid >= {FIRST_USER_OID}
),
types AS (
  (SELECT pg_catalog.unnest($3::pg_catalog.oid[]) AS oid
   UNION
   SELECT state.oid  -- a domain's check is run on the first value
   FROM pg_catalog.pg_aggregate a
   CROSS JOIN LATERAL (VALUES (a.aggtranstype), (a.aggmtranstype)) state (oid)
   WHERE a.aggfnoid::pg_catalog.oid = ANY ($1::pg_catalog.oid[]) AND state.oid >= {FIRST_USER_OID})
  UNION
  SELECT part.oid
  FROM types
  CROSS JOIN LATERAL (
    SELECT t.typbasetype AS oid FROM pg_catalog.pg_type t WHERE t.oid = types.oid
    UNION ALL
    SELECT t.typelem FROM pg_catalog.pg_type t WHERE t.oid = types.oid
    UNION ALL
    SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngtypid = types.oid
    UNION ALL
    SELECT a.atttypid
    FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0
    WHERE t.oid = types.oid AND NOT a.attisdropped
  ) part
  WHERE part.oid >= {FIRST_USER_OID}
),
named AS (
  SELECT pg_catalog.unnest($1::pg_catalog.oid[]) AS oid, '' AS via
  UNION
  SELECT o.oprcode::pg_catalog.oid, 'the operator ' || o.oid::pg_catalog.regoperator
  FROM operators JOIN pg_catalog.pg_operator o USING (oid)
  UNION
  SELECT io.oid, 'the type ' || t.oid::pg_catalog.regtype
  FROM types
  JOIN pg_catalog.pg_type t USING (oid)
  CROSS JOIN LATERAL (VALUES (t.typinput::pg_catalog.oid), (t.typoutput::pg_catalog.oid)) io (oid)
  WHERE io.oid >= {FIRST_USER_OID}  -- record_in and its kin call what the parts of the type call
  UNION
  SELECT r.rngcanonical::pg_catalog.oid, 'the type ' || r.rngtypid::pg_catalog.regtype
  FROM types JOIN pg_catalog.pg_range r ON r.rngtypid = types.oid
  UNION
  SELECT c.castfunc, 'a cast of the type ' || c.castsource::pg_catalog.regtype
  FROM types JOIN pg_catalog.pg_cast c ON c.castsource = types.oid
  WHERE c.casttarget IN (114, 3802) AND c.castfunc <> 0  -- to_json and its kin call it
),
called AS (
  SELECT oid, via FROM named
  UNION
  SELECT step.oid, 'the aggregate ' || a.aggfnoid
  FROM named
  JOIN pg_catalog.pg_aggregate a ON a.aggfnoid::pg_catalog.oid = named.oid
  CROSS JOIN LATERAL (VALUES
    (a.aggtransfn::pg_catalog.oid), (a.aggfinalfn::pg_catalog.oid),
    (a.aggcombinefn::pg_catalog.oid), (a.aggserialfn::pg_catalog.oid),
    (a.aggdeserialfn::pg_catalog.oid), (a.aggmtransfn::pg_catalog.oid),
    (a.aggminvtransfn::pg_catalog.oid), (a.aggmfinalfn::pg_catalog.oid),
    ((SELECT o.oprcode::pg_catalog.oid FROM pg_catalog.pg_operator o
      WHERE o.oid = a.aggsortop))) step (oid)
)
SELECT p.oid, n.nspname, p.proname, p.oid::pg_catalog.regprocedure, p.provolatile, p.proparallel,
       l.lanname, e.extname, owner.rolsuper AND creator.rolsuper, p.prokind,
       CASE WHEN p.oid >= {FIRST_USER_OID} THEN p.proargdefaults::pg_catalog.text END,
       called.via, NULL, NULL
FROM (SELECT oid, pg_catalog.min(via) AS via FROM called GROUP BY oid) called
JOIN pg_catalog.pg_proc p USING (oid)
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
LEFT JOIN pg_catalog.pg_depend d
  ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid
  AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e'
LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
LEFT JOIN pg_catalog.pg_roles owner ON owner.oid = p.proowner
LEFT JOIN pg_catalog.pg_roles creator ON creator.oid = e.extowner
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       c.contypid::pg_catalog.regtype::pg_catalog.text, c.conbin::pg_catalog.text
FROM types
JOIN pg_catalog.pg_constraint c ON c.contypid = types.oid
WHERE c.conbin IS NOT NULL
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       t.oid::pg_catalog.regtype::pg_catalog.text, NULL
FROM types
JOIN pg_catalog.pg_type t USING (oid)
WHERE NOT (t.typtype IN ('e', 'd', 'c')
           OR t.typoutput = 'pg_catalog.array_out'::pg_catalog.regproc)
"""
"""The functions behind `Objects` (parameters: their functions, operators and types as array
literals): what `effects.Function` holds of each. In the last two columns, of rows of their own,
the domains and the trees of their checks, and without a tree the types of other kinds than enum,
domain, composite type and array.
"""

OPERATOR_SQL = "SELECT $1::pg_catalog.oid::pg_catalog.regoperator"
RELATION_SQL = "SELECT $1::pg_catalog.oid::pg_catalog.regclass"
POLICIES_SQL = """
SELECT pg_catalog.string_agg(pg_catalog.quote_ident(p.polname), ', ' ORDER BY p.polname)
       || ' of ' || $1::pg_catalog.oid::pg_catalog.regclass
FROM pg_catalog.pg_policy p
WHERE p.polrelid = $1::pg_catalog.oid AND p.polcmd IN ('r', '*')
"""
"""Names for people, of an operator, a relation, and the policies on reading a relation."""


ODD_RELATIONS = f"""
(EXISTS (
  SELECT FROM pg_catalog.pg_opclass c
  WHERE c.oid OPERATOR(pg_catalog.>=) {FIRST_USER_OID} AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_opclass'::pg_catalog.regclass
      AND d.objid OPERATOR(pg_catalog.=) c.oid AND d.deptype OPERATOR(pg_catalog.=) 'e'))
 OR EXISTS (
  SELECT FROM pg_catalog.pg_foreign_table f CROSS JOIN pg_catalog.unnest(f.ftoptions) option
  WHERE option OPERATOR(pg_catalog.~~) 'program=%')
 OR EXISTS (
  SELECT FROM pg_catalog.pg_depend d
  WHERE d.refclassid OPERATOR(pg_catalog.=) ANY (ARRAY[
      'pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_operator'::pg_catalog.regclass])
    AND d.refobjid OPERATOR(pg_catalog.>=) {FIRST_USER_OID}
    AND d.classid OPERATOR(pg_catalog.=) ANY (ARRAY[
      'pg_catalog.pg_class'::pg_catalog.regclass, 'pg_catalog.pg_constraint'::pg_catalog.regclass,
      'pg_catalog.pg_statistic_ext'::pg_catalog.regclass])))
"""
"""Whether the database has what BEHIND_RELATIONS_SQL looks for: an expression, seldom true."""

BEHIND_RELATIONS_SQL = f"""
WITH RECURSIVE
relations AS (
  SELECT pg_catalog.unnest($1::pg_catalog.oid[]) AS oid
  UNION
  SELECT i.inhrelid FROM relations JOIN pg_catalog.pg_inherits i ON i.inhparent = relations.oid
),
partitioned AS (
  SELECT oid FROM relations
  UNION
  SELECT i.inhparent
  FROM partitioned
  JOIN pg_catalog.pg_class c ON c.oid = partitioned.oid AND c.relispartition
  JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
),
classes AS (
  SELECT pg_catalog.unnest(x.indclass::pg_catalog.oid[]) AS oid
  FROM relations JOIN pg_catalog.pg_index x ON x.indrelid = relations.oid
  UNION
  SELECT pg_catalog.unnest(p.partclass::pg_catalog.oid[])
  FROM relations JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = relations.oid
  UNION
  SELECT c.oid FROM pg_catalog.pg_opclass c
  WHERE c.opcdefault AND c.opcintype = ANY ($2::pg_catalog.oid[])
  UNION
  SELECT r.rngsubopc FROM pg_catalog.pg_range r WHERE r.rngtypid = ANY ($2::pg_catalog.oid[])
),
families AS (
  SELECT c.opcfamily AS oid
  FROM classes JOIN pg_catalog.pg_opclass c USING (oid) WHERE c.oid >= {FIRST_USER_OID}
)
SELECT p.amproc::pg_catalog.oid, NULL, NULL, NULL
FROM families JOIN pg_catalog.pg_amproc p ON p.amprocfamily = families.oid
WHERE p.amproc::pg_catalog.oid >= {FIRST_USER_OID}
UNION
SELECT o.oprcode::pg_catalog.oid, NULL, NULL, NULL
FROM families
JOIN pg_catalog.pg_amop a ON a.amopfamily = families.oid
JOIN pg_catalog.pg_operator o ON o.oid = a.amopopr
WHERE o.oprcode::pg_catalog.oid >= {FIRST_USER_OID}
UNION
SELECT NULL, f.ftrelid::pg_catalog.regclass::pg_catalog.text, NULL, NULL
FROM relations
JOIN pg_catalog.pg_foreign_table f ON f.ftrelid = relations.oid
CROSS JOIN pg_catalog.unnest(f.ftoptions) option
WHERE option LIKE 'program=%'
UNION
SELECT NULL, NULL, x.indexprs::pg_catalog.text, x.indpred::pg_catalog.text
FROM relations JOIN pg_catalog.pg_index x ON x.indrelid = relations.oid
WHERE x.indexprs IS NOT NULL OR x.indpred IS NOT NULL
UNION
SELECT NULL, NULL, s.stxexprs::pg_catalog.text, NULL
FROM relations JOIN pg_catalog.pg_statistic_ext s ON s.stxrelid = relations.oid
WHERE s.stxexprs IS NOT NULL
UNION
SELECT NULL, NULL, p.partexprs::pg_catalog.text, NULL
FROM partitioned JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = partitioned.oid
WHERE p.partexprs IS NOT NULL
UNION
SELECT NULL, NULL, c.conbin::pg_catalog.text, NULL
FROM relations JOIN pg_catalog.pg_constraint c ON c.conrelid = relations.oid
WHERE c.conrelid <> 0 AND c.conbin IS NOT NULL  -- a domain's has none
UNION
SELECT NULL, NULL, d.adbin::pg_catalog.text, NULL
FROM relations
JOIN pg_catalog.pg_attribute a ON a.attrelid = relations.oid AND a.attgenerated = 's'
JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE $3::pg_catalog.bool  -- to start an UPDATE prepares them, and folds what is constant
UNION
SELECT NULL, NULL, NULL, d.adbin::pg_catalog.text
FROM relations
JOIN pg_catalog.pg_attribute a ON a.attrelid = relations.oid AND a.attgenerated = 'v'
JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
"""
"""What is called, or run, to read tables, and named in no tree (parameters: relations, types, and
whether it is a write, which is planned only).

A row is one of these: a function, of an operator class that is not PostgreSQL's own and that an
index, a partition key or a type's comparison uses; the name of a foreign table that runs a program;
the tree of an expression that the planner reads (of an index, statistics, a partition key or a
constraint); the tree of one that reading runs (an index's predicate, which a scan may check again,
or a column that is computed when it is read).
"""
