"""Watching files, by looking at them every 20 ms, and tasks that run every so many seconds.

The rule: what is compared is what the path leads to (device, inode, size, both times), so symlinks,
renames and edits that keep size and mtime are seen; and what could not be loaded is tried again.
Files share one thread, so what loads one may not wait for anybody; each task has its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pgmcp.errors import PgmcpError

POLL_SECONDS = 0.02
QUIET_SECONDS = 0.1
FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 60.0

Unwatch = Callable[[], None]


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
            status = path.stat()
        except OSError:
            return None
        return cls(
            status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        )

    def same_file(self, other: object) -> bool:
        """Whether both are states of the same file, which was edited in place."""
        return isinstance(other, Signature) and (self.device, self.inode) == (
            other.device,
            other.inode,
        )


FileState = Signature | tuple[Signature | None, ...] | None
"""Of a file, or of files that belong together; None when the file is not there."""


class Debounce:
    """Decides when a file is to be loaded: a new file at once, an edited one when it is quiet.

    After a load the next one waits, so that a burst of new files is one load in QUIET_SECONDS and
    its last is never left out. Files that belong together are always waited for: they are replaced
    one after the other.
    """

    def __init__(self, current: FileState) -> None:
        self._loaded = current
        self._pending: FileState = None
        self._since: float | None = None
        self._next_at = float("-inf")

    def due(self, state: FileState, now: float) -> bool:
        """Whether to load now, having seen that at `now` (seconds, monotonic)."""
        if state == self._loaded:
            self._since = None
            return False
        # A new file that is empty is still being written; one that has gone may come back.
        complete = (
            isinstance(state, Signature) and state.size > 0 and not state.same_file(self._loaded)
        )
        if not complete:
            if self._since is None or state != self._pending:
                self._pending, self._since = state, now
            if now - self._since < QUIET_SECONDS:
                return False
        elif now < self._next_at:
            self._pending, self._since = state, now
            return False
        self._loaded, self._since, self._next_at = state, None, now + QUIET_SECONDS
        return True

    def allow_next(self) -> None:
        """Let the next load be due at once: the last one changed nothing."""
        self._next_at = float("-inf")

    @property
    def quiet(self) -> bool:
        """Whether the state last seen is the one last due: nobody is writing."""
        return self._since is None


class Retry:
    """Decides when a state that could not be loaded is tried again, and which failures are logged.

    A full disk or too many open files may pass; so may a certificate's not being valid yet.
    """

    def __init__(self) -> None:
        self._at: float | None = None
        self._pause = FIRST_RETRY_SECONDS
        self._reason: str | None = None

    def reset(self) -> None:
        """Begin anew: there is a new state, or the state was loaded."""
        self._at, self._pause, self._reason = None, FIRST_RETRY_SECONDS, None

    def begin(self, now: float) -> None:
        """An attempt begins at `now` (seconds, monotonic); unless it succeeds there is another."""
        self._at, self._pause = now + self._pause, min(2 * self._pause, LAST_RETRY_SECONDS)

    def due(self, now: float) -> bool:
        """Whether to try again now."""
        return self._at is not None and now >= self._at

    @property
    def failed(self) -> bool:
        """Whether the attempt before failed."""
        return self._reason is not None

    def should_log(self, reason: str) -> bool:
        """Whether this failure has another reason than the failure before."""
        before, self._reason = self._reason, reason
        return reason != before


@dataclass(frozen=True, slots=True, eq=False)
class _Watched:
    """`look` gives the state now; `name` is what the log calls it."""

    name: str
    look: Callable[[], FileState]
    debounce: Debounce
    retry: Retry
    reload: Callable[[], object]
    log: logging.Logger


class Watcher:
    """Runs tasks in daemon threads, the looking at files among them, from `start` to `stop`."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._watched: tuple[_Watched, ...] = ()
        self._watched_lock = threading.Lock()
        self._tasks: list[tuple[str, float, Callable[[], object]]] = []
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()

    def watch(self, path: Path, reload: Callable[[], object], area: str) -> None:
        """Call `reload` when the file at `path` has changed, and again while it fails.

        What is reloaded goes to the log of an area (`auth`), unless it returns False: nothing has
        changed. So does its PgmcpError or OSError, once for as long as it stays the same.
        Say so before the file is loaded for the first time: a change in between is then not lost.
        """
        path = path.absolute()
        self._add(str(path), lambda: Signature.of(path), reload, area)

    def watch_together(
        self, paths: Sequence[Path], reload: Callable[[], object], area: str
    ) -> Unwatch:
        """Watch files that belong together, as `watch` does; the function returned ends it."""
        paths = [path.absolute() for path in paths]
        name = ", ".join(map(str, paths))
        return self._add(name, lambda: tuple(map(Signature.of, paths)), reload, area)

    def every(self, seconds: float, task: Callable[[], object], name: str) -> None:
        """Call `task` every so many seconds, in a thread of its own, from `start` or now on.

        A failure that nobody expected goes to the log of the area `name`.
        """
        self._tasks.append((name, seconds, task))
        if self._threads:
            self._start_task(name, seconds, task)

    def start(self) -> None:
        """Begin."""
        for name, seconds, task in [("files", POLL_SECONDS, self._look), *self._tasks]:
            self._start_task(name, seconds, task)

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """End, after the tasks that are running, or after the timeout."""
        self._stopping.set()
        deadline = self._clock() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - self._clock()))

    def _start_task(self, name: str, seconds: float, task: Callable[[], object]) -> None:
        thread = threading.Thread(
            target=self._run, args=(seconds, task, name), name=f"watch-{name}", daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def _run(self, seconds: float, task: Callable[[], object], name: str) -> None:
        while not self._stopping.wait(seconds):
            try:
                task()
            except Exception:  # noqa: BLE001 - one failure must not end the watching
                _logger(name).exception("the background task %s failed", name)

    def _add(
        self, name: str, look: Callable[[], FileState], reload: Callable[[], object], area: str
    ) -> Unwatch:
        watched = _Watched(name, look, Debounce(look()), Retry(), reload, _logger(area))
        with self._watched_lock:
            # A new tuple: the watching thread goes on with the one that it began with.
            self._watched = (*self._watched, watched)

        def unwatch() -> None:
            with self._watched_lock:
                self._watched = tuple(other for other in self._watched if other is not watched)

        return unwatch

    def _look(self) -> None:
        for watched in self._watched:
            now = self._clock()
            if watched.debounce.due(watched.look(), now):
                watched.retry.reset()
                self._reload(watched, now)
            elif watched.debounce.quiet and watched.retry.due(now):
                self._reload(watched, now)

    def _reload(self, watched: _Watched, now: float) -> None:
        # Before reading: a change while it is read is seen by the next look.
        watched.retry.begin(now)
        try:
            changed = watched.reload()
        except (PgmcpError, OSError) as error:
            reason = getattr(error, "reason", getattr(error, "message", str(error)))
            if watched.retry.should_log(reason):
                watched.log.error("Failed to reload %s: %s", watched.name, reason)
        else:
            if changed is False:
                watched.debounce.allow_next()
            # Also after a failure that was logged: an operator waits for this line.
            if changed is not False or watched.retry.failed:
                watched.log.info("Reloaded %s", watched.name)
            watched.retry.reset()


def _logger(area: str) -> logging.Logger:
    return logging.getLogger(f"pgmcp.{area}")
