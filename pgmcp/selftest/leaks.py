# ruff: noqa: E501 - an attempt is one line
"""Attempts to learn what a policy hides: the values of a column, or that a table is there.

`<table>` has the column `<secret>`, which the policy denies or masks, and another, `<column>`.
`<value>` is one of the secret's values, as a literal; `<name>` the table's name without its schema,
as text in a literal; `<renamed>` new names of the columns up to the secret, which is `leaked`.
`reads:` says that a masked column may be answered for, by its mask.
"""

TEXT = r"""
# As it is: by its name, another name, a subquery, WITH
reads: select <secret> from <table>
reads: select t.<secret> from <table> as t
reads: select <table>.<secret> from <table>
reads: select "t".<secret> as harmless from <table> "t"
reads: select leaked from <table> as t (<renamed>)
reads: select (select <secret> from <table> order by <column> limit 1)
reads: select s.x from (select <secret> as x from <table>) s
reads: select s.<secret> from (select * from <table>) s
reads: select x from (select s.x from (select <secret> as x, <column> from <table>) s where <column> > 0) r
reads: with w as (select <secret> as x from <table>) select x from w
reads: with w (x) as materialized (select <secret> from <table>) table w
reads: with w as (select * from <table>), v as (select * from w) select <secret> from v
reads: with recursive w (x, n) as (select <secret>, 1 from <table> union all select x, n + 1 from w where n < 2) select x from w
reads: select x from <table> t cross join lateral (select t.<secret> as x) l
reads: select <secret> from <table> union all select '-'
reads: select '-' union all (select <secret> from <table> order by <column> limit 1)
reads: select x from ((select <secret> as x from <table>) union all (select 'b' union all select 'c')) u
reads: select j.leaked from (<table> as a cross join (select 1 as one) b) as j (<renamed>)
reads: select b.<secret> from <table> a left join <table> b using (<column>)
reads: select b.<secret> from <table> a full join <table> b on a.<column> = b.<column>
reads: select <secret>, count(*) over () from <table>
values ((select <secret> from <table> order by <column> limit 1))
select * from (values ((select <secret> from <table> order by <column> limit 1))) v
reads: select * from <table>
reads: select t.* from <table> t
reads: select 1, * from <table>
reads: table <table>
reads: (table <table>) limit 3
reads: with w as (table <table>) table w
reads: select * from (table <table>) s order by <column>
reads: select distinct on (<column>) <secret> from <table> order by <column>
reads: select <secret> from <table> where <column> = (select min(<column>) from <table>)
reads: select <secret> from <table> order by <column> offset 1 fetch first row only
reads: select <secret> from <table> t where exists (select from <table> u where u.<column> = t.<column>)
reads: select (select t.<secret>) from <table> t
reads: select (select (select t.<secret>)) from <table> t
reads: select (t).<secret> from <table> t
reads: select <secret>(t) from <table> t
select (s.t).<secret> from (select t from <table> t) s
reads: select s.<secret> from (select (t).* from <table> t) s
reads: select <column>, <secret>, <secret>, <secret> from <table>

# Conditions: WHERE in its spellings
select <column> from <table> where <secret> = <value>
select <column> from <table> where <secret> <> <value>
select count(*) from <table> where <secret> > <value>
select count(*) from <table> where <value> >= <secret>
select count(*) from <table> where <secret> between '4' and '5'
select count(*) from <table> where <secret> between symmetric '5' and '4'
select <column> from <table> where <secret> like left(<value>, 1) || '%'
select <column> from <table> where <secret> not ilike '%1%'
select <column> from <table> where <secret> ~ '^4'
select <column> from <table> where <secret> similar to '4%'
select <column> from <table> where starts_with(<secret>, '4')
select <column> from <table> where <secret> ^@ '4'
select <column> from <table> where <secret> is null
select <column> from <table> where <secret> is not null
select <column> from <table> where <secret> isnull
select <column> from <table> where (<secret> = <value>) is unknown
select <column> from <table> where <secret> is not distinct from <value>
select <column> from <table> where (<column>, <secret>) = (1, <value>)
select <column> from <table> where row(<secret>) >= row(<value>)
select <column> from <table> where <secret> in (<value>, 'x')
select <column> from <table> where <secret> = any (array[<value>])
select <column> from <table> where <secret> <> all (array[<value>, 'x'])
select <column> from <table> where case when <secret> = <value> then true else false end
select <column> from <table> where <secret> || '' = <value>
select <column> from <table> where length(<secret>) = length(<value>)
select <column> from <table> where coalesce(<secret>, '') = <value>
select <column> from <table> where nullif(<secret>, <value>) is null
select <column> from <table> where md5(<secret>) = md5(<value>)
select <column> from <table> where <secret> = <value> or <column> < 0
select <column> from <table> where not (<secret> = <value>)
select t.<column> from <table> t where t.<secret> = <value> and true
select s.<column> from (select * from <table>) s where s.<secret> = <value>
select s.<column> from (select <column>, <secret> as x from <table> offset 0) s where x = <value>
with w as (select * from <table>) select <column> from w where <secret> = <value>
with w as (select <column> from <table> where <secret> = <value>) select count(*) from w
select 1 where exists (select from <table> where <secret> = <value>)
select <value> in (select <secret> from <table>)
select <value> not in (select <secret> from <table> where <column> < 3)
select <value> = any (select <secret> from <table>)
select <value> >= all (select <secret> from <table>)
select (1, <value>) in (select <column>, <secret> from <table>)
select (1, <value>) = (select <column>, <secret> from <table> order by <column> limit 1)
select (select <secret> from <table> order by <column> limit 1) = <value>
select (select count(*) from <table> where <secret> = <value>)
select (select true from <table> where <secret> = <value> limit 1)
select <column> from <table> t where exists (select where t.<secret> = <value>)
select <column> from <table> t where (select t.<secret>) = <value>
select count(*) filter (where <secret> = <value>) from <table>
select count(*) from <table> having max(<secret>) = <value>
select <column> from <table> group by <column>, <secret> having <secret> = <value>

# Joins: ON, USING, NATURAL, LATERAL
select a.<column> from <table> a join <table> b on a.<secret> = b.<secret> and b.<column> = 1
select a.<column> from <table> a join (values (<value>)) v (x) on v.x = a.<secret>
select a.<column> from <table> a left join (values (<value>)) v (x) on v.x = a.<secret> where v.x is not null
select v.x from <table> a right join (values (<value>), ('-')) v (x) on v.x = a.<secret> where a.<column> is null
select count(*) from <table> a full join (values (<value>)) v (x) on v.x = a.<secret>
select count(*) from <table> a join (values (<value>)) v (<secret>) using (<secret>)
select count(*) from <table> a join (values (<value>)) v (<secret>) using (<secret>) as j
select count(*) from <table> natural join (select <value> as <secret>) v
select count(*) from <table> a natural join <table> b
select count(*) from <table> a natural left join (select <value> as <secret>, 1 as n) v where n = 1
select count(*) from <table> a cross join <table> b where a.<secret> < b.<secret>
select count(*) from <table> a, (values (<value>)) v (x) where v.x = a.<secret>
select count(*) from <table> a, lateral (select 1 where a.<secret> = <value>) l
select count(*) from <table> a cross join lateral (select 1 limit (select case when a.<secret> = <value> then 1 else 0 end)) l
select l.n from <table> a cross join lateral (select count(*) as n from <table> b where b.<secret> < a.<secret>) l
select j.<secret> from (<table> a join (values (<value>)) v (<secret>) using (<secret>)) j

# Order, LIMIT and DISTINCT: where a row stands tells of its value
select <column> from <table> order by <secret>
select <column> from <table> order by <secret> desc limit 1
select <column> from <table> order by <secret> nulls first limit 1
select <column> from <table> order by <secret> using >
select <column> from <table> order by <secret> collate "C"
select <column> from <table> order by length(<secret>), <column>
select <column> from <table> order by <secret> = <value>, <column>
select <column> from <table> order by case when <secret> = <value> then 0 else 1 end, <column>
select t.<column> from <table> t order by (select t.<secret>)
select <column>, <secret> from <table> order by 2
select <secret> from <table> order by 1
select <secret> as <column> from <table> order by <column>
select t.<column> from <table> t order by t.<secret> offset 2 limit 1
select <column> from <table> order by <secret> fetch first 1 rows with ties
select <column> from (select <column> from <table> order by <secret> limit 1) s
select <column> from <table> order by <column> limit (select length(<secret>) from <table> order by <column> limit 1)
select <column> from <table> order by <column> offset (select length(<secret>) from <table> order by <column> limit 1)
select distinct <secret> from <table>
select count(*) from (select distinct <secret> from <table>) s
select distinct on (<secret>) <column> from <table> order by <secret>
select distinct on (length(<secret>)) <column> from <table> order by length(<secret>), <column>
select <secret> from <table> union select '-'
select count(*) from (select <secret> from <table> union select <value>) s
select <secret> from <table> intersect select <value>
select <secret> from <table> intersect all select <value>
select <value> except select <secret> from <table>
select <secret> from <table> except all select <value>
select <column> from <table> except select <column> from <table> where <secret> = <value>
select x from (select <secret> as x from <table> union all (select 'a' union select 'b')) u order by x
with recursive w (x) as (select <secret> from <table> union select x from w) select x from w
with recursive w (i, x, n) as (select <column>, <secret>, 1 from <table> union all select i, x, n + 1 from w where n < 2) search breadth first by x set o select i from w order by o, n
with recursive w (x, n) as (select <secret>, 1 from <table> union all select x, n + 1 from w where n < 2) search breadth first by x set o select o from w
with recursive w (x, n) as (select <secret>, 1 from <table> union all select x, n + 1 from w where n < 2) search depth first by x set o select o from w
with recursive w (x, n) as (select <secret>, 1 from <table> union all select <value>, n + 1 from w where n < 2) cycle x set c using p select count(*) from w where c
with recursive w (x, n) as (select <secret>, 1 from <table> union all select x, n + 1 from w where n < 2) cycle x set c using p select p from w
select <secret> from <table> union all select '-' order by 1

# Groups, aggregates and windows
select <secret>, count(*) from <table> group by <secret>
select <secret> from <table> group by 1
select count(*) from <table> group by <secret> order by 1
select count(*) from <table> group by length(<secret>)
select <secret> from <table> group by rollup (<secret>)
select count(*), grouping(<secret>) from <table> group by cube (<secret>)
select count(*) from <table> group by grouping sets ((<secret>), ())
select <column>, <secret> from <table> group by <column>, <secret>
select max(<secret>) from <table>
select min(<secret>) from <table>
select count(<secret>) from <table>
select count(distinct <secret>) from <table>
select string_agg(<secret>, ',') from <table>
select string_agg(<column>::text, ',' order by <secret>) from <table>
select array_agg(<secret>) from <table>
select array_agg(<column> order by <secret>) from <table>
select json_agg(<secret>) from <table>
select jsonb_object_agg(<column>, <secret>) from <table>
select xmlagg(xmlelement(name x, <secret>)) from <table>
select mode() within group (order by <secret>) from <table>
select percentile_disc(0.5) within group (order by <secret>) from <table>
select rank(<value>) within group (order by <secret>) from <table>
select bool_or(<secret> = <value>) from <table>
select every(<secret> = <value>) from <table>
select sum(length(<secret>)) from <table>
select bit_xor(hashtext(<secret>)) from <table>
select max(<column>) filter (where <secret> is null) from <table>
select (select max(t.<secret>) from (select 1) one) from <table> t
select row_number() over (order by <secret>), <column> from <table> order by <column>
select rank() over w, <column> from <table> window w as (order by <secret>) order by <column>
select count(*) over (partition by <secret>) from <table>
select lag(<secret>) over (order by <column>) from <table>
select first_value(<secret>) over (order by <column>) from <table>
select last_value(<column>) over (order by <secret> rows between unbounded preceding and unbounded following) from <table>
select sum(length(<secret>)) over (order by <column>) from <table>
select ntile(2) over (order by <secret>), <column> from <table> order by <column>
select count(*) over (order by <column> rows (select length(<secret>) from <table> order by <column> limit 1) preceding) from <table>
select n, <column> from (select <column>, row_number() over (order by <secret>) as n from <table>) s where <column> = 3
"""
