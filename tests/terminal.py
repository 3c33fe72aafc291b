"""A person at a terminal: a process whose input and output are a pseudo-terminal.

The rule: it types when it has read what it waits for, so nothing depends on time.
"""

from __future__ import annotations

import fcntl
import os
import select
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tools.serving import end

_SECONDS = 30.0


class Terminal:
    """What was shown so far is `shown`."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self.shown = ""
        self._descriptor = descriptor
        self._mark = 0

    def expect(self, text: str) -> str:
        """Read until this is shown, behind what was expected before; what came up to it."""
        deadline = time.monotonic() + _SECONDS
        while text not in self.shown[self._mark :]:
            left = deadline - time.monotonic()
            if left <= 0 or not self._read(left):
                raise AssertionError(f"{text!r} is not shown: {self.shown}")
        end_of_text = self.shown.index(text, self._mark) + len(text)
        seen, self._mark = self.shown[self._mark : end_of_text], end_of_text
        return seen

    def type(self, line: str) -> None:
        """Type a line, and the return key."""
        os.write(self._descriptor, f"{line}\n".encode())

    def ended(self) -> int:
        """Read to the end; the exit status."""
        while self._read(_SECONDS):
            pass
        return self.process.wait(_SECONDS)

    def _read(self, seconds: float) -> bool:
        if not select.select([self._descriptor], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:  # Linux says so when the process has gone
            return False
        self.shown += data.decode().replace("\r\n", "\n")
        return bool(data)


@contextmanager
def terminal(words: Sequence[str], cwd: Path, environ: Mapping[str, str]) -> Iterator[Terminal]:
    """Run a command at a terminal of its own until the block ends."""
    ours, theirs = os.openpty()

    def take() -> None:
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)  # /dev/tty, from which passwords are read

    process = subprocess.Popen(
        words,
        cwd=cwd,
        env=environ,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=take,
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        end(process)
        os.close(ours)
