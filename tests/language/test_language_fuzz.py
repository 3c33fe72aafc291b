"""Whatever is asked, the answer is a refusal or SQL that PostgreSQL accepts."""

from __future__ import annotations

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgmcp.catalog.catalogue import Catalogue
from pgmcp.language import words
from pgmcp.language.explain import explain_declined
from pgmcp.language.lexicon import Lexicon
from pgmcp.language.question import ColumnRef, Declined
from pgmcp.language.render import to_sql
from pgmcp.language.stemming import split_name
from pgmcp.language.understand import resolve
from tests.language.databases import load_schema
from tests.language.questions import FOLDER, load
from tools.postgres import Server

GRAMMAR = [
    *(phrase for phrases in words.PHRASES.values() for phrase in phrases),
    *words.COMPARATIVES, *words.SUPERLATIVES, *words.MONTHS, *words.UNITS, *words.NOISE,
    "2024", "3", "5.5", "-1", "1e9", "last week", "since 2024", "'x''y'", '"Ada"', "%", "(", ")",
    "*", ";", "$1",
    "2025-02-30", "in March", "99999999999999999999", "not", "than", "ago", "'s", "\x00",
]  # fmt: skip


def vocabulary(catalogue: Catalogue) -> list[str]:
    """The words of a schema."""
    found = {"Berlin", "paid"}
    for relation in catalogue.relations:
        found.update((relation.name, " ".join(split_name(relation.name)), relation.schema))
        found.update(column.name for column in relation.columns)
        found.update(value for column in relation.columns for value in column.labels)
    return sorted(found)


def some(column: ColumnRef) -> tuple[str, ...]:
    return ("Berlin", "paid", "x'y") if len(column.column) % 2 else ()


def test_random_questions_become_valid_sql_or_are_declined(postgres: Server, database: str) -> None:
    rng = random.Random(postgres.version)  # other questions on each version
    with load_schema(postgres, database, "schema_shop.sql") as shop:
        names = vocabulary(shop.database.catalogue())
        known = [case.text.split() for case in load(FOLDER / "questions_shop.txt").cases]
        today = load(FOLDER / "questions_shop.txt").today
        statements = set()
        for _ in range(600):
            if rng.random() < 0.5:
                parts = [rng.choice(rng.choice((names, GRAMMAR))) for _ in range(rng.randint(1, 9))]
            else:
                one, other = rng.choice(known), rng.choice(known)
                parts = one[: rng.randint(0, len(one))] + other[rng.randint(0, len(other)) :]
            answer = resolve(" ".join(parts), shop.lexicon, today=today, read=some)
            if isinstance(answer, Declined):
                assert explain_declined(answer, shop.lexicon)
            else:
                statement = to_sql(answer, shop.lexicon)
                assert statement.text.count("$") == len(statement.params)
                statements.add((statement.text, statement.params))
        assert len(statements) > 30
        for text, params in statements:
            shop.database.query(text, params, max_rows=1)


CATALOGUE = Catalogue(())


@given(st.text(max_size=200))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_text_is_too_strange_to_be_declined(text: str) -> None:
    answer = resolve(text, Lexicon.of(CATALOGUE), today=TODAY, read=some)
    if isinstance(answer, Declined):
        assert explain_declined(answer, Lexicon.of(CATALOGUE))


TODAY = load(FOLDER / "questions_shop.txt").today
