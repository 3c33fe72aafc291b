"""What to say of a text that was not understood, so that whoever asked can do better.

The rule: it names what was understood and what was not, and never guesses an answer.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from itertools import islice

from pgmcp.catalog.catalogue import Relation
from pgmcp.language.lexicon import Lexicon
from pgmcp.language.question import Declined, Question, TableRef
from pgmcp.language.render import to_sql
from pgmcp.language.stemming import split_name, stem
from pgmcp.sql.names import quoted

_MAX_TABLES = 4
_MAX_COLUMNS = 40
_MAX_READINGS = 3


def explain_declined(declined: Declined, lexicon: Lexicon) -> str:
    """The text of the refusal, the likely tables' definitions at its end."""
    lines = [f"Not sure what this asks, so nothing was run: {declined.reason}."]
    if declined.unplaced:
        lines.append("No place for: " + ", ".join(f"“{word}”" for word in declined.unplaced))
        lines.extend(_closest(declined, lexicon))
    if declined.nearly:
        left_out, question = declined.nearly
        lines.append(f"Everything but “{left_out}” fits this, which was not run:")
        lines.extend(_sql_lines(question, lexicon))
    if declined.readings:
        lines.append("It could mean any of these:")
        for question in declined.readings[:_MAX_READINGS]:
            lines.extend(_sql_lines(question, lexicon))
    lines.extend(f"Note: {note}." for note in declined.notes[:4])
    tables = _likely(declined, lexicon)
    if tables:
        lines.append("The likely tables:")
        lines.extend(_definition(lexicon.relations[ref], lexicon) for ref in tables)
    else:
        names = islice((".".join(name) for name in lexicon.listed), 30)
        lines.append("The tables here: " + (", ".join(names) or "none"))
    lines.append("Ask again in other words, or send the SQL.")
    return "\n".join(lines)


def _sql_lines(question: Question, lexicon: Lexicon) -> Iterator[str]:
    """The SQL of a question, indented, and its parameters."""
    statement = to_sql(question, lexicon)
    yield "  " + statement.text.replace("\n", "\n  ")
    if statement.params:
        listed = ", ".join(f"${n} = {value!r}" for n, value in enumerate(statement.params, 1))
        yield f"    with {listed}"


def _likely(declined: Declined, lexicon: Lexicon) -> tuple[TableRef, ...]:
    tables = [*declined.tables]
    for word in declined.unplaced:
        tables.extend(ref for ref, _ in _close_tables(word, lexicon))
    return tuple(dict.fromkeys(tables))[:_MAX_TABLES]


def _close_tables(word: str, lexicon: Lexicon) -> list[tuple[TableRef, str]]:
    wanted = stem(word.lower())
    names = list(lexicon.tables.words())
    if len(names) > 5_000:
        # As alike as is asked for below, two words cannot differ more in length.
        names = [
            name
            for name in names
            if name[:1] == wanted[:1] and 0.6 * len(wanted) <= len(name) <= 1.67 * len(wanted)
        ]
    close = difflib.get_close_matches(wanted, names, n=2, cutoff=0.75)
    named = [(lexicon.tables.get((name,)), name) for name in close]
    return [(entry[1][0], name) for entry, name in named if entry is not None]


def _closest(declined: Declined, lexicon: Lexicon) -> list[str]:
    """The tables, columns and values that come closest to the words without a place."""
    lines = []
    for word in declined.unplaced[:4]:
        near = [f"table {ref}" for ref, _ in _close_tables(word, lexicon)]
        for ref in declined.tables[:_MAX_TABLES]:
            relation = lexicon.relations[ref]
            pool = {part: column.name for column in relation.columns
                    for part in (column.name.lower(), *split_name(column.name))}  # fmt: skip
            near += [
                f"column {ref.table}.{pool[part]}"
                for part in difflib.get_close_matches(word.lower(), pool, n=2, cutoff=0.7)
            ]
            for name, values in _known_values(declined, ref, lexicon).items():
                folded = {value.lower(): value for value in values}
                near += [
                    f"value {folded[near_value]!r} of {ref.table}.{name}"
                    for near_value in difflib.get_close_matches(
                        word.lower(), folded, n=2, cutoff=0.7
                    )
                ]
        if near:
            lines.append(f"Closest to “{word}”: " + ", ".join(dict.fromkeys(near)))
    return lines


def _known_values(
    declined: Declined, ref: TableRef, lexicon: Lexicon
) -> dict[str, tuple[str, ...]]:
    """The values of a table's columns that the catalogue holds or that were read."""
    read = {
        column.column: values
        for column, values in declined.stored
        if (column.schema, column.table) == ref
    }
    return {**lexicon.known_values(ref), **read}


def _definition(relation: Relation, lexicon: Lexicon) -> str:
    """A table in one line a column, short enough to read."""
    comment = f"  -- {relation.comment}" if relation.comment else ""
    name = f"{quoted(relation.schema)}.{quoted(relation.name)}"
    lines = [f"{relation.kind} {name}{comment}"]
    known = lexicon.known_values(TableRef(relation.schema, relation.name))
    for column in relation.columns[:_MAX_COLUMNS]:
        notes = []
        if column.name in relation.primary_key:
            notes.append("primary key")
        notes += [
            f"references {key.ref_schema}.{key.ref_table}"
            for key in relation.foreign_keys
            if column.name in key.columns
        ]
        if column.name in known:
            notes.append(
                "values such as " + ", ".join(repr(value) for value in known[column.name][:6])
            )
        if column.comment:
            notes.append(column.comment)
        remark = f"  -- {'; '.join(notes)}" if notes else ""
        null = "" if column.nullable else " not null"
        lines.append(f"  {quoted(column.name)} {column.type}{null}{remark}")
    if len(relation.columns) > _MAX_COLUMNS:
        lines.append(f"  … and {len(relation.columns) - _MAX_COLUMNS} columns more")
    return "\n".join(lines)
