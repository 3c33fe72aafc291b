"""A function in SQL is judged as the statements in it, and a refusal names who called what."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pgmcp.calls.call import Call
from pgmcp.config.values import Secret
from pgmcp.errors import StatementError, StatementRefusedError
from pgmcp.gate.databases import DatabaseSet
from pgmcp.gate.port import Database
from tests.databases import open_databases, settings_for
from tools.postgres import Server

Open = Callable[..., Database]

SCHEMA = """
CREATE TABLE t (id int PRIMARY KEY, name text);
INSERT INTO t SELECT g, 'n' || g FROM generate_series(1, 3) g;
CREATE SEQUENCE s;
CREATE FUNCTION opaque(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1; END';
CREATE FUNCTION opaque(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1; END';
CREATE FUNCTION opaque(int, int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1; END';
CREATE FUNCTION opaque(numeric, numeric) RETURNS numeric LANGUAGE plpgsql IMMUTABLE
  AS 'BEGIN RETURN $1; END';
CREATE OPERATOR ### (LEFTARG = int, RIGHTARG = int, FUNCTION = opaque);
CREATE VIEW v AS SELECT id, name FROM t;
CREATE VIEW calls AS SELECT opaque(id) AS id FROM t;
CREATE VIEW over_calls AS SELECT * FROM calls;
CREATE VIEW uses_operator AS SELECT id ### id AS id FROM t;
CREATE TABLE secured (id int);
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
CREATE POLICY only_some ON secured USING (opaque(id) > 1);
CREATE DOMAIN checked AS text CHECK (opaque(VALUE) <> '');

CREATE FUNCTION in_tree(a int) RETURNS bigint LANGUAGE sql
  BEGIN ATOMIC SELECT count(*) + a FROM v WHERE id > a; END;
CREATE FUNCTION in_string(a int) RETURNS bigint LANGUAGE sql
  AS 'SELECT count(*) + a FROM public.v WHERE id > $1';
CREATE FUNCTION with_a_path(a text) RETURNS text LANGUAGE sql SET search_path = pg_catalog
  AS 'SELECT upper(a)';
CREATE FUNCTION in_rows(a text) RETURNS TABLE (b text) LANGUAGE sql STABLE AS 'SELECT a || a';
CREATE FUNCTION calls_another(a int) RETURNS bigint LANGUAGE sql
  BEGIN ATOMIC SELECT 1; SELECT in_string(a) + in_tree(a => x.b) FROM (VALUES (1)) x (b); END;
CREATE VIEW uses_functions AS SELECT calls_another(id) AS n FROM t;
CREATE AGGREGATE product(numeric) (SFUNC = numeric_mul, STYPE = numeric, INITCOND = '1');
CREATE FUNCTION plus(numeric, numeric) RETURNS numeric LANGUAGE sql IMMUTABLE
  BEGIN ATOMIC SELECT $1 + $2; END;
CREATE AGGREGATE added(numeric) (SFUNC = plus, STYPE = numeric, INITCOND = '0');
CREATE FUNCTION is_short(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT length($1) < 9';
CREATE DOMAIN short AS text CHECK (is_short(VALUE));
CREATE TABLE kept (name text CHECK (is_short(name)));
CREATE INDEX ON kept (is_short(name));

CREATE FUNCTION next_string() RETURNS bigint LANGUAGE sql AS $$SELECT nextval('s')$$;
CREATE FUNCTION next_tree() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT nextval('s'); END;
CREATE FUNCTION next_below() RETURNS bigint LANGUAGE sql
  BEGIN ATOMIC SELECT count(*) FROM t WHERE id = next_string(); END;
CREATE FUNCTION not_last() RETURNS int LANGUAGE sql AS $$SELECT nextval('s'); SELECT 1$$;
CREATE FUNCTION inserts() RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (9) RETURNING id';
CREATE FUNCTION inserts_within() RETURNS bigint LANGUAGE sql
  AS 'WITH i AS (INSERT INTO t VALUES (9) RETURNING id) SELECT count(*) FROM i';
CREATE FUNCTION commands() RETURNS void LANGUAGE sql AS 'NOTIFY x';
CREATE FUNCTION definer() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM t';
CREATE FUNCTION setting() RETURNS bigint LANGUAGE sql SET statement_timeout = 0
  AS 'SELECT count(*) FROM t';
CREATE FUNCTION polymorphic(anyelement) RETURNS anyelement LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION itself(n int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE OR REPLACE FUNCTION itself(n int) RETURNS int LANGUAGE sql
  AS 'SELECT CASE WHEN n > 0 THEN itself(n - 1) + itself(n - 1) END';
CREATE FUNCTION with_default(a bigint DEFAULT nextval('s')) RETURNS bigint LANGUAGE sql
  BEGIN ATOMIC SELECT a; END;
CREATE FUNCTION opaque_default(a int DEFAULT opaque(1)) RETURNS int LANGUAGE sql
  BEGIN ATOMIC SELECT a; END;
CREATE AGGREGATE opaque_sum(numeric) (SFUNC = opaque, STYPE = numeric, INITCOND = '0');
CREATE FUNCTION to_checked(text) RETURNS text LANGUAGE sql AS 'SELECT $1::checked';
CREATE TYPE pair AS (a int, b text);
CREATE FUNCTION to_pair(text) RETURNS pair LANGUAGE plpgsql IMMUTABLE
  AS $$BEGIN RETURN (1, $1)::pair; END$$;
CREATE CAST (text AS pair) WITH FUNCTION to_pair(text) AS ASSIGNMENT;
CREATE FUNCTION cast_by_itself(x text) RETURNS pair LANGUAGE sql AS 'SELECT $1';
CREATE SCHEMA other;
CREATE FUNCTION other.lower(text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE FUNCTION with_other_path(a text) RETURNS text LANGUAGE sql
  SET search_path = other, pg_catalog AS 'SELECT lower(a)';
CREATE FUNCTION credential() RETURNS bigint LANGUAGE sql
  BEGIN ATOMIC SELECT count(rolpassword) FROM pg_authid; END;

CREATE FUNCTION searches(a text, b text) RETURNS int LANGUAGE sql IMMUTABLE
  AS 'SELECT position($1 in $2)';
CREATE FUNCTION pads(a text, n int) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT repeat(a, n)';
CREATE FUNCTION path(a text, x xml) RETURNS xml[] LANGUAGE sql IMMUTABLE AS 'SELECT xpath(a, x)';
CREATE FUNCTION twice(a text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1 || $1';
"""

RUNS = [
    "select in_tree(1), in_string(1), with_a_path('a')",
    "select b from in_rows('a')",
    "select b, (select c.b from in_rows(a.b) c) from t, in_rows(name) a",
    "select calls_another(id) from t",
    "select n from uses_functions",
    "select product(id), added(id) from t",
    "select product(id) over (order by id), added(id) over () from t",
    "select 'x'::short, name::short from t",
    "select * from kept where is_short(name)",
    "select twice(name), searches(name, 'x'), pads('x', 5), pads(name, id) from t",
    "select pads(n => 5, a => 'x')",
]

REFUSED = {
    "select next_string()": r"nextval.*the function public\.next_string\(\)",
    "select next_tree()": r"nextval.*the function public\.next_tree\(\)",
    "select next_below()": r"nextval.*the function public\.next_string\(\)",
    "select not_last()": r"nextval.*the function public\.not_last\(\)",
    "select inserts()": "more than SELECT",
    "select inserts_within()": "more than SELECT",
    "select commands()": "more than SELECT",
    "select definer()": "SECURITY DEFINER",
    "select setting()": "settings",
    "select polymorphic(1)": "polymorphic",
    "select itself(3)": "calls itself",
    "select with_default()": r"nextval.*default of an argument of public\.with_default",
    "select opaque_default()": r"opaque\(integer\).*default of an argument",
    "select opaque_sum(id) from t": r"the aggregate public\.opaque_sum",
    "select to_checked('x')": r"the domain public\.checked",
    "select 'x'::checked": r"the domain public\.checked",
    "select cast_by_itself('x')": r"to_pair.*the result of public\.cast_by_itself",
    "select with_other_path('A')": r"other\.lower.*the function public\.with_other_path",
    "select credential()": "rolpassword",
    "select id from over_calls": r"which the view public\.calls calls",
    "select id from uses_operator": r"the operator public\.###.*in the view public\.uses_operator",
    "select 1 ### 2": r"which the operator public\.###\(integer,integer\) calls",
    "select id from secured": r"which the policy only_some of public\.secured calls",
    "select opaque(1)": r"here: public\.opaque\(integer\): what",
}

TOO_LARGE = [
    "select searches('b' || repeat('a', 100000), repeat('a', 2000000))",
    "select searches(x, y) from (select 'b' || repeat('a', 100000) x, repeat('a', 2000000) y) t",
    "select " + ", ".join(f"length(pads('x', {300_000_000 + n}))" for n in range(4)),
    "select " + ", ".join(f"pads('x', {n} + id)" for n in range(9)) + " from t",
    "select path('//a[//a[//a]]', xmlparse(document '<r>' || repeat('<a/>', 20000) || '</r>'))",
    "select a30.b from in_rows('x') a0" + "".join(f", in_rows(a{n}.b) a{n + 1}" for n in range(30)),
    "select " + "twice(" * 150 + "'a'" + ")" * 150,
]


@pytest.fixture
def open_database(postgres: Server, database: str) -> Iterator[Open]:
    """Makes databases for a role that may read and no more."""
    role = f"reader_of_{database}"
    postgres.psql(
        SCHEMA + f"CREATE ROLE {role} LOGIN PASSWORD 'p'; GRANT pg_read_all_data TO {role};",
        database,
    )
    opened: list[DatabaseSet] = []

    def make(**changes: object) -> Database:
        who = {"user": role, "passwords": (Secret("p"),)} | changes
        opened.append(open_databases([settings_for(postgres, database, **who)]))
        return opened[-1].database("owner", "main", Call(30))

    yield make
    for databases in opened:
        databases.pools.close(5)
    postgres.psql(f"DROP OWNED BY {role}; DROP ROLE {role}", database)


def test_a_function_in_sql_runs_like_the_statement_in_it(open_database: Open) -> None:
    judged = open_database()
    for _ in range(2):
        for text in RUNS:
            judged.query(text, max_rows=5)


def test_a_function_in_sql_is_refused_like_the_statement_in_it(
    open_database: Open, postgres: Server, database: str
) -> None:
    judged = open_database()
    for text, reason in REFUSED.items():
        for _ in range(2):
            with pytest.raises(StatementRefusedError, match=reason):
                judged.query(text, max_rows=5)
    assert postgres.psql("select is_called from s", database) == "f"
    assert postgres.psql("select count(*) from t", database) == "3"


def test_what_a_call_brings_to_a_function_in_sql_is_weighed(open_database: Open) -> None:
    judged = open_database()
    for text in TOO_LARGE:
        with pytest.raises(StatementRefusedError, match=r"grow|no time-out|too large|not known"):
            judged.query(text, max_rows=5)


def test_a_path_that_is_given_to_a_function_in_sql_is_known(open_database: Open) -> None:
    judged = open_database()
    try:
        assert judged.query("select path('/a', '<a/>')", max_rows=5).rows == [(b"{<a/>}",)]
    except StatementError as error:
        assert error.server.sqlstate == "0A000"  # a server without libxml


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("select opaque(1)", "public.opaque"),
        ("select id from over_calls", "public.opaque"),
        ("select with_default()", "pg_catalog.nextval"),
    ],
)
def test_a_refusal_names_the_entry_that_allows_the_call(
    open_database: Open, text: str, entry: str
) -> None:
    with pytest.raises(StatementRefusedError) as refused:
        open_database().query(text, max_rows=5)
    assert f'trusted_functions: ["{entry}"]' in refused.value.hint


def test_the_entry_that_a_refusal_names_allows_the_call(open_database: Open) -> None:
    trusting = open_database(trusted_functions=("public.opaque",))
    assert trusting.query("select id from over_calls", max_rows=5).rows


def test_a_broken_body_is_refused_with_its_error(
    open_database: Open, postgres: Server, database: str
) -> None:
    postgres.psql(
        "SET check_function_bodies = off; CREATE FUNCTION broken() RETURNS int LANGUAGE sql"
        " AS 'SELECT 1 FROM no_such_table'",
        database,
    )
    with pytest.raises(StatementRefusedError, match="no_such_table"):
        open_database().query("select broken()", max_rows=5)


def test_a_function_that_changes_is_judged_again(
    open_database: Open, postgres: Server, database: str
) -> None:
    judged = open_database()
    assert judged.query("select in_tree(1)", max_rows=5).rows == [(b"3",)]
    postgres.psql(
        "CREATE OR REPLACE FUNCTION in_tree(a int) RETURNS bigint LANGUAGE sql"
        " BEGIN ATOMIC SELECT nextval('s'); END",
        database,
    )
    with pytest.raises(StatementRefusedError, match="nextval"):
        judged.query("select in_tree(1)", max_rows=5)


def test_for_a_role_with_lasting_powers_nobody_else_may_change_what_a_body_means(
    open_database: Open, postgres: Server, database: str
) -> None:
    """Between the judgement and the run: who could, could have his own code run as that role."""
    powerful = {"user": postgres.user, "passwords": (Secret(postgres.password),)}
    other = f"other_of_{database}"
    postgres.psql(
        f"CREATE ROLE {other};"
        " CREATE FUNCTION his() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END;"
        f" ALTER FUNCTION his() OWNER TO {other}",
        database,
    )
    try:
        for judged in (open_database(), open_database(**powerful)):
            assert judged.query("select in_tree(1), in_string(1)", max_rows=5).rows
        assert open_database().query("select his()", max_rows=5).rows
        with pytest.raises(StatementRefusedError, match="replace"):
            open_database(**powerful).query("select his()", max_rows=5)
        postgres.psql(f"GRANT CREATE ON SCHEMA public TO {other}", database)
        assert open_database(**powerful).query("select in_tree(1)", max_rows=5).rows
        assert open_database().query("select in_string(1)", max_rows=5).rows
        with pytest.raises(StatementRefusedError, match="string"):
            open_database(**powerful).query("select in_string(1)", max_rows=5)
    finally:
        postgres.psql(f"DROP OWNED BY {other}; DROP ROLE {other}", database)


EXTENSIONS = {
    "pgcrypto": "select length(gen_random_bytes(4)), crypt('x', gen_salt('bf', 4))",
    "uuid-ossp": "select uuid_generate_v1(), uuid_generate_v1mc(), uuid_generate_v4()",
    "tablefunc": "select * from normal_rand(3, 0, 1)",
    "tsm_system_rows": "select id from t tablesample system_rows(2)",
    "tsm_system_time": "select id from t tablesample system_time(100)",
    "citext": "select regexp_replace('AB'::citext, 'b', 'x'), split_part('AxB'::citext, 'X', 1),"
    " strpos('AB'::citext, 'b'), 'A'::citext = 'a', min(name::citext) from t",
    "cube, earthdistance": "select earth_distance(ll_to_earth(1, 2), ll_to_earth(3, 4)),"
    " earth_box(ll_to_earth(1, 2), 5) @> ll_to_earth(1, 2), latitude(ll_to_earth(1, 2))",
}


def test_functions_of_extensions_that_have_no_lasting_effect_run(
    open_database: Open, postgres: Server, database: str
) -> None:
    """Of those that the server has: a build without OpenSSL or libuuid lacks two."""
    available = postgres.psql("select string_agg(name, ' ') from pg_available_extensions").split()
    there = [names for names in EXTENSIONS if set(names.split(", ")) <= set(available)]
    assert set(EXTENSIONS) - set(there) <= {"pgcrypto", "uuid-ossp"}
    for names in there:
        for name in names.split(", "):
            postgres.psql(f'create extension "{name}"', database)
    judged = open_database()
    for names in there:
        for _ in range(2):
            judged.query(EXTENSIONS[names], max_rows=5)


def test_the_shadow_of_a_name_in_an_extensions_function_is_judged(
    open_database: Open, postgres: Server, database: str
) -> None:
    postgres.psql(
        "create extension cube; create extension earthdistance; create schema shadow;"
        " create function shadow.earth() returns float8 language plpgsql as 'begin return 1; end';"
        f" grant usage on schema shadow to public;"
        f" alter database {database} set search_path = shadow, public",
        database,
    )
    stored = "select prosrc = '' from pg_proc where proname = 'll_to_earth'"
    judged = open_database()
    text = "select latitude(ll_to_earth(1, 2))"
    if postgres.psql(stored, database) == "t":  # its names are resolved once and for all
        assert judged.query(text, max_rows=5).rows
    else:
        with pytest.raises(StatementRefusedError, match=r"shadow\.earth"):
            judged.query(text, max_rows=5)
