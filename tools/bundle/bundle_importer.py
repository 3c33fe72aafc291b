"""Imports the modules that the one file carries.

The rule: what a running server needs is read from the file that it was started from, held open or
in memory: replacing the file by the next version does not reach into a running one.

The file is a zip archive whose members are stored as they are, so that a position in the file and
a length name any of them. `index/TAG` has a line for each thing that Python TAG can import:

    module|package NAME CODE_OFFSET CODE_BYTES SOURCE_OFFSET SOURCE_BYTES
    methods OFFSET BYTES
    page PATH OFFSET BYTES
    native NAME PLATFORM FILE OFFSET BYTES SHA256
    library NAME_OF_NATIVE PLATFORM FILE OFFSET BYTES SHA256
    version DISTRIBUTION VERSION

`dataclass` writes the methods of a class as text and has Python compile it, at each start again,
which takes as long as loading all else; `methods` are that text with the code it comes to.

zipimport of the standard library finds its way by the path: after an upgrade in place it reads the
new file with the old one's table of contents. It also knows the byte code of one Python only.
"""

from __future__ import annotations

import marshal
import os
import sys
from _thread import allocate_lock
from importlib.machinery import PathFinder
from importlib.util import MAGIC_NUMBER, spec_from_loader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType
    from typing import Any

SOURCE_TAG = "source"


def bytecode_tag() -> str:
    """The name of this Python's byte code: `cpython-311-a70d0d0a`."""
    return f"{sys.implementation.cache_tag}-{MAGIC_NUMBER.hex()}"


def install(loader: Any) -> None:
    """Import from the archive that `loader`, its zipimporter, has read; nothing may shadow it."""
    tag = bytecode_tag()
    try:
        index = loader.get_data(os.path.join(loader.archive, "index", tag))
    except OSError:
        tag = SOURCE_TAG
        index = loader.get_data(os.path.join(loader.archive, "index", tag))
    archive = os.path.abspath(loader.archive)
    importer = Importer(archive, index.decode(), compiled=tag != SOURCE_TAG)
    sys.meta_path.insert(0, importer)
    # Before zipimport's, which would read the table of contents of whatever is at the path now.
    sys.path_hooks.insert(0, importer.folder)
    # Python put the archive there, and only for the two modules that are loaded now.
    if sys.path and sys.path[0] == loader.archive:
        del sys.path[0]


class Folder:
    """The modules directly in a package, each with whether it is a package itself."""

    def __init__(self, modules: Iterable[tuple[str, bool]]) -> None:
        self._modules = sorted(modules)

    def iter_modules(self, prefix: str = "") -> Iterator[tuple[str, bool]]:
        """As pkgutil wants them."""
        return ((prefix + name, is_package) for name, is_package in self._modules)

    def find_spec(self, name: str, target: object = None) -> None:
        """Nothing: what is here the importer finds."""


class Importer:
    """A finder and loader for the modules of one archive."""

    def __init__(self, archive: str, index: str, *, compiled: bool) -> None:
        self._archive = archive
        self._compiled = compiled
        self._file = open(archive, "rb", buffering=0)  # noqa: SIM115
        self._file_lock = allocate_lock()
        self._modules: dict[str, tuple[bool, int, int, int, int]] = {}
        self._natives: dict[str, list[list[str]]] = {}
        self._libraries: dict[str, list[list[str]]] = {}
        self._versions: dict[str, str] = {}
        self._methods: tuple[int, int] | None = None
        self._pages: dict[str, tuple[int, int]] = {}
        for line in index.splitlines():
            kind, name, *rest = line.split(" ")
            if kind == "native":
                self._natives.setdefault(name, []).append(rest)
            elif kind == "library":
                self._libraries.setdefault(name, []).append(rest)
            elif kind == "version":
                self._versions[name] = rest[0]
            elif kind == "page":
                self._pages[name] = (int(rest[0]), int(rest[1]))
            elif kind == "methods":
                self._methods = (int(name), int(rest[0]))
            else:
                code, code_size, source, source_size = map(int, rest)
                self._modules[name] = (kind == "package", code, code_size, source, source_size)
        self._start = min(module[1] for module in self._modules.values())
        end = max(module[1] + module[2] for module in self._modules.values())
        self._code = self._read(self._start, end - self._start)

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,  # noqa: ARG002
        target: object = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """The module's specification if it is one of ours."""
        module = self._modules.get(name)
        if module is not None:
            origin = f"{self._archive}/lib/{_file_name(name, module[0])}"
            spec = spec_from_loader(name, self, origin=origin, is_package=module[0])  # type: ignore[arg-type]
            assert spec is not None
            spec.has_location = True
            if module[0]:
                spec.submodule_search_locations = [origin.rpartition("/")[0]]
            return spec
        if name == "dataclasses" and self._methods is not None:
            return self._with_methods(name, *self._methods)
        if name in self._natives:
            from bundle_native import find  # type: ignore[import-not-found]

            libraries = self._libraries.get(name, ())
            native: ModuleSpec = find(name, self._natives[name], self._read, libraries)
            return native
        return None

    def _with_methods(self, name: str, offset: int, size: int) -> ModuleSpec:
        """The standard library's `dataclasses`, which then finds the code of its texts here."""
        spec: Any = PathFinder.find_spec(name)
        known: dict[str, bytes] = marshal.loads(self._read(offset, size))
        load = spec.loader.exec_module

        def run(text: str, *namespaces: dict[str, object]) -> None:
            code = known.get(text)
            exec(text if code is None else marshal.loads(code), *namespaces)

        def exec_module(module: Any) -> None:
            load(module)
            module.exec = run  # its own, in front of the built-in one

        spec.loader.exec_module = exec_module
        module_spec: ModuleSpec = spec
        return module_spec

    def folder(self, path: str) -> Folder:
        """What lists the modules in a package's folder, for pkgutil; ImportError for any other."""
        inside = f"{self._archive}/lib/"
        if not path.startswith(inside):
            raise ImportError(path)
        package = path.removeprefix(inside).replace("/", ".") + "."
        return Folder(
            (name.removeprefix(package), module[0])
            for name, module in self._modules.items()
            if name.startswith(package) and "." not in name.removeprefix(package)
        )

    def find_distributions(self, context: Any) -> Iterator[Any]:
        """The distributions for importlib.metadata, which pg8000 and scramp ask for a version."""
        import importlib.metadata

        class Bundled(importlib.metadata.Distribution):
            """A distribution of which the name and the version are known."""

            version: str = ""  # read without parsing any metadata

            def __init__(self, name: str, version: str) -> None:
                self._text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
                self.version = version

            def read_text(self, filename: str) -> str | None:
                return self._text if filename == "METADATA" else None

            def locate_file(self, path: Any) -> Any:
                raise FileNotFoundError(path)

        for name, version in self._versions.items():
            if context.name is None or context.name.lower().replace("_", "-") == name:
                yield Bundled(name, version)

    def create_module(self, spec: ModuleSpec) -> None:
        """As Python does it."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code."""
        exec(self.get_code(module.__name__), module.__dict__)

    def get_code(self, name: str) -> CodeType:
        """The module's code."""
        is_package, offset, size, _, _ = self._modules[name]
        stored = self._code[offset - self._start : offset - self._start + size]
        if self._compiled:
            code: CodeType = marshal.loads(stored)
            return code
        return compile(stored, shown_name(_file_name(name, is_package)), "exec", dont_inherit=True)

    def get_source(self, name: str) -> str:
        """The module's text, for tracebacks."""
        _, _, _, offset, size = self._modules[name]
        return self._read(offset, size).decode()

    def get_data(self, path: str) -> bytes:
        """A page of the manual, by its path beside the modules; OSError for any other."""
        place = self._pages.get(path.removeprefix(f"{self._archive}/lib/").replace(os.sep, "/"))
        if place is None:
            raise FileNotFoundError(path)
        return self._read(*place)

    def is_package(self, name: str) -> bool:
        """Whether the module is a package."""
        return self._modules[name][0]

    def _read(self, offset: int, size: int) -> bytes:
        with self._file_lock:
            self._file.seek(offset)
            data = b""
            while len(data) < size:
                part = self._file.read(size - len(data))
                if not part:
                    raise ImportError(f"{self._archive} is shorter than it was: start again")
                data += part
            return data


def shown_name(file_name: str) -> str:
    """How tracebacks name a file of the archive."""
    return f"pgedge-postgres-mcp/{file_name}"


def _file_name(name: str, is_package: bool) -> str:
    return name.replace(".", "/") + ("/__init__.py" if is_package else ".py")
