"""Writing the log's lines from a thread of its own, so that nobody else waits for their reader.

The rule: `write` never waits. What does not fit, and what the system does not take, is dropped,
counted, and said in a line of its own at the place where the lines are missing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from pgmcp.net.polling import WRITE, is_ready

MAX_BYTES = 1024 * 1024
"""How much may wait to be written; as much again is being written."""
_LOOK_SECONDS = 1.0


class LogWriter:
    """Writes lines to a descriptor, in order; it can stand where a text stream is expected.

    The descriptor is written to directly: a thread that waits for its reader then holds no lock
    that the end of the program would need. It keeps its mode, which other processes may share, so
    that the thread may wait in the system. `owned`: it is closed at the end.
    `notice` makes the line that says how many are missing.
    """

    def __init__(
        self,
        descriptor: int,
        notice: Callable[[int], str],
        *,
        owned: bool = False,
        encoding: str = "utf-8",
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._descriptor = descriptor
        self._notice = notice
        self._owned = owned
        self._encoding = encoding
        self._max_bytes = max_bytes
        self._lines: list[bytes] = []
        self._bytes = 0
        self._missing = 0
        self._dropped = 0
        self._closing = False
        self._mid_line = False
        self._lines_changed = threading.Condition(threading.Lock())
        self._thread = threading.Thread(target=self._run, name="pgmcp-log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """How many lines were dropped."""
        return self._dropped

    def write(self, text: str) -> int:
        """Have a line written, or drop it; never waits."""
        line = text.encode(self._encoding, "backslashreplace")
        with self._lines_changed:
            if self._closing:
                self._dropped += 1
            # After a line that was dropped, no shorter one may take its place: the order is kept.
            elif self._missing or self._bytes + len(line) > self._max_bytes:
                self._missing += 1
                self._dropped += 1
            else:
                self._lines.append(line)
                self._bytes += len(line)
            self._lines_changed.notify()
        return len(text)

    def close(self, seconds: float) -> None:
        """Write what waits, for so many seconds at most; later lines are dropped."""
        with self._lines_changed:
            self._closing = True
            self._lines_changed.notify()
        self._thread.join(seconds)
        with self._lines_changed:
            self._dropped += len(self._lines)
            self._lines.clear()

    def _run(self) -> None:
        unreported = 0  # lines that are missing at this place, and that no line tells of yet
        while (batch := self._take()) is not None:
            lines, missing = batch
            for line in lines:
                unreported = self._report_missing(unreported)
                if not self._write_line(line):
                    unreported += 1
                    with self._lines_changed:
                        self._dropped += 1
            unreported = self._report_missing(unreported + missing)
        if self._owned:
            os.close(self._descriptor)

    def _take(self) -> tuple[list[bytes], int] | None:
        """All lines that wait, and how many are missing behind them; None at the end."""
        with self._lines_changed:
            while not (self._lines or self._missing or self._closing):
                self._lines_changed.wait()
            if not (self._lines or self._missing):
                return None
            batch = self._lines, self._missing
            self._lines, self._bytes, self._missing = [], 0, 0
            return batch

    def _report_missing(self, unreported: int) -> int:
        """Write that `unreported` lines are missing; how many are then still unreported."""
        if not unreported:
            return 0
        line = self._notice(unreported).encode(self._encoding, "backslashreplace")
        return 0 if self._write_line(line) else unreported

    def _write_line(self, line: bytes) -> bool:
        """Write a line, however long its reader takes; False when it cannot be written."""
        whole = b"\n" + line if self._mid_line else line
        left = memoryview(whole)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:  # another process has made the shared descriptor non-blocking
                is_ready(self._descriptor, _LOOK_SECONDS, event=WRITE)
            except OSError:
                self._mid_line = self._mid_line or len(left) < len(whole)
                return False
        self._mid_line = False
        return True
