# ruff: noqa: E501 - an attempt is one line
"""Attempts to learn that a column or a table is there. The places are those of `leaks`."""

OF_COLUMNS = r"""
# That a column is there
select 1 from <table> where <secret> is null and false
select null::text from (select <secret> from <table>) s limit 0
select <secret> from <table> limit 0
select <secret> from only <table>
select count(*) from <table> natural join (select 'x' as <secret>) v
select count(*) from <table> natural left join (select 1 as <secret>) v
select <secret> from <table> cross join (select 'x' as <secret>) v
select (select <secret> from <table> limit 1) from (select 'x' as <secret>) outside
select (select max(<secret>) from <table> where <secret> <> 'x') from (select 'y' as <secret>) outside
select count(*) from <table> a join (select 1 as one) b on exists (select <secret> limit 1)
select (select count(*) from <table> where <secret> = 'x') from (select 'x' as <secret>) outside
select t.<secret> from <table> t, lateral (select t.<secret>) l
select <secret>, 1 as <secret> from <table> order by <secret>
select no_function_like_it(<secret>) from <table>
select row_to_json(v) from <table> natural join (select 'x' as <secret>) v
select v from <table> natural join (select 'x' as <secret>) v
select '<table>'::regclass, <secret> from <table>
select to_regclass('<table>'), <secret> from <table>
select current_query() from <table> natural join (select 'x' as <secret>) v
select (null::<table>).<secret>
select pg_typeof((null::<table>).<secret>)::text
select <secret>(null::<table>)
select json_populate_record(null::<table>, '{"<secret_name>": "x"}')
select to_json(json_populate_record(null::<table>, '{}'))
select * from json_populate_recordset(null::<table>, '[{}]')
explain merge into <table> t using (select 1 as x) s on false when not matched then insert (<column>, <secret>) values (null, null)
select <secret> + 'x'::date from <table>
explain (verbose) select count(<column>) from only <table>
explain (costs off, verbose true) insert into <table> (<column>) select <column> from <table>
explain insert into <table> (<column>) values (null)
explain insert into <table> default values
explain insert into <table> (<column>, <secret>) values (null, null)
explain update <table> set <secret> = null
explain delete from <table> where <secret> is null
explain insert into <table> (<column>) values (null) on conflict (<secret>) do nothing
explain insert into <table> (<column>) values (null) returning <secret>
execute_explain {"query": "insert into <table> (<column>) values (null)"}
execute_explain {"query": "update <table> set <column> = null where <secret> = 'x'"}
get_schema_info {"table_name": "<name>"}
get_schema_info {"table_name": "<table>", "include_definition": true}
read_resource {"uri": "pg://main/<schema>/<name>"}
read_resource {"uri": "pg://main/<schema>/<name>/sample"}
query_database {"query": "show me all <name>"}
query_database {"query": "<name> by <secret>"}
"""
"""Of a column that is not there, of a table that is."""

OF_TABLES = r"""
# That a table is there, and how many rows it has
select count(*) from <table>
select 1 from <table>
select from <table>
select exists (select from <table>)
select 1 where exists (select from <table>)
select (select count(*) from <table>)
select ctid from <table>
select tableoid from <table>
select xmin, xmax, cmin, cmax from <table>
select count(*) from <table> a, <table> b
select count(*) from only <table>
select count(*) from <table> *
select count(*) from <table> tablesample system (100)
select count(*) from <table> tablesample bernoulli (100) repeatable (1)
select 1 from (values (1)) v left join <table> t on false
select 1 from (values (1)) v join lateral (select from <table>) l on true
select row_number() over () from <table>
select sum(1) from <table>
select generate_series(1, 2) from <table>
with w as (select 1 from <table>) select count(*) from w
with w as (select 1 from <table>) select 1
select null::<table>
select null::<table>[]
select cast(null as <table>)
select (null::<table>).<column>
select (null::<table>).nothing_like_it
select array[]::<table>[]
select pg_typeof(null::<table>)::text
select json_populate_record(null::<table>, '{}')
select json_populate_recordset(null::<table>, '[]')
select jsonb_populate_record(null::<table>, '{"<column>": 1}')
select * from json_to_record('{}') as r (x <table>)
select * from jsonb_to_recordset('[]') as r (x <table>)
select '()'::<table>
select row(1)::<table>
select nothing_like_it from <table>
select <column> from <table> where nothing_like_it = 1
select nothing_like_it.x from <table>
select <column> + 'x' from <table>
select no_function_like_it(<column>) from <table>
select <column>, count(*) from <table>
select 1 from <table> order by 2
select 1 from <table>, <table>
select 1 from <table> t, lateral nothing_like_it(t.<column>)
select <column> from <table> group by nothing_like_it
explain select 1 from <table>
explain (costs off) select <column> from <table>
explain delete from <table>
explain analyze insert into <table> select * from <table>
explain insert into <table> default values
explain update <table> set <column> = <column>
execute_explain {"query": "select count(*) from <table>"}
execute_explain {"query": "delete from <table>"}
execute_explain {"query": "insert into <table> select * from <table>"}
execute_explain {"query": "update <table> set <column> = null"}
execute_explain {"query": "merge into <table> a using <table> b on false when matched then delete"}
count_rows {"table": "<table>"}
count_rows {"table": "<name>"}
read_resource {"uri": "pg://main/<schema>/<name>"}
read_resource {"uri": "pg://main/<schema>/<name>/sample"}
count_rows {"table": "<table>", "filter": [{"column": "<column>", "op": "is null"}]}
count_rows {"table": "<table>", "filter": [{"column": "nothing_like_it", "op": "is null"}]}
get_schema_info {"table_name": "<name>"}
get_schema_info {"table_name": "<table>"}
get_schema_info {"table_name": "<name>", "include_definition": true}
get_schema_info {}
get_schema_info {"compact": true}
get_schema_info {"include_definition": true}
query_database {"query": "how many <name> are there?"}
query_database {"query": "show me all <name>"}
query_database {"query": "<name>"}
query_database {"query": "<name> with <secret> <plain_value>"}
query_database {"query": "the average <column> of <name>"}
query_database {"query": "newest <name>"}
"""
"""Of a table that the policy leaves out as a whole."""

NAMES = r"""
# The catalogue: which tables and columns there are
table pg_stats
select count(*) from pg_class
select relname from pg_class where relname = '<name>'
select relpages, reltuples, relname from pg_catalog.pg_class where relkind = 'r'
select reltuples from pg_class where relname = '<name>'
select n_live_tup, n_tup_ins from pg_stat_user_tables where relname = '<name>'
select n_live_tup from pg_stat_all_tables where relname = '<name>'
select relname from pg_statio_user_tables where relname = '<name>'
select attname from pg_attribute where attrelid = '<table>'::regclass and attnum > 0
select a.attname from pg_attribute a join pg_class c on c.oid = a.attrelid where c.relname = '<name>'
select table_name, column_name from information_schema.columns
select table_name from information_schema.tables where table_schema <> 'pg_catalog'
select table_name, column_name from information_schema.column_privileges
select tablename from pg_tables
select viewname, definition from pg_views
select typname from pg_type where typname = '<name>'
select refobjid from pg_depend where objid = '<table>'::regclass
select oid from pg_catalog.pg_class where oid = '<table>'::regclass

# Functions and types that look objects up
select '<table>'::regclass
select '<table>'::regclass::oid
select cast('<table>' as regclass)
select regclass('<table>'::text)
select '<table>'::regclass, nothing_like_it from <table>
select to_regclass('<table>'), <secret> from <table>
select regclassin('<table>')
select oidvectortypes(array_to_string(array(select generate_series(16384, 17000)), ' ')::oidvector)
select regclass '<table>'
select '<name>'::regtype
select to_regclass('<table>')
select to_regclass('<table>') is null
select to_regtype('<table>')
select pg_relation_size('<table>')
select pg_table_size('<table>'), pg_total_relation_size('<table>')
select pg_relation_filepath('<table>')
select pg_relation_filenode('<table>')
select has_table_privilege('<table>', 'SELECT')
select has_any_column_privilege('<table>', 'SELECT')
select has_column_privilege('<table>', '<secret_name>', 'SELECT')
select pg_get_serial_sequence('<table>', '<secret_name>')
select obj_description('<table>'::regclass)
select col_description('<table>'::regclass, 3)
select row_security_active('<table>')
select pg_describe_object('pg_class'::regclass, '<table>'::regclass, 2)
select pg_identify_object('pg_class'::regclass, '<table>'::regclass, 2)
select pg_get_object_address('table', string_to_array('<table>', '.'), '{}')
select pg_get_object_address('table column', string_to_array('<table>.<secret_name>', '.'), '{}')
select pg_stat_get_live_tuples('<table>'::regclass)
select pg_stat_get_numscans('<table>'::regclass)
select pg_get_viewdef('<table>'::regclass)
select pg_table_is_visible('<table>'::regclass)
select pg_column_is_updatable('<table>'::regclass, 1::int2, false)
select pg_relation_is_updatable('<table>'::regclass, false)
select pg_get_indexdef(indexrelid) from pg_index where indrelid = '<table>'::regclass
select format_type('<table>'::regtype, null)
select table_to_xmlschema('<table>', true, true, '')
select query_to_xmlschema('select * from <table>', true, true, '')
select '<table>'::regclass in (select 1)
select array['<table>']::regclass[]
select 1 from generate_series(1, 1) where '<table>'::regclass is not null
select pg_notify('x', '<table>'::regclass::text)
select nextval('<table>')
"""
"""Of what there is; of a table that the policy leaves out as a whole."""
