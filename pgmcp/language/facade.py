"""The facade: a question and a catalogue in, SQL with its parameters or a refusal that helps out.

The rule: pure. Other packages import this module and, for names and their stems, `stemming`;
nothing else of `language`. What only a database knows comes through the callers' functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from pgmcp.language.explain import explain_declined
from pgmcp.language.lexicon import Lexicon
from pgmcp.language.probe import MAX_ROWS as MAX_PROBE_ROWS
from pgmcp.language.probe import Probe, near_values, probe_of
from pgmcp.language.prose import (
    MAX_QUESTION_CHARS,
    SYNTAX_ERROR,
    asks_to_change,
    is_prose,
    looks_like_sql,
)
from pgmcp.language.question import ColumnRef, Declined
from pgmcp.language.render import MAX_VALUES, to_sql, values_sql
from pgmcp.language.understand import resolve

__all__ = [
    "MAX_PROBE_ROWS",
    "MAX_QUESTION_CHARS",
    "MAX_VALUES",
    "SYNTAX_ERROR",
    "Lexicon",
    "Probe",
    "Refusal",
    "Translated",
    "asks_to_change",
    "is_prose",
    "looks_like_sql",
    "near_values",
    "translate",
]


@dataclass(frozen=True, slots=True)
class Translated:
    """The SQL that answers a question, and the texts of its parameters `$1`, `$2`, …

    `probe`: what to run when the answer is empty, to see whether a literal is one that no row
    holds; `near_values` says what came of it.
    """

    sql: str
    params: tuple[str, ...]
    probe: Probe | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a question is not answered, and what would help: text of several lines."""

    help: str


ReadValues = Callable[[str], tuple[str, ...]]
"""Runs a SELECT of one text column: its values, or () when there are more than MAX_VALUES."""


def translate(
    question: str, lexicon: Lexicon, *, today: date, read_values: ReadValues
) -> Translated | Refusal:
    """Translate a question in plain language.

    `lexicon`: `Lexicon.of(catalogue)`, which takes seconds for large catalogues and so is kept.
    `today`: the date where the database session is. `read_values` is called once for each column
    whose stored values decide what a word means.
    """

    def read(column: ColumnRef) -> tuple[str, ...]:
        return read_values(values_sql(column, lexicon).text)

    answer = resolve(question, lexicon, today=today, read=read)
    if isinstance(answer, Declined):
        return Refusal(explain_declined(answer, lexicon))
    statement = to_sql(answer, lexicon)
    return Translated(statement.text, statement.params, probe_of(answer, lexicon))
