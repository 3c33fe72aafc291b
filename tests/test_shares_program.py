"""The running program: a user's sessions are one owner, and end each for itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from pgmcp.transport.limits import HttpLimits
from tests.observing import ALICE, add_user, call, get, log_in, run, session_of
from tests.operated import tool
from tests.program import Program, add_token, running, settings_of
from tests.serving import Reader, Reply, until
from tools.postgres import Server

SLEEPING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = "


@pytest.fixture(scope="session")
def postgres(newest_postgres: Server) -> Server:
    """The newest server alone: what is shared are the program's own connections."""
    return newest_postgres


@contextmanager
def shared(folder: Path, postgres: Server, database: str) -> Iterator[Program]:
    """A server with two databases, a token and a user."""
    main = settings_of(postgres, database)
    with running(folder, main, main | {"name": "second"}) as program:
        add_user(program.config, *ALICE)
        until(lambda: log_in(program, *ALICE).json.get("result"))
        yield program


class Sleepers:
    """Calls that sleep in PostgreSQL, each on a connection of its own."""

    def __init__(self, program: Program, postgres: Server, database: str, stack: ExitStack) -> None:
        self._program = program
        self._stack = stack
        self._asleep = f"{SLEEPING}'{database}'"
        self._postgres = postgres

    def start(self, session: str, name: str = "main") -> Reader:
        sock = self._stack.enter_context(self._program.connect(60))
        sock.sendall(tool("query_database", session, query="SELECT pg_sleep(120)", database=name))
        return Reader(sock)

    @property
    def asleep(self) -> int:
        return int(self._postgres.psql(self._asleep))


def test_all_sessions_of_a_user_have_the_connections_of_one(
    tmp_path: Path, postgres: Server, database: str
) -> None:
    with shared(tmp_path, postgres, database) as program, ExitStack() as stack:
        sleepers = Sleepers(program, postgres, database, stack)
        for _ in range(5):
            session = session_of(log_in(program, *ALICE))
            for name in ("main", "second"):
                for _ in range(4):
                    sleepers.start(session, name)
        until(lambda: sleepers.asleep == 8)
        assert "1 row" in text(call(program, "query_database", query="SELECT 1"))
        assert sleepers.asleep == 8
        run(program.config, "-disable-user", "-username", ALICE[0])  # or the end waits for them
        until(lambda: sleepers.asleep == 0)


def test_a_session_ends_its_own_calls_and_a_disabled_user_all(
    tmp_path: Path, postgres: Server, database: str
) -> None:
    with shared(tmp_path, postgres, database) as program, ExitStack() as stack:
        sleepers = Sleepers(program, postgres, database, stack)
        first, second, third = (session_of(log_in(program, *ALICE)) for _ in "123")
        of_first, of_second = sleepers.start(first), sleepers.start(second)
        until(lambda: sleepers.asleep == 2)
        assert call(program, "logout_user", token=first).status == 200
        assert "logged out" in text(of_first.reply())
        assert call(program, "query_database", token=first, query="SELECT 1").status == 401
        assert "1 row" in text(call(program, "query_database", token=third, query="SELECT 1"))
        assert sleepers.asleep == 1
        run(program.config, "-disable-user", "-username", ALICE[0])
        assert "disabled" in text(of_second.reply())
        assert call(program, "query_database", token=third, query="SELECT 1").status == 401
        until(lambda: sleepers.asleep == 0)


def text(reply: Reply) -> str:
    """What a tool answered."""
    found: str = reply.json["result"]["content"][0]["text"]
    return found


def test_calls_that_wait_for_their_pools_hold_no_thread_and_keep_nobody_waiting(
    tmp_path: Path, postgres: Server, database: str
) -> None:
    """84 calls of 14 tokens, for 14 connections of the 30 that there may be."""
    main = settings_of(postgres, database) | {"pool_max_conns": 1}
    settings: dict[str, Any] = {"max_connections_total": 30, "metrics": {"enabled": True}}
    with running(tmp_path, main, **settings) as program, ExitStack() as stack:
        tokens = [add_token(program.config, f"loud {number}") for number in range(14)]
        sleepers = Sleepers(program, postgres, database, stack)
        until(
            lambda: (
                call(program, "query_database", token=tokens[-1], query="SELECT 1").status == 200
            )
        )
        for token in tokens:
            for _ in range(6):
                sleepers.start(token)
        until(lambda: figure(program, "pgmcp_calls_waiting") == 70)
        until(lambda: sleepers.asleep == 14)
        assert "1 row" in text(call(program, "query_database", query="SELECT 1"))
        assert figure(program, "pgmcp_http_threads") <= 14 + HttpLimits().workers


def figure(program: Program, name: str) -> int:
    """A metric without labels."""
    page = get(program, "/metrics").body.decode()
    line = next(line for line in page.splitlines() if line.startswith(f"{name} "))
    return int(line.removeprefix(name))
