"""A process as the kernel sees it: memory, processor, switches, threads. From /proc, so on Linux.

The rule: children count with their parent, because some servers are more than one process.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used so far: seconds of processor, and voluntary switches."""

    cpu_seconds: float
    switches: int

    def since(self, before: Usage) -> Usage:
        """What was used after `before`."""
        return Usage(self.cpu_seconds - before.cpu_seconds, self.switches - before.switches)


@dataclass(frozen=True, slots=True)
class Process:
    """A process by its id, with its children."""

    pid: int

    def memory_mib(self) -> float:
        """What stands in memory now, 0 when the process is gone."""
        return self._sum("VmRSS") / 1024

    def peak_mib(self) -> float:
        """The most that ever stood in memory."""
        return self._sum("VmHWM") / 1024

    def threads(self) -> int:
        """How many threads there are."""
        return self._sum("Threads")

    def usage(self) -> Usage:
        """Used by all threads that are there, and by those that have ended for the processor."""
        cpu, switches = 0.0, 0
        for folder in self._folders():
            with contextlib.suppress(OSError):
                cells = (folder / "stat").read_text().rpartition(")")[2].split()
                cpu += (int(cells[11]) + int(cells[12])) / _TICKS
            with contextlib.suppress(OSError):
                for task in (folder / "task").iterdir():
                    switches += _field(task / "status", "voluntary_ctxt_switches")
        return Usage(cpu, switches)

    def _sum(self, name: str) -> int:
        return sum(_field(folder / "status", name) for folder in self._folders())

    def _folders(self) -> Iterator[Path]:
        left = [self.pid]
        while left:
            pid = left.pop()
            yield _PROC / str(pid)
            with contextlib.suppress(OSError):
                for task in (_PROC / str(pid) / "task").iterdir():
                    left += map(int, (task / "children").read_text().split())


def _field(path: Path, name: str) -> int:
    with contextlib.suppress(OSError):
        for line in path.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    return 0
