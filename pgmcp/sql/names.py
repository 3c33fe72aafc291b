"""Names as SQL spells them and as people type them: quoting, reading and comparing.

The rule: two names are compared by one fold, made here on both sides. PostgreSQL's `lower` folds a
`name` by one collation and a parameter by another, and "ЗАКАЗЫ" is then not found.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from pgmcp.sql.text import quote_identifier

MAX_NAME_BYTES = 63
"""PostgreSQL cuts longer names (NAMEDATALEN - 1)."""

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*\Z")
_RESERVED = frozenset(
    "all analyse analyze and any array as asc asymmetric authorization binary both case cast"
    " check collate collation column concurrently constraint create cross current_catalog"
    " current_date current_role current_schema current_time current_timestamp current_user"
    " default deferrable desc distinct do else end except false fetch for foreign freeze from"
    " full grant group having ilike in initially inner intersect into is isnull join lateral"
    " leading left like limit localtime localtimestamp natural not notnull null offset on only"
    " or order outer overlaps placing primary references returning right select session_user"
    " similar some symmetric system_user table tablesample then to trailing true union unique"
    " user using variadic verbose when where window with between bigint bit boolean char"
    " character coalesce dec decimal exists extract float greatest grouping inout int integer"
    " interval json json_array json_arrayagg json_exists json_object json_objectagg json_query"
    " json_scalar json_serialize json_table json_value least merge_action national nchar none"
    " normalize nullif numeric out overlay position precision real row setof smallint substring"
    " time timestamp treat trim values varchar xmlattributes xmlconcat xmlelement xmlexists"
    " xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable".split()
)
"""Words that PostgreSQL does not take as a column's or a function's bare name."""
_PART = re.compile(r'\s*(?:"((?:[^"]|"")+)"|([^".]+?))\s*(\.|$)')
_MAX_MARKS = 30  # combining marks in a row in stream-safe text, UAX #15 section 13
# Turkish has dotted and dotless letters: İ folds to i and a dot above, ı to itself.
_ONE_I = str.maketrans({"ı": "i", "\N{COMBINING DOT ABOVE}": None})


def quoted(name: str) -> str:
    """An identifier as SQL, in quotes only where PostgreSQL needs them. ToolError for a NUL."""
    if _PLAIN.match(name) and name not in _RESERVED:
        return name
    return quote_identifier(name)


def qualified(schema: str, name: str) -> str:
    """`schema.name` as SQL, in quotes only where PostgreSQL needs them."""
    return f"{quoted(schema)}.{quoted(name)}"


def composed(text: str) -> str:
    """The text in NFC, or as it is with more than 30 combining marks in a row.

    Putting marks into their order takes quadratic time in their number.
    """
    if text.isascii():
        return text
    marks = 0
    for char in text:
        marks = marks + 1 if unicodedata.combining(char) else 0
        if marks > _MAX_MARKS:
            return text
    return unicodedata.normalize("NFC", text)


def fold(name: str) -> str:
    """What names that differ in case, or in the composition of their letters, have in common."""
    if name.isascii():
        return name.lower()
    # Composed again afterwards: the fold of a composed letter may be in two pieces.
    return composed(composed(name).casefold().translate(_ONE_I))


def clipped(name: str) -> str:
    """The name as PostgreSQL would have cut it when it was created."""
    return name.encode("utf-8", "ignore")[:MAX_NAME_BYTES].decode("utf-8", "ignore")


def parts(text: str) -> tuple[str, ...]:
    """The names of `schema."Table"`, each without its quotes; () when it is no such text."""
    names = []
    at = 0
    while match := _PART.match(text, at):
        names.append(match[1].replace('""', '"') if match[1] else match[2])
        if not match[3]:
            return tuple(names)
        at = match.end()
    return ()


def unquoted(name: str) -> str:
    """A single name without its quotes, if it is in quotes."""
    names = parts(name)
    return names[0] if len(names) == 1 else name


def array_literal(values: Iterable[str | int]) -> str:
    """The text of a PostgreSQL array with these elements, none of which is NULL."""
    elements = (str(value).replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{element}"' for element in elements) + "}"
