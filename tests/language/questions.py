"""The question files: reading them, asking them, and judging the answers.

The rule: an answer is right when it has the rows of the reference SQL, in its order where it has
one. The reference's columns must be found in the answer; more columns than those are not wrong.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from pgmcp.errors import ToolError
from pgmcp.gate.port import Database
from pgmcp.language.explain import explain_declined
from pgmcp.language.lexicon import Lexicon
from pgmcp.language.question import ColumnRef, Declined
from pgmcp.language.render import MAX_VALUES, to_sql, values_sql
from pgmcp.language.understand import resolve
from pgmcp.postgres.rows import Rows, Value

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Case:
    """A question with its reference SQL; without it, to be declined with `mentioning`."""

    text: str
    reference: str | None
    mentioning: str = ""


@dataclass(frozen=True)
class Questions:
    """One file of questions."""

    schema: Path
    today: date
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class Verdict:
    """What became of a question. `why` is what to look at when it is not right."""

    case: Case
    outcome: Literal["right", "declined", "wrong"]
    why: str = ""


def load(path: Path) -> Questions:
    """Read a file of questions; its format is explained in questions_shop.txt."""
    head: dict[str, str] = {}
    cases: list[Case] = []
    asked: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        mark, rest = line[:1], line[1:].strip()
        if mark == "?":
            asked.append(rest)
        elif mark == "=":
            cases.extend(Case(text, rest) for text in asked)
            asked = []
        elif mark == "!":
            cases.extend(Case(text, None, rest) for text in asked)
            asked = []
        elif mark not in ("#", ""):
            name, _, value = line.partition(":")
            head[name] = value.strip()
    if asked:
        raise ValueError(f"{path}: no answer to {asked}")
    return Questions(path.parent / head["schema"], date.fromisoformat(head["today"]), tuple(cases))


def judge(case: Case, lexicon: Lexicon, database: Database, today: date) -> Verdict:
    """Ask one question the way the tool does."""

    def read(column: ColumnRef) -> tuple[str, ...]:
        rows = database.query(values_sql(column, lexicon).text, max_rows=MAX_VALUES + 1).rows
        values = tuple((value or b"").decode() for (value,) in rows)
        return values if len(values) <= MAX_VALUES else ()

    answer = resolve(case.text, lexicon, today=today, read=read)
    if isinstance(answer, Declined):
        said = explain_declined(answer, lexicon)
        if case.reference is not None:
            return Verdict(case, "declined", said)
        good = case.mentioning in said
        return Verdict(case, "right" if good else "declined", f"not mentioned in: {said}")
    statement = to_sql(answer, lexicon)
    shown = f"{statement.text}\n{statement.params}"
    if case.reference is None:
        return Verdict(case, "wrong", shown)
    try:
        got = database.query(statement.text, statement.params, max_rows=1000)
    except ToolError as error:
        return Verdict(case, "wrong", f"{error.for_client()}\n{shown}")
    wanted = database.query(case.reference, max_rows=1000)
    if same_rows(got, wanted, ordered="ORDER BY" in case.reference):
        return Verdict(case, "right")
    return Verdict(case, "wrong", f"{shown}\ngot    {got.rows[:5]}\nwanted {wanted.rows[:5]}")


def same_rows(got: Rows, wanted: Rows, *, ordered: bool) -> bool:
    """Whether the wanted columns are among those of the answer, with the wanted rows."""
    if len(got.rows) != len(wanted.rows):
        return False

    def values(rows: list[tuple[Value, ...]], at: int) -> object:
        listed = [_plain(row[at]) for row in rows]
        return listed if ordered else Counter(listed)

    choices = [
        [
            there
            for there in range(len(got.columns))
            if values(got.rows, there) == values(wanted.rows, here)
        ]
        for here in range(len(wanted.columns))
    ]
    target = [tuple(_plain(value) for value in row) for row in wanted.rows]
    if len(got.columns) == len(wanted.columns):
        choices = [[here] if here in found else found for here, found in enumerate(choices)]
    for mapping in itertools.islice(itertools.product(*choices), 200):
        rows = [tuple(_plain(row[at]) for at in mapping) for row in got.rows]
        if rows == target or (not ordered and Counter(rows) == Counter(target)):
            return True
    return False


def _plain(value: Value) -> Value:
    """A date and its midnight are the same answer."""
    return value.split(b" 00:00:00")[0] if value else value
