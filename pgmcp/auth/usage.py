"""What the calls of a token or user have used, and the port of what counts it."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Used(NamedTuple):
    """What an owner has used of a day: of `day`, counted from 1970-01-01 (UTC).

    `wait_seconds`: how long until its next call may begin, 0 when this one has begun. `known`:
    False when what was used before the server started cannot be told.
    """

    day: int
    rows: int
    bytes: int
    wait_seconds: int = 0
    known: bool = True


class UsageStore(Protocol):
    """Counts by owner, for all processes. A limit of None refuses nothing."""

    def begin(self, owner: str, rows: int | None, bytes_: int | None, calls: int | None) -> Used:
        """Count a call, unless so many `rows` or `bytes_` were used today or so many `calls` begun
        within a minute; what was used before it."""

    def take(self, owner: str, count: int, size: int, rows: int | None, bytes_: int | None) -> Used:
        """Count `count` rows and `size` bytes, each up to its limit; what was used before. Negative
        numbers take back. Of parallel calls each sees what the others have taken."""
