"""The time of day, as far as it can be relied on.

The rule: what a wrong clock says may refuse somebody, and that ends when the clock is right again;
it must not destroy anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

STEP_SECONDS = 10.0
"""By how much the clock may differ between two looks; slewing it moves it by less."""
SETTLED_SECONDS = 3600.0
"""How long after a step it is waited whether it is taken back."""

_log = logging.getLogger("pgmcp.auth")


class WallClock:
    """`now` is the time of day, which can be set; `elapsed`, in seconds, cannot."""

    def __init__(self, now: Callable[[], datetime], elapsed: Callable[[], float]) -> None:
        self.now = now
        self._elapsed = elapsed
        self._difference = now().timestamp() - elapsed()
        self._stepped_at = float("-inf")

    def settled(self) -> bool:
        """Whether it has not been set lately. To be asked every now and then."""
        elapsed = self._elapsed()
        difference = self.now().timestamp() - elapsed
        step = difference - self._difference
        self._difference = difference
        if abs(step) > STEP_SECONDS:
            self._stepped_at = elapsed
            _log.warning(
                "The clock was set by %+.0f seconds: expired tokens stay in their file for now",
                step,
            )
        return elapsed - self._stepped_at >= SETTLED_SECONDS
