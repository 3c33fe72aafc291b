"""What the calls of a token or user have used of the limits in its policy, and what a call may
still take. Pure: the store counts, and knows the time.

The rule: rows are counted before they are sent, and what is not granted is not sent. A call that
begins with nothing left does not reach a database.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from itertools import accumulate

from pgmcp.auth.usage import UsageStore, Used
from pgmcp.config.policies import PolicyLimits
from pgmcp.errors import BudgetError
from pgmcp.postgres.rows import Rows, Value

_LITTLE = 0.1
"""What is left is said from this part of the budget down."""
_FIRST_DAY = date(1970, 1, 1)
_NULL_BYTES = 2


class CallBudget:
    """What one call of `owner` may take under these limits. For one thread."""

    def __init__(self, store: UsageStore, owner: str, limits: PolicyLimits) -> None:
        self._store = store
        self._owner = owner
        self._limits = limits
        self._used: Used | None = None

    def begin(self) -> None:
        """Count the call, the first time; BudgetError when it may not begin."""
        if self._used is not None:
            return
        limits = self._limits
        used = self._store.begin(
            self._owner, limits.rows_per_day, limits.bytes_per_day, limits.calls_per_minute
        )
        if limits.daily and not used.known:
            raise BudgetError(
                "what your credential has used today is not known, and counts as all",
                f"{_opens(used)} The operator can mend it before: the server's log says how.",
            )
        if self._spent(used):
            raise self._is_spent(used)
        if used.wait_seconds:
            raise BudgetError(
                f"your credential may make {limits.calls_per_minute:,} calls a minute",
                f"Try again in {used.wait_seconds} seconds.",
            )
        self._used = used

    def charge(self, rows: Rows) -> Rows:
        """Count rows that are to be sent, and return those that may be; BudgetError when there are
        some, and none of them may."""
        sizes = row_sizes(rows.rows)
        count, size = len(sizes), sum(sizes)
        before = self._take(count, size)
        rows_left = _left(before.rows, self._limits.rows_per_day)
        bytes_left = _left(before.bytes, self._limits.bytes_per_day)
        if count <= rows_left and size <= bytes_left:
            return rows
        kept = sum(
            number <= rows_left and total <= bytes_left
            for number, total in enumerate(accumulate(sizes), 1)
        )
        sent = sum(sizes[:kept])
        if kept and kept < rows_left:
            sent = int(bytes_left)  # the rest, which holds no row, is spent with it
        self._take(kept - int(min(count, rows_left)), sent - int(min(size, bytes_left)))
        self._used = before._replace(rows=before.rows + kept, bytes=before.bytes + sent)
        if not kept and rows_left:
            raise BudgetError(
                f"the next row is larger than the {bytes_left:,} bytes that your credential has"
                " left today",
                "Select fewer columns, or shorten the long ones with left(column, 1000)."
                f" {_opens(before)}",
            )
        if not kept:
            raise self._is_spent(before)
        return replace(
            rows,
            rows=rows.rows[:kept],
            more=False,
            cut_bytes=None,
            withheld=f"{_used_up(self._spent(self._used))}. {_opens(before)}",
        )

    def charge_text(self, rows: Rows) -> Rows:
        """Count the bytes of a plan or a setting, which is sent whole; the same rows."""
        self._take(0, sum(row_sizes(rows.rows)))
        return rows

    def note(self) -> str:
        """What is left of today, when that is little; "" otherwise."""
        used, limits = self._used, self._limits
        if used is None or not limits.daily:
            return ""
        left = []
        for limit, taken, unit in (
            (limits.rows_per_day, used.rows, "rows"),
            (limits.bytes_per_day, used.bytes, "bytes"),
        ):
            if limit is not None and limit - taken <= limit * _LITTLE:
                left.append(f"{max(0, limit - taken):,} of {limit:,} {unit}")
        return f"{' and '.join(left)} left today (until {_end(used)})." if left else ""

    def _take(self, count: int, size: int) -> Used:
        """Count rows and bytes; what was used before."""
        limits = self._limits
        before = self._store.take(
            self._owner, count, size, limits.rows_per_day, limits.bytes_per_day
        )
        self._used = before._replace(rows=before.rows + count, bytes=before.bytes + size)
        return before

    def _spent(self, used: Used) -> str:
        """The budget of which nothing is left, "" when there is some of each."""
        if not _left(used.rows, self._limits.rows_per_day):
            return f"{self._limits.rows_per_day:,} rows"
        if not _left(used.bytes, self._limits.bytes_per_day):
            return f"{self._limits.bytes_per_day:,} bytes"
        return ""

    def _is_spent(self, used: Used) -> BudgetError:
        return BudgetError(
            _used_up(self._spent(used)), f"{_opens(used)} Ask the operator when that is too late."
        )


def row_sizes(rows: Sequence[tuple[Value, ...]]) -> list[int]:
    """The bytes of each row: those of its values, and one behind each; a NULL is two (\\N)."""
    try:
        return [len(b"\t".join(row)) + 1 for row in rows]  # type: ignore[arg-type]
    except TypeError:  # a NULL: join() takes no None
        return [sum([_NULL_BYTES if v is None else len(v) for v in row], len(row)) for row in rows]


def day_text(day: int) -> str:
    """A day, counted from 1970-01-01, as 2026-11-28."""
    return (_FIRST_DAY + timedelta(days=day)).isoformat()


def _left(used: int, limit: int | None) -> float:
    return math.inf if limit is None else max(0, limit - used)


def _used_up(budget: str) -> str:
    return f"your credential has used its {budget} of today"


def _end(used: Used) -> str:
    return f"{day_text(used.day + 1)} 00:00 UTC"


def _opens(used: Used) -> str:
    return f"It opens again at {_end(used)}."
