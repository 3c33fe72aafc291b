"""What a policy shows instead of a column's values: the mapping `mask`.

The rule: what is written is a kind of mask or a fixed text; the last pattern that matches decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

from pgmcp.config import patterns
from pgmcp.config.patterns import Pattern

MaskKind = Literal["null", "partial", "last4", "hash", "text"]
_KINDS = frozenset(get_args(MaskKind)) - {"text"}


@dataclass(frozen=True, slots=True)
class Mask:
    """How values are shown. `text`: what stands for each of them, where the kind is "text"."""

    kind: MaskKind
    text: str = ""

    def __str__(self) -> str:
        return "fixed text" if self.kind == "text" else self.kind


@dataclass(frozen=True, slots=True)
class MaskRules:
    """The columns that are masked, in their order. `parts`: the masks of several policies that hold
    together, of each its own; empty for one."""

    rules: tuple[tuple[Pattern, Mask], ...] = ()
    parts: tuple[MaskRules, ...] = ()

    @property
    def each(self) -> tuple[MaskRules, ...]:
        """The masks of each policy."""
        return self.parts or (self,)

    def column(self, schema: str, table: str, column: str) -> Mask | None:
        """How a column is shown, None as it is."""
        for pattern, mask in reversed(self.rules):
            if pattern.column == column and pattern.covers(schema, table):
                return mask
        return None


def parse(value: object) -> MaskRules:
    """The rules of a mapping from columns to masks; ValueError with what is wrong."""
    if not isinstance(value, dict):
        raise ValueError("it must be a section of columns, each with its mask")
    return MaskRules(tuple(_rule(name, mask) for name, mask in value.items()))


def _rule(name: object, mask: object) -> tuple[Pattern, Mask]:
    pattern = patterns.parse(str(name))
    if pattern.denies or pattern.column is None:
        raise ValueError(f"{name!r} is no column: write schema.table.column")
    if mask is None:
        return pattern, Mask("null")
    if isinstance(mask, bool | int | float):
        return pattern, Mask("text", str(mask).lower() if isinstance(mask, bool) else str(mask))
    if not isinstance(mask, str) or "\0" in mask:
        raise ValueError(f"the mask of {name!r} is no text")
    if mask in _KINDS:
        return pattern, Mask(cast(MaskKind, mask))
    return pattern, Mask("text", mask)
