"""What the question files cannot show: needs, refusals, bounds, and names that need care."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import pytest

from pgmcp.catalog.catalogue import Catalogue, Column, ForeignKey, Relation
from pgmcp.language.explain import explain_declined
from pgmcp.language.lexicon import Lexicon
from pgmcp.language.question import ColumnRef, Declined, NeedValues, Select
from pgmcp.language.render import to_sql, values_sql
from pgmcp.language.statement import Statement
from pgmcp.language.tokens import tokenise
from pgmcp.language.understand import resolve, understand

TODAY = date(2025, 3, 15)
ID = Column("id", "integer", "N", nullable=False)
CITY = ColumnRef("public", "users", "city")


def table(name: str, *columns: Column, schema: str = "public", **more: object) -> Relation:
    return Relation(schema, name, "table", (ID, *columns), primary_key=("id",), **more)  # type: ignore[arg-type]


def ask(
    text: str, *relations: Relation, values: Mapping[ColumnRef, tuple[str, ...]] | None = None
) -> Statement | NeedValues | Declined:
    lexicon = Lexicon.of(Catalogue(relations))
    answer = understand(text, lexicon, today=TODAY, values=values)
    return answer if isinstance(answer, NeedValues | Declined) else to_sql(answer, lexicon)


USERS = table("users", Column("city", "text", "S"), Column("active", "boolean", "B", False))


def test_values_that_the_catalogue_does_not_hold_are_asked_for_and_then_used() -> None:
    assert ask("users in Berlin", USERS) == NeedValues((CITY,))
    answer = ask("users in berlin", USERS, values={CITY: ("Berlin", "Rome")})
    assert answer == Statement("SELECT *\nFROM users\nWHERE city = $1::text", ("Berlin",))


def test_a_column_with_too_many_values_is_not_asked_for_again() -> None:
    assert isinstance(ask("users in Berlin", USERS, values={CITY: ()}), Declined)


def test_a_flag_beside_a_status_that_could_mean_the_same_waits_for_the_values() -> None:
    both = table("users", Column("active", "boolean", "B", False), Column("status", "text", "S"))
    status = ColumnRef("public", "users", "status")
    assert ask("active users", both) == NeedValues((status,))
    plain = ask("active users", both, values={status: ("gold", "silver")})
    assert plain == Statement("SELECT *\nFROM users\nWHERE active")
    torn = ask("active users", both, values={status: ("active", "banned")})
    assert isinstance(torn, Declined)
    assert len(torn.readings) == 2


def test_what_the_user_typed_is_never_part_of_the_text() -> None:
    names = table("users", Column("name", "text", "S"))
    answer = ask('users named "x\'; DROP TABLE users; --"', names)
    assert isinstance(answer, Statement)
    assert "DROP" not in answer.text
    assert answer.params == ("x'; DROP TABLE users; --",)


def test_identifiers_are_quoted_and_qualified_where_they_must_be() -> None:
    odd = table(
        'My "Odd" Table', Column("select", "text", "S"), schema="Sales", on_search_path=False
    )
    assert ask("select of my odd table", odd) == Statement(
        'SELECT "select"\nFROM "Sales"."My ""Odd"" Table"'
    )


def test_wildcards_that_the_user_typed_are_plain_characters() -> None:
    names = table("users", Column("name", "text", "S"))
    answer = ask('users whose name contains "50%_\\"', names)
    assert isinstance(answer, Statement)
    assert answer.params == ("%50\\%\\_\\\\%",)


def test_a_number_without_its_unit_is_not_compared_with_cents() -> None:
    goods = table("goods", Column("price_cents", "integer", "N", False))
    assert isinstance(ask("goods with a price over 20", goods), Declined)
    assert isinstance(ask("goods cheaper than 20 euros", goods), Declined)
    answer = ask("goods with a price over 2000 cents", goods)
    assert isinstance(answer, Statement)
    assert answer.params == ("2000",)


@pytest.mark.parametrize(
    ("kind", "cast", "typed"),
    [
        ("integer", "integer", "3"),
        ("integer", "numeric", "3.5"),
        ("smallint", "numeric", "99999"),
        ("numeric(6,2)", "numeric", "3"),
        ("double precision", "double precision", "3"),
    ],
)
def test_a_number_is_cast_to_a_type_that_holds_it(kind: str, cast: str, typed: str) -> None:
    goods = table("goods", Column("price", kind, "N", False))
    answer = ask(f"goods with a price over {typed}", goods)
    assert isinstance(answer, Statement)
    assert answer.text.endswith(f"price > $1::{cast}")


def test_two_keys_between_two_tables_are_an_ambiguity_with_both_named() -> None:
    keys = tuple(
        ForeignKey(f"{name}_fk", (f"{name}_id",), "public", "people", ("id",))
        for name in ("seller", "buyer")
    )
    people = table("people", Column("name", "text", "S"))
    sales = table(
        "sales",
        Column("seller_id", "integer", "N"),
        Column("buyer_id", "integer", "N"),
        foreign_keys=keys,
    )
    lexicon = Lexicon.of(Catalogue((people, sales)))
    answer = resolve("people with sales", lexicon, today=TODAY, read=lambda _: ())
    assert isinstance(answer, Declined)
    said = explain_declined(answer, lexicon)
    assert "seller_id" in said
    assert "buyer_id" in said
    assert isinstance(resolve("sales of seller 3", lexicon, today=TODAY, read=lambda _: ()), Select)


def test_a_refusal_names_the_word_what_comes_close_and_the_table() -> None:
    lexicon = Lexicon.of(Catalogue((USERS,)))
    answer = resolve("users with cty Berlin", lexicon, today=TODAY, read=lambda _: ())
    assert isinstance(answer, Declined)
    said = explain_declined(answer, lexicon)
    assert "“cty”" in said
    assert "column users.city" in said
    assert "active boolean not null" in said


def test_values_are_read_within_a_bound() -> None:
    text = values_sql(CITY, Lexicon.of(Catalogue((USERS,)))).text
    assert "LIMIT 10000" in text
    assert text.endswith("LIMIT 201")


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("today", "2025-03-15", "2025-03-16"),
        ("this week", "2025-03-10", "2025-03-17"),
        ("last week", "2025-03-03", "2025-03-10"),
        ("in December", "2024-12-01", "2025-01-01"),
        ("in March", "2025-03-01", "2025-04-01"),
        ("last quarter", "2024-10-01", "2025-01-01"),
        ("in Q2 2024", "2024-04-01", "2024-07-01"),
        ("on 29 February 2024", "2024-02-29", "2024-03-01"),
        ("between 2024-01-31 and 2024-02-01", "2024-01-31", "2024-02-02"),
        ("in the last 3 months", "2024-12-15", "2025-03-16"),
        ("from May to July 2024", "2024-05-01", "2024-08-01"),
    ],
)
def test_phrases_of_time_are_half_open_ranges_of_days(text: str, start: str, end: str) -> None:
    events = table("events", Column("created_at", "timestamp with time zone", "D", False))
    answer = ask(f"events {text}", events)
    assert isinstance(answer, Statement)
    assert answer.params == (start, end)


@pytest.mark.parametrize(
    "text",
    [
        "on 2025-02-29",
        "in the 13th month",
        "on 31 April 2024",
        "until 2024",
        "next Friday",
        "between 2024 and 2023",
    ],
)
def test_a_time_that_not_everybody_reads_alike_is_declined(text: str) -> None:
    events = table("events", Column("created_at", "timestamp with time zone", "D", False))
    assert isinstance(ask(f"events {text}", events), Declined)


def test_a_text_with_too_many_readings_is_declined_and_not_pondered() -> None:
    answer = ask("users " + "in Berlin or " * 28 + "Rome", USERS, values={CITY: ("Berlin", "Rome")})
    assert not isinstance(answer, NeedValues)
    assert isinstance(ask("users " * 61, USERS), Declined)


def test_a_long_run_of_combining_marks_is_not_put_into_order() -> None:
    unordered = "a" + "\u0301\u0323" * 1000  # the second belongs before the first
    assert "".join(token.text for token in tokenise(unordered)) == unordered
    assert tokenise("u\u0308ber")[0].text == "über"


def test_secrets_and_pictures_are_shown_only_when_they_are_asked_for() -> None:
    kinds = [("login", "text", "S"), ("password_hash", "text", "S"), ("apiKey", "text", "S"),
             ("photo", "bytea", "U"), ("token_count", "integer", "N")]  # fmt: skip
    accounts = table("accounts", *(Column(*kind) for kind in kinds))
    everything = ask("show all accounts", accounts)
    assert everything == Statement("SELECT id, login, token_count\nFROM accounts")
    asked_for = ask("password hash of accounts", accounts)
    assert asked_for == Statement("SELECT password_hash\nFROM accounts")


def test_secrets_are_not_among_the_columns_that_name_a_group() -> None:
    accounts = table("accounts", Column("region", "text", "S"), Column("secret", "text", "S"))
    key = ForeignKey("fk", ("account_id",), "public", "accounts", ("id",))
    visits = table("visits", Column("account_id", "integer", "N"), foreign_keys=(key,))
    answer = ask("number of visits per account", accounts, visits)
    assert isinstance(answer, Statement)
    assert "region" in answer.text
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    "name", ["last_update", "lastSeen", "change_date", "modified_on", "upd_dt"]
)
def test_a_date_of_what_happened_later_is_not_a_rows_own(name: str) -> None:
    things = table("things", Column(name, "date", "D", False))
    assert isinstance(ask("things since 2024", things), Declined)
    own = table("changes", Column("change_date", "date", "D", False))
    assert isinstance(ask("changes since 2024", own), Statement)


def test_a_refusal_names_the_values_that_were_read() -> None:
    answer = resolve("users in Berlinn", Lexicon.of(Catalogue((USERS,))), today=TODAY,
                     read=lambda _: ("Berlin", "Rome"))  # fmt: skip
    assert isinstance(answer, Declined)
    assert "value 'Berlin' of users.city" in explain_declined(
        answer, Lexicon.of(Catalogue((USERS,)))
    )
    assert answer.nearly is not None
    assert answer.nearly[0] == "in Berlinn"


def test_words_that_turn_the_question_around_are_never_left_out() -> None:
    things = table("things")
    kept = ask("things without", things)
    assert isinstance(kept, Declined)
    assert kept.nearly is None
    left_out = ask("lovely things", things)
    assert isinstance(left_out, Declined)
    assert left_out.nearly is not None
    assert left_out.nearly[0] == "lovely"
