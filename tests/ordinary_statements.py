"""Statements that analysts, administrators and their tools really send, large and deep ones too.

None of them may be refused for its size. They run in an empty database of either major version.
"""

from __future__ import annotations


def nested(form: str, levels: int, inner: str) -> str:
    """`form` with `{}` in it, around itself."""
    for _ in range(levels):
        inner = form.format(inner)
    return inner


_NUMBERS = ", ".join(map(str, range(10_000)))
_COLUMNS = ", ".join(f"relpages + {n} as c{n}" for n in range(300))
_SMALL = "(select g as id, g % 7 as kind, 'n' || g as name from generate_series(1, 50) g)"

ORDINARY: tuple[str, ...] = (
    # long lists
    f"select relname from pg_class where oid in ({_NUMBERS})",
    f"select relname from pg_class where lower(relname) not in ('x', 'y') and oid in ({_NUMBERS})",
    f"select count(*) from pg_class where oid = any (array[{_NUMBERS}]::oid[])",
    "select count(*) from pg_class where (relname, relkind) in ("
    + ", ".join(f"('t{n}', 'r')" for n in range(1000))
    + ")",
    "select count(*) from (values "
    + ", ".join(f"({n}, 'name {n}', now())" for n in range(3000))
    + ") as v (id, name, at)",
    f"select {_COLUMNS} from pg_class limit 1",
    f"select * from (select {_COLUMNS} from pg_class) t order by c1, c2, c3 limit 1",
    "select " + ", ".join(f"max(relpages) filter (where relkind = '{chr(97 + n % 26)}') as k{n}"
                          for n in range(200)) + " from pg_class",
    "select 1 where " + " or ".join(f"(1 = {n} and 2 = {n})" for n in range(500)),
    "select concat(" + ", ".join(["relname"] * 90) + ") from pg_class limit 1",
    # ranges, many of them
    "select count(*) from pg_class where relpages between 1 and 2 and (reltuples between 3 and 4 or"
    " (relnatts between symmetric 6 and 5 and oid not between 7 and 8))",
    "select "
    + ", ".join(f"count(*) filter (where oid between {n} and {n + 9})" for n in range(300))
    + " from pg_class",
    "select case " + " ".join(f"when oid between {n} and {n + 9} then {n}" for n in range(300))
    + " end from pg_class",
    "select count(*) from pg_class where date_trunc('month', now() - make_interval(days =>"
    " coalesce(relpages, 0))) between date_trunc('year', now()) and (select max(now()) from"
    " pg_class where relpages between 1 and (select max(relnatts) from pg_class))",
    # depth
    nested("select case when 1 = 2 then 0 else ({}) end", 60, "select 1"),
    "select " + nested("case when relpages > 3 then 1 else {} end", 40, "0") + " from pg_class",
    "select " + nested("replace({}, 'a', 'b')", 50, "relname") + " from pg_class",
    "select " + nested("coalesce({}, 0)", 80, "relpages") + " from pg_class",
    nested("select * from ({}) t", 40, "select 1 as a"),
    "select " + "(" * 100 + "1" + ")" * 100,
    "with c0 as (select 1 as a), "
    + ", ".join(f"c{n} as (select a + 1 as a from c{n - 1})" for n in range(1, 60))
    + " select * from c59",
    "with recursive t (n) as (values (1) union all select n + 1 from t where n < 100)"
    " select sum(n) from t",
    " union all ".join(f"select {n} as n, count(*) from pg_class where relnatts = {n}"
                       for n in range(100)),
    # many tables
    "select count(*) from pg_class a0 "
    + " ".join(f"left join pg_namespace n{n} on n{n}.oid = a0.relnamespace" for n in range(30)),
    "select c.relname, a.attname, t.typname, n.nspname, i.indisprimary, d.description,"
    " pg_get_expr(def.adbin, def.adrelid), col.collname from pg_class c"
    " join pg_namespace n on n.oid = c.relnamespace"
    " join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped"
    " join pg_type t on t.oid = a.atttypid left join pg_collation col on col.oid = a.attcollation"
    " left join pg_index i on i.indrelid = c.oid and a.attnum = any (i.indkey)"
    " left join pg_attrdef def on (def.adrelid, def.adnum) = (a.attrelid, a.attnum)"
    " left join pg_description d on (d.objoid, d.objsubid) = (c.oid, a.attnum)"
    " where c.relkind in ('r', 'v', 'm', 'p') order by n.nspname, c.relname, a.attnum",
    "select table_schema, table_name, column_name, data_type, udt_name from"
    " information_schema.columns order by table_schema, table_name, ordinal_position limit 5",
    "select tc.constraint_name, kcu.column_name, ccu.table_name from"
    " information_schema.table_constraints tc join information_schema.key_column_usage kcu using"
    " (constraint_schema, constraint_name) join information_schema.constraint_column_usage ccu"
    " using (constraint_schema, constraint_name)",
    # groups and windows
    f"select kind, count(*) from {_SMALL} s group by grouping sets ((kind), (name), ())",
    f"select kind, name, id, count(*) from {_SMALL} s group by cube (kind, name, id)",
    f"select kind, name, count(*) from {_SMALL} s group by rollup (kind, name), cube (id)",
    f"select {', '.join(f'id % {n}' for n in range(2, 120))} from {_SMALL} s group by "
    + ", ".join(str(n) for n in range(1, 119)),
    "select " + ", ".join(f"sum(id) over (partition by kind order by id rows {n} preceding)"
                          for n in range(60)) + f" from {_SMALL} s",
    # values made of values
    "select json_build_object('a', 1, 'b', json_build_array(1, 2, json_build_object('c', null)),"
    " 'rows', (select json_agg(row_to_json(t)) from (select 1 as x, 2 as y) t))",
    "select jsonb_object_agg(relname, to_jsonb(c) - 'relacl') from pg_class c where oid < 1300",
    "select string_agg(relname, ', ' order by relname), array_agg(oid order by oid) from pg_class",
    "select array_to_string(array(select relname from pg_class order by 1), E'\\n'),"
    " string_to_array(string_agg(relname, ','), ',') from pg_class",
    "select * from unnest(string_to_array('a,b,c', ',')) with ordinality, regexp_split_to_table("
    "'a b c', '\\s+') r, json_to_recordset('[{\"a\": 1}]') as j (a int) limit 5",
    "select lpad(relname, 40), rpad(relname, 40, '.'), repeat('-', 80), translate(relname, 'abc',"
    " 'xyz'), btrim(relname, ' _'), position('_' in relname), split_part(relname, '_', 2), replace("
    "relname, '_', '-'), strpos(relname, 'a'), regexp_replace(relname, '[aeiou]+', '', 'g')"
    " from pg_class",
    "select count(*) from pg_class where relname like '%a%b%c%' or relname ilike '%X%' or relname"
    " ~ '^pg_.*_index$' or relname similar to '(a|b)%'",
    "select count(*) from pg_index where indkey::int[] && array[1, 2, 3] and indkey::int[] <@"
    " array(select generate_series(0, 100)) and array_position(indkey::int[], 2) is not null",
    "select to_tsvector('simple', relname) @@ to_tsquery('simple', 'pg & class') from pg_class",
    "select round(sum(relpages) * 8192 / 1024.0 ^ 2, 2), exp(1.5), ln(10), power(2::numeric, 64),"
    " factorial(20), sqrt(2::numeric), 1e10 * 1e-10 from pg_class",
    "select encode(sha256(relname::text::bytea), 'hex'), quote_literal(relname), quote_ident("
    "relname), to_json(relname), md5(relname), '{1,2,3}'::int[], '[1, 2]'::jsonb from pg_class",
    "select format('%s.%I %L', relnamespace, relname, relkind) from pg_class limit 3",
    "select (pg_identify_object('pg_class'::regclass, oid, 0)).* from pg_class limit 2",
    "select (json_populate_record(null::pg_namespace, '{\"nspname\": \"a\"}')).*, (t.r).id from"
    f" (select s as r from {_SMALL} s) t limit 1",
    "select (array_agg(c))[1].relname, (max(relname)) from pg_class c",
)  # fmt: skip
