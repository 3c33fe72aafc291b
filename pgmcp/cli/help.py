"""-help: the flags, or a page of the manual.

The rule: what is asked for goes to standard output alone, so that it can be searched and paged.
"""

from __future__ import annotations

import os
import sys

from pgmcp.cli import flags
from pgmcp.errors import UsageError
from pgmcp.reference import pages


def show(topic: str) -> int:
    """Print the page of this topic, or the flags for ""; the exit status, 2 for an unknown one."""
    if not topic:
        text = flags.usage()
    elif topic in pages.TOPICS:
        text = pages.for_terminal(pages.read(topic))
    else:
        from pgmcp.config.document import suggestion  # here: only a slip needs it

        error = UsageError(f"no page of the manual: {topic}", suggestion(topic, pages.TOPICS))
        sys.stderr.write(f"{error.for_operator()}\n")
        return 2
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # `-help tools | head`: the reader has what it wanted. Python would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
