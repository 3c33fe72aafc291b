"""What tokens and users have used of their budgets, kept over a restart.

The rule: a file that cannot be read refuses whoever has a budget until it is mended, and one that
cannot be written is said in the log; neither holds up a call.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from pgmcp.auth.usage import UsageStore
from pgmcp.config.policies import Policy
from pgmcp.errors import FileError, OverloadedError
from pgmcp.policy.budget import day_text
from pgmcp.stores import usage_file
from pgmcp.stores.usage import UsageChanges, UsageCounts

SAVE_SECONDS = 1.0
_DAY_SECONDS = 86_400

_log = logging.getLogger("pgmcp.server")


class KeptUsage(UsageStore, Protocol):
    """A store of which what is counted is kept in a file; see `stores.usage`."""

    def unsaved(self) -> tuple[int, UsageChanges]:
        """The day, and what the file does not have."""

    def saved(self, day: int, totals: Mapping[str, UsageCounts]) -> None:
        """Take over what the file says of this day."""

    def not_saved(self) -> None:
        """What `unsaved` returned is still to be saved."""

    def unknown(self) -> None:
        """What was used today cannot be told."""


class UsageKeeper:
    """Keeps what `store` counts in the file `path`. One thread saves."""

    def __init__(self, path: Path, store: KeptUsage) -> None:
        self.store = store
        self._path = path
        self._problem: str | None = None

    def load(self) -> None:
        """Take over what the file says of today; nothing where there is none."""
        today = int(time.time()) // _DAY_SECONDS
        try:
            totals = usage_file.of_day(usage_file.read(self._path), day_text(today))
        except (FileError, OSError) as error:
            _log.error(
                "Usage of today is not known, so all daily budgets count as spent: %s", _said(error)
            )
            self.store.unknown()
        else:
            self.store.saved(today, totals)

    def save(self) -> None:
        """Write what was counted since this was last done. A failure is logged once, for as long
        as it stays the same; then it is tried again by the next call."""
        try:
            day, changes = self.store.unsaved()
            if changes:
                self._save(day, changes)
        except OverloadedError:  # the parent process is gone, with what it has counted
            return

    def _save(self, day: int, changes: UsageChanges) -> None:
        try:
            totals = usage_file.add(self._path, day_text(day), changes)
        except (FileError, OSError) as error:
            self.store.not_saved()
            problem = _said(error)
            if problem != self._problem:
                _log.error("Usage is not saved, and a restart would forget it: %s", problem)
            self._problem = problem
            return
        self.store.saved(day, totals)
        if self._problem is not None:
            self._problem = None
            _log.info("Usage is saved again: %s", self._path)


def is_counted(policies: Iterable[Policy]) -> bool:
    """Whether calls of one of these policies are counted."""
    return any(policy.limits.counted for policy in policies)


def _said(error: FileError | OSError) -> str:
    text = error.for_operator() if isinstance(error, FileError) else str(error)
    return text.removeprefix("ERROR: ").replace("\n", " ")
