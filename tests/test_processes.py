"""A server of two worker processes, as clients and its operator see it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from pgmcp.stores.files import FileTokenStore
from tests.observing import ALICE, add_user, get, log_in, session_of
from tests.operated import text_of, tool
from tests.program import (
    NOWHERE,
    Program,
    add_token,
    command,
    run_program,
    running,
    settings_of,
    write_config,
)
from tests.serving import Reader, Reply, post, rpc, until
from tests.test_metrics import parse
from tests.test_systemd import manager, received
from tools.postgres import Server, free_port
from tools.serving import ROOT, environment

WORKERS = ("-workers", "2")
SLEEP = "SELECT 'slept' FROM pg_sleep(%s)"
ASLEEP = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = '%s'"
BACKENDS = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgmcp' AND datname = '%s'"
)


class Line:
    """A keep-alive connection, and which worker it is with."""

    def __init__(self, program: Program, stack: ExitStack, source: str) -> None:
        connection = socket.create_connection(("127.0.0.1", program.port), 30, (source, 0))
        self.socket = stack.enter_context(connection)
        self.reader = Reader(self.socket)
        self.worker = self.ask(rpc_get()).headers["x-request-id"][:6]

    def send(self, request: bytes) -> None:
        self.socket.sendall(request)

    def ask(self, request: bytes) -> Reply:
        self.send(request)
        return self.reader.reply()

    def query(self, sql: str, token: str) -> Reply:
        return self.ask(tool("query_database", token, query=sql))


def rpc_get() -> bytes:
    return post(b"", path="/health", method="GET", token=None, length=None)


def one_to_each(program: Program, stack: ExitStack, source: str = "127.0.0.1") -> list[Line]:
    """A connection from this address to each of the two workers."""
    lines: dict[str, Line] = {}

    def both() -> bool:
        line = Line(program, stack, source)
        lines[line.worker] = line
        return len(lines) == 2

    until(both)
    return list(lines.values())


def children(process: subprocess.Popen[bytes]) -> set[int]:
    told = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return set(map(int, told.split()))


def waiting(program: Program) -> float:
    """The calls that wait, to be run by a worker or for a connection."""
    page = parse(get(program, "/metrics").body)
    return page.of("pgmcp_calls_waiting") + page.of("pgmcp_database_waiters", database="main")


@contextmanager
def serving(folder: Path, postgres: Server, database: str, **settings: object) -> Iterator[Program]:
    """Two workers, with a user, metrics, an audit and at most three connections for a token."""
    place = settings_of(postgres, database) | {"pool_max_conns": 3}
    audit = {"file": str(folder / "audit.jsonl")}
    with running(
        folder, place, flags=WORKERS, metrics={"enabled": True}, audit=audit, **settings
    ) as program:
        add_user(program.config, *ALICE)
        yield program
    assert program.process.returncode == 0, program.log.read_text()
    verified = run_program(program.config, "-verify-audit", audit["file"])
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.fixture(scope="session")
def postgres(newest_postgres: Server) -> Server:
    """The newest server alone: what is tested here is the same with each."""
    return newest_postgres


@pytest.fixture(scope="module")
def program(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with serving(tmp_path_factory.mktemp("workers"), postgres, "postgres") as program:
        yield program


def test_connections_are_shared_evenly(program: Program) -> None:
    with ExitStack() as stack:
        workers = [Line(program, stack, "127.0.0.1").worker for _ in range(8)]
        assert sorted(workers.count(each) for each in set(workers)) == [4, 4]


def test_a_session_of_one_worker_holds_in_the_other_until_it_ends(
    program: Program, postgres: Server
) -> None:
    with ExitStack() as stack:
        first, second = one_to_each(program, stack)
        until(lambda: log_in(program, *ALICE).json.get("result"))
        request = rpc("tools/call", {"name": "authenticate_user", "arguments": {
            "username": ALICE[0], "password": ALICE[1]}})  # fmt: skip
        session = session_of(first.ask(post(request, token=None)))
        for line in (second, first):
            assert "1 row" in text_of(line.query("SELECT 1", session))
        second.send(tool("query_database", session, query=SLEEP % 60))
        until(lambda: postgres.psql(ASLEEP % "postgres") == "1")
        logged_out = first.ask(tool("logout_user", session))
        assert logged_out.status == 200
        # What ran with it has been told to end, and nobody lets it in any more.
        assert "logged out" in text_of(second.reader.reply())
        for line in (second, first):
            assert line.query("SELECT 1", session).status == 401
        page = parse(get(program, "/metrics").body)
        assert page.of("pgmcp_sessions") == 1
        assert page.of("pgmcp_logins_total", outcome="ok") == 2


def test_a_token_that_is_removed_is_refused_by_both(program: Program) -> None:
    token = add_token(program.config, "short")
    with ExitStack() as stack:
        lines = one_to_each(program, stack, source="127.0.0.8")

        def statuses() -> set[int]:
            return {line.query("SELECT 1", token).status for line in lines}

        until(lambda: statuses() == {200})
        FileTokenStore(program.config.with_name("tokens.yaml")).remove(lambda t: t.note == "short")
        until(lambda: statuses() == {401})


def test_bad_tokens_are_counted_by_both_together(program: Program) -> None:
    with ExitStack() as stack:
        lines = one_to_each(program, stack, source="127.0.0.9")
        told = [lines[n % 2].query("SELECT 1", f"bad{n}").status for n in range(102)]
        assert told == [401] * 100 + [429] * 2


def test_a_token_has_no_more_connections_than_with_one_process(
    program: Program, postgres: Server
) -> None:
    with ExitStack() as stack:
        for _ in range(8):
            line = Line(program, stack, "127.0.0.1")
            line.send(tool("query_database", program.token, query=SLEEP % 60))
        # The others wait for one of these three.
        until(lambda: (postgres.psql(ASLEEP % "postgres"), waiting(program)) == ("3", 5))
        assert postgres.psql(f"{BACKENDS % 'postgres'} AND query LIKE '%slept%'") == "3"
    until(lambda: postgres.psql(ASLEEP % "postgres") == "0")


def test_a_call_is_cancelled_over_whichever_connection(program: Program, postgres: Server) -> None:
    with ExitStack() as stack:
        first, second = one_to_each(program, stack)
        arguments = {"name": "query_database", "arguments": {"query": SLEEP % 60}}
        first.send(post(rpc("tools/call", arguments, 77), token=program.token))
        until(lambda: postgres.psql(ASLEEP % "postgres") == "1")
        cancel = rpc("notifications/cancelled", {"requestId": 77}, None)
        assert second.ask(post(cancel, token=program.token)).status == 202
        assert "cancelled" in text_of(first.reader.reply())


def test_a_worker_that_dies_is_replaced_and_the_other_goes_on(program: Program) -> None:
    with ExitStack() as stack:
        lines = one_to_each(program, stack)
        session = session_of(log_in(program, *ALICE))
        for line in lines:
            assert line.query("SELECT 1", session).status == 200
        counted = parse(get(program, "/metrics").body)
        before = children(program.process)
        dying = min(before)
        lines[0].send(tool("query_database", session, query=SLEEP % 1))
        lines[1].send(tool("query_database", session, query=SLEEP % 1))
        os.kill(dying, signal.SIGKILL)
        answered = []
        for line in lines:
            try:
                answered.append(text_of(line.reader.reply()))
            except (EOFError, ConnectionResetError):
                continue
        assert len(answered) == 1
        assert "slept" in answered[0]
        until(lambda: len(children(program.process) - {dying}) == 2)
        for line in one_to_each(program, stack):
            assert line.query("SELECT 1", session).status == 200
        page = parse(get(program, "/metrics").body)
        assert page.of("pgmcp_workers") == 2
        assert page.of("pgmcp_worker_restarts_total") == 1
        ok = {"method": "tools/call", "name": "query_database", "outcome": "ok"}
        assert page.of("pgmcp_calls_total", **ok) > counted.of("pgmcp_calls_total", **ok)
        assert f"(process {dying}) ended with signal 9" in program.log.read_text()


def test_both_take_over_a_configuration_and_let_calls_end_when_stopped(
    tmp_path: Path, postgres: Server, database: str
) -> None:
    with ExitStack() as stack:
        with serving(tmp_path, postgres, database) as program:
            lines = one_to_each(program, stack)
            settings = json.loads(program.config.read_text())
            settings["builtins"] = {"tools": {"count_rows": False}}
            program.config.write_text(json.dumps(settings))
            program.process.send_signal(signal.SIGHUP)
            listed = post(rpc("tools/list"), token=program.token)
            until(lambda: not any(b"count_rows" in line.ask(listed).body for line in lines))
            for line in lines:
                line.send(tool("query_database", program.token, query=SLEEP % 2))
            until(lambda: postgres.psql(ASLEEP % database) == "2")
            program.process.terminate()
            for line in lines:
                assert "slept" in text_of(line.reader.reply())
            assert program.process.wait(20) == 0
        log = program.log.read_text()
        for text in ("Stopped: ", "Listening on", "Configuration reloaded, changed: hidden_tools"):
            assert log.count(text) == 1, log


def test_a_second_signal_stops_at_once(tmp_path: Path, postgres: Server, database: str) -> None:
    place = settings_of(postgres, database)
    with ExitStack() as stack, running(tmp_path, place, flags=WORKERS) as program:
        workers = children(program.process)
        for line in one_to_each(program, stack):
            line.send(tool("query_database", program.token, query=SLEEP % 60))
        until(lambda: postgres.psql(ASLEEP % database) == "2")
        program.process.terminate()
        until(lambda: "Stopping" in program.log.read_text())
        program.process.terminate()
        assert program.process.wait(20) == 128 + signal.SIGTERM
        assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    with running(tmp_path, flags=WORKERS) as program:
        workers = children(program.process)
        program.process.kill()
        program.process.wait()
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
        with pytest.raises(ConnectionRefusedError):
            program.connect()


def test_the_init_system_is_told_what_holds_for_all(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    config = write_config(tmp_path, NOWHERE, port=free_port())
    with manager(address) as sock:
        process = subprocess.Popen(
            command(config, "-http", "-no-auth", *WORKERS),
            cwd=ROOT,
            env=environment() | {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "200000"},
            stderr=subprocess.DEVNULL,
        )
        try:
            told = received(sock)
            assert told["READY"] == "1"
            assert told["STATUS"].endswith(", 2 processes")
            assert len(children(process)) == 2
            until(lambda: received(sock) == {"WATCHDOG": "1"})
            process.send_signal(signal.SIGHUP)
            until(lambda: "RELOADING" in received(sock))
            until(lambda: received(sock).get("READY") == "1")
            process.terminate()
            until(lambda: "STOPPING" in received(sock))
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize("problem", ["port", "tokens"])
def test_a_start_that_fails_is_said_once(tmp_path: Path, problem: str) -> None:
    port = free_port()
    config = write_config(tmp_path, NOWHERE, port=port)
    add_token(config, "tests")
    with ExitStack() as stack:
        if problem == "port":
            stack.enter_context(socket.create_server(("127.0.0.1", port)))
        else:
            config.with_name("tokens.yaml").write_text("nonsense")
        done = subprocess.run(
            command(config, "-http", *WORKERS),
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    assert done.returncode == 1
    assert done.stderr.count("ERROR: ") == 1, done.stderr
