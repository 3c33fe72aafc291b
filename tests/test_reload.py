"""SIGHUP: a newer configuration is taken over while requests go on, whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pgmcp.config.changes import applicable, changed_databases, changed_keys
from pgmcp.config.load import load
from pgmcp.config.tls import Tls
from pgmcp.errors import ConfigError
from tests.admin_commands import configuration
from tests.operated import operated, text_of, tool
from tests.program import NOWHERE, add_token, settings_of, write_config
from tests.serving import Reader, Reply, post, rpc, until
from tools.postgres import Server, free_port

PID = "SELECT pg_backend_pid()"
NO_TOKEN = {"enabled": True, "token_file": "/none"}


class Client:
    """A keep-alive connection with a token."""

    def __init__(self, port: int, token: str | None) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 20)
        self._reader = Reader(self._socket)
        self._token = token

    def ask(self, request: bytes) -> Reply:
        self._socket.sendall(request)
        return self._reader.reply()

    def query(self, sql: str, database: str | None = None) -> str:
        named = {} if database is None else {"database": database}
        return text_of(self.ask(tool("query_database", self._token, query=sql, **named)))

    def close(self) -> None:
        self._socket.close()


@contextmanager
def client(port: int, token: str | None = None) -> Iterator[Client]:
    made = Client(port, token)
    try:
        yield made
    finally:
        made.close()


def named(server: Server, database: str, name: str, **changes: Any) -> dict[str, Any]:
    return settings_of(server, database) | {"name": name} | changes


@pytest.fixture(scope="session")
def postgres(newest_postgres: Server) -> Server:
    """The newest server alone: what a reload changes is the program's own."""
    return newest_postgres


def test_databases_come_go_and_change_and_what_did_not_keeps_its_connections(
    tmp_path: Path, postgres: Server, database: str
) -> None:
    port = free_port()
    kept, changed = named(postgres, database, "kept"), named(postgres, database, "changed")
    gone = named(postgres, database, "gone")
    config = write_config(tmp_path, kept, changed, gone, port=port)
    with operated(config, "-no-auth") as server, client(port) as ask:
        before = {name: ask.query(PID, name) for name in ("kept", "changed", "gone")}
        assert before == {name: ask.query(PID, name) for name in before}
        server.settings(
            databases=[
                kept,
                changed | {"pool_max_conns": 2},
                named(postgres, database, "new"),
            ]
        )
        assert "databases +new -gone ~changed" in server.reload()
        assert ask.query(PID, "kept") == before["kept"]
        assert ask.query(PID, "changed") != before["changed"]
        assert "1 row" in ask.query(PID, "new")
        assert "there is no database 'gone'" in ask.query(PID, "gone")
        pids = [word for text in before.values() for word in text.split() if word.isdigit()]
        ended = f"SELECT count(*) FROM pg_stat_activity WHERE pid IN ({','.join(pids)})"
        until(lambda: postgres.psql(ended) == "1")


def test_a_running_call_ends_on_the_settings_it_began_with(
    tmp_path: Path, postgres: Server, database: str
) -> None:
    port = free_port()
    old = named(postgres, database, "main")
    config = write_config(tmp_path, old, port=port)
    with operated(config, "-no-auth") as server, client(port) as slow:
        answers: list[str] = []
        sleeping = threading.Thread(
            target=lambda: answers.append(slow.query("SELECT 'done', pg_sleep(2)"))
        )
        sleeping.start()
        running = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        until(lambda: postgres.psql(running) == "1")
        server.settings(databases=[named(postgres, database, "other")])
        server.reload()
        with client(port) as ask:
            assert "1 row" in ask.query("SELECT 1")
            assert "there is no database 'main'" in ask.query("SELECT 1", "main")
        assert not answers
        sleeping.join(20)
        assert "done" in answers[0]


def test_limits_switches_and_who_may_use_what_change(
    tmp_path: Path, postgres: Server, database: str
) -> None:
    port = free_port()
    main = named(postgres, database, "main")
    config = write_config(tmp_path, main, port=port)
    token = add_token(config, "tests")
    with operated(config) as server, client(port, token) as ask:
        assert "1 row" in ask.query("SELECT 1")
        settings = json.loads(config.read_text())
        settings["http"]["auth"]["rate_limit_max_bad_tokens"] = 2
        server.settings(
            http=settings["http"],
            builtins={"tools": {"execute_explain": False}},
            databases=[main | {"available_to_users": ["alice"]}],
        )
        line = server.reload()
        assert "http.auth.rate_limit_max_bad_tokens" in line
        assert "hidden_tools" in line
        listed = ask.ask(post(rpc("tools/list"), token=token)).json["result"]["tools"]
        assert "execute_explain" not in {each["name"] for each in listed}
        assert "no database is available to you" in ask.query("SELECT 1")
        with client(port, "wrong") as unknown:
            bad = [unknown.ask(post(rpc("tools/list"), token="wrong")).status for _ in range(3)]
        assert bad == [401, 401, 429]


def test_a_broken_configuration_changes_nothing_and_says_why(
    tmp_path: Path, postgres: Server, database: str
) -> None:
    port = free_port()
    config = write_config(tmp_path, named(postgres, database, "main"), port=port)
    good = config.read_text()
    with operated(config, "-no-auth") as server, client(port) as ask:
        pid = ask.query(PID)
        for broken, reason in (
            ("{", "yaml"),
            ('{"nonsense": 1}', "unknown key 'nonsense'"),
            (good.replace(f'"port": {postgres.port}', '"port": 0'), "port is a number from 1"),
            ("", "holds no setting any more"),
            ("{}", "holds no setting any more"),
            (
                json.dumps(json.loads(good) | {"metrics": NO_TOKEN, "max_connections_total": 1}),
                "metrics.token_file: /none: there is no such file",
            ),
        ):
            config.write_text(broken)
            line = server.reload("not reloaded, nothing has changed")
            assert reason.lower() in line.lower()
            assert ask.query(PID) == pid
        config.unlink()
        server.reload("not reloaded, nothing has changed")
        assert ask.query(PID) == pid
        config.write_text(good)
        assert "changed: nothing" in server.reload()
        assert ask.query(PID) == pid


def test_flags_and_environment_stay_in_force(
    tmp_path: Path, postgres: Server, database: str
) -> None:
    port = free_port()
    config = write_config(tmp_path, named(postgres, database, "main"), port=port)
    environ = {"PGEDGE_DB_NAME": "postgres"}
    with operated(config, "-no-auth", environ=environ) as server, client(port) as ask:
        assert "postgres" in ask.query("SELECT current_database()")
        server.settings(databases=[named(postgres, database, "main", pool_max_conns=3)])
        server.reload()
        assert "postgres" in ask.query("SELECT current_database()")


def test_what_needs_a_restart_is_named_and_stays(tmp_path: Path) -> None:
    port, other = free_port(), free_port()
    config = write_config(tmp_path, NOWHERE, port=port)
    add_token(config, "tests")
    with operated(config) as server:
        settings = json.loads(config.read_text())
        settings["http"]["address"] = f"127.0.0.1:{other}"
        settings["http"]["auth"]["token_file"] = str(tmp_path / "others.yaml")
        settings["http"]["auth"]["enabled"] = False
        server.settings(http=settings["http"], max_connections_total=7)
        assert "changed: max_connections_total" in server.reload()
        line = server.expect("A restart is needed for: ")
        for key in ("http.address", "http.auth.enabled", "http.auth.token_file"):
            assert key in line
        with client(port) as ask:
            assert ask.ask(post(rpc("tools/list"), token=None)).status == 401


def test_a_lower_limit_closes_connections_that_are_idle(
    tmp_path: Path, postgres: Server, database: str
) -> None:
    port = free_port()
    several = [named(postgres, database, name) for name in ("one", "two", "three")]
    config = write_config(tmp_path, *several, port=port)
    count = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'"
    with operated(config, "-no-auth") as server, client(port) as ask:
        for each in several:
            ask.query("SELECT 1", each["name"])
        until(lambda: int(postgres.psql(count)) >= 3)
        server.settings(max_connections_total=1)
        server.reload()
        until(lambda: int(postgres.psql(count)) <= 1)
        for each in several:
            assert "1 row" in ask.query("SELECT 1", each["name"])


def test_reloads_under_load_break_no_call(tmp_path: Path, postgres: Server, database: str) -> None:
    port = free_port()
    main = named(postgres, database, "main")
    config = write_config(tmp_path, main, port=port)
    over = threading.Event()
    wrong: list[object] = []

    def call() -> None:
        with client(port) as ask:
            while not over.is_set():
                answer = ask.query("SELECT 40 + 2")
                if "42" not in answer:
                    wrong.append(answer)

    with operated(config, "-no-auth") as server:
        callers = [threading.Thread(target=call) for _ in range(6)]
        for caller in callers:
            caller.start()
        for number in range(10):
            server.settings(databases=[main | {"pool_max_conns": 2 + number % 3}])
            server.reload()
        over.set()
        for caller in callers:
            caller.join(20)
    assert not wrong


def test_values_of_a_newer_configuration_are_taken_over_but_for_a_few(tmp_path: Path) -> None:
    def loaded(**settings: Any) -> Any:
        config = write_config(tmp_path, NOWHERE, port=1, **settings)
        return load({"config": str(config)}, {"HOME": "/"}, tmp_path, None)

    running = loaded()
    wanted = loaded(debug=True, max_connections_total=9)
    assert applicable(running, wanted) == (wanted, ())
    assert changed_keys(running, wanted) == ("max_connections_total", "debug")
    assert changed_databases(running, wanted) == ()
    other = tmp_path / "other.yaml"
    other.write_text("debug: false\n")
    wanted = load({"http": True, "config": str(other)}, {"HOME": "/"}, tmp_path / "x", None)
    config, stays = applicable(running, wanted)
    assert set(stays) == {
        "http.enabled",
        "http.address",
        "http.auth.token_file",
        "http.auth.user_file",
        "http.auth.attenuation_key_file",
        "usage_file",
    }
    assert config.http.enabled == running.http.enabled
    assert config.http.address == running.http.address
    assert changed_databases(running, config) == ("+default", "-nowhere")
    gone = load({"http": True}, {"HOME": "/"}, tmp_path / "x", None)
    with pytest.raises(ConfigError, match="holds no setting any more"):
        applicable(running, gone)


@pytest.mark.parametrize("enabled", [True, False])
def test_tls_switched_on_or_off_waits_for_a_restart_with_its_files(
    tmp_path: Path, enabled: bool
) -> None:
    plain = configuration(tmp_path)
    tls = Tls(True, tmp_path / "cert", tmp_path / "key", None)
    secure = dataclasses.replace(plain, http=dataclasses.replace(plain.http, tls=tls))
    running, wanted = (secure, plain) if enabled else (plain, secure)
    assert applicable(running, wanted) == (running, ("http.tls.enabled",))
