"""Literals that no row may hold: the statement that looks, and what comes near them.

The rule: only a text that was compared as the user typed it is looked for, never one that the
database is known to hold; and one statement with a bounded answer does it for all of them.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pgmcp.language.lexicon import Lexicon
from pgmcp.language.question import (
    All,
    Any,
    ColumnRef,
    Condition,
    Measure,
    Not,
    OneOf,
    Question,
    Related,
    Select,
    TableRef,
)
from pgmcp.language.statement import Statement, qualified
from pgmcp.sql.names import quoted

MAX_LITERALS = 3
SAMPLE_ROWS = 10_000
MAX_NEAR_VALUES = 200
_MAX_SHOWN = 5
_CLOSE = 0.6  # difflib's ratio


@dataclass(frozen=True, slots=True)
class Probe:
    """`statement` returns at most MAX_ROWS rows: the number of a literal, and a stored value.

    The value is the literal, case ignored, or one of the first SAMPLE_ROWS that begins with the
    same letter or contains it.
    """

    literals: tuple[tuple[ColumnRef, str], ...]
    statement: Statement


MAX_ROWS = MAX_LITERALS * (MAX_NEAR_VALUES + 1)


def probe_of(question: Question, lexicon: Lexicon) -> Probe | None:
    """What to look for when the answer to `question` is empty; None without such a literal."""
    if not isinstance(question, Select):
        return None
    literals = tuple(dict.fromkeys(_literals(question)))[:MAX_LITERALS]
    if not literals:
        return None
    parts = [_look(n, column, lexicon) for n, (column, _) in enumerate(literals, 1)]
    texts = tuple(text for _, text in literals)
    return Probe(literals, Statement("\nUNION ALL\n".join(parts), texts))


def _look(n: int, column: ColumnRef, lexicon: Lexicon) -> str:
    """The SELECT for the literal `$n`."""
    table = TableRef(column.schema, column.table)
    name, source = quoted(column.column), qualified(table, lexicon.relations[table].on_search_path)
    literal = f"lower(${n}::text)"
    return (
        f"SELECT {n} AS literal, value FROM (\n"
        f"  (SELECT {name}::text AS value FROM {source} WHERE lower({name}) = {literal} LIMIT 1)\n"
        f"  UNION (SELECT DISTINCT value FROM (SELECT {name}::text AS value FROM {source}"
        f" WHERE {name} IS NOT NULL LIMIT {SAMPLE_ROWS}) AS sample\n"
        f"    WHERE left(lower(value), 1) = left({literal}, 1)"
        f" OR strpos(lower(value), {literal}) > 0 LIMIT {MAX_NEAR_VALUES})) AS near"
    )


def _literals(question: Select) -> Iterator[tuple[ColumnRef, str]]:
    """The texts of a question that were compared as they were typed."""
    if question.where is not None:
        yield from _typed(question.where, question.table)
    for term in question.show:
        if isinstance(term, Measure) and term.where is not None:
            yield from _typed(term.where, term.path[-1].target)


def _typed(condition: Condition, table: TableRef) -> Iterator[tuple[ColumnRef, str]]:
    if isinstance(condition, All | Any):
        for part in condition.of:
            yield from _typed(part, table)
    elif isinstance(condition, Not):
        yield from _typed(condition.of, table)
    elif isinstance(condition, Related):
        if condition.where is not None:
            yield from _typed(condition.where, condition.path[-1].target)
    elif isinstance(condition, OneOf) and condition.fold:
        for text in condition.values:
            yield ColumnRef(table.schema, table.table, condition.column), text


def near_values(probe: Probe, rows: Iterable[tuple[int, str]]) -> str:
    """What to say of the literals that no row holds, "" when there is none. One line."""
    stored: dict[int, list[str]] = {}
    for n, value in rows:
        stored.setdefault(n, []).append(value)
    sentences = []
    for n, (column, text) in enumerate(probe.literals, 1):
        folded = {value.lower(): value for value in stored.get(n, [])}
        if text.lower() in folded:
            continue
        containing = [value for lower, value in folded.items() if text.lower() in lower]
        close = difflib.get_close_matches(text.lower(), folded, n=_MAX_SHOWN, cutoff=_CLOSE)
        near = [*(folded[lower] for lower in close), *containing]
        shown = ", ".join(_written(value) for value in dict.fromkeys(near[:_MAX_SHOWN]))
        sentence = f"no row of {column.table} has {column.column} {_written(text)}"
        sentences.append(sentence + (f"; near it: {shown}" if shown else ""))
    return ". ".join(sentences)


def _written(value: str) -> str:
    """A value on one line, cut where it is long."""
    return json.dumps(value if len(value) <= 80 else value[:79] + "…", ensure_ascii=False)
