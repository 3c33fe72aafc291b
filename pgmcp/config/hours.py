"""When a credential may be used: weekly hours in a time zone.

The rule: a moment is looked at in the zone of the hours, so that they follow its clock changes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(
    r"(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))?\s+"
    r"(?P<from>\d\d:\d\d)-(?P<to>\d\d:\d\d)\s+(?P<zone>\S+)",
    re.IGNORECASE,
)
_DAY_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class Hours:
    """Hours of some days of the week (0 is Monday), in minutes from midnight. Where they end at or
    before they begin they last until the next day."""

    text: str
    days: frozenset[int]
    start: int
    end: int
    zone: tzinfo

    def cover(self, moment: datetime) -> bool:
        """Whether a moment, aware of its zone, is within them."""
        local = moment.astimezone(self.zone)
        minute = local.hour * 60 + local.minute
        if self.start < self.end:
            return local.weekday() in self.days and self.start <= minute < self.end
        before = (local - timedelta(days=1)).weekday()
        return (local.weekday() in self.days and minute >= self.start) or (
            before in self.days and minute < self.end
        )


def parse(text: str) -> Hours:
    """Hours such as "Mon-Fri 07:00-19:00 Europe/Berlin"; ValueError with what is wrong."""
    match = _HOURS.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not of the form Mon-Fri 07:00-19:00 ZONE")
    first, last = _day(match["first"]), _day(match["last"] or match["first"])
    days = frozenset((first + step) % 7 for step in range((last - first) % 7 + 1))
    start, end = _minute(match["from"]), _minute(match["to"])
    if start == _DAY_MINUTES:
        raise ValueError(f"{text!r} begins when the day is over")
    return Hours(text.strip(), days, start, end, _zone(match["zone"]))


def _day(name: str) -> int:
    if name.lower() not in _DAYS:
        raise ValueError(f"{name!r} is no day: Mon, Tue, Wed, Thu, Fri, Sat or Sun")
    return _DAYS.index(name.lower())


def _minute(time: str) -> int:
    hour, minute = map(int, time.split(":"))
    if minute > 59 or hour * 60 + minute > _DAY_MINUTES:
        raise ValueError(f"{time!r} is no time of a day: 00:00 to 24:00")
    return hour * 60 + minute


def _zone(name: str) -> tzinfo:
    if name.upper() == "UTC":
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # here: few have hours

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"the time zone {name!r} is not on this machine (tzdata has them all)"
        ) from None
