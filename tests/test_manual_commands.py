"""The commands of the README and of the manual, pasted as they stand, from a fresh folder.

The rule: every block of `sh` runs here, or `NOT_RUN` says why it does not. Only ports differ from
what a page says, because tests run side by side.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pgmcp.reference.pages import TOPICS
from tests.installed import Installed, install
from tools.postgres import Server, free_port
from tools.prose import blocks
from tools.serving import end

CLONE = Path(__file__).resolve().parent.parent

NOT_RUN = {
    "tools/demo": "tests/test_tools_demo.py runs it",
    "tools/check": "it runs this test",
    "tools/build": "tests/test_build.py runs it",
    "python3 -m venv": "it takes packages from the network; tests/test_reference.py uses the wheel",
    "claude ": "another program; made from the table that tests/test_print_client.py tests",
    "gemini ": "as above",
    "codex ": "as above",
    "npx ": "as above",
    "pgedge-postgres-mcp -suggest-policy": "it needs an audit of calls; test_suggest.py runs it",
    "pgedge-postgres-mcp -enable-token": "test_canaries_program.py runs it",
    "pgedge-postgres-mcp -policy-diff": "it needs two configurations; test_policy_diff.py runs it",
    "pgedge-postgres-mcp -policy-check": "it fails, as it refuses; test_policy_program.py runs it",
}
"""The beginnings of blocks that are not run, with the reason."""

PAGES = ("README.md", *(f"pgmcp/reference/{topic}.md" for topic in TOPICS))
_PORTS = ("8080", "8443")
_TOKEN = re.compile(r"^\s*Token: (\S+)$", re.MULTILINE)


def runnable(page: str) -> Sequence[str]:
    """The blocks of a page that are pasted into a shell here."""
    text = (CLONE / page).read_text(encoding="utf-8")
    return [block for block in blocks(text, "sh") if not block.startswith(tuple(NOT_RUN))]


WITH_COMMANDS = [page for page in PAGES if runnable(page)]


@dataclass
class Terminal:
    """A shell in which blocks are pasted one after the other, beside a server that one starts."""

    program: Installed
    environ: dict[str, str]
    stack: ExitStack
    ports: dict[str, str] = field(default_factory=lambda: {p: str(free_port()) for p in _PORTS})
    printed: str = ""

    def paste(self, block: str) -> None:
        """Run a block; its line that serves goes on in a terminal of its own."""
        for port, free in self.ports.items():
            block = block.replace(f":{port}", f":{free}")
        serving = [line for line in block.splitlines() if "-http" in line.split("#")[0].split()]
        rest = "".join(f"{line}\n" for line in block.splitlines() if line not in serving)
        self.run(rest)
        for line in serving:
            self._serve(line)

    def run(self, text: str) -> None:
        """Run a text to its end; nothing is typed."""
        ended = subprocess.run(
            ["/bin/sh", "-ec", text],
            cwd=self.program.cwd,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert ended.returncode == 0, f"{text}\n{ended.stdout}\n{ended.stderr}"
        self.printed += ended.stdout
        shown = _TOKEN.search(ended.stdout)
        if shown:
            self.environ["PGMCP_TOKEN"] = shown[1]

    def _serve(self, line: str) -> None:
        process = subprocess.Popen(
            ["/bin/sh", "-ec", f"exec {line}"],
            cwd=self.program.cwd,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        self.stack.enter_context(process.stderr)
        self.stack.callback(end, process)
        said = b""
        while b"Listening on" not in said:
            more = process.stderr.readline()
            assert more, said.decode()
            said += more


@pytest.fixture(scope="session")
def postgres(newest_postgres: Server) -> Server:
    """The newest server alone: what a page shows does not depend on its version."""
    return newest_postgres


@pytest.fixture
def terminal(tmp_path: Path, postgres: Server, database: str) -> Iterator[Terminal]:
    """A folder with nothing in it, the program on PATH, and a database that libpq would find."""
    if shutil.which("curl") is None or shutil.which("openssl") is None:
        pytest.skip("the manual's commands need curl and openssl")
    postgres.psql(
        f"CREATE ROLE {database}_reader LOGIN PASSWORD 'secret';"
        "CREATE TABLE public.orders (id int PRIMARY KEY);"
        f"GRANT SELECT ON public.orders TO {database}_reader;"
        f"ALTER ROLE {database}_reader SET default_transaction_read_only = on;",
        database,
    )
    program = install(tmp_path)
    with ExitStack() as stack:
        made = Terminal(program, program.environ, stack)
        made.environ |= {
            "PGHOST": postgres.host,
            "PGPORT": str(postgres.port),
            "PGDATABASE": database,
            "PGUSER": f"{database}_reader",
            "PGPASSWORD": "secret",
            "PGEDGE_HTTP_ADDRESS": f"127.0.0.1:{made.ports['8080']}",
        }
        yield made
    postgres.psql(f"DROP OWNED BY {database}_reader; DROP ROLE {database}_reader", database)


def test_every_page_that_has_commands_is_run() -> None:
    assert len(WITH_COMMANDS) >= 5
    begun = "\n".join(
        block for page in PAGES for block in blocks((CLONE / page).read_text("utf-8"), "sh")
    )
    assert [words for words in NOT_RUN if f"\n{words}" not in f"\n{begun}"] == []


def test_the_commands_of_the_readme(terminal: Terminal) -> None:
    for block in runnable("README.md"):
        terminal.paste(block)
    assert "PostgreSQL" in terminal.printed
    assert "session_token" in terminal.printed


@pytest.mark.parametrize("page", [page for page in WITH_COMMANDS if page != "README.md"])
def test_the_commands_of_a_page(terminal: Terminal, page: str) -> None:
    terminal.run("pgedge-postgres-mcp -init")
    terminal.run("pgedge-postgres-mcp -add-token -token-note first -token-expiry never")
    config = terminal.program.config
    audit = terminal.program.cwd / "audit.jsonl"
    config.write_text(f"{config.read_text()}\naudit:\n  file: {audit}\n")
    if "policies" in page:
        written = next(iter(blocks((CLONE / page).read_text("utf-8"), "yaml")))
        config.write_text(f"{config.read_text()}\n{written}")
        terminal.run("pgedge-postgres-mcp -add-user -username alice -password 'Long-enough-1' ")
    if "audit" in page:
        terminal.run("pgedge-postgres-mcp </dev/null")
    if "authentication" in page:
        terminal.paste("pgedge-postgres-mcp -http\n")
    for block in runnable(page):
        terminal.paste(block)
