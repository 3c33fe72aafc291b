"""Hundreds of questions over schemas of different taste, with the rows they must return."""

from __future__ import annotations

import pytest

from tests.language.databases import load_schema
from tests.language.questions import FOLDER, judge, load
from tools.postgres import Server

FILES = sorted(FOLDER.glob("questions_*.txt"))


@pytest.fixture(scope="session")
def postgres(newest_postgres: Server) -> Server:
    """The newest server alone: the SQL that a question becomes does not depend on the version."""
    return newest_postgres


@pytest.mark.parametrize("name", [path.stem for path in FILES])
def test_every_question_is_answered_with_the_right_rows_or_declined_as_it_must_be(
    postgres: Server, database: str, name: str
) -> None:
    questions = load(FOLDER / f"{name}.txt")
    with load_schema(postgres, database, questions.schema.name) as loaded:
        verdicts = [
            judge(case, loaded.lexicon, loaded.database, questions.today)
            for case in questions.cases
        ]
    failed = [
        f"{one.outcome}: {one.case.text}\n{one.why}" for one in verdicts if one.outcome != "right"
    ]
    assert not failed, "\n\n".join(failed)


def test_there_are_as_many_questions_as_were_promised() -> None:
    cases = [case for path in FILES for case in load(path).cases]
    assert sum(case.reference is not None for case in cases) >= 150
    assert sum(case.reference is None for case in cases) >= 50
