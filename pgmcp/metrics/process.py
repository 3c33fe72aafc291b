"""What the operating system says about this process, under the names Prometheus clients use."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from pgmcp.metrics.metrics import Family, Sample, gauge, value

_PROC = Path("/proc/self")


def families() -> Iterator[Family]:
    """Memory, descriptors, processor time and threads; what the system does not say is left out."""
    cpu = (Sample(time.process_time(), {}),)
    yield Family("process_cpu_seconds_total", "counter", "Processor time used, in seconds.", cpu)
    yield gauge("process_threads", "Threads.", value(threading.active_count()))
    try:
        pages = int((_PROC / "statm").read_text().split()[1])
        descriptors = len(os.listdir(_PROC / "fd"))  # noqa: PTH208 - names only, no paths
    except (OSError, ValueError):
        return
    if sys.platform == "win32":
        return
    yield gauge(
        "process_resident_memory_bytes",
        "Memory in use, in bytes.",
        value(pages * os.sysconf("SC_PAGE_SIZE")),
    )
    yield gauge("process_open_fds", "Open file descriptors.", value(descriptors))
