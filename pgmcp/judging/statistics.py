"""The statistics views that show the text of statements, and how that of other callers is withheld.

All callers of pgmcp share one role, so PostgreSQL shows each of them what the others are running.
A caller's statement that names such a view gets a part of WITH of that name in front, which reads
the view and puts a note in the place of that text; PostgreSQL looks a name up there first.

The rule: the part in front is for convenience only. The judge refuses a statement that reads such a
column from anywhere else. Pure: text in, text and decisions out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pgmcp.judging.columns import WHOLE_ROW, columns_read_in
from pgmcp.judging.effects import Objection
from pgmcp.judging.nodes import nodes, parse
from pgmcp.sql.lexer import Lexeme, lexemes
from pgmcp.sql.text import quote_identifier

ACTIVITY, STATEMENTS = "pg_stat_activity", "pg_stat_statements"
SHOW_ACTIVITY, SHOW_TEXT = 2022, 1940  # pg_stat_get_activity, pg_stat_get_backend_activity
OF_BUILTINS = frozenset({SHOW_ACTIVITY, SHOW_TEXT, 1392, 1393})
"""PostgreSQL's functions that show what others are doing; the last two, from where they do so."""
WITHOUT_TEXT = OF_BUILTINS - {SHOW_ACTIVITY, SHOW_TEXT}
OF_EXTENSION = frozenset({(STATEMENTS, STATEMENTS), (STATEMENTS, f"{STATEMENTS}_info")})
"""The like of an extension: its name, and the function's."""
_TEXT = "query"
_MAX_CHARACTERS = 20_000
HINTS = {
    "none": "An administrator can allow it with `statistics: own` for this database.",
    "own": f"Read it through the views, such as {ACTIVITY}. An administrator can allow more with"
    " `statistics: all` for this database.",
}
"""What to do where a function that shows what others do may not be called, by the value of
`databases[].statistics`."""

VIEWS_SQL = f"""
SELECT n.nspname, c.relname, c.oid, a.attname, a.attnum
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
WHERE c.relkind = 'v' AND a.attnum > 0 AND NOT a.attisdropped
  AND (n.nspname = 'pg_catalog' AND c.relname IN (
         '{ACTIVITY}', 'pg_stat_replication', 'pg_stat_ssl', 'pg_stat_gssapi')
       OR c.relname IN ('{STATEMENTS}', '{STATEMENTS}_info') AND EXISTS (
         SELECT FROM pg_catalog.pg_depend d
         JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND e.extname = '{STATEMENTS}'
         WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
           AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
           AND d.deptype = 'e'))
ORDER BY c.oid, a.attnum
"""
"""The views that call these functions, a row for each of their columns."""

_ACTIVITY_OF_OTHERS = (
    "s.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()"
    " AND (s.application_name OPERATOR(pg_catalog.=) 'pgmcp'"
    " OR s.usename OPERATOR(pg_catalog.=) session_user"
    " AND s.backend_type OPERATOR(pg_catalog.=) 'parallel worker')"
)
_STATEMENT_OF_OTHERS = (
    "s.query OPERATOR(pg_catalog.~~) 'DECLARE pgmcp NO SCROLL CURSOR FOR%'"
    " OR s.query OPERATOR(pg_catalog.~~) 'EXPLAIN (%'"
)
_OF_OTHERS = {ACTIVITY: _ACTIVITY_OF_OTHERS, STATEMENTS: _STATEMENT_OF_OTHERS}
_BEGINS_A_READ = frozenset({"select", "values", "table", "with", "("})


class StatisticsView(NamedTuple):
    """A view: its columns in their order, and the number of the one with text, 0 without one."""

    schema: str
    name: str
    oid: int
    columns: tuple[str, ...]
    text_attribute: int

    @property
    def shadow(self) -> str:
        """The part of WITH that shows the view without the text of other callers."""
        columns = ", ".join(
            f"CASE WHEN {_OF_OTHERS[self.name]} THEN '<withheld: a call of this server>'"
            f" ELSE s.{_TEXT} END AS {_TEXT}"
            if column == _TEXT
            else f"s.{quote_identifier(column)}"
            for column in self.columns
        )
        source = f"{quote_identifier(self.schema)}.{self.name}"
        return f"{self.name} AS (SELECT {columns} FROM {source} s)"


class WithheldText(NamedTuple):
    """A caller's text with parts of WITH in front, which are `shift` characters more."""

    text: str
    shift: int = 0


def read_views(rows: Sequence[tuple[str, ...]]) -> tuple[StatisticsView, ...]:
    """The answer to VIEWS_SQL as values."""
    named: dict[tuple[str, str, int], list[tuple[str, int]]] = {}
    for schema, view, oid, column, attribute in rows:
        named.setdefault((schema, view, int(oid)), []).append((column, int(attribute)))
    return tuple(
        StatisticsView(*key, tuple(column for column, _ in columns), dict(columns).get(_TEXT, 0))
        for key, columns in named.items()
    )


def may_name_view(text: str) -> bool:
    """Whether a text may name a view whose text is withheld; quick, and wrong on the safe side."""
    lowered = text.lower()
    return ACTIVITY in lowered or STATEMENTS in lowered


def withhold(text: str, views: Sequence[StatisticsView]) -> WithheldText:
    """A caller's text with the views that it names shown without the text of other callers.

    A schema's name before such a view is blanked, so that the part of WITH is meant. Other text
    than a read is left as it is: the gate refuses it. So is one that is too long to look through on
    every call: the judge refuses it.
    """
    if len(text) > _MAX_CHARACTERS:
        return WithheldText(text)
    pieces = list(lexemes(text))
    words = [_word_of(text, piece) for piece in pieces]
    if not words or words[0] not in _BEGINS_A_READ:
        return WithheldText(text)
    own = _parts_of_with(words)
    shown = {view.name: view for view in views if view.text_attribute and view.name not in own}
    named = []
    for place, word in enumerate(words):
        view = shown.get(word)
        if view is None or words[place + 1 : place + 2] == ["("]:
            continue
        if place and words[place - 1] == ".":
            if place < 2 or words[place - 2] != view.schema:
                continue
            if place > 2 and words[place - 3] == ".":  # which database it is, PostgreSQL says
                continue
            begin, end = pieces[place - 2].start, pieces[place - 1].end
            text = text[:begin] + " " * (end - begin) + text[end:]
        if view not in named:
            named.append(view)
    if not named:
        return WithheldText(text)
    return _in_front(text, ", ".join(view.shadow for view in named), words, pieces)


_MOST_WORDS = 200
"""Of the columns of a part of WITH, so that a text is read in proportion to its length."""


def _parts_of_with(words: Sequence[str]) -> set[str]:
    """The names that a text gives to parts of WITH. Any more do no harm: a view that is not
    replaced is refused where its text is read."""
    return {
        words[place - 1]
        for place, word in enumerate(words)
        if word == "as" and place > 1 and words[place - 2] in ("with", "recursive", ",")
        if words[place + 1 : place + 2] in (["("], ["not"], ["materialized"])
    } | {
        words[place]
        for place in range(1, len(words))
        if words[place - 1] in ("with", "recursive", ",")
        if words[place + 1 : place + 2] == ["("] and _names_columns(words, place + 1)
    }


def _names_columns(words: Sequence[str], bracket: int) -> bool:
    """Whether the bracket that opens here holds the columns of a part of WITH: `(a, b) AS (`."""
    inside = words[bracket : bracket + _MOST_WORDS]
    end = bracket + inside.index(")") if ")" in inside else len(words)
    return words[end + 1 : end + 2] == ["as"]


def _in_front(
    text: str, parts: str, words: Sequence[str], pieces: Sequence[Lexeme]
) -> WithheldText:
    if words[0] != "with":
        front = f"WITH {parts}\n"
        return WithheldText(front + text, len(front))
    last = 1 if words[1:2] == ["recursive"] else 0
    begin = pieces[last].end
    front = f"WITH {'RECURSIVE ' if last else ''}{parts},\n"
    return WithheldText(front + text[begin:], len(front) - begin)


def _word_of(text: str, piece: Lexeme) -> str:
    word = text[piece.start : piece.end]
    return word[1:-1] if piece.kind == "name" else word.lower()


def parts_in_front(text: str, views: Sequence[StatisticsView]) -> int:
    """How many parts of WITH at the beginning of a text are just those that `withhold` puts there.

    Whoever wrote them: what they show is withheld.
    """
    for start in ("WITH RECURSIVE ", "WITH "):
        if text.startswith(start):
            return _parts_at(text, len(start), views)
    return 0


def _parts_at(text: str, at: int, views: Sequence[StatisticsView]) -> int:
    with_text = [view for view in views if view.text_attribute]
    parts = 0
    while view := next((v for v in with_text if text.startswith(v.shadow, at)), None):
        parts += 1
        at += len(view.shadow)
        if not text.startswith(", ", at):
            break
        at += 2
    return parts


def objection(tree: str, views: Sequence[StatisticsView], parts: int) -> Objection | None:
    """Why an analysed statement may not show what it reads of the views, None when it may.

    Its first `parts` parts of WITH are those of `withhold`.
    """
    parsed = parse(tree)
    top = next((node for node in nodes(parsed) if node.tag == "QUERY"), None)
    if top is not None and parts:
        top.fields["cteList"] = list[object](top.children("cteList")[parts:])
    with_text = [view for view in views if view.text_attribute]
    texts = {(v.oid, at): v for v in with_text for at in (v.text_attribute, WHOLE_ROW)}
    for read in columns_read_in(parsed):
        view = texts.get((read.relation, read.attribute))
        if view is not None:
            return Objection(
                f"{view.schema}.{view.name}.{_TEXT} shows what other callers of this server run",
                f"Name {view.name} itself in the statement: it is shown with that text withheld."
                " Or leave that column out.",
            )
    return None
