"""query_database answers plain questions, shows its SQL, and never takes SQL for prose."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from pgmcp.calls.call import Call
from pgmcp.catalog.catalogue import Catalogue
from pgmcp.errors import StatementError, StatementRefusedError, ToolError
from pgmcp.features.tools.query_database import TOOL
from pgmcp.mcp.feature import Context
from pgmcp.rpc.schema import build
from tests.tool_calls import calls, cells, sections, text_of
from tools.postgres import Server

SCHEMA = """
CREATE TABLE users (id int PRIMARY KEY, name text, active boolean, joined date);
INSERT INTO users VALUES (1, 'Ann', true, '2024-02-01'), (2, 'Bob', false, '2023-05-05'),
  (3, 'Cy', true, '2026-01-01');
CREATE TABLE orders (id int PRIMARY KEY, user_id int REFERENCES users, total numeric);
INSERT INTO orders VALUES (1, 1, 10), (2, 1, 20.5), (3, 2, 5);
CREATE SEQUENCE s;
CREATE VIEW busy AS SELECT id, nextval('s') AS status FROM users;
"""


def ask(context: Context, text: str, **arguments: object) -> str:
    """The result of query_database."""
    return text_of(TOOL.run(build(TOOL.args, {"query": text, **arguments}), context))


@pytest.fixture
def context(postgres: Server, database: str) -> Iterator[Context]:
    """A call on the small schema."""
    postgres.psql(SCHEMA, database)
    with calls(postgres, database) as ready:
        yield ready.context


def names(result: str) -> list[str]:
    """The column "name" of a result."""
    return [row["name"] for row in cells(sections(result)[1])]


def head_of(result: str) -> str:
    """The lines above the rows."""
    return "\n".join(sections(result)[0])


def test_the_guides_questions_are_answered(context: Context) -> None:
    assert names(ask(context, "Show me all active users")) == ["Ann", "Cy"]
    assert names(ask(context, "Show me all users")) == ["Ann", "Bob", "Cy"]
    assert "orders" in ask(context, "Show tables")


def test_the_result_shows_the_sql_its_parameters_and_who_wrote_it(context: Context) -> None:
    head = head_of(ask(context, "users named Ann"))
    assert "SQL: SELECT" in head
    assert 'Parameters: $1 = "Ann"' in head
    assert "SQL written by: pgmcp, from plain language" in head


def test_a_question_pages_like_sql(context: Context) -> None:
    assert names(ask(context, "users sorted by name", limit=1, offset=1)) == ["Bob"]
    assert "Continue with offset=1" in ask(context, "users sorted by name", limit=1)


def test_a_question_that_is_not_understood_is_not_run_and_says_what_is_there(
    context: Context,
) -> None:
    with pytest.raises(ToolError, match="nothing was run") as declined:
        ask(context, "users that smell of lavender")
    assert "lavender" in str(declined.value)
    assert "joined" in str(declined.value)


def test_a_slip_in_sql_comes_back_as_postgresqls_own_error(context: Context) -> None:
    with pytest.raises(StatementError) as caught:
        ask(context, "select nam from users")
    assert caught.value.server.sqlstate == "42703"
    with pytest.raises(StatementError):
        ask(context, "select name form users where id = 1")


def test_a_question_passes_the_same_judge(
    context: Context, postgres: Server, database: str
) -> None:
    with pytest.raises(ToolError, match="may not run here") as refused:
        ask(context, "show all busy")
    assert not isinstance(refused.value, StatementRefusedError)  # the SQL is shown with it
    assert "SQL: SELECT" in str(refused.value)
    assert postgres.psql("select is_called from s", database).strip() == "f"


def test_a_changed_table_is_understood_as_it_is_now(
    context: Context, postgres: Server, database: str
) -> None:
    ask(context, "show all users")
    postgres.psql("alter table users rename column name to full_name", database)
    assert "full_name" in ask(context, "show all users")
    postgres.psql("create table planets (id int, title text)", database)
    assert "0 rows" in ask(context, "show all planets")


def test_a_literal_that_no_row_holds_is_answered_with_the_values_near_it(context: Context) -> None:
    head = head_of(ask(context, "users whose name is Anne"))
    assert 'Note: no row of users has name "Anne"; near it: "Ann"' in head
    count = head_of(ask(context, "how many users whose name is Bobb"))
    assert 'near it: "Bob"' in count
    assert "near it" not in head_of(ask(context, "users whose name is Zebulon"))
    assert "no row of users has name" in head_of(ask(context, "users whose name is Zebulon"))


def test_an_empty_answer_about_a_value_that_is_there_is_not_explained(context: Context) -> None:
    result = ask(context, "users whose name is bob and who joined in 2020")
    assert "0 rows" in result
    assert "Note:" not in result
    assert "Note:" not in ask(context, "users whose name is Ann")


def test_a_value_near_a_literal_stays_on_one_line(
    context: Context, postgres: Server, database: str
) -> None:
    postgres.psql("insert into users values (9, E'Max\\nSQL: x', true, null)", database)
    head = head_of(ask(context, "users whose name is Max"))
    assert "near it" in head
    assert "\nSQL: x" not in head


class Scribe:
    """A model that answers everything with one statement."""

    name = "scribe"

    def __init__(self, sql: str) -> None:
        self.sql = sql

    def sql_for(self, question: str, catalogue: Catalogue, call: Call) -> str:
        """The one statement."""
        assert question and catalogue.relations and call.remaining() > 0
        return self.sql


def test_what_the_grammar_declines_goes_to_the_configured_model(context: Context) -> None:
    asking = replace(context, model=Scribe("select 42 as answer, 'x' as name"))
    result = ask(asking, "what is the meaning of life")
    assert names(result) == ["x"]
    assert "SQL written by: scribe" in head_of(result)
    writer = replace(context, model=Scribe("create table t ()"))
    with pytest.raises(ToolError, match="Only a single SELECT"):
        ask(writer, "what is the meaning of life")
