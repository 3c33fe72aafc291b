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
CREATE STATISTICS users_statistics ON city, password FROM users;
CREATE STATISTICS orders_statistics ON user_id, state FROM orders;
CREATE STATISTICS users_expression ON (left(password, 1)) FROM users;
"""
_INSTEAD = """
CREATE VIEW words AS SELECT id, name, NULL::text AS word FROM users WHERE false;
CREATE VIEW pay AS SELECT id, NULL::text AS pay FROM users WHERE false;
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
        filled = _FILLED.format(into="", password="", pin="", secret="NULL")
        server.psql(f"{filled} ANALYZE;", made[2])
        yield made
    finally:
        for name in names:
            server.drop_database(name)
