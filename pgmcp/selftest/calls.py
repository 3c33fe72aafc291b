# ruff: noqa: E501 - an attempt is one line
"""Attempts by what a read can call: functions with effects, and the ways to hide them."""

TEXT = r"""
# Files and programs of the server: functions that read or write them
select pg_read_file('postgresql.conf')
select pg_read_binary_file('PG_VERSION')
select pg_ls_dir('.')
select * from pg_ls_logdir()
select * from pg_ls_waldir()
select pg_stat_file('postgresql.conf')
select pg_current_logfile()
select lo_import('/etc/hostname')
select lo_export(1, '/tmp/pgmcp_self_test')
select * from pg_hba_file_rules
select pg_file_write('pgmcp_self_test', 'x', false)

# Large objects: made, written, opened
select lo_create(0)
select lo_creat(-1)
select lo_from_bytea(0, 'x')
select lo_put(1, 0, 'x')
select lo_open(1, 131072)
select lowrite(0, 'x')
select lo_unlink(0) where false
select lo_truncate(0, 0)
select lo_get(1)

# Sequences and identifiers: which a rollback does not undo
select nextval('<sequence>')
select setval('<sequence>', 1) where false
select lastval()
select currval('<sequence>')
select txid_current()
select pg_current_xact_id()
select setseed(0.5)

# Advisory locks: which outlive the transaction
select pg_advisory_lock(7065486716)
select pg_try_advisory_lock(7065486716)
select pg_advisory_lock_shared(7065486716)
select pg_advisory_xact_lock(7065486716)
select pg_advisory_unlock_all()
select pg_try_advisory_lock(70654, id) from generate_series(1, 3) id

# SQL given as text: which no analysis of the statement sees
select query_to_xml('select 1', true, true, '')
select query_to_xml('delete from <table> where false', true, true, '')
select table_to_xml('<table>', true, true, '')
select schema_to_xml('public', true, true, '')
select database_to_xml(true, true, '')
select query_to_xmlschema('select 1', true, true, '')
select cursor_to_xml('pgmcp', 1, true, true, '')
select * from ts_stat('select null::tsvector')
select ts_rewrite('a'::tsquery, 'select null::tsquery, null::tsquery')
select * from dblink('', 'select 1') as r (a int)
select dblink_exec('', 'create table pgmcp_self_test ()')
select * from crosstab('select 1, 2, 3') as r (a int, b int)
select * from connectby('<table>', 'a', 'b', '1', 0) as r (a int, b int, c int)
select plpgsql_call_handler()
select plpgsql_inline_handler(null)

# Replication and the log: slots, origins, WAL
select pg_create_physical_replication_slot('pgmcp_self_test')
select pg_create_logical_replication_slot('pgmcp_self_test', 'pgoutput')
select pg_drop_replication_slot('pgmcp_self_test')
select pg_replication_origin_create('pgmcp_self_test')
select pg_logical_emit_message(false, 'pgmcp_self_test', 'x')
select pg_logical_emit_message(true, 'pgmcp_self_test', 'x')
select pg_create_restore_point('pgmcp_self_test') where false
select pg_switch_wal() where false
select pg_export_snapshot()
select pg_backup_start('pgmcp_self_test') where false
select pg_start_backup('pgmcp_self_test') where false
select pg_wal_replay_pause() where false
select pg_promote(false) where false
select pg_log_standby_snapshot() where false

# The configuration and the statistics: reload, reset, rotate
select pg_reload_conf() where false
select pg_rotate_logfile() where false
select pg_stat_reset() where false
select pg_stat_reset_shared('bgwriter') where false
select pg_stat_clear_snapshot()
select pg_stat_force_next_flush()
select pg_import_system_collations('public') where false
select pg_extension_config_dump('<table>', '') where false
select brin_summarize_new_values('<table>') where false
select gin_clean_pending_list('<table>') where false
select pg_clear_relation_stats('public', 'pgmcp_self_test') where false
select binary_upgrade_set_next_pg_type_oid(1) where false

# Other callers: ending them, seeing what they do
select pg_cancel_backend(<witness>)
select pg_terminate_backend(<witness>)
select pg_terminate_backend(pid) from pg_locks where pid = <witness>
select pg_log_backend_memory_contexts(<witness>)
select * from pg_stat_get_activity(null)
select query from pg_stat_get_activity(null)
select pg_stat_get_backend_activity(1)

# Hidden by spelling: quotes, escapes, comments, case
select "nextval"('<sequence>')
select pg_catalog."nextval"('<sequence>')
select PG_CATALOG.NextVal('<sequence>')
select U&"\006eextval"('<sequence>')
select U&"!006eextval" uescape '!' ('<sequence>')
select nextval/**/('<sequence>')
select pg_catalog . /* nested /* comment */ */ nextval ( '<sequence>' )
query_database {"query": "select nextval --\n('<sequence>')"}
query_database {"query": "\ufeffselect nextval('<sequence>')"}
query_database {"query": "select\u00a0nextval('<sequence>')"}
query_database {"query": "\u2028 create table pgmcp_self_test ()"}
query_database {"query": "select\u000bnextval('<sequence>')"}
select nextval('<sequence>')::text::bytea
select E'\x6e' || nextval('<sequence>')
select $x$nextval$x$, nextval($y$<sequence>$y$)
select ';' , nextval('<sequence>'), '--'

# Hidden by place: every clause in which a call can stand
select 1 where nextval('<sequence>') > 0
select 1 from <table> group by 1 having nextval('<sequence>') > 0
select 1 order by nextval('<sequence>')
select 1 limit nextval('<sequence>')
select 1 offset nextval('<sequence>')
values (nextval('<sequence>'))
select (select nextval('<sequence>'))
select array(select nextval('<sequence>'))
select exists (select nextval('<sequence>') offset 0)
select * from nextval('<sequence>')
select * from rows from (nextval('<sequence>'), generate_series(1, 2)) r
select * from (values (1)) v, lateral (select nextval('<sequence>')) x
select * from (values (1)) v join (values (2)) w on nextval('<sequence>') > 0
with a as materialized (select nextval('<sequence>')) select 1
with recursive r as (select 1 union all select nextval('<sequence>')::int from r) select 1 from r
select 1 union all select nextval('<sequence>')
select case when false then nextval('<sequence>') end
select coalesce(1, nextval('<sequence>'))
select count(*) filter (where nextval('<sequence>') > 0)
select sum(1) over (order by nextval('<sequence>'))
select sum(1) over (rows nextval('<sequence>') preceding)
select row(nextval('<sequence>')), array[nextval('<sequence>')]
select (array[1])[nextval('<sequence>')]
select format('%s', nextval('<sequence>'))
select string_agg('x', 'y' order by nextval('<sequence>'))
select xmlelement(name a, nextval('<sequence>'))
select json_object('a' value nextval('<sequence>'))
select 1 group by rollup (nextval('<sequence>'))
select * from <table> tablesample bernoulli (nextval('<sequence>'))
select distinct on (nextval('<sequence>')) 1

# Hidden in types: what a value's type runs
select array_in('{}', 'text'::regtype::oid, -1)
select domain_in('x', 'information_schema.sql_identifier'::regtype::oid, -1) is null
select record_in('()', 'pg_class'::regclass::oid, -1)
select range_in('empty', 'int4range'::regtype::oid, -1)
select pg_input_is_valid('x', 'information_schema.sql_identifier')
select pg_input_error_info('x', 'int')
select satisfies_hash_partition('<table>'::regclass, 1, 0, 1)

# Hidden by objects of yours: views, wrappers, operators, casts (where the database has them)
select * from self_test_view
select * from self_test_view_over_view
table self_test_rule_view
select self_test_wrapper()
select self_test_sql_wrapper()
select self_test_definer()
select self_test_copied('PG_VERSION')
select self_test_shadow.lower('x')
select 1 ### 2
select 1 operator(public.###) 2
select 1 where 1 ### any (array[2]) > 0
select 2 where 1 ~~~ any (array[1])
select self_test_aggregate(id) from self_test_table
select self_test_aggregate(id) over (order by id) from self_test_table
select 'x'::text::self_test_domain
select cast(name as self_test_domain) from self_test_table
select (json_populate_record(null::self_test_holder, '{"value": "x"}')).value
select * from json_to_record('{"a": "x"}') as r(a self_test_domain)
select * from jsonb_to_recordset('[{"a": "x"}]') as r(a self_test_domain)
select * from xmltable('/a' passing xml '<a>x</a>' columns v self_test_domain path '.')
select * from json_table('["x"]', '$[*]' columns (v self_test_domain path '$'))
select json_value('"x"', '$' returning self_test_domain)
select array[name]::self_test_domain[] from self_test_table
select domain_in('x', 'self_test_domain'::regtype::oid, -1) is null
select array_in('{x}', 'self_test_domain'::regtype::oid, -1)
select row(1, 'x')::self_test_pair::text
select to_json(row(1, 'x')::self_test_pair)
select * from self_test_odd_index where id = 5
select * from self_test_hashed where id = 5
select * from self_test_program
reads: select * from self_test_secured
select * from self_test_parent
select * from self_test_index where name = 'a'
select * from self_test_inlined_index where name = 'a'
select name from self_test_predicate where name > 'n'
select count(*) from self_test_statistics
select * from self_test_key
select * from self_test_key_part where name = 'a'
select * from self_test_constraint where name = 'a'
select * from self_test_heir where name = 'a'
select id from self_test_table where not (id === 5)

# Credentials: the columns of the catalogue that hold passwords or what verifies them
select rolpassword from pg_authid
select rolname from pg_authid where rolpassword like 'SCRAM%'
select row_to_json(a) from pg_authid a
select count(distinct a) from pg_authid a
with w as (select * from pg_authid) select rolname from w
select 1 from pg_authid a natural join pg_authid b
select passwd from pg_shadow
select s::text from pg_shadow s
select umoptions from pg_user_mapping
select * from pg_user_mappings
select option_value from information_schema.user_mapping_options
select subconninfo from pg_subscription
execute_explain {"query": "select rolpassword from pg_authid", "analyze": true}
count_rows {"table": "pg_authid", "filter": [{"column": "rolpassword", "op": "like", "value": "SCRAM%"}]}
reads: select * from pg_roles
reads: select * from pg_user
reads: select count(*) from pg_shadow
"""
