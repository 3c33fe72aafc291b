"""Masks: what is shown instead of a value. Pure.

The rule: NULL stays NULL, and what a mask does not fit becomes NULL, never itself.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence

from pgmcp.config.masks import Mask
from pgmcp.postgres.rows import Value

_HIDDEN = "***"
_SHORTEST_SHOWN = 4
_LAST, _LAST_NEEDS = 4, 8
_HASH_DIGITS = 16
_PART = re.compile(r"\w+")
_YEAR = re.compile(r"\d{4,}")
_STRONGEST = ("null", "text", "hash", "last4", "partial")
"""Of several masks on one result column the first of these holds."""

# pg_type.typcategory: string, date or time, number, boolean.
TEXT, TIME, NUMBER, BOOLEAN = "S", "D", "N", "B"
_FITS = {"partial": (TEXT, TIME), "last4": (TEXT,)}
_ACCEPTED = {
    NUMBER: re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|[+-]?infinity", re.IGNORECASE),
    BOOLEAN: re.compile(r"true|false|t|f|yes|no|on|off|1|0", re.IGNORECASE),
    TIME: re.compile(r"\d.*|-?infinity", re.IGNORECASE),
}


def fits(mask: Mask, category: str) -> bool:
    """Whether a mask can be applied to a type of this category (pg_type.typcategory): a fixed text,
    where the type looks as if it accepted it."""
    if mask.kind == "text" and category in _ACCEPTED:
        return _ACCEPTED[category].fullmatch(mask.text) is not None
    return category in _FITS.get(mask.kind, (category,))


def strongest(masks: Sequence[Mask]) -> Mask:
    """The mask that hides most."""
    return min(masks, key=lambda mask: _STRONGEST.index(mask.kind))


def common(masks: Sequence[Mask]) -> Mask:
    """The mask that shows nothing which one of these hides, for the policies that hold together."""
    first = masks[0]
    if all(mask == first for mask in masks):
        return first
    kinds = {mask.kind for mask in masks}
    if "text" in kinds and "null" not in kinds:
        return next(mask for mask in masks if mask.kind == "text")
    # Of any two others each shows what the other hides.
    return Mask("null")


def masked(
    rows: Sequence[tuple[Value, ...]],
    masks: Sequence[tuple[Mask, str] | None],
    key: bytes,
) -> list[tuple[Value, ...]]:
    """The rows, with each column that has a mask shown by it; the mask stands with its type's
    category. `key`: of hashes."""
    shown = [None if mask is None else _function(*mask, key) for mask in masks]
    return [
        tuple(
            value if show is None or value is None else show(value)
            for value, show in zip(row, shown, strict=True)
        )
        for row in rows
    ]


def _function(mask: Mask, category: str, key: bytes) -> Callable[[bytes], Value]:
    if not fits(mask, category):  # which is refused: see `decision`
        return lambda _: None
    if mask.kind == "text":
        fixed = mask.text.encode()
        return lambda _: fixed
    if mask.kind == "hash":
        return lambda value: (
            hmac.new(key, value, hashlib.sha256).hexdigest()[:_HASH_DIGITS].encode()
        )
    if mask.kind == "null":
        return lambda _: None
    if mask.kind == "last4":
        return lambda value: _last4(value.decode(errors="replace")).encode()
    partial = _year if category == TIME else _partial
    return lambda value: partial(value.decode(errors="replace")).encode()


def _partial(text: str) -> str:
    """The first and the last character of each part, and the domain of an address."""
    local, at, domain = text.rpartition("@")
    if at and local and "." in domain and " " not in text:
        return f"{_PART.sub(_shortened, local)}@{domain}"
    return _PART.sub(_shortened, text)


def _shortened(part: re.Match[str]) -> str:
    word = part.group()
    if len(word) < _SHORTEST_SHOWN:
        return _HIDDEN
    return f"{word[0]}{_HIDDEN}{word[-1]}"


def _last4(text: str) -> str:
    return f"{_HIDDEN}{text[-_LAST:]}" if len(text) >= _LAST_NEEDS else _HIDDEN


def _year(text: str) -> str:
    year = _YEAR.search(text)
    return year.group() if year else _HIDDEN
