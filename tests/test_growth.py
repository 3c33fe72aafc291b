"""Values that would fill the server's memory, and calls that no time-out ends, are not run."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from pgmcp.calls.call import Call
from pgmcp.errors import StatementError, StatementRefusedError
from pgmcp.gate.port import Database
from tests.databases import open_databases, settings_for
from tools.postgres import Server

_LONG = "repeat('a', 2000000)"
_MISSED = "'b' || repeat('a', 100000)"
_ARRAY = "array(select g from generate_series(1, 1000000) g)"
_WORDS = "array(select 'w' || g from generate_series(1, 100000) g)"


def _vector(words: int, positions: int) -> str:
    places = ",".join(map(str, range(1, positions + 1)))
    return " ".join(f"w{n}:{places}" for n in range(words))


def _terms(number: int) -> str:
    return "&".join(f"w{n}" for n in range(number))


STEPS_MULTIPLY = [
    f"select position({_MISSED} in {_LONG})",
    f"select strpos({_LONG}, {_MISSED})",
    f"select position(({_MISSED})::bytea in {_LONG}::bytea)",
    "select position((repeat('1', 200000) || '0')::varbit in repeat('1', 400000)::varbit)",
    f"select translate({_LONG}, {_MISSED}, 'x')",
    f"select length(btrim({_LONG}, {_MISSED}))",
    f"select length(ltrim({_LONG}, {_MISSED})), length(rtrim({_LONG}, {_MISSED}))",
    f"select length(trim(({_MISSED})::bytea from {_LONG}::bytea))",
    f"select replace({_LONG}, {_MISSED}, 'x')",
    f"select split_part({_LONG}, {_MISSED}, 2)",
    f"select string_to_array({_LONG}, {_MISSED})",
    f"select count(*) from string_to_table({_LONG}, {_MISSED})",
    f"select {_LONG} like '%' || {_MISSED} || '%'",
    f"select {_LONG} ilike '%' || {_MISSED} || '%'",
    f"select {_ARRAY} && {_ARRAY}",
    f"select {_ARRAY} @> {_ARRAY}, {_ARRAY} <@ {_ARRAY}",
    f"select array_agg(a) && array_agg(b) from (select {_ARRAY} a, {_ARRAY} b) t group by a",
    f"select to_jsonb({_WORDS}) ?| {_WORDS}",
    f"select to_jsonb({_WORDS}) ?& {_WORDS}",
    f"select to_jsonb({_WORDS}) @> to_jsonb({_WORDS}), to_jsonb({_WORDS}) - {_WORDS}",
    "select plainto_tsquery('simple', repeat('a ', 100000))",
    "select phraseto_tsquery(repeat('a ', 100000))",
    "select (repeat('a & ', 100000) || 'a')::tsquery",
    "select length(normalize(repeat(U&'\\0301\\0323', 100000)))",
    "select path(p) <-> path(p) from (select polygon(100000, '<(0,0),1>'::circle) p) t",
    "select p ~= p from (select polygon(100000, '<(0,0),1>'::circle) p) t",
    # through columns of subqueries, CTEs, unions, joins and VALUES
    f"select position(x in y) from (select {_MISSED} x, {_LONG} y offset 0) t",
    f"with t as materialized (select {_MISSED} x, {_LONG} y) select position(x in y) from t",
    # a name with a space in it that is none to PostgreSQL, and the words of a tree
    f'with "t\u00a0:ctelevelsup\u00a09" as materialized (select {_MISSED} x, {_LONG} y)'
    ' select position(x in y) from "t\u00a0:ctelevelsup\u00a09"',
    f"select strpos(y, x) from (values ({_MISSED}, {_LONG}), ('', '')) t (x, y)",
    f"select strpos(y, x) from (select {_LONG} y union all select '') a,"
    f" (select '' x union all select {_MISSED}) b",
    f"select strpos(y, x) from ((select {_LONG} y) a cross join (select {_MISSED} x) b) c",
    "select strpos(y, x) from (select string_agg(g::text, '') y, string_agg(g::text, ',') x from"
    " generate_series(1, 1000000) g offset 0) t",
    f"select strpos((select {_LONG}), (select {_MISSED}))",
    "with recursive r (x, n) as (select 'ab', 0 union all select x || x, n + 1 from r where n < 20)"
    " select strpos(x, x || 'c') from r",
    # each for a second or so, but many of them
    "select " + ", ".join(f"mod(a, b + {n}) > 1" for n in range(20))
    + " from (select repeat('9', 120000)::numeric a, repeat('7', 60000)::numeric b offset 0) s",
    "select " + ", ".join(f"a % (a - {n}) > 1" for n in range(20))
    + " from (select 1e130000 + 1 a offset 0) s",
    "select " + ", ".join(f"a * (a - {n}) > 1" for n in range(20))
    + " from (select power(10::numeric, 60000) + 1 a offset 0) s",
    "select " + ", ".join(f"md5(x || '{n}')" for n in range(60))
    + " from (select repeat('a', 60000000) x offset 0) s",
    "select " + ", ".join(f"position('b{n}' || repeat('a', 20000) in x)" for n in range(60))
    + " from (select repeat('a', 10000) x offset 0) s",
    # whatever their kind, large values in very many calls
    "select " + ", ".join(f"md5(x || '{n}')" for n in range(1200))
    + " from (select repeat('a', 900000) x offset 0) s",
    "select " + ", ".join(f"sha512(x) = '{n}'" for n in range(1100))
    + " from (select string_agg(relname, '')::bytea x from pg_class) s",
    f"select {', '.join(f'exp(5999.{n}::numeric) > 1' for n in range(800))}",
    f"select {', '.join(f'power(3.0::numeric, 270000 + {n}) > 1' for n in range(40))}",
    f"select {', '.join(f'sqrt((1e130000 + {n}) / 3) > 1' for n in range(3))}",
    # text search
    f"select ts_rank('{_vector(60, 255)}', '{_terms(60)}', 1), "
    f"ts_rank(array[.1, .2, .3, .4], '{_vector(60, 254)}', '{_terms(60)}', 1), "
    + ", ".join(f"ts_rank(v, q, {n})" for n in range(10))
    + f" from (select '{_vector(60, 253)}'::tsvector v, '{_terms(60)}'::tsquery q) s",
    f"select ts_rank('{_vector(6000, 8)}', '{_terms(6000)}')",
    "select ts_rank(to_tsvector('simple', string_agg(relname, ' ')), to_tsquery('simple',"
    " string_agg(relname, '&'))) from pg_class",
    f"select {' && '.join(['q'] * 500)} from (select '{_terms(60)}'::tsquery q offset 0) s",
    f"select {' <-> '.join(['q'] * 500)} from (select '{_terms(60)}'::tsquery q offset 0) s",
]  # fmt: skip

_DOCUMENT = "xmlparse(document '<r>' || repeat('<a/>', 20000) || '</r>')"
SLOW_PATHS = [
    f"""select xmlexists('//a[//a[//a[. = "x"]]]' passing by value {_DOCUMENT})""",
    f"select xpath('//a[//a = \"q\"]', {_DOCUMENT})",
    f"select xpath_exists('//a[preceding::a[following::b]]', {_DOCUMENT}, array[]::text[])",
    f"""select count(*) from xmltable('//a[//a="q"]' passing {_DOCUMENT}
        columns x text path '.')""",
    f"""select count(*) from xmltable('//a' passing {_DOCUMENT} columns x text path
        '//a[//a="q"]')""",
    "select xpath('//a[//a[//a[//a[//a]]]]', xmlparse(document relname)) from pg_class",
    "select xpath('//a[//b]', xmlagg(xmlparse(content relname))) from pg_class",
    "select xpath('//' || relname, xmlparse(document '<a/>')) from pg_class",
    "select * from pg_class c, xmltable(('//' || relname) passing xmlparse(document '<a/>')"
    " columns x text)",
]

GROWS = [
    "select length(repeat(repeat('a', 30000), 30000))",
    "select cardinality(string_to_array(repeat('x', 100000000), null))",
    "select count(*) from string_to_table(repeat('x', 100000000), null)",
    "select cardinality(regexp_split_to_array(repeat('x ', 50000000), ' '))",
    "select ('[' || repeat('1,', 50000000) || '1]')::jsonb",
    "select ('[' || repeat('1,', 50000000) || '1]')::json -> 0",
    "select ('{' || repeat('1,', 50000000) || '1}')::int[]",
    "select ('{' || repeat('1,', 50000000) || '1}')::text::text[]",
    "select ('<r>' || repeat('<a/>', 50000000) || '</r>')::xml",
    "select repeat('a ', 50000000)::tsvector",
    "select to_tsvector('simple', repeat('a ', 50000000))",
    "select length(array_to_string(array_fill('a'::text, array[20000]), repeat('x', 200000)))",
    "select length(array_to_string(string_to_array(repeat('x,', 20000), ','), repeat('x', 99999)))",
    "select length(concat_ws(repeat('x', 2000000), variadic array_fill('a'::text, array[9])))",
    "select npoints(polygon(60000000, '<(0,0),1>'::circle))",
    "select length(" + "quote_literal(" * 30 + "''''" + ")" * 30 + ")",
    "select length(" + "to_json(" * 12 + "'\"'::text" + ")::text" * 12 + ")",
    "select length('" + "x" * 100 + "'" + "::text::bytea::text" * 15 + ")",
    "select string_to_array(x, null) from (select repeat('x', 100000000) x offset 0) t",
    "select string_to_array(repeat('x', n::int), null) from (values (100000000)) v (n)",
    "select string_agg(repeat('x', 1000000), '') from generate_series(1, 900)",
    "select ('<a ' || string_agg(relname || '=\"\"', ' ') || '/>')::xml from pg_class",
    "select xmlparse(content '<a ' || string_agg(relname || '=\"\"', ' ') || '/>') from pg_class",
    "select string_agg(x, '') from (select repeat('x', 1000000) x from generate_series(1, 900)) t",
    f"select ts_rewrite('{_terms(3000)}', 'w1', '{_terms(3000)}')",
    "select ts_rank_cd(to_tsvector('simple', repeat('w1 w2 w3 w4 w5 w6 w7 w8 ', 20000)),"
    f" '{_terms(6000)}')",
]


_PGCRYPTO = re.compile(r"\b(pgp_|crypt|digest|hmac)")


@pytest.fixture
def judged(postgres: Server, database: str) -> Iterator[Database]:
    databases = open_databases([settings_for(postgres, database)])
    yield databases.database("owner", "main", Call(60))
    databases.pools.close(5)


def outcomes(judged: Database, statements: list[str]) -> dict[str, str]:
    """What became of the statements that were not refused for their size."""
    found = {}
    for text in statements:
        try:
            judged.query(text, max_rows=1)
        except StatementRefusedError as error:
            if "product of its arguments" in error.message or "grow" in error.message:
                continue
            found[text] = error.message
        else:
            found[text] = "ran"
    return found


def test_what_no_time_out_ends_is_not_run(judged: Database) -> None:
    assert outcomes(judged, STEPS_MULTIPLY) == {}


@pytest.mark.parametrize("text", SLOW_PATHS)
def test_slow_and_unknown_paths_in_documents_are_not_evaluated(judged: Database, text: str) -> None:
    with pytest.raises(StatementRefusedError, match=r"no time-out ends.*(simple paths|constant)"):
        judged.query(text, max_rows=1)


def test_ordinary_paths_in_documents_are_evaluated(judged: Database) -> None:
    documents = "(select xmlelement(name r, xmlelement(name a, relname)) x from pg_class) t"
    small = "xml '<r><a id=\"1\">x</a></r>'"
    for text in (
        f"select xpath('//a/text()', x), xpath_exists('/r/a[. = \"b\"]', x) from {documents}",
        f"select xpath('//a[b//c]/../d[last()]', x) from {documents}",
        f"select xmlexists('//a[text() = \"b\"]' passing by value x) from {documents}",
        f"select u.* from {documents}, xmltable('/r/a' passing x columns n for ordinality,"
        " r text path '../@id', t text path '.', d text default 'x') u",
        f"select xpath('//a[@id = 1]', {small}), xpath('//x:a', {small}, array[array['x', 'y']])",
        f"select xpath('//a[@id = \"1\"]', {_DOCUMENT})",
        "select xpath('/r/a[1]', xmlelement(name r, xmlagg(xmlelement(name a, oid)))) from"
        " pg_class",
    ):
        try:
            judged.query(text, max_rows=1)
        except StatementError as error:
            assert "unsupported XML feature" in error.message  # built without libxml


def test_many_calls_with_ordinary_values_run(judged: Database) -> None:
    for text in (
        "select " + ", ".join(f"power(1.05, {n}) * relpages::numeric / {n}" for n in range(1, 300))
        + " from pg_class",
        "with recursive m (n, x, y) as (select 1, 0.1, 0.2 union all select n + 1, round(x * x -"
        " y * y + 0.3, 9), round(2 * x * y, 9) from m where n < 20) select * from m",
        "select " + ", ".join(f"lpad(md5(relname || '{n}'), 40)" for n in range(300))
        + " from pg_class",
        "with t as materialized (select jsonb_object_agg(relname, relkind) j from pg_class) select "
        + ", ".join(f"j ->> 'column{n}'" for n in range(300)) + " from t",
    ):  # fmt: skip
        judged.query(text, max_rows=1)


def test_values_that_grow_past_the_limit_are_not_made(judged: Database) -> None:
    assert outcomes(judged, GROWS) == {}


def test_ordinary_uses_of_the_same_functions_run(judged: Database) -> None:
    for text in (
        "select position('needle' in string_agg(relname, ',')) from pg_class",
        "select replace(string_agg(relname, ','), ',', '; ') from pg_class",
        "select "
        + ", ".join(
            f"position(min(relname)::text || '{n}' in string_agg(relname, ','))" for n in range(6)
        )
        + ", position(max(relname) in string_agg(relname, ',')) from pg_class",
        "select (array_agg(oid))[1], array_agg(oid) && array[1::oid, 2] from pg_class",
        "select 1 from pg_index where indkey::int2[] && array(select relnatts from pg_class)",
        "select array(select g from generate_series(1, 100) g limit 100) && "
        "array(select g from generate_series(1, 100) g limit 100)",
        "select ('[' || string_agg(oid::text, ',') || ']')::jsonb ->> 0 from pg_class",
        "select jsonb_pretty(jsonb_agg(c)), to_jsonb(array_agg(oid)) - 1 from pg_class c",
        "select cardinality(string_to_array(string_agg(relname, ','), ',')) from pg_class",
        "select string_to_array(array_to_string(array_agg(oid), ','), ',')::oid[] from pg_class",
        "select relname like '%class%', translate(relname, 'abc', 'xyz'), btrim(relname, ' _'),"
        " lpad(relname, relpages + 20) from pg_class",
        "select string_to_array(replace(relname, 'a', relname), '_') from pg_class",
        "select btrim(repeat(' ', 1000) || 'x'), position('b' in repeat('a', 1000000))",
        "select to_tsvector('english', description) @@ plainto_tsquery('english', 'the access')"
        " from pg_description limit 5",
        "select ('a & ' || relname)::tsquery from pg_class",
        "select normalize('a'), concat_ws(', ', relname, relkind), format('%-20s', relname)"
        " from pg_class",
        "with recursive p (path, n) as (select array[1], 1 union all select path || n, n + 1 from p"
        " where n < 10 and not path @> array[n + 1]) select * from p",
    ):
        judged.query(text, max_rows=1)


def test_functions_of_contrib_are_measured_like_built_in_ones(
    judged: Database, postgres: Server, database: str
) -> None:
    has_pgcrypto = postgres.psql("select 1 from pg_available_extensions where name = 'pgcrypto'")
    for name in ("citext", "ltree", "pg_trgm", "fuzzystrmatch", *["pgcrypto"] * bool(has_pgcrypto)):
        postgres.psql(f"create extension {name}", database)
    words = "(select string_agg(md5(g::text), ' ') from generate_series(1, 5000) g)"
    refused = [
        f"select word_similarity({words}, {words})",
        f"select {words} <<% {words}",
        f"select {words} <->>> {words}",
        f"select {_LONG}::citext like ('%' || {_MISSED})::citext",
        f"select translate({_LONG}::citext, ({_MISSED})::citext, 'x')",
        "select index((repeat('a.', 60000) || 'a')::ltree, (repeat('a.', 30000) || 'b')::ltree)",
        f"select similarity({words}, 'x'), show_trgm({words})",
        f"select {words} % 'x', {words} <-> 'x'",
        "select crypt(repeat('a', 9000000), '$1$abcdefgh')",
        "select "
        + ", ".join(f"pgp_sym_encrypt('a', '{n}', 's2k-count=65011712')" for n in range(30)),
        "select "
        + ", ".join("pgp_sym_decrypt(c, 'k')" for _ in range(30))
        + " from (select decode('YQ==', 'base64') c offset 0) s",
        f"select pgp_sym_decrypt_bytea(decode('{'YQ' * 400000}', 'base64'), 'k')",
        "select "
        + ", ".join(f"md5(x || '{n}')" for n in range(20))
        + f" from (select pgp_sym_decrypt(decode('{'YQ' * 60000}', 'base64'), 'k') x offset 0) s",
        f"select greatest({', '.join(['levenshtein(x, y)'] * 700)}) from (select"
        f" '{'𝄞' * 255}' x, '{'𝄢' * 255}' y offset 0) s",
    ]
    refused = [text for text in refused if has_pgcrypto or not _PGCRYPTO.search(text)]
    assert outcomes(judged, refused) == {}
    for text in (
        "select relname from pg_class where word_similarity('klass', relname) > 0.3",
        "select 'ABC'::citext like 'a%', translate('ABC'::citext, 'b', 'x')",
        "select index('a.b.c'::ltree, 'b'::ltree), 'a.b'::ltree @ 'a & b'",
        "select relname, similarity(relname, 'klass') s, relname <-> 'klass' from pg_class"
        " where relname % 'klass' or levenshtein(relname::text, 'klass') < 3 order by s",
        "select crypt('a', gen_salt('bf', 4)), digest(relname, 'sha256'), hmac(relname, 'k', 'md5')"
        " from pg_class limit 3",
        "select pgp_sym_decrypt(pgp_sym_encrypt(relname, 'k'), 'k') from pg_class limit 3",
    ):
        if has_pgcrypto or not _PGCRYPTO.search(text):
            judged.query(text, max_rows=1)


def test_what_the_planner_would_copy_is_counted(judged: Database) -> None:
    for start in ("select 1 x", "select 1 x offset 0"):
        parts = [f"a0 as not materialized ({start})"]
        parts += [
            f"a{n} as not materialized (select p.x from a{n - 1} p, a{n - 1} q)"
            for n in range(1, 25)
        ]
        with pytest.raises(StatementRefusedError, match="unfold"):
            judged.query(f"with {', '.join(parts)} select 1 from a24", max_rows=1)
    union = " union all ".join(["select oid::int x from pg_class"] * 300)
    conditions = " and ".join(f"x <> {n}" for n in range(1500))
    with pytest.raises(StatementRefusedError, match="unfold"):
        judged.query(f"with t as ({union}) select 1 from t where {conditions}", max_rows=1)
    once = "with a as not materialized (select 1 x), b as (select x from a) select * from a, b"
    assert judged.query(once, max_rows=1).rows == [(b"1", b"1")]
