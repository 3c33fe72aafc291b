"""Telling that credentials are over: to whoever holds connections for them, and to the log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from itertools import islice

Ended = Callable[[Mapping[str, str]], None]
"""Told the keys of principals whose credentials are over, each with the reason. Many may end at
once, and none may wait for it."""
MOST_LINES = 10
"""How many that end at once are logged one by one."""

_log = logging.getLogger("pgmcp.auth")


def log_each(events: Iterable[str], count: int) -> None:
    """Log each of `count` events that happened at once: a line for each of the first MOST_LINES,
    and one line for the rest."""
    for event in islice(events, MOST_LINES):
        _log.info("%s", event)
    if count > MOST_LINES:
        _log.info("and %d more like these at the same time", count - MOST_LINES)
