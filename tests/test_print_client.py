"""-print-client: what it prints makes each client reach this server."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pgmcp.cli.clients import CLIENTS, TOKEN_VARIABLE, KnownClient, render_section
from tests.installed import Installed, install
from tests.program import NOWHERE, Program, running
from tools.serving import call, environment, post

each_client = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    """The program, with a configuration whose path has a blank in it."""
    folder = tmp_path / "my shop"
    folder.mkdir()
    made = install(folder)
    settings = {"databases": [dict(NOWHERE)]}
    made.config.write_text(json.dumps(settings))
    made.config.chmod(0o600)
    return made


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with running(tmp_path_factory.mktemp("served")) as program:
        yield program


def entry_of(text: str) -> Mapping[str, Any]:
    """The one server of a JSON entry."""
    said = json.loads(text)
    (server,) = (said.get("mcpServers") or said["servers"]).values()
    assert isinstance(server, dict)
    return server


def started_by(client: KnownClient, printed: str) -> Sequence[str]:
    """The words that the client starts."""
    if client.language == "json":
        server = entry_of(printed)
        return [server["command"], *server["args"]]
    words = shlex.split(printed)
    at = words.index("--")
    # Gemini CLI has the command before the dashes, and its arguments behind them.
    return [*words[at - 1 : at], *words[at + 1 :]] if client.name == "gemini" else words[at + 1 :]


def called_by(client: KnownClient, printed: str) -> tuple[str, str]:
    """The URL that the client calls, and the value of its Authorization header."""
    token = f"${TOKEN_VARIABLE}"
    if client.name == "claude-desktop":
        server = entry_of(printed)
        header = server["args"][-1].replace("${AUTH_HEADER}", server["env"]["AUTH_HEADER"])
        url, value = server["args"][1], header.removeprefix("Authorization:")
        value = value.replace("YOUR_TOKEN_HERE", token)
    elif client.language == "json":
        server = entry_of(printed)
        url, value = server["url"], server["headers"]["Authorization"]
        asked = {each["id"] for each in json.loads(printed).get("inputs", ())}
        for source in (f"env:{TOKEN_VARIABLE}", *(f"input:{name}" for name in asked)):
            value = value.replace(f"${{{source}}}", token)
    else:
        words = shlex.split(printed)
        (url,) = (word for word in words if word.startswith("http://"))
        if client.name == "codex":
            value = f"Bearer ${words[words.index('--bearer-token-env-var') + 1]}"
        else:
            header = words[words.index("--header") + 1]
            value = header.removeprefix("Authorization: ")
            value = value.replace(f"${{{TOKEN_VARIABLE}}}", token)
    return url, value


@each_client
def test_the_command_that_it_prints_serves_from_any_folder(
    installed: Installed, client: KnownClient
) -> None:
    printed = installed.run("-print-client", client.name)
    assert printed.returncode == 0, printed.stderr
    done = subprocess.run(
        started_by(client, printed.stdout),
        cwd="/",
        env=environment() | {"PYTHONPATH": installed.environ["PYTHONPATH"]},
        input=call("tools/list", {}).decode() + "\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "query_database" in done.stdout, done.stderr
    assert f"Configuration: {installed.config}" in done.stderr
    for path in client.files.values():
        assert path in printed.stderr


@each_client
def test_the_url_and_the_header_that_it_prints_are_admitted(
    installed: Installed, served: Program, client: KnownClient
) -> None:
    printed = installed.run("-print-client", client.name, "-url", served.url)
    url, value = called_by(client, printed.stdout)
    assert url == served.url
    assert value == f"Bearer ${TOKEN_VARIABLE}"
    token = value.removeprefix("Bearer ").replace(f"${TOKEN_VARIABLE}", served.token)
    assert b"query_database" in post(served.port, token, call("tools/list", {}))
    assert "-add-token" in printed.stderr


@each_client
def test_without_authentication_there_is_no_token(
    installed: Installed, client: KnownClient
) -> None:
    printed = installed.run("-print-client", client.name, "-url", "http://h:1", "-no-auth")
    assert "http://h:1/mcp/v1" in printed.stdout
    assert "Bearer" not in printed.stdout
    assert TOKEN_VARIABLE not in printed.stdout + printed.stderr


@each_client
def test_the_section_of_a_page_holds_both_entries(client: KnownClient) -> None:
    text = render_section(client)
    blocks = re.findall(r"^```(\w+)\n(.*?)\n```$", text, re.MULTILINE | re.DOTALL)
    assert [language for language, _ in blocks] == [client.language] * 2
    assert "/path/to/pgedge-postgres-mcp.yaml" in blocks[0][1]
    assert "https://db.example.com:8080/mcp/v1" in blocks[1][1]
    assert all(path in text for path in client.files.values())
    assert client.authority_variable in text


def test_python_m_prints_a_command_that_starts_it(installed: Installed) -> None:
    line = f"{shlex.quote(sys.executable)} -m pgmcp -print-client cursor"
    printed = installed.shell(f"{line} -config {shlex.quote(str(installed.config))}")
    server = entry_of(printed.stdout)
    assert server["args"][:2] == ["-m", "pgmcp"]


def test_without_a_configuration_it_says_which_command_writes_one(installed: Installed) -> None:
    installed.config.unlink()
    done = installed.run("-print-client", "cursor")
    assert (done.returncode, done.stdout) == (1, "")
    (command,) = re.findall(r"^Write one with: (.*)$", done.stderr, re.MULTILINE)
    assert installed.shell(command).returncode == 0
    assert installed.run("-print-client", "cursor").returncode == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cursr"], "Did you mean cursor?"),
        (["cursor", "-url", "db.example.com:8080"], "Write a URL such as"),
        (["cursor", "-url", "https://u:secret@h/mcp/v1"], "Write a URL such as"),
    ],
)
def test_what_cannot_be_printed_is_said(
    installed: Installed, words: Sequence[str], said: str
) -> None:
    done = installed.run("-print-client", *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert "secret" not in done.stderr
