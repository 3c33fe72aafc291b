"""Start a program that ends when we do, even if we are killed, and as another user if asked.

The rule: no preexec_fn, which is not safe beside threads. A short program of our own stands between
the fork and the exec.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

# The kernel forgets PR_SET_PDEATHSIG (1) when the user changes, hence the order; the parent may
# have ended before the call, hence the check.
_BECOME = """
import ctypes, os, sys
uid, gid, parent, death, folder = *map(int, sys.argv[1:5]), sys.argv[5]
if os.geteuid() == 0 and uid != 0:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    os.umask(0o077)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, death)
    if os.getppid() != parent:
        sys.exit("the process that wanted this one has ended")
os.chdir(folder)
os.execv(sys.argv[6], sys.argv[6:])
"""


def spawn(
    command: Sequence[str | Path],
    *,
    folder: Path,
    environment: Mapping[str, str],
    output: IO[bytes] | int | None = None,
    identity: tuple[int, int] | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start `command` (its first word a path) in `folder`, in a session of its own.

    Ctrl-C does not reach it: whoever started it ends it. `identity` is the user and group to
    become, which only root can. On Linux the end of the starting thread sends `death_signal`.
    """
    uid, gid = identity or (os.geteuid(), os.getegid())
    return subprocess.Popen(
        [
            *(sys.executable, "-I", "-S", "-c", _BECOME),
            *map(str, (uid, gid, os.getpid(), int(death_signal), folder, *command)),
        ],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
        env=dict(environment),
        start_new_session=True,
    )
