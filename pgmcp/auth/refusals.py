"""Refusals in the log: the first ones of each address are lines, the others are counted.

The rule: a flood of refusals is no flood of lines, from however many addresses it comes. An
intrusion detector sees the lines; the summary at the end of a window says how many more there were.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from pgmcp.logs.log import quote
from pgmcp.net.addresses import address_key

WINDOW_SECONDS = 60.0
LINES_PER_ADDRESS = 10
LINES = 500
"""How many lines a window has, whatever the number of addresses."""
ADDRESSES = 1000
"""How many addresses are counted one by one in a window."""
SUMMARIES = 20
"""How many addresses have a summary of their own, those with the most refusals first."""

_log = logging.getLogger("pgmcp.auth")


@dataclass(slots=True)
class _Tally:
    """The refusals of an address: how many lines, and the others counted by reason."""

    lines: int = 0
    counted: Counter[str] = field(default_factory=Counter)


class Refusals:
    """Decides which refusals are lines in the log. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tallies: dict[str, _Tally] = {}
        self._others = _Tally()
        self._lines = 0
        self._ends_at = 0.0
        self._tallies_lock = threading.Lock()

    def should_log(self, address: str, reason: str, *, first_block: bool = False) -> bool:
        """Whether this refusal is to be a line in the log; else it is counted. `reason` is a text
        of ours.

        `first_block`: the first refusal since its address is over a limit. It is a line also where
        the address has had all of its lines.
        """
        self.sweep()
        return self._count_or_log(
            address, reason, lines=LINES if first_block else LINES_PER_ADDRESS
        )

    def count(self, address: str, reason: str) -> None:
        """Count a refusal that is to be no line."""
        self.sweep()
        self._count_or_log(address, reason, lines=0)

    def sweep(self) -> None:
        """Write the summaries of a window that is over."""
        if self._tallies and self._clock() >= self._ends_at:
            self.flush()

    def flush(self) -> None:
        """Write the summaries now."""
        with self._tallies_lock:
            tallies, self._tallies = self._tallies, {}
            others, self._others = self._others, _Tally()
            self._lines = 0
        counted = [(key, tally.counted) for key, tally in tallies.items() if tally.counted]
        counted.sort(key=lambda entry: -entry[1].total())
        for key, reasons in counted[:SUMMARIES]:
            _log.info("refused address=%s %s", quote(key), _summary(reasons))
        for _, reasons in counted[SUMMARIES:]:
            others.counted.update(reasons)
        if others.counted:
            _log.info("refused other addresses %s", _summary(others.counted))

    def _count_or_log(self, address: str, reason: str, *, lines: int) -> bool:
        """Count a refusal; True when it is a line, of which its address may have `lines`."""
        key = address_key(address)
        with self._tallies_lock:
            if not self._tallies:
                self._ends_at = self._clock() + WINDOW_SECONDS
            tally = self._tallies.get(key, self._others)
            if tally is self._others and len(self._tallies) < ADDRESSES:
                tally = self._tallies[key] = _Tally()
            may_log = tally.lines < lines and self._lines < LINES
            if may_log and tally is not self._others:
                tally.lines += 1
                self._lines += 1
                return True
            tally.counted[reason] += 1
            return False


def _summary(reasons: Counter[str]) -> str:
    said = ", ".join(f"{reason}: {number}" for reason, number in reasons.most_common())
    return f"more={reasons.total()} in the last {WINDOW_SECONDS:.0f} seconds: {said}"
