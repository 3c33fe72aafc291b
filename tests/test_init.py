"""-init: a short file for one database that works, and the commands that come next."""

from __future__ import annotations

import re
import shlex
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pytest

from pgmcp.config.load import load
from pgmcp.storage.files import load_yaml
from tests.databases import eventually
from tests.installed import NAME, Installed, install
from tests.terminal import terminal
from tools.child import spawn
from tools.postgres import Server, free_port
from tools.serving import call, end, post, wait_until_ready


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    return install(tmp_path)


def flags_of(server: Server, database: str) -> Sequence[str]:
    return (
        *("-db-host", server.host, "-db-port", str(server.port), "-db-name", database),
        *("-db-user", server.user, "-db-password", server.password, "-db-sslmode", "disable"),
    )


def next_commands(shown: str) -> list[str]:
    """The commands below `Next:`, as somebody pastes them."""
    below = shown.partition("Next:")[2].splitlines()
    commands = [line.strip() for line in below if line.startswith("  ")]
    assert "#" not in "".join(commands), "zsh takes a # that is pasted for an argument"
    return commands


def test_a_terminal_is_asked_and_the_next_commands_serve_the_database(
    installed: Installed, postgres: Server, database: str
) -> None:
    words = [str(installed.folder / NAME), "-init"]
    with terminal(words, installed.cwd, installed.environ) as person:
        person.expect("Host")
        person.type("http://wrong")
        person.expect("Write a name, an address or a socket directory")
        person.expect("Host")
        person.type(postgres.host)
        person.expect("Port, from 1 to 65535 [5432]")
        person.type("0")
        person.expect("Port")
        person.type(str(postgres.port))
        person.expect("Database")
        person.type(database)
        person.expect("Role")
        person.type(postgres.user)
        person.expect("Password")
        person.type(postgres.password)
        person.expect("connected in")
        person.expect("Next:")
        assert person.ended() == 0
    assert postgres.password not in person.shown
    assert len(installed.config.read_text().splitlines()) < 25
    check, add_token, serve = next_commands(person.shown)
    assert installed.shell(check).returncode == 0
    port = free_port()
    text = installed.config.read_text()
    assert '"127.0.0.1:8080"' in text, "no server on every interface without TLS"
    installed.config.write_text(text.replace("8080", str(port)))
    made = installed.shell(add_token, typed="n\n1d\n")
    (token,) = re.findall(r"^Token: (.*)$", made.stdout, re.MULTILINE)
    process = spawn(
        ["/bin/sh", "-c", f"exec {serve}"], folder=installed.cwd, environment=installed.environ
    )
    try:
        wait_until_ready(process, port)
        query = {"name": "query_database", "arguments": {"query": "SELECT current_database()"}}
        assert database in post(port, token, call("tools/call", query)).decode()
    finally:
        end(process)


def test_a_database_that_does_not_answer_is_asked_for_again(
    installed: Installed, postgres: Server, database: str
) -> None:
    with terminal(
        [str(installed.folder / NAME), "-init", "-config", "c.yaml"],
        installed.cwd,
        installed.environ,
    ) as person:
        for port in (str(free_port()), str(postgres.port)):
            answers = (postgres.host, port, database, postgres.user)
            for question, answer in zip(("Host", "Port", "Database", "Role"), answers, strict=True):
                person.expect(question)
                person.type(answer)
            person.expect("Password")
            person.type(postgres.password)
            if port != str(postgres.port):
                person.expect("cannot connect")
                person.expect("nevertheless? [yes/no]")
                person.type("no")
        person.expect("connected in")
        assert person.ended() == 0
    (listed,) = said_in(installed.cwd / "c.yaml")["databases"]
    assert (listed["port"], listed["database"]) == (postgres.port, database)


def said_in(path: Path) -> dict[str, list[dict[str, object]]]:
    entry_values = load_yaml(path.read_bytes(), str(path))
    assert isinstance(entry_values, dict)
    return entry_values


@pytest.mark.parametrize("full", [False, True])
def test_flags_are_written_and_the_password_apart(
    installed: Installed, postgres: Server, database: str, full: bool
) -> None:
    words = ("-init", *flags_of(postgres, database), *(["-full"] if full else []))
    done = installed.run(*words, "-config", "my.yaml")
    assert done.returncode == 0, done.stderr
    assert "connected in" in done.stderr
    assert postgres.password not in done.stdout + done.stderr
    config, password = installed.cwd / "my.yaml", installed.cwd / "my-password"
    assert done.stdout.startswith(f"Wrote {password}\nWrote {config}\n")
    assert {path.stat().st_mode & 0o777 for path in (config, password)} == {0o600}
    assert password.read_text() == f"{postgres.password}\n"
    assert said_in(config)["databases"] == [
        {
            "name": database,
            "host": postgres.host,
            "port": postgres.port,
            "database": database,
            "user": postgres.user,
            "password_file": "my-password",
            "sslmode": "disable",
        }
    ]
    assert next(iter(said_in(config))) == "databases"
    assert ("max_connections_total" in config.read_text()) == full
    loaded = load({"config": str(config)}, {}, installed.folder, None)
    assert loaded.http.auth.token_file == installed.cwd / "my-tokens.yaml"
    assert loaded.http.auth.user_file == installed.cwd / "my-users.yaml"
    assert loaded.databases[0].passwords[0] is not None


def test_libpqs_variables_are_written_because_they_do_not_count_beside_a_list(
    installed: Installed,
) -> None:
    variables = {
        "PGHOST": "127.0.0.1,::1",
        "PGPORT": "1,2",
        "PGDATABASE": "shop; '",
        "PGUSER": "Jürgen",
    }
    line = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
    done = installed.shell(f"{line} PGSSLMODE=require {NAME} -init -config c.yaml")
    assert done.returncode == 0, done.stderr
    (listed,) = said_in(installed.cwd / "c.yaml")["databases"]
    assert listed == {
        "name": "shop; '",
        "host": "127.0.0.1,::1",
        "port": "1,2",
        "database": "shop; '",
        "user": "Jürgen",
        "sslmode": "require",
    }


def test_nothing_is_written_over(installed: Installed, postgres: Server, database: str) -> None:
    password = installed.cwd / "c-password"
    password.write_text("mine")
    words = ("-init", "-config", "c.yaml", *flags_of(postgres, database))
    done = installed.run(*words)
    assert done.returncode == 1
    assert f"ERROR: {password}: file exists" in done.stderr
    assert not (installed.cwd / "c.yaml").exists()
    password.unlink()
    (installed.cwd / "c.yaml").symlink_to("nowhere")
    done = installed.run(*words)
    assert done.returncode == 1
    assert "c.yaml is already there" in done.stderr
    assert not password.exists()


def test_where_another_is_found_already_none_is_written(installed: Installed) -> None:
    assert installed.run("-init").returncode == 0
    again = installed.run("-init")
    assert again.returncode == 1
    assert f"{installed.config} is already there, and every command reads it" in again.stderr


def test_a_place_that_cannot_be_written_is_answered_by_a_command_that_can(
    installed: Installed,
) -> None:
    done = installed.run("-init", "-config", "none/c.yaml")
    assert done.returncode == 1
    (command,) = re.findall(r"^Write it elsewhere with: (.*)$", done.stderr, re.MULTILINE)
    assert installed.shell(command).returncode == 0
    assert (installed.cwd / "c.yaml").exists()


def test_the_bare_command_says_on_a_terminal_what_it_waits_for(installed: Installed) -> None:
    with terminal([str(installed.folder / NAME)], installed.cwd, installed.environ) as person:
        person.expect("Waiting for the messages of an MCP client")
        serve = person.expect("-http\n")
        assert serve.splitlines()[-1] == f"To serve over HTTP: {NAME} -http"
        person.type("\x04")
        assert person.ended() == 0
    assert "Waiting" not in installed.run().stderr


def test_each_url_that_it_listens_on_can_be_pasted(installed: Installed) -> None:
    port, log = free_port(), installed.cwd / "log"
    with log.open("wb") as output:
        process = spawn(
            [str(installed.folder / NAME), "-http", "-no-auth", "-addr", f":{port}"],
            folder=installed.cwd,
            environment=installed.environ,
            output=output,
        )
    try:
        wait_until_ready(process, port)
        listing = "Listening on (http://.*)$"
        assert eventually(lambda: bool(re.search(listing, log.read_text(), re.MULTILINE)))
        urls = re.findall(listing, log.read_text(), re.MULTILINE)
        assert urls[0] == f"http://127.0.0.1:{port}/mcp/v1"
        assert len(urls) == len(set(urls))
        for url in urls:
            headers = {"Content-Type": "application/json"}
            request = urllib.request.Request(url, call("tools/list", {}), headers)
            with urllib.request.urlopen(request, timeout=30) as answer:
                assert "query_database" in answer.read().decode()
    finally:
        end(process)
