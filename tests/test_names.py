"""Names beyond ASCII, in other cases, compositions and quotes, wherever a caller gives one."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

import pytest

from pgmcp.catalog import lookup
from pgmcp.errors import ToolError
from pgmcp.features.tools import count_rows, get_schema_info, query_database
from pgmcp.language.stemming import split_name
from pgmcp.sql.names import array_literal, clipped, fold, parts, qualified
from tests.tool_calls import Calls, calls, fresh
from tools.postgres import Server

_DECOMPOSED = unicodedata.normalize("NFD", "Çözümler")
_LONG = "заказы_покупателей_за_прошлый_год"

_SQL = f"""
create table "ЗАКАЗЫ" ("НОМЕР" int, "Сумма" int); insert into "ЗАКАЗЫ" values (1, 2), (2, 3);
create table "Größen" ("Länge" int); insert into "Größen" values (1);
create table "İLLER" (id int); insert into "İLLER" values (34);
create table "ısı" (id int);
create table "{_DECOMPOSED}" (id int);
create table "{_LONG}" (id int);
create schema "Архив"; create table "Архив"."Счета" (id int); create table "Архив".orders (id int);
create schema "my.schema"; create table "my.schema"."my.table" (id int);
create table "select" (id int); create table "say ""hi"" now" (id int);
create table "Twin" (id int); create table "TWIN" (id int, other int);
create table "Пара" (id int); create table "ПАРА" (id int, other int);
create sequence "Нумерация"; create function "Сложить"(int) returns int return $1;
create type "Цвет" as enum ('red');
create schema hidden; create table hidden."Тайна" (id int);
create role names_reader login password 'names-password'; grant select on "ЗАКАЗЫ" to names_reader;
"""


@pytest.fixture(scope="module")
def call(postgres: Server) -> Iterator[Calls]:
    with fresh(postgres, _SQL) as ready:
        yield ready
    postgres.psql("drop role names_reader")


@pytest.mark.parametrize(
    ("one_spelling", "other"),
    [
        ("ЗАКАЗЫ", "заказы"),
        ("GRÖSSEN", "größen"),
        ("Ärger", unicodedata.normalize("NFD", "ÄRGER")),
        ("İLLER", "iller"),
        ("ISI", "ısı"),
        ("ΟΔΟΣ", "οδος"),
        ("Orders", "ORDERS"),
    ],
)
def test_the_fold_is_the_same_on_both_sides(one_spelling: str, other: str) -> None:
    assert fold(one_spelling) == fold(other)
    assert fold(fold(other)) == fold(other)
    assert fold(other) != fold(other + "2")


def test_names_are_read_as_sql_spells_them() -> None:
    assert parts('a."b.c".d') == ("a", "b.c", "d")
    assert parts('"say ""hi"""') == ('say "hi"',)
    assert parts("a.") == parts('"a') == parts('a"b') == parts("") == ()
    assert qualified("public", "select") == 'public."select"'
    assert parts(qualified("my.schema", 'a"b')) == ("my.schema", 'a"b')
    assert clipped("ж" * 40) == "ж" * 31
    assert array_literal(['a"b', "c\\d", "e,f", ""]) == '{"a\\"b","c\\\\d","e,f",""}'


def test_words_of_a_name_are_found_in_any_alphabet() -> None:
    assert split_name("ЗаказыКлиентов") == ("заказы", "клиентов")
    assert split_name(unicodedata.normalize("NFD", "Müller_Größe")) == ("müller", "grösse")


@pytest.mark.parametrize(
    ("table", "schema", "meant"),
    [
        ("ЗАКАЗЫ", None, 'public."ЗАКАЗЫ"'),
        ("заказы", None, 'public."ЗАКАЗЫ"'),
        ("Заказы", "PUBLIC", 'public."ЗАКАЗЫ"'),
        ('"ЗАКАЗЫ"', None, 'public."ЗАКАЗЫ"'),
        ('public."ЗАКАЗЫ"', None, 'public."ЗАКАЗЫ"'),
        ("größen", None, 'public."Größen"'),
        ("GRÖSSEN", None, 'public."Größen"'),
        (unicodedata.normalize("NFD", "größen"), None, 'public."Größen"'),
        ("iller", None, 'public."İLLER"'),
        ("ISI", None, 'public."ısı"'),
        ("Çözümler", None, f'public."{_DECOMPOSED}"'),
        (_DECOMPOSED, None, f'public."{_DECOMPOSED}"'),
        (_LONG, None, f'public."{clipped(_LONG)}"'),
        (_LONG.upper(), None, f'public."{clipped(_LONG)}"'),
        ("архив.счета", None, '"Архив"."Счета"'),
        ("счета", "архив", '"Архив"."Счета"'),
        ("счета", '"Архив"', '"Архив"."Счета"'),
        ('"Архив"."Счета"', "Архив", '"Архив"."Счета"'),
        ("my.schema.my.table", None, '"my.schema"."my.table"'),
        ('"my.schema"."my.table"', None, '"my.schema"."my.table"'),
        ("my.table", "my.schema", '"my.schema"."my.table"'),
        ("select", None, 'public."select"'),
        ('SAY "HI" NOW', None, 'public."say ""hi"" now"'),
        ('"say ""hi"" now"', None, 'public."say ""hi"" now"'),
        ("Twin", None, 'public."Twin"'),
        ("TWIN", None, 'public."TWIN"'),
    ],
)
def test_a_table_is_found_however_it_is_spelt(
    call: Calls, table: str, schema: str | None, meant: str
) -> None:
    (listed,) = lookup.listed(call.get().fetch, table, schema)
    assert lookup.plain_name(listed) == meant
    text = call(get_schema_info.TOOL, table_name=table, schema_name=schema)
    assert f"{listed.schema}\t" in text
    assert call(count_rows.TOOL, table=table, schema=schema).split("\n")[-2] == "count"


def test_what_a_hint_prints_can_be_given_back(call: Calls) -> None:
    for wrong in ("my.tables", "зак", "selects", "say hi"):
        hint = call.failure(get_schema_info.TOOL, table_name=wrong).partition("Closest: ")[2]
        for name in hint.split(", "):
            assert call(get_schema_info.TOOL, table_name=name)


def test_spellings_that_fold_to_the_same_are_asked_about(call: Calls) -> None:
    failure = call.failure(count_rows.TOOL, table="twin")
    assert 'public."TWIN", public."Twin"' in failure
    failure = call.failure(count_rows.TOOL, table="пара")
    assert 'public."ПАРА", public."Пара"' in failure
    assert "other" in call(get_schema_info.TOOL, table_name="пара")


def test_columns_and_schemas_are_found_however_they_are_spelt(call: Calls) -> None:
    number = [{"column": "номер", "value": "1"}]
    assert call(count_rows.TOOL, table="заказы", filter=number).endswith("\n1")
    quoted = [{"column": '"Сумма"', "op": ">", "value": "2"}]
    assert call(count_rows.TOOL, table="заказы", filter=quoted).endswith("\n1")
    length = [{"column": unicodedata.normalize("NFD", "LÄNGE"), "value": "1"}]
    assert call(count_rows.TOOL, table="größen", filter=length).endswith("\n1")
    for schema in ("Архив", "АРХИВ", '"Архив"'):
        assert "Счета" in call(get_schema_info.TOOL, schema_name=schema)
    assert 'Schemas: "Архив"' in call.failure(get_schema_info.TOOL, schema_name="арх")


def test_plain_questions_find_them_too(call: Calls) -> None:
    assert call(query_database.TOOL, query="how many заказы").split("\n")[-3] == "2"
    assert call(query_database.TOOL, query="how many Größen").split("\n")[-3] == "1"
    assert call(query_database.TOOL, query="how many iller").split("\n")[-3] == "1"
    assert call(query_database.TOOL, query="how many Çözümler").split("\n")[-3] == "0"
    assert call(query_database.TOOL, query="how many Счета in архив").split("\n")[-3] == "0"


def test_what_has_the_name_and_no_rows_is_said_to_be_that(call: Calls) -> None:
    for name, kind in (
        ("Нумерация", "a sequence"),
        ("Сложить", "a function"),
        ("Цвет", "a type"),
        ('public."Цвет"', "a type"),
    ):
        assert f"is {kind}, and no table" in call.failure(get_schema_info.TOOL, table_name=name)


def test_what_exists_and_may_not_be_read_is_said_to_be_that(call: Calls, postgres: Server) -> None:
    with calls(postgres, call.database, "names_reader", "names-password") as as_reader:
        failure = as_reader.failure(get_schema_info.TOOL, table_name="Größen")
        assert 'public."Größen" exists, and the role may not read it' in failure
        assert 'GRANT SELECT ON public."Größen"' in failure
        for name in ("тайна", "hidden.Тайна"):
            failure = as_reader.failure(count_rows.TOOL, table=name)
            assert 'hidden."Тайна" exists, and the role may not read it' in failure
        failure = as_reader.failure(get_schema_info.TOOL, schema_name="HIDDEN")
        assert 'schema "hidden" exists, and the role may not use it' in failure
        assert as_reader(count_rows.TOOL, table="заказы").endswith("\n2")
        with pytest.raises(ToolError, match='no table "Тайны"'):
            lookup.relation(as_reader.get().fetch, "Тайны")


def test_postgresqls_own_views_are_left_out_and_said_to_be_that(call: Calls) -> None:
    for name in ("pg_roles", "pg_catalog.pg_class", "information_schema.tables"):
        failure = call.failure(get_schema_info.TOOL, table_name=name)
        assert "is one of PostgreSQL's own" in failure
    assert 'no table "tables"' in call.failure(get_schema_info.TOOL, table_name="tables")
