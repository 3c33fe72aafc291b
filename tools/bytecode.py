"""Byte code of many Pythons: each compiles in a process of its own and hands over the result.

The rule: the same sources and the same Python give the same bytes, whatever the folder, the user
and the environment. This file is also the program that each Python runs, so it imports little.
"""

import marshal
import os
import shutil
import subprocess
import sys
from importlib.util import MAGIC_NUMBER
from pathlib import Path

OLDEST = (3, 11)
_EVERYWHERE = 2  # a version of marshal that every Python reads


class BytecodeError(Exception):
    """A Python could not compile. The message says what it said."""


def compile_with(python: str, sources: "dict[str, tuple[str, bytes]]") -> "Compiled":
    """Compile {module: (file name for tracebacks, source)} with another Python."""
    ended = subprocess.run(
        [python, "-S", __file__],
        input=marshal.dumps(sources, _EVERYWHERE),
        capture_output=True,
        env={"PYTHONHASHSEED": "0", "SYSTEMROOT": os.environ.get("SYSTEMROOT", "")},
        check=False,
    )
    if ended.returncode != 0:
        raise BytecodeError(f"{python} could not compile:\n{ended.stderr.decode().strip()}")
    return Compiled(*marshal.loads(ended.stdout))


class Compiled:
    """What one Python made: its version, the tag of its byte code, and code by module."""

    def __init__(self, version: str, tag: str, code: "dict[str, bytes]") -> None:
        self.version = version
        self.tag = tag
        self.code = code


def find_pythons() -> "list[str]":
    """One CPython of each minor version from 3.11: this one, then those on PATH and pyenv's."""
    candidates = [sys.executable]
    for minor in range(OLDEST[1], OLDEST[1] + 9):
        found = shutil.which(f"python3.{minor}")
        candidates += [found] if found else []
        for root in (os.environ.get("PYENV_ROOT"), "~/.pyenv"):
            if root:
                folder = Path(root).expanduser() / "versions"
                installed = (str(path) for path in folder.glob(f"3.{minor}.*/bin/python3"))
                candidates += sorted(installed, reverse=True)
    known: dict[str, str] = {}
    for python in candidates:
        version = _minor_version(python)
        if version:
            known.setdefault(version, python)
    return [known[version] for version in sorted(known, key=lambda v: int(v.split(".")[1]))]


def _minor_version(python: str) -> str:
    """`3.11`, or nothing when it does not run or is no released CPython that is new enough."""
    ask = (
        "import sys; v = sys.version_info; "
        "print(v[0], v[1], sys.implementation.name, v.releaselevel)"
    )
    try:
        ended = subprocess.run(
            [python, "-S", "-c", ask], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    words = ended.stdout.split()
    if words[2:] != ["cpython", "final"] or (int(words[0]), int(words[1])) < OLDEST:
        return ""
    return f"{words[0]}.{words[1]}"


def _compile_all() -> None:
    sources = marshal.loads(sys.stdin.buffer.read())
    # What marshal writes as a reference depends on what else the process holds: always the same,
    # because it starts empty, imports this file only, and compiles in one order.
    code = {
        name: marshal.dumps(compile(source, shown, "exec", dont_inherit=True))
        for name, (shown, source) in sources.items()
    }
    tag = f"{sys.implementation.cache_tag}-{MAGIC_NUMBER.hex()}"
    told = ("{}.{}.{}".format(*sys.version_info), tag, code)
    sys.stdout.buffer.write(marshal.dumps(told, _EVERYWHERE))


if __name__ == "__main__":
    _compile_all()
