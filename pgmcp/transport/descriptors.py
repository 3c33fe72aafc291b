"""How many descriptors this process may have open: the soft limit goes up to the hard one.

The rule: the limit is never lowered.
"""

from __future__ import annotations

import contextlib
import sys


def allow_descriptors(count: int) -> int:
    """Have this process open `count` descriptors, as far as the system lets it; how many it may."""
    if sys.platform == "win32":  # which has no such limit for sockets
        return count
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return count
    if soft >= count:
        return soft
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft
