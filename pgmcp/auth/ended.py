"""Telling that credentials have ended: to those who hold connections for them, and to the log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from itertools import islice

Ended = Callable[[Mapping[str, str]], None]
"""Called with the keys of credentials that have ended, each with the reason. Many may end at once;
the call must return at once."""
MOST_LINES = 10
"""Of more events at the same time, so many have a line of their own in the log."""

_log = logging.getLogger("pgmcp.auth")


def log_each(events: Iterable[str], count: int) -> None:
    """Log each of `count` events that happened at once: a line for each of the first MOST_LINES,
    and one line for the rest."""
    for event in islice(events, MOST_LINES):
        _log.info("%s", event)
    if count > MOST_LINES:
        _log.info("and %d more like these at the same time", count - MOST_LINES)
