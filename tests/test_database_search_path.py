"""No operator of a user's schema is called by what pgmcp asks by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pgmcp.calls.call import Call
from pgmcp.config.values import Secret
from pgmcp.errors import StatementRefusedError
from pgmcp.gate import inspection
from pgmcp.gate.databases import DatabaseSet
from pgmcp.gate.port import Database
from pgmcp.gate.roles import powers as role
from tests.databases import open_databases, settings_for
from tools.postgres import Server

# A twin of every operator between plain types, and those that are a better match than any of
# PostgreSQL's own for what the catalogue compares.
SCHEMA = """
CREATE SCHEMA shadow;
DO $do$
DECLARE
  plain regtype[] := ARRAY['oid', 'name', 'text', '"char"', 'int2', 'int4', 'int8', 'bool'];
  o record;
BEGIN
  FOR o IN
    SELECT oprname AS name, oprleft::regtype AS l, oprright::regtype AS r,
           oprresult::regtype AS result
    FROM pg_operator WHERE oprleft = ANY (plain) AND oprright = ANY (plain)
    UNION
    SELECT name, l::regtype, r::regtype, 'bool'::regtype
    FROM unnest(ARRAY['=', '<>', '<', '>', '<=', '>=']) name,
         (VALUES ('oid', 'regclass'), ('regclass', 'oid'), ('oid', 'regproc'), ('regproc', 'oid'),
                 ('oid', 'int4'), ('int4', 'oid'), ('regclass', 'regclass'), ('"char"', 'text'),
                 ('regtype', 'regtype'), ('oid', 'regtype')) pair (l, r)
  LOOP
    EXECUTE format('CREATE OR REPLACE FUNCTION shadow.%I(%s, %s) RETURNS %s LANGUAGE plpgsql AS '
      || $$'BEGIN RAISE EXCEPTION ''a shadow ran''; END'$$, 'f ' || o.result, o.l, o.r, o.result);
    EXECUTE format('CREATE OPERATOR shadow.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = shadow.%I)',
      o.name, o.l, o.r, 'f ' || o.result);
  END LOOP;
END $do$;
CREATE FUNCTION shadow.changes(int) RETURNS int IMMUTABLE LANGUAGE plpgsql
  AS 'BEGIN RETURN $1; END';
CREATE DOMAIN shadow.checked AS int CHECK (shadow.changes(VALUE) OPERATOR(pg_catalog.>) 0);
CREATE TABLE shadow.t (id int PRIMARY KEY, mood shadow.checked);
CREATE TABLE shadow.indexed (id int);
CREATE INDEX ON shadow.indexed (shadow.changes(id));
CREATE TABLE shadow.guarded (id int);
ALTER TABLE shadow.guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON shadow.guarded USING (id OPERATOR(pg_catalog.>) 0);
CREATE VIEW shadow.v AS SELECT id FROM shadow.t;
CREATE VIEW shadow.calls AS SELECT shadow.changes(id) FROM shadow.t;
INSERT INTO shadow.t VALUES (1, 1);
"""
READS = [
    "select 1",
    "select id from t",
    "select id from v",
    "select id from guarded",
    "select id from indexed",
    "select rolname from pg_roles limit 1",
]
REFUSED = [
    "select changes(id) from t",
    "select * from calls",
    "select mood from t",
    "select 1::checked",
]
OF_SHADOWS = ["select id from t where id = 1", "select 'a'::text || current_user::text"]
PATHS = {
    "before": "shadow, pg_catalog",
    "behind": "shadow",  # PostgreSQL's own schema comes first where it is not named
}
Open = Callable[..., Database]


@pytest.fixture(params=list(PATHS.values()), ids=list(PATHS))
def shadowed(request: pytest.FixtureRequest, postgres: Server, database: str) -> Iterator[Open]:
    """Makes databases for a reader whose search_path has the schema with the twins."""
    name = f"shadowed_{database}"
    postgres.psql(
        SCHEMA + f"CREATE ROLE {name} LOGIN PASSWORD 'p'; GRANT USAGE ON SCHEMA shadow TO {name};"
        f"GRANT SELECT ON ALL TABLES IN SCHEMA shadow TO {name};"
        f"ALTER ROLE {name} SET search_path = {request.param}",
        database,
    )
    opened: list[DatabaseSet] = []

    def make(**changes: object) -> Database:
        who = {"user": name, "passwords": (Secret("p"),)}
        opened.append(open_databases([settings_for(postgres, database, **who, **changes)]))
        return opened[-1].database("owner", "main", Call(60))

    yield make
    for databases in opened:
        databases.pools.close(5)
    postgres.psql(f"DROP OWNED BY {name}; DROP ROLE {name}", database)


def test_a_shadow_of_an_operator_is_not_called_by_the_judge(shadowed: Open) -> None:
    judged = shadowed()
    for text in READS:
        for _ in range(2):
            judged.query(text, max_rows=5)
        judged.explain("ANALYZE", text)


def test_a_shadow_of_an_operator_hides_nothing_from_the_judge(shadowed: Open) -> None:
    judged = shadowed()
    comes_first = b"pg_catalog" in (judged.show("show search_path").rows[0][0] or b"")
    for text in [*REFUSED, *(OF_SHADOWS if comes_first else ())]:
        for _ in range(2):
            with pytest.raises(StatementRefusedError, match="user-defined"):
                judged.query(text, max_rows=5)
        with pytest.raises(StatementRefusedError, match="user-defined"):
            judged.explain("", text)


def test_a_shadow_of_an_operator_is_not_called_by_what_reads_the_catalogue(shadowed: Open) -> None:
    reader = shadowed()
    relations = reader.catalogue().relations
    assert sorted(relation.name for relation in relations) == [
        *("calls", "guarded", "indexed", "t", "v")
    ]
    role.read_powers(reader.fetch)
    role.read_log_problem(reader.fetch, "r")
    for text in (
        inspection.CHECKED_DOMAINS_SQL,
        inspection.KEPT_CALLS_SQL,
        inspection.EXTENSIONS_SQL,
    ):
        reader.fetch(text)
    path = reader.fetch("SELECT pg_catalog.current_setting('search_path')").rows[0][0]
    assert path == reader.show("show search_path").rows[0][0]


def test_a_role_is_asked_for_its_powers_without_shadows(shadowed: Open) -> None:
    assert shadowed(require_safe_role=True).query("select 1", max_rows=1).rows == [(b"1",)]
