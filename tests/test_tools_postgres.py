"""The launcher: real servers, started as whoever runs the tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import StartPostgres
from tools.binaries import Binaries
from tools.postgres import PostgresError, Server, start

CLONE = Path(__file__).resolve().parent.parent


def test_serves_over_tcp_with_a_password(postgres: Server, database: str) -> None:
    assert postgres.psql("SHOW server_version_num", database) == str(postgres.version)
    with pytest.raises(PostgresError):
        postgres.psql("SELECT 1", database, password="wrong")


def test_serves_on_a_socket_whose_path_is_short(postgres: Server) -> None:
    path = Path(postgres.socket_dir) / f".s.PGSQL.{postgres.port}"
    assert path.is_socket()
    assert len(os.fsencode(path)) <= 107


def test_does_not_run_as_root(private_postgres: Server) -> None:
    status = private_postgres.psql("SHOW data_directory")
    assert Path(status).stat().st_uid != 0


def test_gives_each_test_an_empty_database(postgres: Server, database: str) -> None:
    count = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    assert postgres.psql(count, database) == "0"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1, NULL, 'a b', 't'::bool, 'é', ''; SELECT 2",
        "SELECT g FROM generate_series(1, 3) g",
        "SELECT E'two\\nlines'",
        "SELECT repeat('a', 200000)",
        "CREATE TABLE t (); VACUUM t; SELECT count(*) FROM t",  # VACUUM is no part of a transaction
        "\\set n 7\nSELECT :n",
        "COPY (SELECT 1) TO STDOUT",
        "CREATE TEMP TABLE t (n int); COPY t FROM STDIN;\n5\n\\.\nSELECT n FROM t",
        "",
    ],
)
def test_without_a_process_sql_gives_what_psql_prints(
    postgres: Server, database: str, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    assert postgres.trusts_socket
    given = postgres.psql(f"DROP TABLE IF EXISTS t;\n{sql}", database)
    monkeypatch.setattr(postgres, "trusts_socket", False)
    assert given == postgres.psql(f"DROP TABLE IF EXISTS t;\n{sql}", database)


def test_the_backend_of_a_text_ends_with_it(postgres: Server, database: str) -> None:
    pid = postgres.psql("SELECT pg_backend_pid()", database)
    assert postgres.psql(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}") == "0"


def test_a_failing_statement_says_why_and_changes_nothing(postgres: Server, database: str) -> None:
    with pytest.raises(PostgresError, match="no_such_table"):
        postgres.psql("SELECT 1; SELECT * FROM no_such_table", database)
    with pytest.raises(PostgresError, match=database):
        postgres.create_database(database)
    postgres.drop_database(f"{database}_other")


def test_a_kept_session_that_was_ended_is_begun_again(postgres: Server, database: str) -> None:
    postgres.create_database(f"{database}_other")
    ended = "pg_terminate_backend(pid)"
    postgres.psql(f"SELECT {ended} FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    postgres.drop_database(f"{database}_other")
    assert postgres.psql("SELECT count(*) FROM pg_database WHERE datname ~ '_other'") == "0"


def test_restarts_on_the_same_port_and_socket(private_postgres: Server) -> None:
    private_postgres.psql("CREATE TABLE kept (n int)")
    before = private_postgres.port, private_postgres.socket_dir, private_postgres.pid
    private_postgres.restart()
    assert (private_postgres.port, private_postgres.socket_dir) == before[:2]
    assert private_postgres.pid != before[2]
    assert private_postgres.psql("SELECT count(*) FROM kept") == "0"


def test_stops_and_starts(private_postgres: Server) -> None:
    private_postgres.stop()
    with pytest.raises(PostgresError):
        private_postgres.psql("SELECT 1")
    private_postgres.start()
    assert private_postgres.psql("SELECT 1") == "1"


def test_applies_settings(start_postgres: StartPostgres) -> None:
    assert start_postgres(settings={"max_connections": "7"}).psql("SHOW max_connections") == "7"


def test_reuses_the_data_it_finds(newest: Binaries, server_folder: Path) -> None:
    folder = server_folder / "with a space"
    first = start(folder, binaries=newest)
    first.psql("CREATE TABLE kept ()")
    first.stop()
    second = start(folder, binaries=newest)
    assert second.psql("SELECT count(*) FROM kept") == "0"
    second.stop()


def test_makes_half_made_data_again(newest: Binaries, server_folder: Path) -> None:
    folder = server_folder / "interrupted"
    start(folder, binaries=newest).stop()
    (folder / "password").unlink()
    server = start(folder, binaries=newest)
    assert server.psql("SELECT 1") == "1"
    server.stop()


def test_says_why_it_did_not_start_and_leaves_no_socket_folder(
    newest: Binaries, server_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = server_folder / "temporary"
    temporary.mkdir()
    temporary.chmod(0o711)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with pytest.raises(PostgresError, match="no_such_setting"):
        start(server_folder / "broken", binaries=newest, settings={"no_such_setting": "1"})
    assert list(temporary.iterdir()) == []


def test_keeps_the_password_out_of_command_lines(private_postgres: Server) -> None:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=False)
    assert private_postgres.password not in listed.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_ends_when_its_starter_is_killed(server_folder: Path, newest: Binaries) -> None:
    script = (
        "import sys, time; from pathlib import Path; from tools.binaries import available;"
        "from tools.postgres import start;"
        f"server = start(Path({str(server_folder / 'orphan')!r}), binaries=available()[0]);"
        "print(server.pid, server.socket_dir, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=CLONE, stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        number, socket_folder = starter.stdout.readline().split()
        pid = int(number)
        os.kill(pid, 0)
        starter.send_signal(signal.SIGKILL)
    wait_until(lambda: not _is_alive(pid))
    Path(socket_folder).rmdir()  # who was to remove it was killed; the sockets in it are gone


def test_leaves_no_socket_folder_behind(start_postgres: StartPostgres) -> None:
    server = start_postgres()
    folder = Path(server.socket_dir)
    server.stop()
    assert not folder.exists()


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
