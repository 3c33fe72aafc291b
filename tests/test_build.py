"""The one file: built twice it is the same, and it runs wherever it is put."""

from __future__ import annotations

import ast
import hashlib
import itertools
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from pgmcp.cli import flags
from pgmcp.reference import pages
from tests import run_folder
from tests.one_file import (
    CLONE,
    NAME,
    NOBODY,
    PASSWORD,
    Place,
    ask,
    build,
    mounted,
    mounter,
    nobodys_python,
)
from tools import archive, bytecode, wheels
from tools.bundle import bundle_native
from tools.bundle.bundle_importer import SOURCE_TAG
from tools.postgres import Server, free_port
from tools.serving import call, end, post, wait_until_ready

_MOUNTER = mounter()
_MAPPED = mounter(as_root=False)
_NOBODYS_PYTHON = nobodys_python()
_WHEELHOUSE = CLONE / "build" / "wheelhouse"
_OFFLINE = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0"}
_EPOCH = "1700000000"


@pytest.fixture(scope="module")
def built() -> Path:
    """The folder with the program and what lies beside it; a user without rights can reach it."""
    return run_folder.once("one file", _build_into)


def _build_into(folder: Path) -> None:
    folder.chmod(0o755)
    made = build(folder, environ={"SOURCE_DATE_EPOCH": _EPOCH})
    assert made.returncode == 0, made.stderr


@pytest.fixture
def folder(server_folder: Path) -> Iterator[Path]:
    """An empty folder that everybody can write to."""
    made = server_folder / f"place {next(_numbers)}"
    made.mkdir()
    made.chmod(0o1777)
    yield made
    shutil.rmtree(made, ignore_errors=True)


_numbers = itertools.count(1)


def complaints(ended: subprocess.CompletedProcess[str]) -> list[str]:
    """What it said on stderr, but for the lines that name the files it uses."""
    return re.findall(r"^(?!Configuration: |User file: ).+$", ended.stderr, re.MULTILINE)


# Building ----------------------------------------------------------------------------------------


def test_another_clone_offline_gives_the_same_bytes(built: Path, tmp_path: Path) -> None:
    clone = tmp_path / "another clone"
    for name in ("pgmcp", "tools"):
        shutil.copytree(CLONE / name, clone / name)
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(CLONE / name, clone)
    made = build(
        *(tmp_path / "bin", "--wheelhouse", _WHEELHOUSE),
        clone=clone,
        environ={"SOURCE_DATE_EPOCH": _EPOCH, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"} | _OFFLINE,
    )
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "bin" / NAME).read_bytes() == (built / NAME).read_bytes()


def test_the_checksum_is_what_sha256sum_reads(built: Path) -> None:
    digest = hashlib.sha256((built / NAME).read_bytes()).hexdigest()
    assert (built / f"{NAME}.sha256").read_text() == f"{digest}  {NAME}\n"


_VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
sys.exit(JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read()))
"""


def test_the_bill_of_materials_is_valid_and_names_every_wheel(built: Path) -> None:
    text = (built / f"{NAME}.cdx.json").read_text()
    # In a process of its own: tests/json_schema.py loads jsonschema without a format of this schema
    subprocess.run([sys.executable, "-c", _VALIDATE], input=text, text=True, check=True)
    bill = json.loads(text)
    program = hashlib.sha256((built / NAME).read_bytes()).hexdigest()
    assert bill["metadata"]["component"]["hashes"][0]["content"] == program
    assert bill["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"
    hashes = {
        reference["hashes"][0]["content"]
        for component in bill["components"]
        for reference in component["externalReferences"]
    }
    assert hashes == set(wheels.read_lock().values())
    needs = {entry["ref"].split("@")[0]: entry["dependsOn"] for entry in bill["dependencies"]}
    direct = [name.split("@")[0] for name in needs[f"pkg:generic/{NAME}"]]
    assert direct == ["pkg:pypi/bcrypt", "pkg:pypi/pg8000", "pkg:pypi/pyyaml"]
    assert [name.split("@")[0] for name in needs["pkg:pypi/scramp"]] == ["pkg:pypi/asn1crypto"]
    brought = [
        library["hashes"][0]["content"]
        for component in bill["components"]
        for library in component.get("components", ())
    ]
    with zipfile.ZipFile(built / NAME) as archive:
        inside = [
            hashlib.sha256(archive.read(name)).hexdigest()
            for name in archive.namelist()
            if name.startswith("native/") and "/_bcrypt." not in name
        ]
    assert sorted(brought) == sorted(inside) != []


def test_a_wheel_with_other_contents_is_refused(built: Path, tmp_path: Path) -> None:
    for name in wheels.read_lock():
        shutil.copy(_WHEELHOUSE / name, tmp_path)
    with next(tmp_path.glob("scramp-*")).open("ab") as wheel:
        wheel.write(b"!")
    made = build(tmp_path / "bin", "--wheelhouse", tmp_path)
    assert made.returncode == 1
    assert "is not the wheel of tools/wheels.lock" in made.stderr
    assert not (tmp_path / "bin").exists()


def test_a_wheelhouse_that_lacks_a_wheel_is_not_filled_from_the_network(tmp_path: Path) -> None:
    made = build(tmp_path / "bin", "--wheelhouse", tmp_path)
    assert made.returncode == 1
    assert "bcrypt-" in made.stderr
    assert "tools/build --download-only" in made.stderr


def test_the_lock_has_bcrypt_for_every_platform() -> None:
    found = {wheels.Wheel(Path(name), "").platform for name in wheels.read_lock()}
    assert found - {None} == set(wheels.PLATFORMS)


@pytest.mark.starts_process
def test_without_git_or_a_given_time_the_build_still_has_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tools import building

    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.setattr(building, "ROOT", Path("/"))
    assert building.source_date_epoch() == 315532800


# Starting ----------------------------------------------------------------------------------------


def test_its_folders_can_be_listed(built: Path) -> None:
    """The verbs are those of a folder, and the file is not one."""
    ended = subprocess.run(
        [sys.executable, built / NAME, "-help"], env={}, capture_output=True, text=True, check=True
    )
    assert ended.stdout == flags.usage()


def test_it_starts_with_an_empty_environment(built: Path) -> None:
    ended = Place(built / NAME).run("-version")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"{NAME} ")


def test_the_version_is_told_before_anything_is_loaded(built: Path) -> None:
    command = [sys.executable, "-X", "importtime", str(built / NAME), "-version"]
    ended = subprocess.run(command, env={}, capture_output=True, text=True, check=True)
    after = ended.stderr.partition(f"| bundle_importer-{sys.implementation.cache_tag}\n")[2]
    loaded = {line.rpartition("|")[2].strip() for line in after.splitlines()}
    assert loaded - {"collections.abc"} == {"pgmcp", "pgmcp.cli", "pgmcp.cli.main"}


def test_no_start_compiles_what_the_build_has_compiled(built: Path) -> None:
    program = (
        "import builtins, runpy, sys\n"
        "genuine, texts = exec, []\n"
        "def noted(code, *namespaces):\n"
        "    if isinstance(code, str): texts.append(code)\n"
        "    genuine(code, *namespaces)\n"
        "builtins.exec = noted\n"
        f"sys.argv = ['x', '-help']; sys.path.insert(0, {str(built / NAME)!r})\n"
        "try: runpy.run_path(sys.path[0], run_name='__main__')\n"
        "except SystemExit: pass\n"
        "import pgmcp.app, pgmcp.config.values as values\n"
        "print(values.Host('h', 1) == values.Host('h', 1), texts, file=sys.stderr)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], env={}, capture_output=True, text=True, check=True
    )
    assert ended.stderr == "True []\n"


def test_the_file_prints_the_manual_in_an_empty_folder(built: Path, folder: Path) -> None:
    program = folder / NAME
    shutil.copy(built / NAME, program)
    first, *_, last = pages.TOPICS
    for topic in (first, last):
        ended = Place(program).run("-help", topic)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout == pages.for_terminal(pages.read(topic))
    with zipfile.ZipFile(program) as file:
        for topic in pages.TOPICS:
            assert file.read(f"lib/pgmcp/reference/{topic}.md").decode() == pages.read(topic)


def test_it_is_executable_by_itself(built: Path) -> None:
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    ended = subprocess.run([built / NAME, "-version"], env=path, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_python_without_byte_code_in_it_reads_the_sources(tmp_path: Path) -> None:
    locked = wheels.locked(_WHEELHOUSE, download=True)
    contents = archive.gather(CLONE / "pgmcp", CLONE / "LICENSE", locked)
    (tmp_path / NAME).write_bytes(archive.build(contents, [], 0))
    place = Place(tmp_path / NAME, {"HOME": str(tmp_path)})
    assert place.add_user(tmp_path / "users.yaml").returncode == 0


def test_an_old_python_is_told_in_one_line(built: Path) -> None:
    source = (CLONE / "tools" / "bundle" / "__main__.py").read_text()
    ast.parse(source, feature_version=(3, 4))
    assert "f'" not in source
    for python in filter(None, map(_old_python, ("2.7", "3.6", "3.8", "3.10"))):
        ended = subprocess.run([python, built / NAME], capture_output=True, text=True, check=False)
        assert ended.returncode == 1
        assert ended.stderr.startswith(f"ERROR: {NAME} needs Python 3.11 or later, and {python}")
        assert ended.stderr.count("\n") == 1


def test_modules_of_the_same_names_elsewhere_are_not_taken(built: Path, tmp_path: Path) -> None:
    for name in ("yaml", "bcrypt", "pgmcp", "bundle_native"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken')")
    place = Place(built / NAME, {"PYTHONPATH": str(tmp_path), "HOME": str(tmp_path)})
    ended = place.add_user(tmp_path / "users.yaml")
    assert (ended.returncode, complaints(ended)) == (0, [])


def test_a_traceback_shows_the_source_lines(built: Path) -> None:
    program = (
        "import runpy, sys, traceback\n"
        f"sys.argv = ['x', '-version']; sys.path.insert(0, {str(built / NAME)!r})\n"
        "try: runpy.run_path(sys.path[0], run_name='__main__')\n"
        "except SystemExit: pass\n"
        "from pgmcp.rpc import jsonrpc\n"
        "try: jsonrpc.parse(b'{')\n"
        "except Exception: traceback.print_exc()\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert f'File "{NAME}/pgmcp/rpc/jsonrpc.py", line ' in ended.stderr
    assert "    raise " in ended.stderr


def test_replacing_the_file_does_not_reach_into_a_running_server(
    built: Path, tmp_path: Path
) -> None:
    program = tmp_path / NAME
    shutil.copy(built / NAME, program)
    request = '{"jsonrpc":"2.0","id":%d,"method":"%s","params":%s}\n'
    handshake = (
        '{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}'
    )
    with subprocess.Popen(
        Place(program).command(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={"PGHOST": "127.0.0.1", "PGPORT": "9"},
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(request % (1, "initialize", handshake))
        server.stdin.flush()
        assert "serverInfo" in server.stdout.readline()
        (tmp_path / "new").write_bytes(b"another program")
        (tmp_path / "new").replace(program)
        query = '{"name":"query_database","arguments":{"query":"SELECT 1"}}'
        server.stdin.write(request % (2, "tools/call", query))
        server.stdin.close()
        answer = server.stdout.read()
    assert "connect" in answer, answer
    assert server.returncode == 0


# Where it runs -----------------------------------------------------------------------------------


def _places(program: Path, folder: Path) -> dict[str, Place]:
    """Every unkind place that this machine can offer."""
    home = {"HOME": str(folder)}
    places = {
        "a home": Place(program, home),
        "a home that is not there": Place(program, {"HOME": "/nonexistent"}),
        "a home that is a file": Place(program, {"HOME": str(program)}),
        "somebody else's home": Place(program, {"HOME": "/"}),
    }
    if _NOBODYS_PYTHON:
        places["a user without a home"] = Place(program, python=_NOBODYS_PYTHON, user=NOBODY)
    if _MOUNTER:
        tmpfs = ("-t", "tmpfs", "-o", "noexec,mode=700", "none", folder)
        read_only = ("-t", "tmpfs", "-o", "ro", "none")
        places["a noexec home"] = Place(program, home, mounted(_MOUNTER, tmpfs))
        places["a read-only file system"] = Place(
            program, {**home, "TMPDIR": "/mnt"}, mounted(_MOUNTER, (*read_only, "/mnt"))
        )
        places["no /proc"] = Place(
            program, home, mounted(_MOUNTER, ("-t", "tmpfs", "none", "/proc"))
        )
        places["no /proc and no home"] = Place(
            program, {"HOME": "/"}, mounted(_MOUNTER, ("-t", "tmpfs", "none", "/proc"))
        )
    if _MAPPED and (_NOBODYS_PYTHON or os.geteuid() != 0):
        # Root in there and a user without rights outside: there the machine's root is a stranger.
        user = NOBODY if os.geteuid() == 0 else None
        python = _NOBODYS_PYTHON or sys.executable
        no_proc = mounted(_MAPPED, ("-t", "tmpfs", "none", "/proc"))
        places["no /proc in a user namespace"] = Place(
            program,
            {"HOME": str(folder) if user is None else "/nonexistent"},
            no_proc,
            python,
            user,
        )
        places["no /proc and no home in a user namespace"] = Place(
            program, {"HOME": "/"}, no_proc, python, user
        )
    return places


@pytest.mark.parametrize("place", _places(Path(), Path()))
def test_passwords_are_hashed(built: Path, folder: Path, place: str) -> None:
    folder.chmod(0o700)
    users = folder.parent / f"{folder.name} users"
    users.mkdir()
    users.chmod(0o1777)
    ended = _places(built / NAME, folder)[place].add_user(users / "users.yaml")
    assert (complaints(ended), ended.stdout) == ([], "User created successfully: alice\n")
    assert "$2b$12$" in (users / "users.yaml").read_text()


def _cached(home: Path) -> Path:
    return next(home.glob(f".cache/{NAME}/*/_bcrypt*"))


def test_the_cache_is_this_users_alone(built: Path, folder: Path) -> None:
    folder.chmod(0o700)
    Place(built / NAME, {"HOME": str(folder)}).add_user(folder / "users.yaml")
    cached = _cached(folder)
    assert hashlib.sha256(cached.read_bytes()).hexdigest() == cached.parent.name
    for path in (cached.parent, cached.parent.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert list(cached.parent.iterdir()) == [cached]


def test_a_tampered_cache_is_not_loaded(built: Path, folder: Path) -> None:
    folder.chmod(0o700)
    place = Place(built / NAME, {"HOME": str(folder)})
    place.add_user(folder / "users.yaml")
    cached = _cached(folder)
    whole = cached.read_bytes()
    cached.chmod(0o700)
    cached.write_bytes(whole + b"!")  # the dynamic linker would take it
    ended = place.add_user(folder / "users.yaml", "bob")
    assert (ended.returncode, complaints(ended)) == (0, [])
    assert cached.read_bytes() == whole


_CONTENT = b"compiled"
_DIGEST = hashlib.sha256(_CONTENT).hexdigest()


def _read(loadable: bundle_native.Loadable) -> str:
    path, folder = loadable
    opener = None if folder is None else lambda name, flags: os.open(name, flags, dir_fd=folder)
    with open(path, opener=opener) as file:
        return file.read()


def _cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the cache offers to load: what it says, or why it is not used."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    try:
        with bundle_native._in_cache("module.so", _CONTENT, _DIGEST) as path:
            return _read(path)
    except bundle_native.NotThisWayError as error:
        return str(error)


@pytest.mark.parametrize("how", ["other bytes", "no bytes", "a link", "writable", "a fifo"])
def test_what_is_wrong_in_the_cache_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    assert _cache(tmp_path, monkeypatch) == "compiled"
    cached = tmp_path / "cache" / NAME / _DIGEST / "module.so"
    cached.unlink()
    if how == "a link":
        (tmp_path / "elsewhere").write_bytes(_CONTENT)
        cached.symlink_to(tmp_path / "elsewhere")
    elif how == "a fifo":
        os.mkfifo(cached)
    else:
        cached.write_bytes({"other bytes": b"tampered", "no bytes": b""}.get(how, _CONTENT))
        cached.chmod(0o666 if how == "writable" else 0o500)
    assert _cache(tmp_path, monkeypatch) == "compiled"
    assert stat.S_IMODE(cached.lstat().st_mode) == 0o500
    assert cached.read_bytes() == _CONTENT


def test_a_cache_that_others_can_write_to_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _cache(tmp_path, monkeypatch) == "compiled"
    folder = tmp_path / "cache" / NAME / _DIGEST
    for loose in (folder, folder.parent):
        loose.chmod(0o770)
        assert _cache(tmp_path, monkeypatch) == f"{loose} is open to other users"
        loose.chmod(0o700)
    (tmp_path / "cache").chmod(0o777)
    assert "belongs to another user" in _cache(tmp_path, monkeypatch)


def test_a_cache_that_leads_elsewhere_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (tmp_path / "cache" / NAME).mkdir(parents=True, mode=0o700)
    (tmp_path / "cache" / NAME / _DIGEST).symlink_to(elsewhere)
    assert "is open to other users" in _cache(tmp_path, monkeypatch)


def test_another_user_is_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _cache(tmp_path, monkeypatch) == "compiled"
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    assert "belongs to another user" in _cache(tmp_path, monkeypatch)


def test_without_proc_a_path_that_others_can_redirect_is_not_loaded(tmp_path: Path) -> None:
    inside = tmp_path / "open" / "inside"
    inside.mkdir(parents=True)
    assert bundle_native._only_ours_on_the_way(inside / "module.so")
    inside.parent.chmod(0o777)
    assert not bundle_native._only_ours_on_the_way(inside / "module.so")
    inside.parent.chmod(0o1777)  # like /tmp: what is mine there is not renamed by others
    assert bundle_native._only_ours_on_the_way(inside / "module.so")


def _elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """As without /proc, below folders that others own."""
    genuine = os.path.exists
    monkeypatch.setattr(
        os.path, "exists", lambda path: not str(path).startswith("/proc") and genuine(path)
    )
    monkeypatch.setattr(bundle_native, "_only_ours_on_the_way", lambda path: False)


@pytest.mark.parametrize("change", ["nothing", "open to others", "another file", "a link"])
def test_a_file_below_folders_of_others_is_loaded_from_inside_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    _elsewhere(monkeypatch)
    folder = tmp_path / "own"
    folder.mkdir(mode=0o700)
    path = folder / "module.so"
    bundle_native._write(path, _CONTENT)
    descriptor = bundle_native._open_checked(path, _DIGEST)
    if change == "open to others":
        folder.chmod(0o770)
    elif change == "another file":
        (folder / "new").write_bytes(_CONTENT)
        (folder / "new").replace(path)
    elif change == "a link":
        folder.rename(tmp_path / "moved")
        folder.symlink_to(tmp_path / "moved")
    if change != "nothing":
        with (
            pytest.raises((bundle_native.NotThisWayError, OSError)),
            bundle_native._opened(descriptor, path),
        ):
            pass
        return
    with bundle_native._opened(descriptor, path) as loadable:
        folder.rename(tmp_path / "elsewhere")  # by who owns the folder above it
        folder.mkdir(mode=0o700)
        path.write_text("another program")
        assert (loadable[0], _read(loadable).encode()) == ("./module.so", _CONTENT)


def test_no_other_threads_current_folder_changes(tmp_path: Path) -> None:
    before = Path.cwd()
    opened = os.open(tmp_path, os.O_RDONLY)
    seen: list[Path] = []

    def look() -> ModuleType:
        seen.append(Path.cwd())
        asked.set()
        assert answered.wait(10)
        return sys

    asked, answered = threading.Event(), threading.Event()
    with ThreadPoolExecutor(1) as caller:
        loading = caller.submit(bundle_native._inside, opened, look)
        assert asked.wait(10)
        assert Path.cwd() == before
        answered.set()
        assert loading.result() is sys
    os.close(opened)
    assert seen == [tmp_path]
    assert Path.cwd() == before


def test_memory_and_a_temporary_folder_hold_the_same_bytes() -> None:
    with bundle_native._in_temporary_folder("module.so", _CONTENT, _DIGEST) as path:
        assert _read(path).encode() == _CONTENT
    if hasattr(os, "memfd_create"):
        with bundle_native._in_memory("module.so", _CONTENT, _DIGEST) as path:
            assert _read(path).encode() == _CONTENT


def test_a_machine_that_bcrypt_is_not_there_for_is_named() -> None:
    with pytest.raises(ImportError, match="only for: linux-glibc-mips"):
        bundle_native.find("bcrypt._bcrypt", [["linux-glibc-mips", "x.so", "0", "0", ""]], _no_read)


def test_this_machine_is_one_of_those_that_are_built_for() -> None:
    assert bundle_native.machine() in wheels.PLATFORMS


def test_what_a_wheel_brings_along_is_inside_and_nobody_looks_for_it_in_folders(
    built: Path,
) -> None:
    # musl would, and fail: what is loaded from memory has no folder.
    with zipfile.ZipFile(built / NAME) as file:
        lines = [line.split(" ") for line in file.read(f"index/{SOURCE_TAG}").decode().split("\n")]
        brought = [line[2:4] for line in lines if line[0] == "library"]
        assert [platform for platform, _ in brought] == ["linux-musl-aarch64", "linux-musl-x86_64"]
        for platform, library in brought:
            module = file.read(f"native/{platform}/_bcrypt.abi3.so")
            assert library.encode() not in module
            assert file.read(f"native/{platform}/{library}").startswith(b"\x7fELF")


_LIBRARY = "int answer(void) { return 42; }"
_MODULE = """
#include <Python.h>
int answer(void);
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "needing", NULL, -1, NULL};
PyMODINIT_FUNC PyInit_needing(void) {
    PyObject *module = PyModule_Create(&definition);
    PyModule_AddIntConstant(module, "answer", answer());
    return module;
}
"""
_LOAD = """
import hashlib, importlib.util, pathlib, sys
from tools.bundle import bundle_native
files = [pathlib.Path(name).read_bytes() for name in sys.argv[1:3]]
def line(number):
    digest = hashlib.sha256(files[number]).hexdigest()
    return [bundle_native.machine(), f"{number}.so", str(number), "0", digest]
flags = sys.getdlopenflags()
spec = bundle_native.find("needing", [line(1)], lambda number, _: files[number], [line(0)])
print(importlib.util.module_from_spec(spec).answer, sys.getdlopenflags() == flags)
"""
_HEADERS = Path(sysconfig.get_path("include"))


@pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("cc") or not (_HEADERS / "Python.h").exists(),
    reason="needs a C compiler and Python's headers",
)
@pytest.mark.parametrize("home", ["here", "nowhere"])
def test_a_module_finds_the_library_that_was_loaded_before_it(tmp_path: Path, home: str) -> None:
    (tmp_path / "here").mkdir(mode=0o700)
    made = []
    for name, source in (("library", _LIBRARY), ("module", _MODULE)):
        made.append(tmp_path / f"{name}.so")
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-Wl,-z,now", f"-I{_HEADERS}", "-xc", "-", "-o", made[-1]],
            input=source,
            text=True,
            check=True,
        )
    ended = subprocess.run(
        [sys.executable, "-c", _LOAD, *made],
        cwd=CLONE,
        env={"HOME": str(tmp_path / home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.stdout, ended.stderr) == ("42 True\n", "")
    kept = sorted(path.name for path in (tmp_path / "here").rglob("*.so"))
    assert kept == (["0.so", "1.so"] if home == "here" else [])


def test_a_library_that_only_another_loader_knows_is_not_built_in(
    tmp_path: Path,
) -> None:
    path = tmp_path / "bcrypt-5.0.0-cp39-abi3-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("bcrypt/_bcrypt.abi3.so", "")
        file.writestr("bcrypt.libs/libx.so", "")
    wheel = wheels.Wheel(path, "")
    with pytest.raises(wheels.WheelError, match=r"libx\.so: say how it is loaded"):
        archive.gather(CLONE / "pgmcp", CLONE / "LICENSE", [wheel])


def test_the_importer_and_the_compiler_agree_on_the_name_of_byte_code() -> None:
    from tools.bundle.bundle_importer import bytecode_tag

    made = bytecode.compile_with(sys.executable, {"x": ("x.py", b"x = {1, 2}")}, "x")
    assert made.tag == bytecode_tag() != SOURCE_TAG


# What it does ------------------------------------------------------------------------------------


def test_the_commands_of_the_pages(built: Path, folder: Path) -> None:
    (folder / "bin").mkdir()
    shutil.copy(built / NAME, folder / "bin")

    def run(arguments: str, typed: str = "") -> str:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        ended = subprocess.run(
            f"./bin/pgedge-postgres-mcp {arguments}",
            shell=True,
            cwd=folder,
            env={"PATH": path, "HOME": str(folder)},
            input=typed,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    run(f'-add-user -username alice -password "{PASSWORD}" -user-note "Alice Smith"')
    assert "alice" in run("-list-users")
    run("-disable-user -username alice")
    assert "DISABLED" in run("-list-users")
    run("-delete-user -username alice", typed="y\n")
    made = run('-add-token -token-note "API Client" -token-expiry "90d"')
    assert "Token created successfully:" in made
    listed = run("-list-tokens")
    assert "API Client" in listed
    run(f"-remove-token {listed.partition('chars): ')[2][:12]}")
    assert sorted(path.name for path in (folder / "bin").glob("[!.]*")) == [
        NAME,
        f"{NAME}-tokens.yaml",
        f"{NAME}-users.yaml",
    ]


def test_its_files_are_beside_it_through_a_link_or_PATH(built: Path, folder: Path) -> None:  # noqa: N802
    (folder / "bin").mkdir()
    (folder / "links").mkdir()
    shutil.copy(built / NAME, folder / "bin")
    (folder / "links" / "mcp").symlink_to(folder / "bin" / NAME)
    tokens = folder / "bin" / f"{NAME}-tokens.yaml"
    for command, search in (
        ([NAME], folder / "bin"),
        (["mcp"], folder / "links"),
        ([sys.executable, "links/mcp"], folder),
    ):
        path = f"{search}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        subprocess.run(
            ["env", *command, "-add-token", "-token-note", "x", "-token-expiry", "never"],
            cwd=folder,
            env={"PATH": path, "HOME": str(folder)},
            check=True,
            capture_output=True,
        )
        assert tokens.exists()
        tokens.unlink()


def test_it_queries_a_database(built: Path, folder: Path, postgres: Server) -> None:
    environ = {
        "PGHOST": postgres.host,
        "PGPORT": str(postgres.port),
        "PGUSER": postgres.user,
        "PGPASSWORD": postgres.password,
        "PGDATABASE": "postgres",
    }
    arguments = {"query": "SELECT 6 * 7 AS answer"}
    answers = ask(
        Place(built / NAME, environ),
        ("tools/call", {"name": "query_database", "arguments": arguments}),
        ("resources/read", {"uri": "pg://system_info"}),
    )
    assert "answer\n42" in answers[0]["result"]["content"][0]["text"]
    assert "PostgreSQL" in answers[1]["result"]["contents"][0]["text"]


def test_it_serves_http_and_lets_a_user_log_in(built: Path, folder: Path) -> None:
    place = Place(built / NAME, {"HOME": str(folder)})
    files = ("-token-file", folder / "tokens.yaml", "-user-file", folder / "users.yaml")
    place.add_user(folder / "users.yaml")
    made = place.run(*files, "-add-token", "-token-note", "x", "-token-expiry", "never").stdout
    token = made.partition("Token: ")[2].split()[0]
    port = free_port()
    command = place.command(*files, "-http", "-addr", f"127.0.0.1:{port}")
    with subprocess.Popen(command, env=dict(place.environ), stderr=subprocess.DEVNULL) as server:
        try:
            wait_until_ready(server, port)
            assert b"query_database" in post(port, token, call("tools/list", {}))
            login = {"username": "alice", "password": PASSWORD}
            tool = {"name": "authenticate_user", "arguments": login}
            assert b"session_token" in post(port, token, call("tools/call", tool))
        finally:
            end(server)
    assert server.returncode == 0


def _no_read(offset: int, size: int) -> bytes:
    raise AssertionError((offset, size))


def _old_python(version: str) -> str | None:
    """A Python of this version on the machine, from PATH or pyenv."""
    root = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    found = [*root.glob(f"{version}.*/bin/python"), Path(f"/usr/bin/python{version}")]
    return next((str(path) for path in found if path.exists()), None)
