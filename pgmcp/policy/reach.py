"""Which tables and columns a change of `read` or `mask` is about, by what the patterns say alone.

The rule: patterns tell names apart only where they hold them, so that one name more of each kind
stands for all others, and nothing is left out. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Literal

from pgmcp.config.masks import Mask, MaskRules
from pgmcp.config.patterns import Access, Pattern, ReadRules
from pgmcp.policy.masking import strongest
from pgmcp.sql.names import quoted

_OTHER = "\0"
"""A name that no pattern holds."""
Direction = Literal["opens", "closes"]
"""Whether more may be read after a change, or less."""


def differing_reads(old: ReadRules, new: ReadRules) -> Iterator[tuple[Direction, str]]:
    """What may be read under one list and not under the other."""
    patterns = [*old.patterns, *new.patterns]
    for word, before, after in (("opens", old, new), ("closes", new, old)):
        for schema in _known([pattern.schema for pattern in patterns]):
            of_schema = [each for each in patterns if each.schema in (None, schema)]
            yield from (
                (word, what)  # type: ignore[misc]
                for what in _more_in_schema(before, after, schema, of_schema)
            )


def _more_in_schema(
    less: ReadRules, more: ReadRules, schema: str, patterns: Sequence[Pattern]
) -> Iterator[str]:
    """What may be read of a schema by `more` and not by `less`; the tables that are not named
    first, as `schema.*`."""
    tables = _known([pattern.table for pattern in patterns])
    for table in sorted(tables, key=lambda name: name != _OTHER):
        if more.table(schema, table) is not Access.ALLOWED:
            continue
        columns = _known(each.column for each in patterns if each.table in (None, table))
        gained = [
            column
            for column in columns
            if more.column(schema, table, column) is Access.ALLOWED
            and not _allows(less, schema, table, column)
        ]
        if less.table(schema, table) is not Access.ALLOWED and set(gained) == set(columns):
            yield _name(schema, table)
        elif less.table(schema, table) is not Access.ALLOWED and not gained:
            yield f"that {_name(schema, table)} has rows"
        else:
            yield from (_name(schema, table, column) for column in gained)


def _allows(rules: ReadRules, schema: str, table: str, column: str) -> bool:
    return (
        rules.table(schema, table) is Access.ALLOWED
        and rules.column(schema, table, column) is Access.ALLOWED
    )


def differing_masks(old: MaskRules, new: MaskRules) -> Iterator[tuple[Direction, str]]:
    """Columns that are shown by another mask, or by none."""
    patterns = [pattern for pattern, _ in (*old.rules, *new.rules)]
    names = (
        _known(pattern.schema for pattern in patterns),
        _known(pattern.table for pattern in patterns),
        _known(pattern.column for pattern in patterns)[1:],
    )
    for schema, table, column in product(*names):
        before, after = old.column(schema, table, column), new.column(schema, table, column)
        if before != after:
            shown = f"{_name(schema, table, column)} is shown {_by(after)}, and was {_by(before)}"
            yield ("opens" if _shows_more(before, after) else "closes"), shown


def _shows_more(before: Mask | None, after: Mask | None) -> bool:
    if before is None or after is None:
        return after is None
    return before.kind != after.kind and strongest([before, after]) == before


def _by(mask: Mask | None) -> str:
    return "as it is" if mask is None else f"by the mask {mask}"


def _known(names: Iterable[str | None]) -> list[str]:
    """A name that is not among these, and these."""
    return [_OTHER, *sorted({name for name in names if name is not None})]


def _name(*parts: str) -> str:
    """As a pattern says it; `*` for the names that no pattern holds."""
    return ".".join("*" if part == _OTHER else quoted(part) for part in parts)
