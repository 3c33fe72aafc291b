"""How long a token lives: reading `30d`, and saying when that is.

The rule: what cannot be read is refused; nothing but the word `never` means never.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from pgmcp.errors import UsageError

_HOURS = {"h": 1, "d": 24, "w": 7 * 24, "y": 365 * 24}
_FORMAT = re.compile(r"([0-9]{1,18})([hdwmy])")
_HINT = "Use a whole number and h, d, w or y (12h, 30d, 2w, 1y), or never."


def parse_expiry(text: str, now: datetime) -> datetime | None:
    """The time `text` (`12h`, `30d`, `2w`, `1y`) stands for, None for `never`; UsageError."""
    word = text.strip()
    if word == "never":
        return None
    found = _FORMAT.fullmatch(word)
    if not found:
        raise UsageError(f"not an expiry: {word or 'nothing'}", _HINT)
    number, unit = int(found[1]), found[2]
    if number == 0:
        raise UsageError(f"an expiry of zero: {word}", _HINT)
    if unit == "m":
        raise UsageError(f"months are not supported: {word}", f"Use {number * 30}d. {_HINT}")
    try:
        return now + timedelta(hours=number * _HOURS[unit])
    except OverflowError:
        raise UsageError(f"an expiry beyond the calendar: {word}", _HINT) from None


def describe_expiry(expires_at: datetime | None, now: datetime) -> str:
    """For people: `2025-10-30 (365 days from now)`, `Never`."""
    if expires_at is None:
        return "Never"
    hours = round((expires_at - now).total_seconds() / 3600)
    number, unit = (hours, "hour") if hours < 24 or hours % 24 else (hours // 24, "day")
    return f"{expires_at:%Y-%m-%d} ({number} {unit}{'' if number == 1 else 's'} from now)"
