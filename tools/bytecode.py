"""Byte code of many Pythons: each compiles in a process of its own and hands over the result.

The rule: the same sources and the same Python give the same bytes, whatever the folder, the user
and the environment. This file is also the program that each Python runs, so it imports little.
"""

import contextlib
import dataclasses
import marshal
import os
import shutil
import subprocess
import sys
from importlib.util import MAGIC_NUMBER, spec_from_loader
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

OLDEST = (3, 11)
_EVERYWHERE = 2  # a version of marshal that every Python reads


class BytecodeError(Exception):
    """A Python could not compile. The message says what it said."""


def compile_with(python: str, sources: "dict[str, tuple[str, bytes]]", package: str) -> "Compiled":
    """Compile {module: (file name for tracebacks, source)} with another Python, and the methods
    of the data classes in `package`."""
    methods = _run(python, "methods", (sources, package))
    return Compiled(*_run(python, "compile", (sources, methods)))


def _run(python: str, work: str, told: "Any") -> "Any":
    ended = subprocess.run(
        [python, "-S", __file__, work],
        input=marshal.dumps(told, _EVERYWHERE),
        capture_output=True,
        env={"PYTHONHASHSEED": "0", "SYSTEMROOT": os.environ.get("SYSTEMROOT", "")},
        check=False,
    )
    if ended.returncode != 0:
        raise BytecodeError(f"{python} could not compile:\n{ended.stderr.decode().strip()}")
    return marshal.loads(ended.stdout)


class Compiled:
    """What one Python made: its version, the tag of its byte code, code by module, and the code
    of data classes' methods by their text."""

    def __init__(
        self, version: str, tag: str, code: "dict[str, bytes]", methods: "dict[str, bytes]"
    ) -> None:
        self.version = version
        self.tag = tag
        self.code = code
        self.methods = methods


def find_pythons() -> "list[str]":
    """One CPython of each minor version from 3.11: this one, then those on PATH and pyenv's."""
    candidates = [sys.executable]
    for minor in range(OLDEST[1], OLDEST[1] + 9):
        program = shutil.which(f"python3.{minor}")
        candidates += [program] if program else []
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


class _Sources:
    """Imports from sources in memory, by module name."""

    def __init__(self, sources: "dict[str, tuple[str, bytes]]") -> None:
        self._sources = sources

    def find_spec(self, name: str, *_rest: object) -> "ModuleSpec | None":
        if name not in self._sources:
            return None
        is_package = self._sources[name][0].endswith("/__init__.py")
        return spec_from_loader(name, self, is_package=is_package)  # type: ignore[arg-type]

    def create_module(self, spec: "ModuleSpec") -> None:
        pass

    def exec_module(self, module: "ModuleType") -> None:
        exec(self._sources[module.__name__][1], module.__dict__)


def _methods(sources: "dict[str, tuple[str, bytes]]", package: str) -> "list[str]":
    """The texts that `dataclasses` has Python compile each time that the package is loaded."""
    texts = set()

    def noted(text: str, *namespaces: "dict[str, object]") -> None:
        texts.add(text)
        exec(text, *namespaces)

    dataclasses.exec = noted  # type: ignore[attr-defined]
    sys.meta_path.insert(0, _Sources(sources))
    for name in sources:
        if name.startswith(f"{package}.") and not name.endswith("__main__"):
            with contextlib.suppress(ImportError):  # it is for another system
                __import__(name)
    return sorted(texts)


def _compile(sources: "dict[str, tuple[str, bytes]]", methods: "list[str]") -> "tuple[object, ...]":
    # What marshal writes as a reference depends on what else the process holds: always the same,
    # because it starts empty, imports this file only, and compiles in one order.
    code = {
        name: marshal.dumps(compile(source, shown, "exec", dont_inherit=True))
        for name, (shown, source) in sources.items()
    }
    made = {text: marshal.dumps(compile(text, "<string>", "exec")) for text in methods}
    tag = f"{sys.implementation.cache_tag}-{MAGIC_NUMBER.hex()}"
    return "{}.{}.{}".format(*sys.version_info), tag, code, made


def _main(work: str) -> None:
    told = marshal.loads(sys.stdin.buffer.read())
    made: Any = _methods(*told) if work == "methods" else _compile(*told)
    sys.stdout.buffer.write(marshal.dumps(made, _EVERYWHERE))


if __name__ == "__main__":
    _main(sys.argv[1])
