"""Times: how files write them, how long a token lives, and a clock that notices when it is set.

The rule: what cannot be read is refused, and nothing but the word `never` means never. What a wrong
clock says may refuse a caller until the clock is right again; it must not destroy anything.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pgmcp.errors import UsageError

STEP_SECONDS = 10.0
"""By how much the clock may differ between two looks; slewing it moves it by less."""
STABLE_SECONDS = 3600.0
"""How long after a step the clock counts as not settled, because the step may be taken back."""

_HOURS = {"h": 1, "d": 24, "w": 7 * 24, "y": 365 * 24}
_EXPIRY = re.compile(r"([0-9]{1,18})([hdwmy])")
_LIFETIME = re.compile(r"([0-9]{1,9})([smhdwy])")
_HINT = "Use a whole number and h, d, w or y (12h, 30d, 2w, 1y), or never."

_log = logging.getLogger("pgmcp.auth")


class WallClock:
    """A wall clock that notices when it is set.

    `now` is the wall clock, which can be set; `elapsed`, in seconds, is monotonic.
    """

    def __init__(self, now: Callable[[], datetime], elapsed: Callable[[], float]) -> None:
        self.now = now
        self._elapsed = elapsed
        self._difference = now().timestamp() - elapsed()
        self._set_at = float("-inf")

    def is_stable(self) -> bool:
        """Whether the clock was not set in the last SETTLED_SECONDS. To be asked regularly."""
        elapsed = self._elapsed()
        difference = self.now().timestamp() - elapsed
        step = difference - self._difference
        self._difference = difference
        if abs(step) > STEP_SECONDS:
            self._set_at = elapsed
            _log.warning(
                "The clock was set by %+.0f seconds: expired tokens stay in their file for now",
                step,
            )
        return elapsed - self._set_at >= STABLE_SECONDS


def utc_now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(UTC)


def rfc3339(moment: datetime, timespec: str = "seconds") -> str:
    """A time in UTC the way the files write it: `2024-10-30T10:15:30Z`."""
    return moment.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def parse_expiry(text: str, now: datetime) -> datetime | None:
    """The time `text` (`12h`, `30d`, `2w`, `1y`) stands for, None for `never`; UsageError."""
    word = text.strip()
    if word == "never":
        return None
    match = _EXPIRY.fullmatch(word)
    if not match:
        raise UsageError(f"not an expiry: {word or 'nothing'}", _HINT)
    number, unit = int(match[1]), match[2]
    if number == 0:
        raise UsageError(f"an expiry of zero: {word}", _HINT)
    if unit == "m":
        raise UsageError(f"months are not supported: {word}", f"Use {number * 30}d. {_HINT}")
    try:
        return now + timedelta(hours=number * _HOURS[unit])
    except OverflowError:
        raise UsageError(f"an expiry beyond the calendar: {word}", _HINT) from None


def parse_lifetime(text: str, now: datetime) -> datetime:
    """The time that `text` from now is, in the units of `parse_expiry`, and m and s for minutes and
    seconds; UsageError."""
    match = _LIFETIME.fullmatch(text.strip())
    number = int(match[1]) if match else 0
    if match is None or number == 0:
        raise UsageError(
            f"not a lifetime: {text.strip() or 'nothing'}",
            "Use a whole number and s, m, h, d, w or y, such as 15m.",
        )
    seconds = {"s": 1, "m": 60}.get(match[2]) or 3600 * _HOURS[match[2]]
    try:
        return now + timedelta(seconds=number * seconds)
    except OverflowError:
        raise UsageError(
            f"a lifetime beyond the calendar: {text.strip()}", "Use a shorter one."
        ) from None


def describe_expiry(expires_at: datetime | None, now: datetime) -> str:
    """For people: `2025-10-30 (365 days from now)`, `Never`."""
    if expires_at is None:
        return "Never"
    hours = round((expires_at - now).total_seconds() / 3600)
    number, unit = (hours, "hour") if hours < 24 or hours % 24 else (hours // 24, "day")
    return f"{expires_at:%Y-%m-%d} ({number} {unit}{'' if number == 1 else 's'} from now)"
