"""What a failed attempt to connect says to those who ask next.

The rule: an attempt speaks for others only when theirs would fail alike and keep them waiting. One
that came to an end by accident, such as a line that was reset, says nothing of the next. A value,
with no clock of its own.
"""

from __future__ import annotations

from typing import NamedTuple

from pgmcp.errors import DatabaseUnavailableError

BACK_OFF_SECONDS = 1.0
"""How long a failed attempt speaks for the next ones, at most."""
SLOW_SECONDS = 0.1
"""A failure that came faster speaks for nobody else: to try again costs less than to be wrong."""


class BackOff(NamedTuple):
    """The latest failure, as text, since an exception that is kept keeps its call alive. It speaks
    for others before `until`, a time of the pool's clock. Without a message there was none."""

    message: str = ""
    hint: str = ""
    until: float = 0.0

    def active(self, now: float) -> bool:
        """Whether it speaks for whoever asks now."""
        return now < self.until

    def error(self) -> DatabaseUnavailableError:
        """The failure, for one more caller."""
        return DatabaseUnavailableError(self.message, self.hint)


def remember(failure: DatabaseUnavailableError, seconds: float, now: float) -> BackOff:
    """After an attempt that has failed at `now`, having taken so many seconds."""
    speaks = failure.lasting and seconds > SLOW_SECONDS
    until = now + min(BACK_OFF_SECONDS, seconds) if speaks else 0.0
    return BackOff(failure.message, failure.hint, until)
