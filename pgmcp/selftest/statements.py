# ruff: noqa: E501 - an attempt is one line
"""Attempts by kinds of statements: whatever is not one read."""

TEXT = r"""
# Stacked statements: a second statement behind the first
select 1; select 2
select 1; commit; create table pgmcp_self_test ()
select 1; rollback; begin; create table pgmcp_self_test ()
commit; create table pgmcp_self_test ()
select 1;;create table pgmcp_self_test ()
select 1 /* ; */ ; create table pgmcp_self_test ()
select 1) ; create table pgmcp_self_test () --
reads: select 1 -- \n; create table pgmcp_self_test ()
query_database {"query": "select 1 --\n; create table pgmcp_self_test ()"}
query_database {"query": "select 1 --\r; create table pgmcp_self_test ()"}
query_database {"query": "show work_mem; create table pgmcp_self_test ()"}
execute_explain {"query": "select 1; create table pgmcp_self_test ()", "analyze": true}
explain select 1; create table pgmcp_self_test ()

# Writes: plain data and schema changes
insert into <table> select * from <table> where false
update <table> set <column> = <column> where false
delete from <table> where false
merge into <table> a using <table> b on false when matched then do nothing
truncate pgmcp_self_test
create table pgmcp_self_test ()
create table pgmcp_self_test as select 1
create unlogged table pgmcp_self_test ()
create view pgmcp_self_test as select 1
create materialized view pgmcp_self_test as select 1
create function pgmcp_self_test() returns int language sql as 'select 1'
create role pgmcp_self_test
create schema pgmcp_self_test
create extension pgmcp_self_test
create type pgmcp_self_test as (a int)
comment on table pgmcp_self_test is 'x'
alter role pgmcp_self_test set search_path = pgmcp_self_test
alter system reset pgmcp.self_test
grant select on pgmcp_self_test to public
drop table pgmcp_self_test
refresh materialized view pgmcp_self_test
vacuum pgmcp_self_test
analyze pgmcp_self_test
reindex table pgmcp_self_test
cluster pgmcp_self_test
checkpoint
load 'pgmcp_self_test'
security label on table pgmcp_self_test is 'x'
import foreign schema x from server pgmcp_self_test into public
create subscription pgmcp_self_test connection '' publication x with (connect = false)
create publication pgmcp_self_test

# Writes inside a read: WITH, INTO, RETURNING
with w as (insert into <table> select * from <table> where false returning 1) select * from w
with w as (update <table> set <column> = <column> where false returning 1) select * from w
with w as (delete from <table> where false returning 1) select * from w
with a as (with w as (delete from <table> where false returning 1) select * from w) table a
select * from (with w as (delete from <table> where false returning 1) table w) x
with w as (select 1) insert into <table> select * from <table> where false
with w as (select 1) delete from <table> where false
with w as (merge into <table> a using <table> b on false when matched then delete returning 1) table w
select 1 into pgmcp_self_test
select 1 into temp pgmcp_self_test
select * into unlogged pgmcp_self_test from <table> where false
(select 1 into pgmcp_self_test)
execute_explain {"query": "select 1 into pgmcp_self_test", "analyze": true}

# EXPLAIN that runs a write: ANALYZE executes what it explains
explain analyze delete from <table> where false
explain (analyze) create table pgmcp_self_test as select 1
explain (analyze, costs off) insert into <table> select * from <table> where false
explain analyze with w as (delete from <table> where false returning 1) table w
explain analyze execute pgmcp_self_test
explain analyze declare c cursor for select 1
explain (analyze) create materialized view pgmcp_self_test as select 1
explain (analyze false, analyze true) create table pgmcp_self_test as select 1
explain analyze verbose create table pgmcp_self_test as select 1
explain (serialize text, analyze) select nextval('<sequence>')
explain analyze select nextval('<sequence>')
explain /* ( */ analyze delete from <table> where false
explain (format json) select 1) ; create table pgmcp_self_test () --
execute_explain {"query": "delete from <table> where false", "analyze": true}
execute_explain {"query": "create table pgmcp_self_test as select 1", "analyze": true}
execute_explain {"query": "(analyze) create table pgmcp_self_test as select 1", "analyze": false}
execute_explain {"query": "select nextval('<sequence>')", "analyze": true}

# Transaction control: leaving the read-only transaction
begin
commit
rollback
end
abort
start transaction read write
set transaction read write
set session characteristics as transaction read write
savepoint pgmcp_self_test
release savepoint pgmcp_self_test
rollback to savepoint pgmcp_self_test
prepare transaction 'pgmcp_self_test'
commit prepared 'pgmcp_self_test'
set constraints all deferred
commit and chain

# Settings: SET in its spellings
set work_mem = '8MB'
set local work_mem = '8MB'
set session authorization default
set role none
reset all
reset transaction_read_only
set transaction_read_only = off
set default_transaction_read_only = off
set statement_timeout = 0
set search_path = pgmcp_self_test
discard all
select set_config('work_mem', '8MB', false)
select set_config('transaction_read_only', 'off', false)
select set_config('transaction_read_only', null, false)
select set_config('statement_timeout', '0', true)
select set_config('role', 'none', false)
select set_config(name, setting, false) from pg_settings where name = 'work_mem'
update pg_settings set setting = '8MB' where name = 'work_mem'
show work_mem; set work_mem = '8MB'
show work_mem \; set work_mem = '8MB'

# Code: DO, CALL, PREPARE
do $$ begin null; end $$
do $$ begin reset transaction_read_only; create table pgmcp_self_test (); end $$
do language sql 'select 1'
call pgmcp_self_test()
prepare pgmcp_self_test as select 1
execute pgmcp_self_test
deallocate all
declare pgmcp_self_test cursor with hold for select 1
fetch all from pgmcp
move all in pgmcp
close all

# COPY: programs and files
copy (select 1) to program 'cat > /dev/null'
copy (select 1) to '/tmp/pgmcp_self_test'
copy pgmcp_self_test from program 'true'
copy (select 1) to stdout
copy <table> to stdout
copy pgmcp_self_test from stdin
query_database {"query": "select 1) to program 'cat > /dev/null' --"}
with c as (select 1) copy c to stdout

# Locks and messages: LOCK, row locks, LISTEN, NOTIFY
lock table <table> in access exclusive mode nowait
lock <table>
select * from <table> for update
select * from <table> for share skip locked
select * from <table> for key share nowait
select 1 from (select * from <table> for update) x
with x as (select * from <table> for no key update) select 1 from x
listen pgmcp_self_test
notify pgmcp_self_test
unlisten *
select pg_notify('pgmcp_self_test', 'x')
select pg_listening_channels(), pg_notify('pgmcp_self_test', 'x')
"""
