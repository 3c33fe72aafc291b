"""How much work it is for PostgreSQL to analyse a statement, estimated from the text alone.

PostgreSQL analyses a text before there is a tree that could be judged, and neither
statement_timeout nor a cancel request ends the analysis. Three things make it large:

- Copies. BETWEEN copies its operands twice, BETWEEN SYMMETRIC four times, and IN its left side once
  for each element. `(…).*` copies its expression once for each column, a table in FROM lists its
  columns, CUBE and ROLLUP copy their sets. Copies inside copies multiply: 372 bytes take 4 GB.
- Comparisons. Each item of GROUP BY is compared with all others, and each name with all columns
  that it could be.
- Characters read again. The lexer reads a run of operators' signs (`/**//**/…`, `++++…`) to its end
  for each comment and each + in it.

The rule: pure, linear in the text, and an upper estimate: what surrounds a copied operand counts as
part of it. Where the text is misread, something too large may run, or something small is refused;
what may be written is decided elsewhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pgmcp.sql.lexer import lexemes

MAX_LEXEMES = 120_000
"""More never pass: the tree of so many parts is larger than the judge reads."""
MAX_DEPTH = 200
MAX_SOURCES = 1000
"""Naming a view such as information_schema.columns costs 400 kB and 5 ms each time."""
MAX_COPIES = 200_000
"""Parts of expressions after copying, each 150 bytes of memory and 300 of the printed tree."""
MAX_TABLE_COLUMNS = 1_000_000
"""Columns of tables, as often as the analysis lists them; about 150 bytes of memory each."""
MAX_COMPARISONS = 20_000_000
"""About a second's work."""
MAX_CONDITIONS = 3000
"""ANDs and ORs. The planner compares many of them with each other, for each index and partition."""
MAX_LITERAL_STEPS = 2_000_000_000
MAX_ATTRIBUTES = 10_000
"""In one element of a document; libxml compares each with all others."""
MAX_READ_AGAIN = 50_000_000
"""Characters; less than a second's work."""

_COLUMNS = 200  # of a table, which is not seen from here
_MAX_COLUMNS = 1664  # MaxTupleAttributeNumber
_MAX_CUBE, _MAX_SETS = 12, 4096  # PostgreSQL refuses more, but counts after it has copied
_LOOK_AFTER = 50  # lexemes
_COMPARED_COLUMNS = 10  # with each name: most tables are left after their first letters

_LARGE_LITERAL = 20_000  # characters, of which no type's input function makes much
_SIGNS = re.compile(r"[~!@#^&|`?+\-*/%<>=]{100,}+")  # op_chars of scan.l

# Reserved words only: any other may be a column's name inside an operand.
_ENDS_OPERAND = frozenset(
    "select from where group having order window limit offset fetch union intersect except on"
    " using when then else as with returning or".split()
)
_ENDS_FROM = frozenset(
    "where group having order window limit offset fetch union intersect except for".split()
)
_NOT_IN_CASE = frozenset({",", ")", "]", ";", "select", "from", *_ENDS_FROM} - {"for"})
_SETS = frozenset({"cube", "rollup", "sets"})
_BEFORE_A_SOURCE = frozenset({"from", "join", "lateral", ",", "("})


@dataclass(slots=True)
class _Query:
    """The numbers of the parts of one SELECT that are compared with each other."""

    selected: int = 1
    sources: int = 0
    joins: int = 0
    sorted: int = 0  # items of GROUP BY, ORDER BY, PARTITION BY and DISTINCT ON, and windows
    sets: int = 0
    words: int = 0


@dataclass(slots=True)
class _Frame:
    """What stands between an opening bracket, or CASE, and its end. The first frame is the text."""

    opened_by: str = ""
    clause: str = ""  # "select", "from", "by" or, for any other, ""
    query: _Query = field(default_factory=_Query)
    queries: int = 0
    words: int = 0  # of the queries that have ended
    commas: int = 0
    copies: int = 0  # the parts of the operands that have ended
    operand: int = 0  # the parts of the operand that is being read
    before_in: int = 0  # those on the left of IN
    factor: int = 1
    own_ands: int = 0  # the ANDs that still belong to a BETWEEN
    has_bracket: bool = False
    has_star: bool = False  # an ended operand holds a `.*`
    operand_has_star: bool = False

    def end_operand(self) -> None:
        self.copies += self.operand * self.factor
        self.has_star |= self.operand_has_star
        self.operand, self.factor, self.own_ands, self.operand_has_star = 0, 1, 0, False


def objection(text: str) -> str | None:
    """Why a statement is too much for PostgreSQL's analysis, and what to do; None if it is not."""
    if _read_again(text) > MAX_READ_AGAIN and _read_again(_without_quotes(text)) > MAX_READ_AGAIN:
        return (
            "PostgreSQL would read its comments or its + signs too often, which stand side by side "
            "with nothing between them. Leave them out, or put a space behind each"
        )
    for backslashes in (False, True) if "\\" in text else (False,):  # standard_conforming_strings
        if (problem := _objection(text, backslashes)) is not None:
            return problem
    return None


def _read_again(text: str) -> int:
    """How many characters of the runs of operators' signs are read more than once."""
    runs = (run[0] for run in _SIGNS.finditer(text))
    return sum((run.count("/*") + run.count("+")) * len(run) for run in runs)


def _without_quotes(text: str) -> str:
    """The text with a space in the place of each string and each quoted name."""
    pieces, at = [], 0
    for kind, start, end, _ in lexemes(text):
        if kind in ("string", "dollar", "name"):
            pieces.append(text[at:start])
            at = end
    return " ".join([*pieces, text[at:]])


def _objection(text: str, backslashes: bool, columns: int = _COLUMNS) -> str | None:
    estimate = _Estimate(columns)
    for number, (kind, start, end, _) in enumerate(lexemes(text, backslashes=backslashes), 1):
        if number > MAX_LEXEMES:
            return f"it has more than {MAX_LEXEMES:,} words and signs. Send a shorter one"
        if kind == "word" or kind == "symbol":
            estimate.read(text[start:end].lower(), is_word=kind == "word")
        else:
            estimate.read_value(kind)
            if end - start > _LARGE_LITERAL and _is_slow_literal(text[start:end]):
                return _SLOW_LITERAL
        # The counts only grow, and a few lexemes more do no harm.
        if number % _LOOK_AFTER == 0 and (problem := estimate.problem()) is not None:
            return problem
    if (problem := estimate.end()) is None and estimate.widest > columns:
        # The text itself makes rows that are wider than was assumed of tables.
        return _objection(text, backslashes, _MAX_COLUMNS)
    return problem


_SLOW_LITERAL = (
    "PostgreSQL would read one of its long constants too slowly, if it is a tsquery of thousands of"
    " terms, or a document with an ATTLIST or with thousands of attributes in one element. Use a"
    " shorter one"
)


def _is_slow_literal(literal: str) -> bool:
    """Whether a type's input function, which runs while a statement is analysed, would take the
    square of a constant's size in steps: that of tsquery for each operator, and libxml."""
    operators = sum(map(literal.count, "&|!")) + literal.count("->")
    if operators * len(literal) > MAX_LITERAL_STEPS:
        return True
    if "<!ATTLIST" in literal:
        return True
    elements = literal.split("<") if literal.count("=") > MAX_ATTRIBUTES else ()
    return any(element.count("=") > MAX_ATTRIBUTES for element in elements)


class _Estimate:
    """The counts of a text, lexeme by lexeme."""

    def __init__(self, columns: int) -> None:
        self.widest = 0
        """The most items that a list in the text has, but for those of IN and of arrays."""
        self._columns = columns
        self._stack = [_Frame()]
        self._deepest = 1
        self._last = ["", "", ""]
        self._sources = 0
        self._table_columns = 0
        self._comparisons = 0
        self._conditions = 0
        self._nested_star = False

    def read_value(self, kind: str) -> None:
        """Count a constant, a parameter or a quoted name."""
        self._stack[-1].operand += 1
        self._last = [self._last[1], self._last[2], kind]

    def read(self, word: str, *, is_word: bool) -> None:
        """Count a word in lower case, or a sign."""
        frame = self._stack[-1]
        plain = is_word and self._last[-1] in (".", "as")  # behind these, any word is a name
        frame.operand += 1
        frame.query.words += is_word
        if word in _NOT_IN_CASE and not plain and not self._is_distinct_from(word):
            while frame.opened_by == "case" and len(self._stack) > 1:
                frame = self._close()  # CASE was a column's alias
        if word in ("(", "[") or (word == "case" and not plain):
            self._open(frame, word)
        elif word in (")", "]") or (word == "end" and frame.opened_by == "case" and not plain):
            frame = self._close()
        elif word == "*":
            self._star(frame)
        elif word == ",":
            self._comma(frame)
        elif is_word and not plain:
            self._word(frame, word)
        self._last = [self._last[1], self._last[2], word]

    def end(self) -> str | None:
        """The objection to the whole text."""
        while len(self._stack) > 1:
            self._close()
        self._end_query(self._stack[0])
        self._stack[0].end_operand()
        return self.problem()

    def problem(self) -> str | None:
        """The objection to what was read until now."""
        frame = self._stack[-1]
        if self._nested_star:
            return (
                "a `(…).*` stands inside another one. Select the inner one's columns in a subquery"
            )
        if self._deepest > MAX_DEPTH:
            return (
                f"brackets and CASE stand more than {MAX_DEPTH} deep in one another. "
                "Move inner parts to subqueries in WITH"
            )
        if self._sources > MAX_SOURCES:
            return f"it names more than {MAX_SOURCES:,} tables. Split it into several statements"
        if frame.copies + frame.operand * frame.factor > MAX_COPIES:
            return (
                "PostgreSQL would copy its parts too often to analyse it (BETWEEN and IN copy what "
                "they compare, `.*` copies what it expands, CUBE and ROLLUP copy their columns). "
                "Compute what is compared or expanded in a subquery, and refer to its column"
            )
        if self._conditions > MAX_CONDITIONS:
            return (
                f"it has more than {MAX_CONDITIONS:,} AND and OR, which the planner compares with "
                "each other. Write x IN (…) instead of x = … OR x = …, or join with VALUES"
            )
        if self._table_columns > MAX_TABLE_COLUMNS:
            return (
                "PostgreSQL would list the columns of its tables too often to analyse it. Join "
                "fewer tables in one FROM, or name the columns instead of `*`"
            )
        if self._comparisons > MAX_COMPARISONS:
            return (
                "PostgreSQL would compare its parts too often to analyse it (each item of GROUP BY "
                "and ORDER BY with all others, each name with all tables). Use fewer of them, or "
                "split it into several statements"
            )
        return None

    def _open(self, frame: _Frame, word: str) -> None:
        before = self._last[-1]
        inner = _Frame(before if word == "(" else word)
        if frame.clause == "from" and before in _BEFORE_A_SOURCE:
            inner.clause = "from"  # tables joined in brackets
        frame.has_bracket = True
        if before == "in":
            frame.before_in = frame.operand - 2  # without IN and the bracket
        self._stack.append(inner)
        self._deepest = max(self._deepest, len(self._stack))

    def _close(self) -> _Frame:
        """End a bracket and count it in the operand around it, which is returned."""
        if len(self._stack) == 1:
            return self._stack[0]
        inner = self._stack.pop()
        frame = self._stack[-1]
        self._end_query(inner)
        inner.end_operand()
        items, own = inner.commas + 1, inner.query
        frame.operand += inner.copies
        frame.operand_has_star |= inner.has_star
        frame.query.words += inner.words
        if not inner.queries:
            frame.query.joins += own.joins
            frame.query.sources += own.sources
            frame.query.sorted += own.sorted + (items if frame.clause == "by" else 0)
            frame.query.sets += own.sets + (inner.opened_by in _SETS)
            if inner.opened_by == "in" and (inner.words or inner.has_bracket):
                frame.operand += frame.before_in * items  # constants alone become one array
            elif inner.opened_by == "cube":
                frame.operand += items << min(items, _MAX_CUBE)
            elif inner.opened_by == "rollup":
                frame.operand += items * items
        return frame

    def _end_query(self, frame: _Frame) -> None:
        """Count what one SELECT compares, and what its joins and its sets copy."""
        query = frame.query
        frame.words += query.words
        if frame.queries:
            self._table_columns += query.joins**2 * self._columns // 2
            if query.sets > 1:
                frame.copies += _MAX_SETS * query.sorted
            self._comparisons += query.sorted * (query.sorted + query.selected)
            self._comparisons += query.sources * query.words * _COMPARED_COLUMNS
            frame.query = _Query()

    def _star(self, frame: _Frame) -> None:
        if self._last[-1] == ".":
            self._nested_star |= frame.operand_has_star
            if self._last[-2] in (")", "]") or self._last[-3] == ".":
                frame.operand *= self._columns
            else:
                frame.operand += self._columns
            frame.operand_has_star = True
        elif self._last[-1] in ("select", "distinct", "all", ","):
            self._table_columns += self._columns

    def _comma(self, frame: _Frame) -> None:
        frame.end_operand()
        frame.commas += 1
        if frame.opened_by not in ("in", "["):
            self.widest = min(_MAX_COLUMNS, max(self.widest, frame.commas + 1))
        if frame.clause == "select":
            frame.query.selected += 1
        elif frame.clause == "from":
            self._source(frame)
        elif frame.clause == "by":
            frame.query.sorted += 1

    def _source(self, frame: _Frame) -> None:
        frame.query.sources += 1
        self._table_columns += self._columns
        self._sources += 1

    def _word(self, frame: _Frame, word: str) -> None:
        before = self._last[-1]
        self._conditions += word == "and" or word == "or"
        if word == "between":
            frame.factor *= 2
            frame.own_ands += 1
        elif word == "symmetric" and before == "between":
            frame.factor *= 2
        elif word == "and" and frame.own_ands:
            frame.own_ands -= 1
        elif (word == "and" or word in _ENDS_OPERAND) and not self._is_distinct_from(word):
            frame.end_operand()
            self._clause(frame, word)
        elif word == "join" and frame.clause == "from":
            frame.end_operand()
            frame.query.joins += 1
            self._source(frame)
        elif word == "table":
            self._source(frame)
        elif word == "by" and before in ("group", "order", "partition"):
            frame.clause = "by"
            frame.query.sorted += 1
        elif word == "over":
            frame.query.sorted += 1
        elif word == "values" and before == "(":
            frame.clause = ""

    def _is_distinct_from(self, word: str) -> bool:
        return word == "from" and self._last[-1] == "distinct" and self._last[-2] in ("is", "not")

    def _clause(self, frame: _Frame, word: str) -> None:
        if word == "select":
            self._end_query(frame)
            frame.queries += 1
            frame.clause = "select"
        elif word == "from" and frame.clause in ("select", "by"):
            frame.clause = "from"
            self._source(frame)
        elif word == "on" and self._last[-1] == "distinct":
            frame.clause = "by"
        elif word in _ENDS_FROM and frame.clause in ("from", "by", "select"):
            frame.clause = ""
