# ruff: noqa: E501 - an attempt is one line
"""Attempts on bounds: time, memory, what is left in the session, and arguments that are no SQL."""

TEXT = r"""
# Session state: nothing may be left for the next call
reads: select current_setting('transaction_read_only'), pg_backend_pid()
reads: select * from pg_cursors
reads: select * from pg_prepared_statements
reads: select pg_my_temp_schema()
create temp table pgmcp_self_test ()
create temp sequence pgmcp_self_test
create temp view pgmcp_self_test as select 1
create or replace temp view pg_class as select 1
declare pgmcp cursor with hold for select 1
select set_config('search_path', 'pgmcp_self_test', false)
select set_config('pgmcp.self_test', 'x', false)
select set_config('session_replication_role', 'replica', false)
select isn_weak(true)
select set_limit(0.1)

# Time: no statement outlives its limit
query_database {"query": "select pg_sleep(60)", "timeout_seconds": 1}
query_database {"query": "select count(*) from generate_series(1, 1e9) a", "timeout_seconds": 1}
query_database {"query": "with recursive r(n) as (select 1 union all select n + 1 from r) select count(*) from r", "timeout_seconds": 1}
query_database {"query": "select count(*) from generate_series(1, 100000) a, generate_series(1, 100000) b", "timeout_seconds": 1}
reads: query_database {"query": "select regexp_replace(repeat('a', 30000), '(a*)*(a*)*(a*)*b', 'x')", "timeout_seconds": 1}
execute_explain {"query": "select pg_sleep(60)", "analyze": true, "timeout_seconds": 1}

# Rows: no answer is larger than its limit
reads: select generate_series(1, 1000000000)
reads: with recursive r(n) as (select 1 union all select n + 1 from r) select n from r
reads: select n from generate_series(1, 10000) n, generate_series(1, 3000) m
reads: select repeat('x', 20000000)
reads: select repeat('x', 100000) from generate_series(1, 1000)

# Memory: no constant grows while PostgreSQL plans
select length(repeat(repeat('a', 30000), 30000))
select repeat('x', 300000000), repeat('x', 300000000), repeat('x', 300000000)
select replace(repeat('x', 30000), 'x', repeat('y', 30000))
select lpad('x', 200000000) || rpad('x', 200000000)
select array_length('{x,x,x,x,x,x,x,x,x,x,x,x,x,x,x,x}'::char(10485760)[], 1)
select 1 from json_to_record('{}') as r(a char(10485760), b char(10485760), c char(10485760), d char(10485760), e char(10485760), f char(10485760), g char(10485760), h char(10485760), i char(10485760), j char(10485760), k char(10485760), l char(10485760), m char(10485760))
with a as (select now()::text x), b as (select x||x||x||x||x||x||x||x x from a), c as (select x||x||x||x||x||x||x||x x from b), d as (select x||x||x||x||x||x||x||x x from c), e as (select x||x||x||x||x||x||x||x x from d), f as (select x||x||x||x||x||x||x||x x from e), g as (select x||x||x||x||x||x||x||x x from f), h as (select x||x||x||x||x||x||x||x x from g) select length(x) from h
select cardinality(string_to_array(repeat('x', 100000000), null))
select ('[' || repeat('1,', 50000000) || '1]')::jsonb
select ('{' || repeat('1,', 50000000) || '1}')::int[]
select repeat('a ', 50000000)::tsvector
select length(array_to_string(array_fill('a'::text, array[20000]), repeat('x', 200000)))
select length(quote_literal(quote_literal(quote_literal(quote_literal(quote_literal(quote_literal(quote_literal(quote_literal(quote_literal(quote_literal(quote_literal(quote_literal(quote_literal(quote_literal(quote_literal(quote_literal(quote_literal(quote_literal(quote_literal(quote_literal(quote_literal(quote_literal(quote_literal(quote_literal(quote_literal(quote_literal(quote_literal(quote_literal(quote_literal(quote_literal('''')))))))))))))))))))))))))))))))

# Analysis: nothing that PostgreSQL multiplies before it could be judged
select (((((((((((1 between symmetric 0 and 1)::int between symmetric 0 and 1)::int between symmetric 0 and 1)::int between symmetric 0 and 1)::int between symmetric 0 and 1)::int between symmetric 0 and 1)::int between symmetric 0 and 1)::int between symmetric 0 and 1)::int between symmetric 0 and 1)::int between symmetric 0 and 1)::int between symmetric 0 and 1)::int
select ((((((((((((((((((((1 between 0 and 1)::int between 0 and 1)::int between 0 and 1)::int between 0 and 1)::int between 0 and 1)::int between 0 and 1)::int between 0 and 1)::int between 0 and 1)::int between 0 and 1)::int between 0 and 1)::int between 0 and 1)::int between 0 and 1)::int between 0 and 1)::int between 0 and 1)::int between 0 and 1)::int between 0 and 1)::int between 0 and 1)::int between 0 and 1)::int between 0 and 1)::int between 0 and 1)::int
select case when case when case when case when case when case when case when case when case when case when 1 between symmetric 0 and 1 then 1 end between symmetric 0 and 1 then 1 end between symmetric 0 and 1 then 1 end between symmetric 0 and 1 then 1 end between symmetric 0 and 1 then 1 end between symmetric 0 and 1 then 1 end between symmetric 0 and 1 then 1 end between symmetric 0 and 1 then 1 end between symmetric 0 and 1 then 1 end between symmetric 0 and 1 then 1 end
select true between symmetric true and not true between symmetric true and not true between symmetric true and not true between symmetric true and not true between symmetric true and not true between symmetric true and not true between symmetric true and not true between symmetric true and not true between symmetric true and not true between symmetric true and not true between symmetric true and not true between symmetric true and not true
select ((((((((((((a in (a, b, c))::int in (a, b, c))::int in (a, b, c))::int in (a, b, c))::int in (a, b, c))::int in (a, b, c))::int in (a, b, c))::int in (a, b, c))::int in (a, b, c))::int in (a, b, c))::int in (a, b, c))::int in (a, b, c))::int from (select 1 a, 2 b, 3 c) t
select row((row((row((row((row((row((row((row((row((row(1, 2)).*, 1)).*, 1)).*, 1)).*, 1)).*, 1)).*, 1)).*, 1)).*, 1)).*, 1)
select 1 from (select 1 a) t group by grouping sets (cube (a, a, a, a, a, a, a, a, a, a, a, a), cube (a, a, a, a, a, a, a, a, a, a, a, a), cube (a, a, a, a, a, a, a, a, a, a, a, a), cube (a, a, a, a, a, a, a, a, a, a, a, a), cube (a, a, a, a, a, a, a, a, a, a, a, a), cube (a, a, a, a, a, a, a, a, a, a, a, a), cube (a, a, a, a, a, a, a, a, a, a, a, a), cube (a, a, a, a, a, a, a, a, a, a, a, a), cube (a, a, a, a, a, a, a, a, a, a, a, a), cube (a, a, a, a, a, a, a, a, a, a, a, a), cube (a, a, a, a, a, a, a, a, a, a, a, a), cube (a, a, a, a, a, a, a, a, a, a, a, a), cube (a, a, a, a, a, a, a, a, a, a, a, a), cube (a, a, a, a, a, a, a, a, a, a, a, a), cube (a, a, a, a, a, a, a, a, a, a, a, a), cube (a, a, a, a, a, a, a, a, a, a, a, a), cube (a, a, a, a, a, a, a, a, a, a, a, a), cube (a, a, a, a, a, a, a, a, a, a, a, a), cube (a, a, a, a, a, a, a, a, a, a, a, a), cube (a, a, a, a, a, a, a, a, a, a, a, a))
select (((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((1)))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))
with a0 as not materialized (select 1 x), a1 as not materialized (select p.x from a0 p, a0 q), a2 as not materialized (select p.x from a1 p, a1 q), a3 as not materialized (select p.x from a2 p, a2 q), a4 as not materialized (select p.x from a3 p, a3 q), a5 as not materialized (select p.x from a4 p, a4 q), a6 as not materialized (select p.x from a5 p, a5 q), a7 as not materialized (select p.x from a6 p, a6 q), a8 as not materialized (select p.x from a7 p, a7 q), a9 as not materialized (select p.x from a8 p, a8 q), a10 as not materialized (select p.x from a9 p, a9 q), a11 as not materialized (select p.x from a10 p, a10 q), a12 as not materialized (select p.x from a11 p, a11 q), a13 as not materialized (select p.x from a12 p, a12 q), a14 as not materialized (select p.x from a13 p, a13 q), a15 as not materialized (select p.x from a14 p, a14 q), a16 as not materialized (select p.x from a15 p, a15 q), a17 as not materialized (select p.x from a16 p, a16 q), a18 as not materialized (select p.x from a17 p, a17 q), a19 as not materialized (select p.x from a18 p, a18 q), a20 as not materialized (select p.x from a19 p, a19 q), a21 as not materialized (select p.x from a20 p, a20 q) select 1 from a21

# Steps: no call goes on where no time-out ends it
select position('b' || repeat('a', 100000) in repeat('a', 2000000))
select translate(repeat('a', 2000000), repeat('b', 100000), 'x')
select length(btrim(repeat('a', 2000000), repeat('b', 100000) || 'a'))
select replace(repeat('a', 2000000), 'b' || repeat('a', 100000), 'x')
select repeat('a', 2000000) like '%' || repeat('a', 100000) || 'b%'
select array(select 'a' || g from generate_series(1, 200000) g) && array(select 'b' || g from generate_series(1, 200000) g)
select to_jsonb(array(select g::text from generate_series(1, 100000) g)) ?| array(select 'u' || g from generate_series(1, 100000) g)
select plainto_tsquery('simple', repeat('a ', 200000))
select length(normalize(repeat(U&'\0301\0323', 200000)))

# Text that is no statement: NUL, surrogates, nothing, too much
query_database {"query": "select 1\u0000; create table pgmcp_self_test ()"}
query_database {"query": "select '\ud800'"}
query_database {"query": " ; -- nothing"}
query_database {"query": "/* only a comment"}
query_database {"query": "select 'open"}
query_database {"query": "select $x$ open"}
query_database {"query": "select \"open"}
query_database {"query": "select /* open"}
query_database {"query": ""}
select $1
hold for select 1
with hold for select 1
for select 1

# count_rows: names and conditions are data
count_rows {"table": "<table>; drop table pgmcp_self_test"}
count_rows {"table": "(select nextval('<sequence>')) x"}
count_rows {"table": "pg_class where 1=1 --"}
count_rows {"table": "\"x\" union select 1 --"}
count_rows {"table": "<table>", "schema": "public; drop table pgmcp_self_test"}
count_rows {"table": "<table>", "filter": [{"column": "1=1) or (1", "op": "=", "value": "1"}]}
count_rows {"table": "<table>", "filter": [{"column": "<column>", "op": "= 1 or 1", "value": "1"}]}
reads: count_rows {"table": "<table>", "filter": [{"column": "<column>", "op": "like", "value": "' or nextval('x') > 0 --"}]}
reads: count_rows {"table": "<table>", "filter": [{"column": "<column>", "op": "like", "value": "$1'; --"}]}
count_rows {"table": "<table>", "filter": [{"column": "<column>", "op": "like", "value": "\u0000"}]}
count_rows {"table": "<table>", "where": "1=1"}
count_rows {"table": "<table>", "filter": "1=1"}

# Names and addresses: get_schema_info, read_resource
get_schema_info {"table_name": "x'; drop table pgmcp_self_test; --"}
get_schema_info {"schema_name": "x' or '1'='1"}
get_schema_info {"schema_name": "public\u0000"}
get_schema_info {"table_name": "pg_stat_activity"}
get_schema_info {"database": "pgmcp_self_test"}
query_database {"query": "select 1", "database": "pgmcp_self_test host=127.0.0.1"}
read_resource {"uri": "file:///etc/passwd"}
read_resource {"uri": "pg://system_info/../../etc/passwd"}
read_resource {"uri": "pg://system_info?query=drop"}
read_resource {"uri": "pg://system_info'; select 1"}
"""
