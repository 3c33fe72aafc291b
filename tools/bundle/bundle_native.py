"""Loads a compiled module of the one file, which the operating system can only do from a file.

The rule: no byte is loaded that another user could have written. The bytes that are loaded have
just been compared with the SHA-256 that was taken when the file was built, in a file or in memory
that only this user can write to; where /proc is there, that very file is loaded, whatever its path
may lead to by then. Elsewhere it is loaded by its path, or, where others own a folder on the way,
from inside its own folder.

Tried in turn: a cache folder named by the contents' hash, memory without a file (no home, a
read-only or noexec file system), a temporary folder.
"""

from __future__ import annotations

import _imp
import contextlib
import hashlib
import os
import stat
import sys
from functools import partial
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import ModuleType

    # A path, and the open folder that it is relative to: None for an absolute path.
    Loadable = tuple[str, int | None]

_MFD_EXEC = 0x10  # since Linux 6.3; older ones refuse it
_CLONE_FS = 0x200
_OPEN = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class NotThisWayError(Exception):
    """A way of loading is closed, and why."""


class Part:
    """A file of the archive that the operating system is to load."""

    def __init__(self, file_name: str, digest: str, read: Callable[[], bytes]) -> None:
        self.file_name = file_name
        self.digest = digest
        self._read = read

    def content(self) -> bytes:
        """Its bytes; ImportError when they are not those that it was built with."""
        content = self._read()
        if hashlib.sha256(content).hexdigest() != self.digest:
            raise ImportError("the program's file has changed while it ran: start it again")
        return content


def find(
    name: str,
    choices: Sequence[Sequence[str]],
    read: Callable[[int, int], bytes],
    libraries: Sequence[Sequence[str]] = (),
) -> ModuleSpec:
    """The specification of a compiled module; ImportError when it is not there for this machine.

    `libraries` are what it needs loaded before it.
    """
    wanted = machine()

    def parts(lines: Sequence[Sequence[str]]) -> list[Part]:
        return [
            Part(file_name, digest, partial(read, int(offset), int(size)))
            for platform, file_name, offset, size, digest in lines
            if platform == wanted
        ]

    for part in parts(choices):
        loader = NativeLoader(part, parts(libraries))
        return ModuleSpec(name, loader, origin=f"{wanted}/{part.file_name}")  # type: ignore[arg-type]
    known = ", ".join(choice[0] for choice in choices)
    raise ImportError(f"{name} is not in this file for {wanted}, only for: {known}", name=name)


def machine() -> str:
    """What the compiled module must have been made for: `linux-glibc-x86_64`."""
    if hasattr(sys, "_is_gil_enabled") and "t" in sys.abiflags:
        return f"{sys.platform}-free-threaded"
    if sys.platform == "win32":
        for mark, processor in (("ARM64", "arm64"), ("AMD64", "x86_64")):
            if f"({mark})" in sys.version:
                return f"windows-{processor}"
        return "windows-x86"
    if sys.platform == "darwin":
        return "macos-universal2"
    processor = {"arm64": "aarch64", "amd64": "x86_64"}.get(os.uname().machine, os.uname().machine)
    if sys.maxsize < 2**32:
        processor += "-32bit"
    return f"{sys.platform}-{'glibc' if _is_glibc() else 'musl'}-{processor}"


def _is_glibc() -> bool:
    try:
        return bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (AttributeError, ValueError, OSError):
        return False


class NativeLoader:
    """Loads one compiled module in the first way that works."""

    def __init__(self, part: Part, libraries: Sequence[Part] = ()) -> None:
        self._part = part
        self._libraries = libraries

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Load it; ImportError says why no way worked."""
        part, content = self._part, self._part.content()
        libraries = [(library, library.content()) for library in self._libraries]
        reasons = []
        for way in (_in_cache, _in_memory, _in_temporary_folder):
            try:
                # Open together: a system that saw a path before may not look at what is there now.
                with contextlib.ExitStack() as opened:
                    for library, data in libraries:
                        path = opened.enter_context(way(library.file_name, data, library.digest))
                        _load_library(spec.name, *path)
                    path = opened.enter_context(way(part.file_name, content, part.digest))
                    module = _load(spec.name, *path)
                    # Its file is gone, or is not where its name says.
                    module.__file__ = f"{part.digest}/{part.file_name}"
                    return module
            except (NotThisWayError, ImportError, OSError) as error:
                reasons.append(f"{way.__name__.strip('_').replace('_', ' ')}: {error}")
        raise ImportError(f"{spec.name} cannot be loaded: " + "; ".join(reasons), name=spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Run its initialisation."""
        _imp.exec_dynamic(module)


def _load(name: str, path: str, folder: int | None) -> ModuleType:
    loader = ExtensionFileLoader(name, path)
    spec = spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    spec.origin = path  # what is opened; it has been made absolute, from the caller's folder

    def create() -> ModuleType:
        module: ModuleType = loader.create_module(spec)
        return module

    return create() if folder is None else _inside(folder, create)


def _inside(folder: int, create: Callable[[], ModuleType]) -> ModuleType:
    """Call it with this open folder as the current one, in a thread that has one of its own.

    No other thread's current folder changes, so nobody's relative path leads elsewhere meanwhile.
    """
    from concurrent.futures import ThreadPoolExecutor

    def enter() -> ModuleType:
        _separate_current_folder()
        os.fchdir(folder)
        return create()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(enter).result()


def _separate_current_folder() -> None:
    """Give this thread a current folder of its own, until it ends. Needs no rights."""
    if hasattr(os, "unshare"):  # since Python 3.12
        os.unshare(_CLONE_FS)
        return
    import ctypes

    unshare = getattr(ctypes.CDLL(None, use_errno=True), "unshare", None)
    if unshare is None:
        raise NotThisWayError("a thread has no current folder of its own on this system")
    if unshare(_CLONE_FS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def _load_library(name: str, path: str, folder: int | None) -> None:
    """Load what is no module, so that modules loaded after it find its functions.

    Python loads a file before it looks for a module in it, and keeps it when there is none. ctypes
    would do, but is not everywhere, and may want memory that is writable and executable.
    """
    before = sys.getdlopenflags()
    sys.setdlopenflags(os.RTLD_NOW | os.RTLD_GLOBAL)
    try:
        _load(name, path, folder)
    except ImportError as error:
        if "PyInit" not in str(error):
            raise
    finally:
        sys.setdlopenflags(before)


@contextlib.contextmanager
def _in_cache(file_name: str, content: bytes, digest: str) -> Iterator[Loadable]:
    folder = _cache_folder() / "pgedge-postgres-mcp" / digest
    if not _is_private(folder.parent.parent, may_be_read=True):
        raise NotThisWayError(f"{folder.parent.parent} belongs to another user")
    for made in (folder.parent, folder):
        with contextlib.suppress(FileExistsError):
            made.mkdir(mode=0o700)
        if not _is_private(made):
            raise NotThisWayError(f"{made} is open to other users")
    path = folder / file_name
    try:
        descriptor = _open_checked(path, digest)
    except (NotThisWayError, OSError):
        _write(path, content)
        descriptor = _open_checked(path, digest)
    with _opened(descriptor, path) as loadable:
        yield loadable


@contextlib.contextmanager
def _in_memory(file_name: str, content: bytes, _digest: str) -> Iterator[Loadable]:
    create = getattr(os, "memfd_create", None)
    if create is None:
        raise NotThisWayError("not on this system")
    try:
        descriptor = create(file_name, os.MFD_CLOEXEC | _MFD_EXEC)
    except OSError:
        descriptor = create(file_name, os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        path = f"/proc/self/fd/{descriptor}"
        if not os.path.exists(path):
            raise NotThisWayError("there is no /proc")
        yield path, None


@contextlib.contextmanager
def _in_temporary_folder(file_name: str, content: bytes, digest: str) -> Iterator[Loadable]:
    import tempfile

    with tempfile.TemporaryDirectory(
        prefix="pgedge-postgres-mcp-", ignore_cleanup_errors=True
    ) as name:
        path = Path(name) / file_name
        _write(path, content)
        with _opened(_open_checked(path, digest), path) as loadable:
            yield loadable


def _cache_folder() -> Path:
    """The user's cache folder, made if its parent is there; OSError when there is none."""
    if sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA") or "~/AppData/Local").expanduser()
    elif sys.platform == "darwin":
        folder = Path("~/Library/Caches").expanduser()
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    if not folder.is_absolute():
        raise NotThisWayError("there is no home folder")
    if not _is_private(folder.parent, may_be_read=True):
        raise NotThisWayError(f"{folder.parent} belongs to another user")
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    return folder


def _is_private(path: Path, *, may_be_read: bool = False) -> bool:
    """Whether it is a folder that only this user can write to, or even read."""
    status = path.stat() if may_be_read else path.lstat()
    forbidden = 0o022 if may_be_read else 0o077
    return stat.S_ISDIR(status.st_mode) and (
        sys.platform == "win32"
        or (status.st_uid == os.geteuid() and not status.st_mode & forbidden)
    )


def _write(path: Path, content: bytes) -> None:
    """Put the file there whole or not at all, whoever else does the same."""
    temporary = path.with_name(f"{path.name}.{os.urandom(8).hex()}")
    descriptor = os.open(
        temporary,
        os.O_WRONLY | os.O_CREAT | os.O_EXCL | (_OPEN & ~os.O_RDONLY) | _NO_FOLLOW,
        0o500,
    )
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _open_checked(path: Path, digest: str) -> int:
    """An open file that has these contents and is this user's alone."""
    descriptor = os.open(path, _OPEN | _NO_FOLLOW)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise NotThisWayError(f"{path} is not a file")
        if sys.platform != "win32" and (status.st_uid != os.geteuid() or status.st_mode & 0o022):
            raise NotThisWayError(f"{path} could have been written by another user")
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != digest:
                raise NotThisWayError(f"{path} has other contents")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextlib.contextmanager
def _opened(descriptor: int, path: Path) -> Iterator[Loadable]:
    """What to load so that it is this open file: by its number if possible, else by its path."""
    try:
        by_number = f"/proc/self/fd/{descriptor}"
        if os.path.exists(by_number):
            yield by_number, None
        elif _only_ours_on_the_way(path):
            yield str(path), None
        else:
            # As in a user namespace, where the machine's root is nobody in particular.
            folder = _open_own_folder(path, descriptor)
            try:
                yield f"./{path.name}", folder
            finally:
                os.close(folder)
    finally:
        os.close(descriptor)


def _open_own_folder(path: Path, descriptor: int) -> int:
    """The open folder of this open file, when nobody else can put another file there.

    Who could redirect the path can only lead to another such folder with the same file in it.
    """
    folder = os.open(path.parent, _OPEN | _NO_FOLLOW | getattr(os, "O_DIRECTORY", 0))
    try:
        status = os.fstat(folder)
        ours = status.st_uid == os.geteuid() and not status.st_mode & 0o077
        inside = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
        if not ours or not os.path.samestat(inside, os.fstat(descriptor)):
            raise NotThisWayError(f"another user could replace {path}")
    except BaseException:
        os.close(folder)
        raise
    return folder


def _only_ours_on_the_way(path: Path) -> bool:
    """Whether nobody else but root can put another file where the path leads."""
    if sys.platform == "win32":
        return True  # the user's own folder, by its access list
    for folder in path.resolve().parents:
        status = folder.stat()
        if status.st_uid not in (0, os.geteuid()):
            return False
        if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
            return False
    return True
