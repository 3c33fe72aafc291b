"""The file of what tokens and users have used of a day: JSON, mode 0600, replaced whole.

The rule: several servers may count into one file. Each adds what it has counted since it last did,
under the lock of the file, so that none takes back what another has counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pgmcp.errors import FileError
from pgmcp.stores.usage import UsageChanges, UsageCounts

_FIELDS = ("rows", "bytes", "calls")
_DAY, _OWNERS = "day", "used"

DayUsage = tuple[str, Mapping[str, UsageCounts]]
"""A day (2026-11-28, UTC), and what was used of it, by owner."""


def read(path: Path) -> DayUsage | None:
    """What the file says, None when there is none; FileError, also for a file that others could
    write."""
    if not path.exists():
        return None
    from pgmcp.storage import files  # here: it loads YAML's parser
    from pgmcp.storage.protection import refuse_if_others_can_write

    refuse_if_others_can_write(path)
    data = files.read(path)
    return None if data is None else _parse(data, path)


def add(path: Path, day: str, changes: UsageChanges) -> Mapping[str, UsageCounts]:
    """Add changes to what the file says of that day, and return what it says then. FileError.

    A file of an earlier day is begun anew; one of a later day, from a clock that was set back
    since, goes on as this day's.
    """
    from pgmcp.storage import replace
    from pgmcp.storage.protection import refuse_if_others_can_write

    totals: dict[str, UsageCounts] = {}

    def change(data: bytes | None) -> bytes:
        before = None if data is None else _parse(data, path)
        totals.update(of_day(before, day))
        for owner, (more, used) in changes.items():
            counts = totals.get(owner, (0, 0, 0))
            # `used`: what is there no more since somebody removed the file.
            totals[owner] = [max(c + m, u) for c, m, u in zip(counts, more, used, strict=True)]
        return _dump(day, totals)

    refuse_if_others_can_write(path)
    replace.update(path, change)
    return totals


def of_day(said: DayUsage | None, day: str) -> Mapping[str, UsageCounts]:
    """What a file says of a day; nothing when it is about an earlier one."""
    return said[1] if said is not None and said[0] >= day else {}


def _dump(day: str, totals: Mapping[str, UsageCounts]) -> bytes:
    used = {
        owner: dict(zip(_FIELDS, counts, strict=True)) for owner, counts in sorted(totals.items())
    }
    return json.dumps({_DAY: day, _OWNERS: used}, indent=1).encode() + b"\n"


def _parse(data: bytes, path: Path) -> DayUsage:
    try:
        value = json.loads(data)
        day, used = value[_DAY], value[_OWNERS]
        return _day(day), {str(owner): _counts(counts) for owner, counts in used.items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise FileError(
            "not a file of usage",
            "Put a copy back, or remove it to begin at 0; then reload with SIGHUP, or restart.",
            origin=str(path),
        ) from None


def _day(text: Any) -> str:
    from datetime import date

    return date.fromisoformat(text).isoformat()


def _counts(said: Any) -> UsageCounts:
    counts = [said[name] for name in _FIELDS]
    if any(type(count) is not int or count < 0 for count in counts):
        raise ValueError("not a count")
    return counts
