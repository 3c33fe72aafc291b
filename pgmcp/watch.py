"""Noticing changed files by looking at them every 20 ms, and doing things from time to time.

The rule: what is compared is what the path leads to (device, inode, size, both times), so symlinks,
renames and edits that keep size and mtime are seen; and each task has a thread of its own, so a
slow one delays no other.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pgmcp.errors import PgmcpError

POLL_SECONDS = 0.02
QUIET_SECONDS = 0.1

_log = logging.getLogger("pgmcp.auth")


@dataclass(frozen=True, slots=True)
class Signature:
    """What tells two states of a file apart. ctime is there for edits that restore the mtime."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, path: Path) -> Signature | None:
        """That of the file a path leads to, None when it leads nowhere."""
        try:
            found = path.stat()
        except OSError:
            return None
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def same_file(self, other: Signature | None) -> bool:
        """Whether both are states of one file, which was then edited in place."""
        return other is not None and (self.device, self.inode) == (other.device, other.inode)


class Debounce:
    """Decides when a file is to be loaded: a new file at once, an edited one when it is quiet."""

    def __init__(self, current: Signature | None) -> None:
        self._loaded = current
        self._pending: Signature | None = None
        self._since: float | None = None

    def due(self, seen: Signature | None, now: float) -> bool:
        """Whether to load now, having seen that at `now` (seconds, monotonic)."""
        if seen == self._loaded:
            self._since = None
            return False
        # A new file that is empty is still being written; one that has gone may come back.
        complete = seen is not None and seen.size > 0 and not seen.same_file(self._loaded)
        if not complete:
            if self._since is None or seen != self._pending:
                self._pending, self._since = seen, now
            if now - self._since < QUIET_SECONDS:
                return False
        self._loaded, self._since = seen, None
        return True


class Watcher:
    """Runs tasks in daemon threads, the looking at files among them, from `start` to `stop`."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._files: list[tuple[Path, Debounce, Callable[[], object]]] = []
        self._tasks: list[tuple[str, float, Callable[[], object]]] = []
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()

    def watch(self, path: Path, reload: Callable[[], object]) -> None:
        """Call `reload` when the file at `path` has changed; its PgmcpError goes to the log.

        Say so before the file is loaded for the first time: a change in between is then not lost.
        """
        path = path.absolute()
        self._files.append((path, Debounce(Signature.of(path)), reload))

    def every(self, seconds: float, task: Callable[[], object], name: str) -> None:
        """Call `task` every so many seconds, in a thread of its own."""
        self._tasks.append((name, seconds, task))

    def start(self) -> None:
        """Begin."""
        for name, seconds, task in [("files", POLL_SECONDS, self._look), *self._tasks]:
            thread = threading.Thread(
                target=self._run, args=(seconds, task), name=f"watch-{name}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """End, after the tasks that are running, or after the timeout."""
        self._stopping.set()
        deadline = self._clock() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - self._clock()))

    def _run(self, seconds: float, task: Callable[[], object]) -> None:
        while not self._stopping.wait(seconds):
            try:
                task()
            except Exception:  # noqa: BLE001 - one failure must not end the watching
                _log.exception("a background task failed")

    def _look(self) -> None:
        for path, debounce, reload in self._files:
            if debounce.due(Signature.of(path), self._clock()):
                self._reload(path, reload)

    def _reload(self, path: Path, reload: Callable[[], object]) -> None:
        try:
            reload()
        except PgmcpError as error:
            reason = getattr(error, "reason", error.message)
            _log.error("Failed to reload %s: %s", path, reason)
        else:
            _log.info("Reloaded %s", path)
