"""How often an address may fail: a sliding window per address.

The rule: nothing an address does removes a count before its window has passed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from pgmcp.net.addresses import address_key


class LimitStore(Protocol):
    """Counts attempts under keys. It knows no limit of its own; ages are seconds of its own clock.

    It may count several keys as one when there are too many of them, and never forgets an attempt
    whose window has not passed.
    """

    def ages(self, key: str, window_seconds: float) -> Sequence[float]:
        """How long ago each attempt within the window was counted, in seconds, oldest first."""

    def count(self, key: str, limit: int, window_seconds: float) -> Sequence[float]:
        """The same as `ages`, and count an attempt now if there are fewer than `limit`.

        Both are one step: of parallel attempts no more than `limit` are counted.
        """

    def forget_latest(self, key: str) -> None:
        """Forget the latest attempt, if there is one."""

    def mark(self, key: str, seconds: float) -> bool:
        """Mark `key` for so many seconds; True when it was not marked. One of several gets True."""

    def __len__(self) -> int:
        """How many counters there are now."""


def wait_seconds(ages: Sequence[float], limit: int, window_seconds: float) -> int | None:
    """Whole seconds until an attempt is allowed, None when it is now.

    `ages` are those of the attempts within the window, in seconds, oldest first; 0 as the limit
    refuses nothing.
    """
    if limit == 0 or len(ages) < limit:
        return None
    return max(1, math.ceil(window_seconds - ages[-limit]))


class Limiter:
    """At most `limit` failures per `window_seconds` and address. 0 as the limit refuses nothing."""

    def __init__(self, store: LimitStore, limit: int, window_seconds: float) -> None:
        self._store = store
        self._numbers = (limit, window_seconds)

    def change(self, limit: int, window_seconds: float) -> None:
        """Hold addresses to other numbers from now on; what was counted still counts."""
        self._numbers = (limit, window_seconds)  # one assignment: no thread reads half of it

    def retry_after(self, address: str) -> int | None:
        """Whole seconds until the address may try again, None when it may now."""
        limit, window_seconds = self._numbers
        ages = self._store.ages(address_key(address), window_seconds)
        return wait_seconds(ages, limit, window_seconds)

    def count(self, address: str) -> int | None:
        """Count a failure, unless the address may not try: then the seconds it must wait.

        Counting before the attempt is made is what keeps parallel attempts within the limit.
        """
        limit, window_seconds = self._numbers
        ages = self._store.count(address_key(address), limit, window_seconds)
        return wait_seconds(ages, limit, window_seconds)

    def take_back(self, address: str) -> None:
        """Take back the latest count of an address: the attempt was not a failure."""
        self._store.forget_latest(address_key(address))

    def should_log_block(self, address: str) -> bool:
        """Whether the log does not say yet, within the window, that this address has to wait.

        A flood of refusals is one line in the log.
        """
        return self._store.mark(address_key(address), self._numbers[1])

    def __len__(self) -> int:
        """How many counters there are now."""
        return len(self._store)
