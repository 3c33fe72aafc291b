# ruff: noqa: E501 - a statement is one line
"""Ordinary reads, which a policy must neither refuse nor change.

`<table>` has the columns `<number>` and `<text>`, which may be read; `<other>` is such a table too,
with a column `<other_number>`. Those in WHOLE read all columns of the table.
"""

PARTS = r"""
# Result columns
select <number> from <table>
select <number>, <text> from <table>
select t.<number> as n, t.<text> as "Some Text" from <table> t
select <number> + 1, <number> * 2.5, -<number>, abs(<number>) from <table>
select <text> || '!' as shouted, upper(<text>), length(<text>) from <table>
select <number>::text, <number>::numeric(12, 2), cast(<text> as varchar(3)) from <table>
select coalesce(<text>, '-'), nullif(<text>, 'x'), greatest(<number>, 1), least(<number>, 1) from <table>
select case when <number> > 2 then 'many' when <number> is null then 'none' else 'few' end from <table>
select case <text> when 'n1' then 1 else 2 end from <table>
select array[<number>, <number> + 1], (array[<text>])[1] from <table>
select row(<number>, <text>), row(<number>) = row(1) from <table>
select json_build_object('number', <number>, 'text', <text>) from <table>
select to_jsonb(<text>), jsonb_build_array(<number>) -> 0 from <table>
select left(<text>, 2), right(<text>, 2), substring(<text> from 2 for 2), split_part(<text>, ' ', 1) from <table>
select regexp_replace(<text>, '[0-9]', '#', 'g'), replace(<text>, 'n', 'm'), trim(<text>) from <table>
select format('%s-%s', <number>, <text>), concat_ws(', ', <number>, <text>) from <table>
select md5(<text>), reverse(<text>), initcap(<text>), lpad(<text>, 10, '.') from <table>
select to_char(<number>, '999D9'), round(<number>::numeric, 1), mod(<number>::int, 3) from <table>
select <number> between 1 and 3, <number> in (1, 2), <text> like 'n%', <text> ~ '^n' from <table>
select <text> is null, <text> is not distinct from 'n1', <number> is not null from <table>
select <text> collate "C" from <table>
select pg_typeof(<number>)::text, pg_typeof(<text>)::text from <table>
select pg_column_size(<number>) from <table>
select distinct <text> from <table>
select distinct on (<text>) <text>, <number> from <table> order by <text>, <number>
select 1 from <table>
select count(*), 'all' from <table>
select tableoid is not null, ctid is not null from (select 1 as tableoid, 2 as ctid from <table>) t

# Conditions
select <number> from <table> where <number> = 3
select <number> from <table> where <text> = 'n1'
select <number> from <table> where <number> > 1 and <number> <= 5 or <text> is null
select <number> from <table> where not <number> between 2 and 4
select <number> from <table> where <text> ilike '%N1%' and <text> not like 'x%'
select <number> from <table> where <text> similar to 'n[0-9]+'
select <number> from <table> where <number> in (select <other_number> from <other>)
select <number> from <table> where <number> not in (1, 2, 3)
select <number> from <table> t where exists (select from <other> o where o.<other_number> = t.<number>)
select <number> from <table> t where not exists (select 1 from <other> o where o.<other_number> = t.<number> + 100)
select <number> from <table> where <number> = any (array[1, 2, 3])
select <number> from <table> where <number> > all (select 1)
select <number> from <table> where (<number>, <text>) > (1, 'n')
select <number> from <table> where <number> = (select max(<number>) from <table>)
select <number> from <table> where length(<text>) > 1 and position('n' in <text>) > 0
select <number> from <table> where to_tsvector('simple', <text>) @@ plainto_tsquery('simple', 'n1')
select <number> from <table> where <number> is distinct from null
select <number> from <table> where <text> = 'secret' or <text> = 'it''s'
select <number> from <table> where random() >= 0

# Order and LIMIT
select <number>, <text> from <table> order by <number>
select <number> from <table> order by <text> desc nulls last, 1 limit 5
select <number> from <table> order by <number> offset 2 limit 2
select <number> as n from <table> order by n desc fetch first 3 rows only
select <number> from <table> order by <number> % 3, <number>
select <number> from <table> order by <text> collate "C", <number>
select <number> from <table> order by <number> fetch first 2 rows with ties
select <text>, <number> from <table> order by 1, 2
select <number> from <table> order by case when <number> = 2 then 0 else 1 end, <number>

# Groups, aggregates and windows
select count(*) from <table>
select count(<text>), count(distinct <text>), min(<number>), max(<number>), sum(<number>), avg(<number>) from <table>
select <text>, count(*) from <table> group by <text> order by 2 desc, 1
select <text>, sum(<number>) from <table> group by 1 having count(*) > 0 order by 1
select <number> % 2 as odd, count(*) from <table> group by odd order by odd
select <text>, count(*) from <table> group by rollup (<text>) order by 1 nulls last, 2
select grouping(<text>), count(*) from <table> group by grouping sets ((<text>), ()) order by 1, 2
select string_agg(<text>, ', ' order by <number>) from <table>
select array_agg(<number> order by <number>), json_agg(<text> order by <number>) from <table>
select count(*) filter (where <number> > 2) from <table>
select percentile_cont(0.5) within group (order by <number>) from <table>
select mode() within group (order by <text>) from <table>
select bool_and(<number> > 0), every(<text> is not null) from <table>
select stddev(<number>), variance(<number>), corr(<number>, <number>) from <table>
select <number>, row_number() over (order by <number>), rank() over (order by <text>, <number>) from <table> order by 1
select <number>, sum(<number>) over (order by <number> rows between unbounded preceding and current row) from <table> order by 1
select <number>, lag(<text>) over w, lead(<number>) over w from <table> window w as (order by <number>, <text>) order by 1
select <text>, count(*) over (partition by <text>), first_value(<number>) over (partition by <text> order by <number>) from <table> order by 1, 3
select <number>, ntile(3) over (order by <number>), percent_rank() over (order by <number>) from <table> order by 1

# Joins
select a.<number>, b.<text> from <table> a join <table> b on a.<number> = b.<number> order by 1
select a.<number> from <table> a left join <other> o on o.<other_number> = a.<number> order by 1
select a.<number>, o.<other_number> from <table> a full join <other> o on o.<other_number> = a.<number> order by 1, 2
select count(*) from <table> a cross join (values (1), (2)) v (x)
select count(*) from <table> a, <other> o where a.<number> = o.<other_number>
select v.x, a.<text> from (values (1), (2)) v (x) left join <table> a on a.<number> = v.x order by 1, 2
select a.<number>, l.n from <table> a cross join lateral (select count(*) as n from <other> o where o.<other_number> < a.<number>) l order by 1
select a.<number>, g from <table> a, generate_series(1, 2) g order by 1, 2
select <number>, b.<text> from (select <number> from <table>) a join (select <number>, <text> from <table>) b using (<number>) order by 1
select count(*) from (select <number> from <table>) a natural join (select <number> from <table>) b
select a.<number>, w from <table> a cross join lateral regexp_split_to_table(a.<text>, '') w order by 1, 2

# Subqueries and WITH
select s.n from (select <number> as n from <table>) s where s.n > 1
select (select count(*) from <other>), (select max(<number>) from <table>)
select <number>, (select count(*) from <other> o where o.<other_number> = t.<number>) from <table> t order by 1
with w as (select <number>, <text> from <table>) select count(*) from w
with w as (select <number> as n from <table>), v as (select n * 2 as m from w) select max(m) from v
with w as materialized (select <text> from <table>) select <text>, count(*) from w group by 1 order by 1
with recursive r (n) as (select 1 union all select n + 1 from r where n < 5) select r.n, t.<text> from r left join <table> t on t.<number> = r.n order by 1, 2
with w as (select <number> from <table>) select a.<number> from w a join w b using (<number>) order by 1
select * from (select <number>, <text> from <table>) s order by 1, 2
select s.* from (select <number> as a, <text> as b from <table> order by 1, 2 limit 3) s
select row_to_json(s) from (select <number>, <text> from <table> order by 1, 2) s
select json_agg(s) from (select <number> as n from <table> order by 1) s

# Sets and VALUES
select <number> from <table> union select <other_number> from <other> order by 1
select <text> from <table> union all select 'x' order by 1
select <number> from <table> intersect select 1 order by 1
select <number> from <table> except select 1 order by 1
(select <number> from <table> order by 1 limit 2) union all (select 99)
select count(*) from (select <text> from <table> union select <text> from <table>) u

# Functions that return rows
select unnest(array[<number>, 0]) from <table>
select <number>, string_to_table(<text>, '1') from <table>
select x.key, x.value from <table> t cross join lateral jsonb_each_text(jsonb_build_object('k', t.<text>)) x order by 1, 2
select generate_series(1, 2), <number> from <table>

# Plans
explain (costs off) select <number> from <table> where <number> = 1
explain (costs off, format json) select count(*) from <table>
execute_explain {"query": "select count(*) from <table>"}

# Tools
count_rows {"table": "<table>"}
count_rows {"table": "<table>", "filter": [{"column": "<number>", "op": ">", "value": "2"}]}
count_rows {"table": "<table>", "filter": [{"column": "<text>", "op": "ilike", "value": "%1%"}]}
query_database {"query": "how many <name> are there?"}
"""

WHOLE = r"""
# All columns
select * from <table>
select t.* from <table> t order by <number>
table <table>
select t from <table> t order by <number>
select row_to_json(t) from <table> t order by <number>
select to_jsonb(t) -> '<number>' from <table> t
select json_agg(t order by <number>) from <table> t
select count(t) from <table> t
with w as (select * from <table>) select <number> from w order by 1
select a.* from <table> a join <other> o on a.<number> = o.<other_number> order by <number>
select (t).<text> from <table> t order by 1
select distinct t.* from <table> t order by <number>, <text>
"""

NO_TABLE = r"""
# Without a table
select 1
select now() is not null, current_date is not null, clock_timestamp() > '2020-01-01'
select 'salaries', 'users.password', $$secret$$, U&'\0041'
values (1, 'a'), (2, 'b')
select * from (values (1, 'a')) v (n, t)
select generate_series(1, 3)
select date '2024-02-29' + interval '1 year', age(date '2024-01-01', date '2023-01-01')
select extract(year from timestamp '2024-05-06'), date_trunc('month', timestamp '2024-05-06 07:08')
select to_char(timestamp '2024-05-06', 'YYYY-MM-DD'), to_date('06.05.2024', 'DD.MM.YYYY')
select '{"a": {"b": 1}}'::jsonb #>> '{a,b}', jsonb_path_query('[1, 2]', '$[*]')
select array_agg(x) from unnest(array[3, 1, 2]) x
select 1.5::numeric / 3, 7 / 2, 7 % 2, 2 ^ 10, sqrt(2), round(2.567, 1)
select '10.0.0.1'::inet << '10.0.0.0/8', int4range(1, 5) @> 3, '(1,2)'::point
select to_tsvector('english', 'The quick foxes') @@ to_tsquery('english', 'fox')
select pg_backend_pid() > 0, current_database() is not null, version() like 'PostgreSQL%'
select current_user = session_user, current_setting('server_version_num')::int > 0
select pg_size_pretty(123456::bigint), pg_size_bytes('1 MB')
select case when 1 = 1 then 'yes' end, coalesce(null, 2), nullif(1, 1)
with recursive f (a, b) as (select 0, 1 union all select b, a + b from f where b < 50) select a from f
with users as (select 1 as password) select password from users
with salaries (amount) as (values (1), (2)) select sum(amount) from salaries
select password from (select 'x' as password) users
select string_agg(c, '' order by c desc) from unnest(string_to_array('abc', null)) c
select regexp_matches('a1b2', '[0-9]', 'g')
show server_version
explain (costs off) select 1
"""
