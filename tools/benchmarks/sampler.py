"""Serves as the program does, and looks again and again at where its threads are.

The rule: only threads that handle a request count, under the innermost function of ours.
`python -m tools.benchmarks.sampler FILE ARGUMENT...` writes the counts when the server ends.
"""

from __future__ import annotations

import collections
import json
import sys
import threading
from pathlib import Path
from types import FrameType

_PAUSE_SECONDS = 0.001
_REQUEST = "pgmcp.transport.handler"


def main() -> int:
    """Serve until the process is told to stop."""
    from pgmcp.cli.main import main as pgmcp_main

    counts: collections.Counter[str] = collections.Counter()
    over = threading.Event()

    def sample() -> None:
        while not over.wait(_PAUSE_SECONDS):
            for frame in sys._current_frames().values():
                if (place := place_of(frame)) is not None:
                    counts[place] += 1

    thread = threading.Thread(target=sample)
    thread.start()
    status = pgmcp_main(sys.argv[2:])
    over.set()
    thread.join()
    Path(sys.argv[1]).write_text(json.dumps(counts))
    return status


def place_of(frame: FrameType | None) -> str | None:
    """The module of ours that a thread is in, None when it handles no request."""
    place, in_request = None, False
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith("pgmcp."):
            place = place or module
            in_request = in_request or module == _REQUEST
        frame = frame.f_back
    return place if in_request else None


if __name__ == "__main__":
    sys.exit(main())
