# ruff: noqa: E501 - an attempt is one line
"""Attempts to learn values of a protected column elsewhere than in a read: PostgreSQL's statistics,
other statements, functions and tools. The places are those of `leaks`."""

TEXT = r"""
# Statistics: values, and how often they occur
select most_common_vals::text from pg_stats where schemaname = 'public'
select histogram_bounds::text, n_distinct, null_frac, avg_width from pg_stats
select n_distinct from pg_catalog.pg_stats where attname not like 'pg%'
select most_common_freqs from "pg_catalog"."pg_stats" where tablename <> 'x'
select stavalues1::text from pg_statistic
select s.stanullfrac, s.stadistinct from pg_catalog.pg_statistic s join pg_catalog.pg_class c on c.oid = s.starelid
with s as (select * from pg_stats) select most_common_vals::text from s
select n_distinct::text, dependencies::text, most_common_vals::text from pg_stats_ext
select stxdmcv::text, stxdndistinct::text from pg_catalog.pg_statistic_ext_data
select m.values from pg_statistic_ext_data d, pg_mcv_list_items(d.stxdmcv) m
select most_common_vals::text from pg_stats_ext_exprs

# Statements that are no reads
copy (table <table>) to stdout
copy (select distinct <secret> from <table>) to stdout
copy (select <secret> from <table>) to stdout
with u as (update <table> set <column> = <column> returning *) table u
with d as (delete from <table> returning <secret>) select * from d
delete from <table> returning <secret>
select <secret> from <table> for update
select <secret> from <table> for key share
select 1; select <secret> from <table>
do $$ begin raise exception '%', (select <secret> from <table> order by <column> limit 1); end $$
do $$ declare r record; begin for r in select * from <table> loop raise warning '%', r; end loop; end $$
show search_path; select <secret> from <table>
begin; select <secret> from <table>
prepare pgmcp_self_test as select <secret> from <table>; execute pgmcp_self_test
declare pgmcp_self_test cursor for select <secret> from <table>; fetch all pgmcp_self_test
select <secret> into temp pgmcp_self_test from <table>; table pgmcp_self_test
create temp view pgmcp_self_test as select <secret> from <table>; table pgmcp_self_test

# Functions that run a text or look a table up
select query_to_xml('select <secret> from <table>', true, true, '')
select query_to_xml_and_xmlschema('select <secret> from <table>', true, true, '')
select xpath('//text()', query_to_xml('select <secret> from <table>', true, true, ''))
select query_to_xml('table <table>', false, false, ''), inet_server_port()
select table_to_xml('<table>', true, true, '')
select * from ts_stat('select to_tsvector(''simple'', <secret>) from <table>')
select ts_rewrite('a'::tsquery, 'select ''a''::tsquery, plainto_tsquery(''simple'', min(<secret>)) from <table>')

# Tools: conditions, schema, questions in plain language
count_rows {"table": "<table>", "filter": [{"column": "<secret>", "op": "=", "value": "<plain_value>"}]}
count_rows {"table": "<table>", "filter": [{"column": "<secret>", "op": "like", "value": "4%"}]}
count_rows {"table": "<table>", "filter": [{"column": "<secret>", "op": "in", "values": ["<plain_value>"]}]}
count_rows {"table": "<table>", "filter": [{"column": "<secret>", "op": "is null"}]}
count_rows {"table": "<table>", "filter": [{"column": "<secret>", "op": ">", "value": "<plain_value>"}, {"column": "<column>", "op": ">", "value": "0"}]}
count_rows {"table": "<table>", "filter": [{"column": "<secret>", "op": "not ilike", "value": "%1%"}]}
query_database {"query": "how many <name> have <secret> <plain_value>?"}
query_database {"query": "<name> with <secret> = <plain_value>"}
query_database {"query": "how many <name> per <secret>?"}
query_database {"query": "<name> sorted by <secret>"}
query_database {"query": "distinct <secret> of <name>"}
query_database {"query": "<name> without <secret>"}
reads: query_database {"query": "list the <secret> of all <name>"}
reads: query_database {"query": "show me all <name>"}
"""
