"""What a statement uses, as PostgreSQL's own analysis of it says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pgmcp.calls.call import Call
from pgmcp.gate import trees
from pgmcp.judging.nodes import Node, parse
from pgmcp.policy.uses import WHOLE_ROW, TreeUses, uses_of
from pgmcp.postgres.driver import Connection
from pgmcp.postgres.messages import Reply, Step
from tests.databases import connect, settings_for
from tools.postgres import Server

SCHEMA = """
CREATE TABLE t (a int, b text, c int);
CREATE TABLE u (a int, d varchar(10), e date);
CREATE VIEW v AS SELECT a, b AS bb FROM t WHERE c > 1;
CREATE VIEW w AS SELECT bb, a, (SELECT max(e) FROM u) AS last FROM v;
CREATE VIEW nobody AS SELECT a, b, c FROM t;
"""


@pytest.fixture(scope="module")
def session(postgres: Server) -> Iterator[Connection]:
    name = f"uses_{postgres.version}"
    postgres.create_database(name)
    postgres.psql(SCHEMA, name)
    connection = connect(settings_for(postgres, name))
    yield connection
    connection.close()
    postgres.drop_database(name)


def uses(session: Connection, text: str) -> TreeUses:
    steps = [Step("BEGIN"), *trees.rewriting(text, session.server_major)]
    tree = trees.rewritten(replies_to(session, steps)[2])
    tops = [item for item in _flat(parse(tree)) if isinstance(item, Node)]
    return uses_of(tops)


def replies_to(session: Connection, steps: list[Step]) -> list[Reply]:
    outcome = session.run(steps, Call(30), limit_bytes=10_000_000)
    session.ensure_clean(Call(30))
    assert outcome.failure is None, outcome.failure
    return outcome.replies


def _flat(items: list[object]) -> Iterator[object]:
    for item in items:
        if isinstance(item, list):
            yield from _flat(item)
        else:
            yield item


@pytest.fixture(scope="module")
def names(session: Connection) -> dict[tuple[int, int], str]:
    """`relation.column` by OID and number; `relation.*` for the whole row."""
    text = (
        "SELECT c.oid, a.attnum, c.relname, a.attname FROM pg_class c"
        " JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relnamespace = 'public'::regnamespace"
    )
    known = {}
    for row in replies_to(session, [Step("BEGIN"), Step(text, describe=True)])[1].rows:
        oid, number, relation, column = (value or b"" for value in row)
        known[int(oid), int(number)] = f"{relation.decode()}.{column.decode()}"
        known[int(oid), WHOLE_ROW] = f"{relation.decode()}.*"
    return known


CASES = [
    ("SELECT a FROM t", "t.a>"),
    ("SELECT * FROM t", "t.a> t.b> t.c>"),
    ("SELECT t FROM t", "t.*>"),
    ("SELECT count(*) FROM t", ""),
    ("SELECT a FROM t WHERE b = 'x'", "t.a> t.b"),
    ("SELECT a::text FROM t", "t.a"),
    ("SELECT lower(b) FROM t ORDER BY c", "t.b t.c"),
    ("SELECT a FROM t ORDER BY a", "t.a"),
    ("SELECT DISTINCT b FROM t", "t.b"),
    ("SELECT b, count(*) FROM t GROUP BY b HAVING min(c) > 1", "t.b t.c"),
    ("SELECT a FROM t GROUP BY GROUPING SETS ((a), (b))", "t.a t.b"),
    ("SELECT a, row_number() OVER (PARTITION BY b ORDER BY c) FROM t", "t.a> t.b t.c"),
    ("SELECT s.a FROM (SELECT * FROM t) s", "t.a>"),
    ("SELECT s.a FROM (SELECT DISTINCT * FROM t) s", "t.a t.b t.c"),
    ("SELECT s FROM (SELECT a, b FROM t) s", "t.a t.b"),
    ("SELECT a FROM t JOIN u USING (a)", "t.a u.a"),
    ("SELECT a FROM t FULL JOIN u USING (a)", "t.a u.a"),
    ("SELECT d FROM t NATURAL JOIN u", "u.d> t.a u.a"),
    ("SELECT j.b FROM (t JOIN u ON true) j (x, b)", "t.b>"),
    ("SELECT b FROM t UNION ALL SELECT d FROM u", "t.b> u.d>"),
    ("SELECT b FROM t UNION SELECT d FROM u", "t.b u.d"),
    ("SELECT x.b FROM (SELECT b, c FROM t UNION ALL SELECT d, a FROM u) x", "t.b> u.d>"),
    ("SELECT b FROM t EXCEPT ALL SELECT d FROM u", "t.b u.d"),
    ("WITH q AS (SELECT a, b FROM t) SELECT b FROM q", "t.b>"),
    ("WITH q AS (SELECT a, b FROM t) SELECT 1", ""),
    ("WITH q AS (SELECT a, b FROM t) SELECT q FROM q", "t.a t.b"),
    (
        "WITH RECURSIVE q AS (SELECT a, c FROM t UNION ALL SELECT u.a, q.c FROM q, u"
        " WHERE u.a = q.c) SELECT a FROM q",
        "t.a> t.c u.a",
    ),
    ("SELECT (SELECT b FROM t LIMIT 1)", "t.b>"),
    ("SELECT EXISTS (SELECT b FROM t WHERE c > 0)", "t.c"),
    ("SELECT 1 IN (SELECT a FROM t)", "t.a"),
    ("SELECT ARRAY(SELECT b FROM t)", "t.b"),
    ("SELECT (SELECT max(u.a) FROM u WHERE u.d = t.b) FROM t", "u.a u.d t.b"),
    ("SELECT x FROM t, LATERAL (VALUES (t.b)) l (x)", "t.b"),
    ("SELECT x FROM t, LATERAL unnest(ARRAY[t.b]) x", "t.b"),
    ("SELECT 1 FROM t TABLESAMPLE SYSTEM (10)", ""),
    ("SELECT a FROM v", "v.a> t.a> t.c"),
    ("SELECT bb FROM v", "v.bb> t.b> t.c"),
    ("SELECT count(*) FROM v", "t.c"),
    ("SELECT a FROM w", "w.a> v.a> t.a> t.c"),
    ("SELECT last FROM w", "w.last> u.e t.c"),
    ("SELECT v FROM v", "v.*> t.a t.b t.c"),
    ("SELECT a FROM nobody", "nobody.a> t.a>"),
    ("SELECT ctid, tableoid FROM t", "t.ctid> t.tableoid>"),
    ("SELECT coalesce(b, 'x') FROM t", "t.b"),
    ("SELECT (t).b FROM t", "t.b>"),
    ("SELECT row_to_json(t) FROM t", "t.*"),
    ("SELECT 1 FROM t LIMIT (SELECT a FROM u LIMIT 1)", "u.a"),
]


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[text for text, _ in CASES])
def test_columns_that_are_used(
    session: Connection, names: dict[tuple[int, int], str], text: str, expected: str
) -> None:
    """`>` marks a column that is only put out."""
    used = uses(session, text).columns
    computed = {names[use.relation, use.attribute] for use in used if not use.output}
    put_out = {names[use.relation, use.attribute] for use in used} - computed
    assert computed | {f"{name}>" for name in put_out} == set(expected.split())
