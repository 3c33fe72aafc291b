"""Durations as people write them: "30s", "1h30m", "500ms", or a plain number of seconds.

The rule: a unit is never guessed. A number without one is seconds, in every key.
"""

from __future__ import annotations

import math
import re

LONGEST_SECONDS = 24 * 86_400.0
"""PostgreSQL counts `statement_timeout` in 32 bits of milliseconds: a little under 25 days."""

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?", re.ASCII)
_DURATION = re.compile(r"(?:[0-9]{1,12}(?:\.[0-9]{1,9})?(?:ms|h|m|s))+", re.ASCII)
_PART = re.compile(r"([0-9.]+)(ms|h|m|s)", re.ASCII)


def parse(text: str) -> float:
    """Seconds. ValueError for anything but a duration above zero and up to 24 days."""
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return bounded(float(text))
    if not _DURATION.fullmatch(text):
        raise ValueError("it is not a duration")
    parts = _PART.findall(text)
    units = [unit for _, unit in parts]
    if units != sorted(set(units), key=list(_SECONDS).index):
        raise ValueError("its units must go from the largest to the smallest, each once")
    return bounded(sum(float(number) * _SECONDS[unit] for number, unit in parts))


def bounded(seconds: float) -> float:
    """`seconds` itself, or ValueError outside (0, 24 days]."""
    if not math.isfinite(seconds) or seconds <= 0:
        raise ValueError("a duration must be above zero")
    if seconds > LONGEST_SECONDS:
        raise ValueError("a duration may be 24 days at most")
    return seconds
