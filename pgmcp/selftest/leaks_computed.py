# ruff: noqa: E501 - an attempt is one line
"""Attempts to learn of a protected column by what is computed of it. The places are those of `leaks`."""

TEXT = r"""
# Computed: operators, casts, functions, constructors
select <secret> = <value> from <table>
select <secret> is null from <table>
select <secret> || '' from <table>
select <secret>::int from <table>
select cast(<secret> as varchar) from <table>
select <secret>::varchar(2) from <table>
select <secret>::char(1) from <table>
select <secret>::name from <table>
reads: select text(<secret>) from <table>
select int4(<secret>::int) from <table>
select <secret> collate "C" from <table>
select coalesce(<secret>, '-') from <table>
select nullif(<secret>, '-') from <table>
select greatest(<secret>, '-') from <table>
select least(<secret>, '~') from <table>
select case <secret> when <value> then 1 else 2 end from <table>
select case when true then <secret> end from <table>
select case when <column> > 0 then <secret> else '-' end from <table>
select length(<secret>) from <table>
select octet_length(<secret>), char_length(<secret>), bit_length(<secret>) from <table>
select upper(<secret>) from <table>
select md5(<secret>) from <table>
select sha256(<secret>::bytea) from <table>
select encode(convert_to(<secret>, 'UTF8'), 'hex') from <table>
select left(<secret>, 1) from <table>
select substring(<secret> from 1 for 1) from <table>
select substring(<secret> similar '%' escape '#') from <table>
select overlay(<secret> placing '' from 1 for 0) from <table>
select position('1' in <secret>) from <table>
select trim(<secret>) from <table>
select reverse(<secret>), ascii(<secret>), hashtext(<secret>) from <table>
select translate(<secret>, '123456789', 'abcdefghi') from <table>
select regexp_replace(<secret>, 'x', 'y') from <table>
select concat(<secret>), concat_ws('', <secret>) from <table>
select format('%s', <secret>) from <table>
select quote_literal(<secret>), quote_ident(<secret>) from <table>
select to_json(<secret>) from <table>
select json_build_object('x', <secret>) from <table>
select json_build_array(<secret>) ->> 0 from <table>
select array[<secret>] from <table>
select (array[<secret>])[1] from <table>
select array(select <secret> from <table>)
select array_length(array_remove(array(select <secret> from <table>), <value>), 1)
select row(<secret>) from <table>
select row(<secret>, 1)::text from <table>
select (s.r).f1 from (select row(<secret>) as r from <table>) s
select to_tsvector('simple', <secret>) from <table>
select to_tsvector('simple', coalesce(<secret>, '')) @@ to_tsquery('simple', <value>) from <table>
select xmlelement(name x, <secret>) from <table>
select xmlforest(<secret> as x) from <table>
select pg_column_size(<secret>) from <table>
select num_nulls(<secret>), num_nonnulls(<secret>) from <table>
select isfinite(('2000-01-01'::date + <secret>::int)) from <table>
select make_interval(days => <secret>::int) from <table>
select unnest(array[<secret>]) from <table>
select string_to_table(<secret>, '1') from <table>
select regexp_split_to_table(<secret>, '1') from <table>
select generate_series(1, length(<secret>)) from <table>
select <column>, generate_subscripts(array_fill(1, array[length(<secret>)]), 1) from <table>
select jsonb_path_query(to_jsonb(<secret>), '$') from <table>
select <column> from (select <column>, unnest(string_to_array(<secret>, '1')) from <table>) s
select x from <table> t, unnest(array[t.<secret>]) x
select x from <table> t, rows from (unnest(array[t.<secret>]), generate_series(1, 1)) as r (x, n)
select x from <table> t, lateral (values (t.<secret>)) v (x)
select x from <table> t cross join lateral regexp_matches(t.<secret>, '.', 'g') x
select x from <table> t cross join lateral generate_series(1, length(t.<secret>)) x
select r.x from <table> t, jsonb_to_record(jsonb_build_object('x', t.<secret>)) as r (x text)
select r.x from <table> t, xmltable('/r' passing xmlelement(name r, t.<secret>) columns x text path '.') r
select key from <table> t, json_each_text(json_build_object(t.<secret>, 1)) where t.<secret> is not null

# Whole rows: as a value, as JSON, as text, compared
select t from <table> t
select <name> from <table>
select t.*::text from <table> t
select t::text from <table> t
select row(t.*) from <table> t
select row_to_json(t) from <table> t
select to_json(t), to_jsonb(t) from <table> t
select t.row_to_json from <table> t
select t.to_jsonb from <table> t
select (t).to_json from <table> t
select to_jsonb(t) - 'x' from <table> t
select row_to_json(s) from (select * from <table>) s
select row_to_json(r) from (select <column>, <secret> from <table>) r
select json_agg(t) from <table> t
select jsonb_agg(t.*) from <table> t
select array_agg(t) from <table> t
select array[t] from <table> t
select array(select t from <table> t)
select unnest(array[t]) from <table> t
select (unnest(array[t])).* from <table> t
select json_object_agg(<column>, t) from <table> t
select string_agg(t::text, ',') from <table> t
select concat(t), format('%s', t) from <table> t
select md5(t::text), hashtext(t::text) from <table> t
select t is not null, <column> from <table> t
select (t is null) or (t is not null), <column> from <table> t where <column> <> 3 or not t is null
select t.* is not null, <column> from <table> t
select not (t is not null), <column> from <table> t
select jsonb_each_text(to_jsonb(t)) from <table> t
select x from <table> t cross join lateral jsonb_each_text(to_jsonb(t)) x
select x from <table> t cross join lateral (select t.*) x
select (select t) from <table> t
select (select s from (select t.*) s) from <table> t
select json_populate_record(t, '{}') from <table> t
select j from (<table> a cross join (select 1 as n) b) j
select to_jsonb(j) from (<table> a cross join (select 1 as n) b) j
select j from <table> a join <table> b using (<column>, <secret>) as j
select (jsonb_populate_record(t, '{}')).* from <table> t
select coalesce(t, t) from <table> t
select case when true then t end from <table> t
select count(*) from <table> t where t::text like '%' || <value> || '%'
select <column> from <table> t order by reverse(t::text)
select max(t::text) from <table> t
select distinct t::text from <table> t
select <column> from <table> t order by row(t.<secret>, t.<column>)
select pg_column_size(t) from <table> t
select pg_column_size(t.*), <column> from <table> t
select xmlforest(t::text as x) from <table> t
with w as (select t from <table> t) select w from w
with w as (select t as r from <table> t) select (r)::text from w
select lag(t) over (order by <column>) from <table> t
select s.x from (select t as x from <table> t union all select t from <table> t) s

# Errors that depend on it, or repeat it
select 1 / (length(<secret>) - length(<value>)) from <table>
select <column> from <table> where 1 / (length(<secret>) - length(<value>)) > 0
select <column> from <table> order by 1 / (length(<secret>) - length(<value>))
select case when <secret> = <value> then 1 / (<column> - <column>) else 1 end from <table>
select sum(1 / (length(<secret>) - length(<value>))) from <table>
select (<secret> || 'x')::int from <table>
select (<secret> || '-x')::date from <table>
select ('x' || <secret>)::uuid from <table>
select ('{' || <secret>)::json from <table>
select ('{' || <secret>)::int[] from <table>
select (<secret> || '::::')::inet from <table>
select xmlparse(document '<' || <secret>) from <table>
select to_date(<secret>, 'Mon') from <table>
select chr(<secret>::int * 100000) from <table>
select generate_series(1, 2, <secret>::int - <value>::int) from <table>
select repeat('x', 1)::bit(1) from <table> where <secret>::int / (<secret>::int - <value>::int) = 0
select sqrt(<value>::int - 1 - <secret>::int) from <table> where <column> = 1
select (array[1])[1] / nullif(position(<value> in <secret>), 1) / 0 from <table> where <column> = 1 and <secret> = <value>
with w as materialized (select <column>, 1 / (length(<secret>) - length(<value>)) as x from <table>) select x is null, <column> from w
select regexp_match('x', <secret> || '(') from <table>
select decode(<secret> || '!', 'base64') from <table>
select lpad('x', length(<secret>)) from <table>

# Plans: what the planner estimates of it, and what a run measures
explain select <column> from <table> where <secret> = <value>
explain select <column> from <table> where <secret> is null
explain (verbose) select <secret> from <table>
explain (analyze, costs off, timing off, summary off) select <column> from <table> where <secret> = <value>
explain (format json) select <column> from <table> where <secret> > <value>
explain select <secret>, count(*) from <table> group by <secret>
explain select distinct <secret> from <table>
explain select * from <table>
explain select <secret> from <table>
explain (analyze, timing off, summary off) select <secret> from <table> order by <column>
explain select a.<column> from <table> a join <table> b using (<secret>)
execute_explain {"query": "select <column> from <table> where <secret> = <value>"}
execute_explain {"query": "select <column> from <table> where <secret> = <value>", "analyze": true}
execute_explain {"query": "select <secret> from <table>", "format": "json"}
execute_explain {"query": "select <column> from <table> where <secret> = <value>", "format": "yaml"}
execute_explain {"query": "select <secret> from <table> order by <column>", "analyze": true, "buffers": true}
"""
