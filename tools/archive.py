"""The one file: a zip archive after a `#!` line, each member stored as it is, and indexes into it.

The rule: the bytes follow from the sources, the wheels, the byte code and one time. No compressor
has a say, and nothing is taken from the file system but contents.
"""

from __future__ import annotations

import hashlib
import io
import marshal
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tools.bundle.bundle_importer import SOURCE_TAG, shown_name
from tools.bytecode import Compiled
from tools.wheels import Wheel, WheelError

_BUNDLE = Path(__file__).resolve().parent / "bundle"
_SHEBANG = b"#!/usr/bin/env python3\n"
_OLDEST = (1980, 1, 1, 0, 0, 0)  # zip knows no time before


@dataclass(frozen=True, slots=True)
class Native:
    """A compiled module for one platform, or with kind "library" what the module `name` needs."""

    name: str
    platform: str
    file_name: str
    content: bytes
    kind: Literal["native", "library"] = "native"


@dataclass(frozen=True, slots=True)
class Contents:
    """What goes in, apart from the code that starts it.

    `sources` are Python files by path (`pgmcp/app.py`), `pages` those of the manual, `papers`
    licences by path, `versions` the version of each distribution.
    """

    sources: dict[str, bytes] = field(default_factory=dict)
    pages: dict[str, bytes] = field(default_factory=dict)
    papers: dict[str, bytes] = field(default_factory=dict)
    natives: list[Native] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    def modules(self) -> dict[str, tuple[str, bytes]]:
        """By module name, the file's name for tracebacks and the source."""
        return {
            _module(path): (shown_name(path), self.sources[path]) for path in sorted(self.sources)
        }


def gather(root: Path, license_file: Path, wheels: Sequence[Wheel]) -> Contents:
    """The package under `root`, its licence, and what is wanted of the wheels."""
    contents = Contents()
    for path in sorted(root.rglob("*.py")):
        contents.sources[path.relative_to(root.parent).as_posix()] = path.read_bytes()
    for path in sorted((root / "reference").glob("*.md")):
        contents.pages[path.relative_to(root.parent).as_posix()] = path.read_bytes()
    for name in ("bundle_importer.py", "bundle_native.py"):
        contents.sources[name] = (_BUNDLE / name).read_bytes()
    contents.papers["LICENSE"] = license_file.read_bytes()
    for wheel in wheels:
        contents.versions[wheel.name] = wheel.version
        for name, content in wheel.files.items():
            package, _, file_name = name.partition("/")
            if name.endswith(".py"):
                contents.sources[name] = content
            elif ".dist-info/" in name and _is_paper(file_name):
                contents.papers[name] = content
            elif wheel.platform and file_name.startswith(f"_{package}."):
                contents.natives.extend(_natives(wheel, f"{package}._{package}", name))
    contents.natives.sort(key=lambda native: (native.platform, native.kind))
    return contents


def _natives(wheel: Wheel, module: str, name: str) -> Iterator[Native]:
    """A wheel's compiled module, and the libraries that it brings along beside it."""
    assert wheel.platform is not None
    content = wheel.files[name]
    for other, library in wheel.files.items():
        folder, _, file_name = other.partition("/")
        if folder.endswith(".libs") and file_name:
            if "-musl-" not in wheel.platform:
                raise WheelError(f"{wheel.path.name} brings {file_name}: say how it is loaded")
            content = _not_asking_for(file_name, content)
            yield Native(module, wheel.platform, file_name, library, "library")
    yield Native(module, wheel.platform, name.partition("/")[2], content)


def _not_asking_for(library: str, content: bytes) -> bytes:
    """A module that does not name a library to the system, which would look for it in folders only.

    Its functions are found all the same once it is loaded; `bundle_native` does that. The name that
    takes its place is musl's for itself.
    """
    name = b"\0" + library.encode() + b"\0"
    if content.count(name) != 1:
        raise WheelError(f"{library} is not named once by the module that comes with it")
    return content.replace(name, b"\0libc.so".ljust(len(name), b"\0"))


def build(contents: Contents, compiled: Sequence[Compiled], epoch: int) -> bytes:
    """The file's bytes; its members carry the time `epoch`, in seconds since 1970."""
    stream = io.BytesIO()
    stream.write(_SHEBANG)
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        writer = _Writer(archive, epoch)
        for name in ("__main__.py", "bundle_importer.py"):
            writer.add(name, (_BUNDLE / name).read_bytes())
        for made in compiled:
            writer.add(*_importer(made))
        source = {
            _module(path): writer.add(f"lib/{path}", contents.sources[path])
            for path in sorted(contents.sources)
        }
        for path in sorted(contents.papers):
            writer.add(f"lib/{path}", contents.papers[path])
        pages = {name: writer.add(f"lib/{name}", contents.pages[name]) for name in contents.pages}
        common = [f"page {name} {start} {size}" for name, (start, size) in pages.items()]
        common += [
            f"version {name} {contents.versions[name]}" for name in sorted(contents.versions)
        ]
        for native in contents.natives:
            place = writer.add(f"native/{native.platform}/{native.file_name}", native.content)
            digest = hashlib.sha256(native.content).hexdigest()
            common.append(
                f"{native.kind} {native.name} {native.platform} {native.file_name} "
                f"{place[0]} {place[1]} {digest}"
            )
        packages = {_module(path) for path in contents.sources if path.endswith("/__init__.py")}
        codes = {SOURCE_TAG: source}
        codes |= {made.tag: writer.add_code(made) for made in compiled}
        methods = {made.tag: [writer.add_methods(made)] for made in compiled}
        for tag, code in codes.items():
            modules = _module_lines(code, source, packages)
            lines = [*modules, *methods.get(tag, ()), *common, ""]
            writer.add(f"index/{tag}", "\n".join(lines).encode())
    return stream.getvalue()


class _Writer:
    """Adds members one after the other and says where each begins and how long it is."""

    def __init__(self, archive: zipfile.ZipFile, epoch: int) -> None:
        self._archive = archive
        self._time = max(time.gmtime(epoch)[:6], _OLDEST)

    def add(self, name: str, content: bytes) -> tuple[int, int]:
        """Add a member; its contents' offset in the file and size in bytes."""
        info = zipfile.ZipInfo(name, self._time)
        info.create_system = 3  # Unix, wherever it is built
        info.external_attr = 0o100644 << 16
        self._archive.writestr(info, content)
        start = info.header_offset + len(info.FileHeader())
        return start, len(content)

    def add_code(self, made: Compiled) -> dict[str, tuple[int, int]]:
        """Add one Python's byte code as one member; the place of each module."""
        names = sorted(made.code)
        start, _ = self.add(f"code/{made.tag}", b"".join(made.code[name] for name in names))
        places = {}
        for name in names:
            places[name] = (start, len(made.code[name]))
            start += len(made.code[name])
        return places

    def add_methods(self, made: Compiled) -> str:
        """Add the code of data classes' methods as one member; its line in the index."""
        places = self.add(f"methods/{made.tag}", marshal.dumps(made.methods, 2))
        return " ".join(map(str, ("methods", *places)))


def _module_lines(
    code: Mapping[str, tuple[int, int]], source: Mapping[str, tuple[int, int]], packages: set[str]
) -> Iterator[str]:
    for name in sorted(code):
        kind = "package" if name in packages else "module"
        yield " ".join(map(str, (kind, name, *code[name], *source[name])))


def _importer(made: Compiled) -> tuple[str, bytes]:
    """The importer's byte code as zipimport takes it (PEP 552, unchecked), under the name that
    `__main__.py` tries first."""
    cache_tag, _, magic = made.tag.rpartition("-")
    head = bytes.fromhex(magic) + (1).to_bytes(4, "little") + bytes(8)
    return f"bundle_importer-{cache_tag}.pyc", head + made.code["bundle_importer"]


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _is_paper(file_name: str) -> bool:
    """Licences and authors; the rest of a dist-info folder is about installing."""
    name = file_name.rpartition("/")[2].upper()
    return name.startswith(("LICEN", "COPYING", "AUTHORS", "NOTICE"))
