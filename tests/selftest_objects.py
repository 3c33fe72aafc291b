"""Objects that hide calls, under the names that the self-test's corpus knows them by."""

OBJECTS = """
CREATE TABLE self_test_table (id int PRIMARY KEY, name text);
INSERT INTO self_test_table SELECT g, 'n' || g FROM generate_series(1, 10) g;
CREATE SEQUENCE self_test_sequence;
CREATE FUNCTION self_test_wrapper() RETURNS bigint LANGUAGE plpgsql STABLE PARALLEL SAFE
  AS $$ BEGIN RETURN nextval('public.self_test_sequence'); END $$;
CREATE FUNCTION self_test_sql_wrapper() RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
  AS 'SELECT public.self_test_wrapper()';
CREATE FUNCTION self_test_definer() RETURNS bigint LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER
  AS $$ BEGIN RETURN nextval('public.self_test_sequence'); END $$;
CREATE FUNCTION self_test_copied(text) RETURNS text LANGUAGE internal IMMUTABLE STRICT
  AS 'pg_read_file_all';
CREATE FUNCTION self_test_first(int, int) RETURNS int LANGUAGE plpgsql IMMUTABLE
  AS $$ BEGIN PERFORM public.self_test_wrapper(); RETURN $1; END $$;
CREATE FUNCTION self_test_always(int, int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE
  AS $$ BEGIN PERFORM public.self_test_wrapper(); RETURN true; END $$;
CREATE FUNCTION self_test_check(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE
  AS $$ BEGIN PERFORM public.self_test_wrapper(); RETURN true; END $$;
-- These have to work while the objects are made.
CREATE FUNCTION self_test_compare(int, int) RETURNS int LANGUAGE plpgsql IMMUTABLE
  AS $$ BEGIN RETURN btint4cmp($1, $2); END $$;
CREATE FUNCTION self_test_hash(int, bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE
  AS $$ BEGIN RETURN hashint4extended($1, $2); END $$;
CREATE FUNCTION self_test_hash(int) RETURNS int LANGUAGE plpgsql IMMUTABLE
  AS $$ BEGIN RETURN hashint4($1); END $$;
CREATE VIEW self_test_view AS SELECT pg_read_file('PG_VERSION') AS text, id FROM self_test_table;
CREATE VIEW self_test_view_over_view AS SELECT id FROM (SELECT * FROM self_test_view) v;
CREATE VIEW self_test_rule_view AS SELECT public.self_test_wrapper() AS value;
CREATE OPERATOR ### (LEFTARG = int, RIGHTARG = int, FUNCTION = self_test_first);
CREATE OPERATOR ~~~ (LEFTARG = int, RIGHTARG = int, FUNCTION = self_test_always);
CREATE AGGREGATE self_test_aggregate(int) (SFUNC = self_test_first, STYPE = int, INITCOND = '0');
CREATE DOMAIN self_test_domain AS text CHECK (self_test_check(VALUE));
CREATE TYPE self_test_holder AS (value self_test_domain);
CREATE TYPE self_test_pair AS (a int, b text);
CREATE FUNCTION self_test_text(self_test_pair) RETURNS text LANGUAGE plpgsql IMMUTABLE
  AS $$ BEGIN PERFORM public.self_test_wrapper(); RETURN ''; END $$;
CREATE FUNCTION self_test_json(self_test_pair) RETURNS json LANGUAGE plpgsql IMMUTABLE
  AS $$ BEGIN PERFORM public.self_test_wrapper(); RETURN '{}'; END $$;
CREATE CAST (self_test_pair AS text) WITH FUNCTION self_test_text(self_test_pair);
CREATE CAST (self_test_pair AS json) WITH FUNCTION self_test_json(self_test_pair);
CREATE SCHEMA self_test_shadow;
CREATE FUNCTION self_test_shadow.lower(text) RETURNS text LANGUAGE plpgsql IMMUTABLE
  AS $$ BEGIN PERFORM public.self_test_wrapper(); RETURN $1; END $$;
CREATE OPERATOR CLASS self_test_odd FOR TYPE int USING btree AS OPERATOR 1 <, OPERATOR 2 <=,
  OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 self_test_compare(int, int);
CREATE OPERATOR CLASS self_test_odd FOR TYPE int USING hash AS OPERATOR 1 =,
  FUNCTION 1 self_test_hash(int), FUNCTION 2 self_test_hash(int, bigint);
CREATE TABLE self_test_odd_index (id int);
CREATE INDEX ON self_test_odd_index (id self_test_odd);
CREATE TABLE self_test_hashed (id int) PARTITION BY HASH (id self_test_odd);
CREATE TABLE self_test_hashed_0 PARTITION OF self_test_hashed
  FOR VALUES WITH (MODULUS 1, REMAINDER 0);
-- Called with constants, for which they have nothing to do while the objects are made.
CREATE FUNCTION self_test_folded(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
  IF current_setting('self_test.made', true) IS NULL THEN RETURN $1; END IF;
  PERFORM public.self_test_wrapper(); RETURN $1; END $$;
CREATE FUNCTION self_test_inlined(text) RETURNS text LANGUAGE sql IMMUTABLE
  AS $$ SELECT public.self_test_folded('a') || $1 $$;
CREATE FUNCTION self_test_plain(text) RETURNS text LANGUAGE plpgsql IMMUTABLE
  AS $$ BEGIN RETURN $1; END $$;
CREATE TABLE self_test_index (name text);
CREATE INDEX ON self_test_index ((self_test_folded('a') || name));
CREATE TABLE self_test_inlined_index (name text);
CREATE INDEX ON self_test_inlined_index (self_test_inlined(name));
CREATE TABLE self_test_predicate (name text);
CREATE INDEX ON self_test_predicate (name) WHERE name > 'm' OR self_test_plain(name) = 'a';
CREATE TABLE self_test_statistics (name text);
CREATE STATISTICS self_test_expression ON (self_test_folded('a') || name)
  FROM self_test_statistics;
CREATE TABLE self_test_key (name text) PARTITION BY RANGE ((self_test_folded('a') || name));
CREATE TABLE self_test_key_part PARTITION OF self_test_key FOR VALUES FROM ('a') TO ('z');
CREATE TABLE self_test_constraint (name text CHECK (name > self_test_folded('a')));
CREATE TABLE self_test_heir () INHERITS (self_test_constraint);
CREATE TABLE self_test_of_values (name text CHECK (self_test_plain(name) > 'a'));
CREATE INDEX ON self_test_of_values (self_test_plain(lower(name)));
CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq, NEGATOR = !==);
CREATE OPERATOR !== (LEFTARG = int, RIGHTARG = int, FUNCTION = self_test_always, NEGATOR = ===);
SET self_test.made = 'yes';
CREATE EXTENSION file_fdw;
CREATE SERVER self_test FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE self_test_program (line text) SERVER self_test OPTIONS (program 'echo x');
CREATE TABLE self_test_parent (line text);
CREATE FOREIGN TABLE self_test_child () INHERITS (self_test_parent) SERVER self_test
  OPTIONS (program 'echo x');
CREATE TABLE self_test_secured (id int);
ALTER TABLE self_test_secured ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY calls ON self_test_secured USING (public.self_test_always(id, id));
CREATE EXTENSION dblink;
CREATE EXTENSION tablefunc;
GRANT USAGE ON SCHEMA self_test_shadow TO PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO PUBLIC;
"""
"""A superuser is not subject to the policy; everything else is refused whoever asks."""
