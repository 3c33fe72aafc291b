"""Policies as values: their patterns, their section, and what they decide."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from pgmcp.config.hours import parse as parse_hours
from pgmcp.config.patterns import Access, ReadRules, parse
from pgmcp.config.policies import Policy
from pgmcp.config.session_settings import parse_settings
from pgmcp.errors import ConfigError, StatementRefusedError
from pgmcp.policy.absence import disguise, hidden
from pgmcp.policy.active import ActivePolicy
from pgmcp.policy.decision import may_read, may_use
from pgmcp.policy.facts import UsedRelation
from pgmcp.policy.names import names_in
from tests.configuration import configure


def rules(*lines: str) -> ReadRules:
    return ReadRules(tuple(map(parse, lines)))


# -- patterns --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], Access.UNNAMED),
        (["public.users"], Access.ALLOWED),
        (["public.*"], Access.ALLOWED),
        (["*.*"], Access.ALLOWED),
        (["other.*"], Access.UNNAMED),
        (["public.*", "not public.users"], Access.DENIED),
        (["not public.users", "public.*"], Access.ALLOWED),
        (["public.*", "NOT  public.users"], Access.DENIED),
        (["public.*", "not public.users.email"], Access.ALLOWED),
        (["public.users.id"], Access.ALLOWED),
        (["public.*", "not public.users", "public.users.id"], Access.ALLOWED),
        (["public.Users"], Access.UNNAMED),
        (['public."users"'], Access.ALLOWED),
    ],
)
def test_the_last_line_that_matches_decides_on_a_table(lines: list[str], expected: Access) -> None:
    assert rules(*lines).table("public", "users") is expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["public.*"], Access.ALLOWED),
        (["public.users.id"], Access.UNNAMED),
        (["public.*", "not public.users.email"], Access.DENIED),
        (["not public.users.email", "public.*"], Access.ALLOWED),
        (["public.users.email", "not public.users"], Access.DENIED),
    ],
)
def test_the_last_line_that_matches_decides_on_a_column(lines: list[str], expected: Access) -> None:
    assert rules(*lines).column("public", "users", "email") is expected


@pytest.mark.parametrize("schema", ["pg_catalog", "information_schema", "pg_toast"])
def test_any_schema_is_none_of_postgresqls_own(schema: str) -> None:
    assert rules("*.*").table(schema, "x") is Access.UNNAMED
    assert rules(f"{schema}.*").table(schema, "x") is Access.ALLOWED


def test_names_are_quoted_as_in_sql() -> None:
    pattern = parse('"My ""Schema"".x"."a.b"."*"')
    assert (pattern.schema, pattern.table, pattern.column) == ('My "Schema".x', "a.b", "*")


@pytest.mark.parametrize(
    "line",
    ["", "users", "*", "*.users", "public.users.*", "a.b.c.d", "public.", ".x", 'a."b', "a b.c"],
)
def test_what_is_no_pattern_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="names"):
        parse(line)


# -- tables and those below them -------------------------------------------------------------------


def test_a_denial_goes_down_and_a_named_child_is_in_its_parents_rows() -> None:
    policy = Policy(read=rules("public.*", "not public.parent.secret", "not public.old"))
    child = UsedRelation("public", "child", {}, ancestors=(("public", "parent"),))
    parent = UsedRelation("public", "parent", {}, descendants=(("public", "old"),))
    assert may_use(policy, child)
    assert not may_read(policy, child, "secret")
    assert may_read(policy, child, "id")
    assert may_use(policy, parent)
    assert not may_use(policy, parent, children=True)


def test_a_sequence_belongs_to_its_table() -> None:
    policy = Policy(read=rules("public.*", "not public.salaries"))
    assert not may_use(
        policy, UsedRelation("public", "s_seq", {}, owner_table=("public", "salaries"))
    )


# -- names in a text -------------------------------------------------------------------------------


def test_hidden_names_are_replaced_by_others_of_the_same_length_and_put_back() -> None:
    text = "SELECT a FROM Salaries s, \"salaries\" -- salaries\nWHERE b = 'salaries'"
    other = disguise(text, names_in(text), {"salaries"})
    assert len(other.text) == len(text)
    assert "Salaries" not in other.text
    assert '"salaries"' not in other.text
    assert "-- salaries" in other.text
    assert "'salaries'" in other.text
    assert other.put_back(f"relation {other.text[14:22]} does not exist") == (
        "relation salaries does not exist"
    )


def test_a_name_that_is_open_elsewhere_is_not_hidden() -> None:
    policy = Policy(read=rules("public.*", "not public.users.name", "not public.secret"))
    relations = [
        UsedRelation("public", "users", {1: "name", 2: "id"}),
        UsedRelation("public", "orders", {1: "name"}),
        UsedRelation("public", "secret", {}),
        UsedRelation("vault", "keys", {}),
        UsedRelation("public", "heirs", {1: "pin"}, ancestors=(("public", "base"),)),
    ]
    words = frozenset({"name", "id", "pin"})
    schemas = ["public", "vault", "pg_catalog"]
    policy = replace(policy, read=ReadRules((*policy.read.patterns, parse("not public.base.pin"))))
    assert hidden(policy, relations, schemas, words) == {"secret", "keys", "vault", "pin"}


# -- the section -----------------------------------------------------------------------------------


def test_a_policy_is_read() -> None:
    config = configure(
        "policies: {a: {tools: [count_rows], read: ['public.*', 'not public.x']}, b: {}}"
    )
    policy = config.policies["a"]
    assert policy.tools == ("count_rows",)
    assert policy.read == rules("public.*", "not public.x")
    assert config.policies["b"] == Policy()


@pytest.mark.parametrize("first", ["a", "Z", "_", "é", "\x80", "\U0010ffff"])
def test_the_parts_of_a_settings_name_begin_as_in_postgresql(first: str) -> None:
    name = f"{first}1$.{first}"
    assert parse_settings({name: "x"}) == ((name, "x"),)
    for wrong in "@[^`{\x7f1$. \0":
        with pytest.raises(ValueError, match="no name with a dot"):
            parse_settings({f"a.{wrong}{first}": "x"})


def test_a_policys_role_and_settings_are_read() -> None:
    config = configure(
        """policies: {a: {role: "Shop support", settings: {app.tenant_id: "42", app.a.b: ""}}}"""
    )
    policy = config.policies["a"]
    assert policy.role == "Shop support"
    assert policy.settings == (("app.a.b", ""), ("app.tenant_id", "42"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("policies: []", "policies must be a section"),
        ("policies: {a: {raed: []}}", "unknown key 'policies.a.raed'"),
        ("policies: {a: {read: public.x}}", "policies.a.read"),
        ("policies: {a: {read: [users]}}", "'users' names no table and no column"),
        ("policies: {a: {read: ['*.users']}}", "names a table without its schema"),
        ("policies: {a: {databases: [nothing]}}", "there is no 'nothing'"),
        ("policies: {a: {tools: [nothing]}}", "there is no 'nothing'"),
        ("policies: {' a': {}}", "begins or ends with a blank"),
        ("policies: {a: 1}", "policies.a must be a section"),
        ("policies: {a: {role: }}", "policies.a.role is empty"),
        ("policies: {a: {role: ''}}", "policies.a.role is empty"),
        ("policies: {a: {role: none}}", "no role in PostgreSQL"),
        ("policies: {a: {role: 42}}", "put it in quotes"),
        (f"policies: {{a: {{role: {'r' * 64}}}}}", "1 to 63 bytes"),
        ("policies: {a: {settings: [app.x]}}", "must be a section of settings"),
        ("policies: {a: {settings: {search_path: x}}}", "no name with a dot"),
        ("policies: {a: {settings: {role: x}}}", "no name with a dot"),
        ("policies: {a: {settings: {'app.': x}}}", "no name with a dot"),
        ("policies: {a: {settings: {'app.x; y': x}}}", "no name with a dot"),
        ("policies: {a: {settings: {app.x: 42}}}", "put it in quotes"),
        ("policies: {a: {settings: {app.x: }}}", "put it in quotes"),
        ("policies: {a: {settings: {app.x: 'a', App.x: 'b'}}}", "stands there twice"),
        ('policies: {a: {settings: {app.x: "\\0"}}}', "is no text"),
    ],
)
def test_what_a_policy_cannot_say_is_an_error(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        configure(text)
    assert problem in refused.value.message


# -- hours, networks and limits --------------------------------------------------------------------


def test_hours_may_be_one_text() -> None:
    def hours(text: str) -> object:
        return configure(f"policies: {{a: {{hours: {text}}}}}").policies["a"].hours

    one = '"Mon-Fri 07:00-19:00 UTC"'
    assert hours(one) == hours(f"[{one}]") != ()
    with pytest.raises(ConfigError, match="not of the form"):
        hours('"always"')


def test_a_text_that_holds_every_short_name_is_refused_and_ends() -> None:
    every = "".join(map(chr, range(0x4E00, 0x9FA6)))
    text = f"select a from fk /* {every} */"
    with pytest.raises(StatementRefusedError, match="cannot be told apart"):
        disguise(text, names_in(text), {"a"})


def test_a_name_that_postgresql_cuts_is_put_back_as_it_cuts_it() -> None:
    name = "a" * 70
    text = f"select 1 from {name}"
    other = disguise(text, names_in(text), {name})
    cut = other.text.split()[-1][:63]
    assert other.put_back(f'relation "{cut}" does not exist') == (
        f'relation "{name[:63]}" does not exist'
    )


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("Mon-Fri 07:00-19:00 UTC", "2026-11-27T07:00Z", "2026-11-27T06:59Z"),
        ("Mon-Fri 07:00-19:00 UTC", "2026-11-27T18:59Z", "2026-11-27T19:00Z"),
        ("Mon-Fri 07:00-19:00 UTC", "2026-11-23T12:00Z", "2026-11-28T12:00Z"),
        ("Sat 00:00-24:00 UTC", "2026-11-28T23:59Z", "2026-11-29T00:00Z"),
        ("Sat-Mon 10:00-11:00 UTC", "2026-11-30T10:30Z", "2026-12-01T10:30Z"),
        ("Fri 22:00-06:00 UTC", "2026-11-28T05:59Z", "2026-11-28T06:00Z"),
        ("Fri 22:00-06:00 UTC", "2026-11-27T22:00Z", "2026-11-28T22:00Z"),
        ("Mon-Sun 08:00-09:00 Europe/Berlin", "2026-11-27T07:30Z", "2026-11-27T08:30Z"),
        ("Mon-Sun 08:00-09:00 Europe/Berlin", "2026-07-27T06:30Z", "2026-07-27T07:30Z"),
    ],
)
def test_hours_cover_their_days_in_their_zone(text: str, inside: str, outside: str) -> None:
    hours = parse_hours(text)
    assert hours.cover(at(inside))
    assert not hours.cover(at(outside))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Mon-Fri 07:00-19:00",
        "Xyz 07:00-19:00 UTC",
        "Mon 7-19 UTC",
        "Mon 07:60-19:00 UTC",
        "Mon 24:00-25:00 UTC",
        "Mon 24:00-06:00 UTC",
        "Mon 07:00-19:00 Nowhere/Land",
        "Mon 07:00-19:00 ../../etc/passwd",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_hours(text)


def test_a_policy_is_closed_outside_its_hours_and_networks() -> None:
    config = configure(
        "policies: {a: {hours: ['Fri 07:00-19:00 UTC'], networks: [10.0.0.0/8, '2001:db8::/32'],"
        " limits: {rows_per_call: 5, statement_timeout: 2s}}}"
    )
    policy = ActivePolicy(config.policies["a"])
    friday, saturday = at("2026-11-27T12:00Z"), at("2026-11-28T12:00Z")
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1"):
        assert policy.closed(address, friday) is None
        assert "07:00-19:00" in str(policy.closed(address, saturday))
    for address in ("11.0.0.1", "::1", "stdio", ""):
        assert "address" in str(policy.closed(address, friday))
    assert (policy.rows(100), policy.rows(3)) == (5, 3)
    assert policy.statement_timeout_seconds == 2
    unlimited = ActivePolicy(Policy())
    assert unlimited.rows(100) == 100
    assert unlimited.closed("", friday) is None
