"""pgmcp as a contender: with a token, its gate, pools, limits and metrics on, from any commit.

The rule: it runs as a user runs it, by its command line and a configuration file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.benchmarks.contender import HOST, Contender
from tools.postgres import Server
from tools.serving import ROOT, environment

NAME = "pgmcp"
_USERS = 8


@dataclass(frozen=True, slots=True)
class Source:
    """The code of one commit: where it is, and what the tables call it."""

    name: str
    folder: Path


HERE = Source(NAME, ROOT)


def commit(folder: Path = ROOT) -> str:
    """The commit that is checked out, with a mark when files differ from it."""
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stdout.strip() or "unknown"


@contextlib.contextmanager
def checked_out(name: str) -> Iterator[Source]:
    """Another commit in a temporary folder. subprocess.CalledProcessError when there is none."""
    with tempfile.TemporaryDirectory(prefix="pgmcp-commit-") as parent:
        folder = Path(parent) / "pgmcp"
        git: list[str | Path] = ["git", "-C", ROOT]
        subprocess.run([*git, "worktree", "add", "--quiet", "--detach", folder, name], check=True)
        try:
            yield Source(f"{NAME} {name[:12]}", folder)
        finally:
            subprocess.run([*git, "worktree", "remove", "--force", folder], check=True)


def settings(folder: Path, postgres: Server, database: str = "postgres", port: int = 0) -> Path:
    """A configuration file for a database; `port` where it is not PostgreSQL's own."""
    folder.mkdir(exist_ok=True)
    config = folder / "pgmcp.yaml"
    place = {
        "name": "bench",
        "host": postgres.host,
        "port": port or postgres.port,
        "database": database,
        "user": postgres.user,
        "password": postgres.password,
        "sslmode": "disable",
    }
    auth = {"token_file": f"{folder}/tokens.yaml", "user_file": f"{folder}/users.yaml"}
    config.touch(mode=0o600)
    config.write_text(json.dumps({"http": {"auth": auth}, "databases": [place]}))
    return config


def write_tokens(path: Path, count: int) -> list[str]:
    """A file of so many tokens that never expire, as the program writes it; the tokens."""
    tokens = [secrets.token_urlsafe(32) for _ in range(count)]
    entries = "".join(
        f"  - id: bench-{number}\n    hash: {hashlib.sha256(token.encode()).hexdigest()}\n"
        f'    note: number {number}\n    created_at: "2026-01-01T00:00:00Z"\n'
        "    expires_at: null\n"
        for number, token in enumerate(tokens)
    )
    path.touch(mode=0o600)
    path.write_text(f"tokens:\n{entries}")
    return tokens


def contender(
    config: Path,
    source: Source = HERE,
    *,
    stdio: bool = False,
    users: int = _USERS,
    workers: int = 1,
) -> Contender:
    """pgmcp with this configuration file, and over HTTP with new tokens."""
    name = source.name if workers == 1 else f"{source.name}, {workers} workers"

    def command(port: int) -> list[str | Path]:
        words: list[str | Path] = [sys.executable, "-m", "pgmcp", "-config", config]
        if stdio:
            return words
        together = [] if workers == 1 else ["-workers", str(workers)]
        return [*words, "-http", "-addr", f"{HOST}:{port}", *together]

    tokens = [] if stdio else write_tokens(config.with_name("tokens.yaml"), users)
    return Contender(
        name=f"{name}, stdio" if stdio else name,
        version=commit(source.folder),
        command=command,
        query=_query,
        folder=source.folder,
        environment=environment(),
        stdio=stdio,
        path="/mcp/v1",
        users=tuple((f"Authorization: Bearer {token}",) for token in tokens) or ((),),
    )


def _query(sql: str) -> Mapping[str, object]:
    return {"name": "query_database", "arguments": {"query": sql, "limit": 1000}}
