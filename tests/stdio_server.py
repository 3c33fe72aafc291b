"""The sample features over stdio, as a process of its own: `python -m tests.stdio_server`."""

from __future__ import annotations

import signal
import sys
import threading

from pgmcp.transport import stdio
from tests.sample_features import Board, context_for, sample_dispatcher, trial_dispatcher


def main() -> int:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    reader, writer = stdio.own_streams()
    print("a stray line")
    dispatcher = trial_dispatcher(Board()) if "trial" in sys.argv else sample_dispatcher()
    return stdio.serve(reader, writer, dispatcher, context_for, stop=stop)


if __name__ == "__main__":
    sys.exit(main())
