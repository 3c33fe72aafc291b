"""Databases that differ in nothing but their secrets, for attempts to tell them apart.

The rule: the same object ids, pages and public rows in both. `ABSENT` has no secrets: the hidden
tables and columns are not there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pgmcp.config import masks, patterns
from pgmcp.config.patterns import ReadRules
from pgmcp.config.policies import Policy
from tools.postgres import Server

# The secrets of rows 1, 2 and 3, and of all others, as expressions with the row's number `g`.
_SECRETS = (
    "coalesce((ARRAY['4711', '12', NULL])[g], CASE WHEN g > 3 THEN '4711' END)",
    "coalesce((ARRAY['9', '35', '7'])[g], (600000 + g)::text)",
)
_PUBLIC = """
CREATE TABLE users (id int PRIMARY KEY, name text, {password} city text);
CREATE TABLE customers (id int PRIMARY KEY, name text, card text, city text);
CREATE TABLE old_customers () INHERITS (customers);
CREATE TABLE staff (id int, name text, bonus text);
CREATE TABLE managers () INHERITS (staff);
CREATE TABLE base (id int, name text {pin});
CREATE TABLE heirs () INHERITS (base);
CREATE TABLE events (id int, note text) PARTITION BY RANGE (id);
CREATE TABLE events_new PARTITION OF events FOR VALUES FROM (100) TO (200);
CREATE TABLE orders (id int, user_id int, total numeric, placed date, state text);
INSERT INTO orders SELECT g, g % 12 + 1, g * 2.5, date '2024-01-01' + g,
  (ARRAY['new', 'paid'])[g % 2 + 1]
  FROM generate_series(1, 40) g;
CREATE VIEW contacts AS SELECT id, name, card AS number FROM customers;
CREATE VIEW contacts_again AS SELECT c.id, c.number AS again, c.name FROM contacts c;
CREATE VIEW totals AS SELECT user_id, sum(total) AS total, min(state) AS state
  FROM orders GROUP BY user_id;
"""
_HIDDEN = """
CREATE TABLE salaries (id int PRIMARY KEY, amount text);
CREATE SCHEMA vault;
CREATE TABLE vault.keys (id int, content text);
CREATE TABLE events_old PARTITION OF events FOR VALUES FROM (0) TO (100);
CREATE VIEW words AS SELECT id, name, password AS word FROM users;
CREATE VIEW pay AS SELECT id, amount AS pay FROM salaries;
CREATE MATERIALIZED VIEW snapshot AS SELECT id, amount FROM salaries WITH NO DATA;
CREATE FUNCTION pay_of(int) RETURNS text LANGUAGE sql STABLE
  AS 'SELECT amount FROM public.salaries WHERE id = $1';
CREATE FUNCTION first_pay() RETURNS SETOF public.salaries LANGUAGE sql STABLE
  AS 'SELECT * FROM public.salaries';
CREATE FUNCTION word_of(users) RETURNS text LANGUAGE sql STABLE AS 'SELECT $1.password';
CREATE FUNCTION card_of(customers) RETURNS text LANGUAGE plpgsql STABLE
  AS $$ BEGIN RETURN $1.card; END $$;
CREATE FUNCTION pays() RETURNS TABLE (n int, pay text) LANGUAGE sql STABLE
  AS 'SELECT id, amount FROM public.salaries';
CREATE FUNCTION cards() RETURNS SETOF text LANGUAGE sql STABLE AS 'SELECT card FROM customers';
CREATE FUNCTION own_pays() RETURNS SETOF text LANGUAGE plpgsql STABLE SECURITY DEFINER
  AS $$ BEGIN RETURN QUERY SELECT amount FROM public.salaries; END $$;
CREATE FUNCTION standard_pay(int) RETURNS text STABLE LANGUAGE sql
  BEGIN ATOMIC SELECT amount FROM public.salaries WHERE id = $1; END;
CREATE FUNCTION is_pay(text) RETURNS boolean LANGUAGE sql STABLE
  AS 'SELECT $1 IN (SELECT amount FROM public.salaries)';
CREATE DOMAIN known_pay AS text CHECK (is_pay(VALUE));
CREATE TYPE pay_holder AS (p known_pay);
CREATE VIEW seen_row AS SELECT u AS seen FROM users u;
CREATE VIEW seen_json AS SELECT to_jsonb(u) AS json FROM users u;
CREATE VIEW seen_guarded WITH (security_barrier) AS SELECT id FROM users WHERE password = '4711';
CREATE VIEW seen_count AS SELECT count(*) AS n FROM salaries;
CREATE VIEW seen_first AS SELECT name FROM customers ORDER BY length(card) LIMIT 1;
CREATE VIEW seen_with AS WITH w AS (SELECT * FROM users) SELECT id, password AS p FROM w;
CREATE VIEW seen_lateral AS SELECT u.id, l.x FROM users u, LATERAL (SELECT u.password AS x) l;
CREATE VIEW seen_union AS SELECT name AS x FROM users UNION ALL SELECT password FROM users;
CREATE VIEW seen_search AS WITH RECURSIVE w (x, n) AS (SELECT card, 1 FROM customers UNION ALL
  SELECT x, n + 1 FROM w WHERE n < 2) SEARCH BREADTH FIRST BY x SET o SELECT o::text FROM w;
CREATE VIEW seen_again AS SELECT word AS w FROM words;
CREATE VIEW seen_call AS SELECT pay_of(1) AS p;
CREATE VIEW seen_window AS SELECT id, rank() OVER (ORDER BY card) AS r FROM customers;
CREATE TYPE user_pair AS (u users, n int);
CREATE AGGREGATE joined(text) (SFUNC = textcat, STYPE = text, INITCOND = '');
CREATE OPERATOR ~~~ (RIGHTARG = users, FUNCTION = word_of);
CREATE STATISTICS users_statistics ON city, password FROM users;
CREATE STATISTICS orders_statistics ON user_id, state FROM orders;
CREATE STATISTICS users_expression ON (left(password, 1)) FROM users;
"""
_INSTEAD = """
CREATE VIEW words AS SELECT id, name, NULL::text AS word FROM users WHERE false;
CREATE VIEW pay AS SELECT id, NULL::text AS pay FROM users WHERE false;
"""
OBJECT_ATTEMPTS = """
select pay_of(1)
select pay_of(id) from orders
select * from pay_of(1)
select * from first_pay()
select count(*) from first_pay()
select amount from first_pay()
select first_pay()
select (first_pay()).amount
select pg_typeof(f)::text, f::text from first_pay() f
select to_jsonb(f) from first_pay() f
select f from first_pay() f
select 1 from orders, lateral pay_of(orders.id) p where p = '4711'
select id from orders where pay_of(id) = '4711'
select id from orders order by pay_of(id), id
select word_of(u) from users u
select u.word_of from users u
select (u).word_of from users u
select ~~~ u from users u
select card_of(c) from customers c
select c.card_of from customers c
select * from pays()
select pay from pays() where n = 1
select * from cards()
select cards()
select count(*) from cards() c where c = '4711'
select * from own_pays()
select standard_pay(1)
select is_pay('4711')
select case when is_pay('4711') then 1 end
select '4711'::known_pay
select cast('471' || '1' as known_pay)
select x::known_pay from (values ('4711')) v (x)
select array['4711']::known_pay[]
select '{4711}'::known_pay[]
select row('4711')::pay_holder
select '(4711)'::pay_holder
select json_populate_record(null::pay_holder, '{"p": "4711"}')
select * from json_to_record('{"p": "4711"}') as r (p known_pay)
select joined(password) from users
select joined(card) from customers
select joined(card order by card) from customers
select seen from seen_row
select (seen).password from seen_row
select seen::text from seen_row
select json from seen_json
select json ->> 'password' from seen_json
select * from seen_guarded
select count(*) from seen_guarded
select * from seen_count
select name from seen_first
select p from seen_with
select * from seen_lateral
select x from seen_lateral where id = 1
select x from seen_union
select count(*) from seen_union where x = '4711'
select o from seen_search
select w from seen_again
select * from seen_call
select r from seen_window where id = 1
select id from seen_window order by r, id
select row(u, 1)::user_pair from users u
select ((row(u, 1)::user_pair).u).password from users u
select row(u, 1)::user_pair::text from users u
explain (analyze, timing off, summary off) select * from seen_guarded
explain select pay_of(1)
""".strip().splitlines()
"""Reads of the objects above that would tell of what is hidden."""
_VIEWS = """
CREATE VIEW seen_row AS SELECT u AS seen FROM users u WHERE false;
CREATE VIEW seen_json AS SELECT NULL::jsonb AS json;
CREATE VIEW seen_guarded AS SELECT 1 AS id;
CREATE VIEW seen_count AS SELECT count(*) AS n;
CREATE VIEW seen_first AS SELECT NULL::text AS name;
CREATE VIEW seen_with AS SELECT 1 AS id, NULL::text AS p;
CREATE VIEW seen_lateral AS SELECT 1 AS id, NULL::text AS x;
CREATE VIEW seen_union AS SELECT NULL::text AS x;
CREATE VIEW seen_search AS SELECT NULL::text AS o;
CREATE VIEW seen_again AS SELECT NULL::text AS w;
CREATE VIEW seen_call AS SELECT NULL::text AS p;
CREATE VIEW seen_window AS SELECT 1 AS id, rank() OVER () AS r;
"""
_FILLED = """
INSERT INTO users (id, name, {into} city)
  SELECT g, 'n' || g, {password} (ARRAY['Oslo', 'Rome'])[g % 2 + 1] FROM generate_series(1, 12) g;
INSERT INTO customers SELECT g, 'n' || g, {secret}, 'Oslo' FROM generate_series(1, 12) g;
INSERT INTO old_customers SELECT g, 'n' || g, {secret}, 'Oslo' FROM generate_series(1, 12) g;
INSERT INTO managers SELECT g, 'n' || g, {secret} FROM generate_series(1, 12) g;
INSERT INTO heirs SELECT g, 'n' || g {pin} FROM generate_series(1, 12) g;
INSERT INTO events_new VALUES (100, '0');
"""
_FILLED_HIDDEN = """
INSERT INTO salaries SELECT g, {secret} FROM generate_series(1, 12) g;
INSERT INTO salaries SELECT 100, '1' WHERE {second};
INSERT INTO vault.keys SELECT g, {secret} FROM generate_series(1, 12) g;
INSERT INTO events_old SELECT g, {secret} FROM generate_series(1, 12) g;
REFRESH MATERIALIZED VIEW snapshot;
"""
READ = (
    "public.*",
    "not public.salaries",
    "not public.users.password",
    "not public.managers.bonus",
    "not public.base.pin",
    "not public.events_old",
    "not public.snapshot",
)
POLICY = Policy(
    read=ReadRules(tuple(map(patterns.parse, READ))),
    mask=masks.parse({"public.customers.card": None}),
)


@contextmanager
def worlds(server: Server) -> Iterator[Sequence[str]]:
    """The names of three databases: two that differ in their secrets, and one without hidden
    things."""
    form, *made = names = [f"leak_{name}_{server.version}" for name in ("form", "a", "b", "absent")]
    try:
        server.create_database(form)
        server.psql(_PUBLIC.format(password="password text,", pin=", pin text") + _HIDDEN, form)
        for number, name in enumerate(made[:2]):
            server.psql(f"CREATE DATABASE {name} TEMPLATE {form} STRATEGY file_copy")
            secret, second = _SECRETS[number], str(number == 1)
            filled = (_FILLED + _FILLED_HIDDEN).format(
                into="password,",
                password=f"{secret},",
                pin=f", {secret}",
                secret=secret,
                second=second,
            )
            server.psql(f"{filled} ANALYZE;", name)
        server.create_database(made[2])
        server.psql(_PUBLIC.format(password="", pin="") + _INSTEAD, made[2])
        server.psql(_VIEWS, made[2])
        filled = _FILLED.format(into="", password="", pin="", secret="NULL")
        server.psql(f"{filled} ANALYZE;", made[2])
        yield made
    finally:
        for name in names:
            server.drop_database(name)
