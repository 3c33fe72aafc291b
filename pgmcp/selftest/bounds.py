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

# Time: no statement outlives its limit
query_database {"query": "select pg_sleep(60)", "timeout_seconds": 1}
query_database {"query": "select count(*) from generate_series(1, 1e9) a", "timeout_seconds": 1}
query_database {"query": "with recursive r(n) as (select 1 union all select n + 1 from r) select count(*) from r", "timeout_seconds": 1}
query_database {"query": "select count(*) from generate_series(1, 100000) a, generate_series(1, 100000) b", "timeout_seconds": 1}
reads: query_database {"query": "select regexp_replace(repeat('a', 30000), '(a*)*(a*)*(a*)*b', 'x')", "timeout_seconds": 1}
execute_explain {"query": "select pg_sleep(60)", "analyze": true, "timeout_seconds": 1}
query_database {"query": "select 1", "timeout_seconds": 0}
query_database {"query": "select 1", "timeout_seconds": -1}
query_database {"query": "select 1", "timeout_seconds": 1e9}

# Rows: no answer is larger than its limit
reads: select generate_series(1, 1000000000)
reads: with recursive r(n) as (select 1 union all select n + 1 from r) select n from r
reads: select n from generate_series(1, 10000) n, generate_series(1, 3000) m
reads: select repeat('x', 20000000)
reads: select repeat('x', 100000) from generate_series(1, 1000)
query_database {"query": "select 1", "limit": 1000000000}
query_database {"query": "select 1", "limit": -1}
query_database {"query": "select 1", "offset": -1}

# Memory: no constant grows while PostgreSQL plans
select length(repeat(repeat('a', 30000), 30000))
select repeat('x', 300000000), repeat('x', 300000000), repeat('x', 300000000)
select replace(repeat('x', 30000), 'x', repeat('y', 30000))
select lpad('x', 200000000) || rpad('x', 200000000)
select array_length('{x,x,x,x,x,x,x,x,x,x,x,x,x,x,x,x}'::char(10485760)[], 1)
select 1 from json_to_record('{}') as r(a char(10485760), b char(10485760), c char(10485760), d char(10485760), e char(10485760), f char(10485760), g char(10485760), h char(10485760), i char(10485760), j char(10485760), k char(10485760), l char(10485760), m char(10485760))
with a as (select now()::text x), b as (select x||x||x||x||x||x||x||x x from a), c as (select x||x||x||x||x||x||x||x x from b), d as (select x||x||x||x||x||x||x||x x from c), e as (select x||x||x||x||x||x||x||x x from d), f as (select x||x||x||x||x||x||x||x x from e), g as (select x||x||x||x||x||x||x||x x from f), h as (select x||x||x||x||x||x||x||x x from g) select length(x) from h

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
