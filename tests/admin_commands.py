"""Running the admin commands in a test: a configuration, streams, a clock that stands still."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from pgmcp.cli import admin
from pgmcp.cli.console import Console
from pgmcp.config.model import Address, Auth, Config, Http, Tls
from tests.databases import unreachable

NOW = datetime(2024, 10, 30, 10, 15, 30, tzinfo=UTC)


def configuration(folder: Path, databases: tuple[str, ...] = ()) -> Config:
    """A configuration with its credential files in `folder`; from a file if it has databases."""
    auth = Auth(
        enabled=True,
        token_file=folder / "pgedge-postgres-mcp-tokens.yaml",
        user_file=folder / "pgedge-postgres-mcp-users.yaml",
        rate_limit_window_seconds=900.0,
        rate_limit_max_attempts=10,
        rate_limit_max_bad_tokens=100,
        max_failed_attempts_before_lockout=0,
        password_min_length=8,
        max_sessions_per_user=10,
    )
    return Config(
        file=folder / "pgedge-postgres-mcp.yaml" if databases else None,
        http=Http(
            enabled=True,
            address=Address("", 8080),
            tls=Tls(enabled=False, cert_file=None, key_file=None, chain_file=None),
            auth=auth,
            trusted_proxies=(),
        ),
        databases=tuple(unreachable(5432, name=name, database=name) for name in databases),
        hidden_tools=frozenset(),
        hidden_resources=frozenset(),
        hidden_prompts=frozenset(),
        max_connections_total=50,
        debug=False,
    )


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    status: int
    out: str
    err: str


def run(
    config: Config,
    verb: str,
    options: Mapping[str, str | bool] | None = None,
    typed: str = "",
    now: datetime = NOW,
) -> Outcome:
    """Run one verb in this process."""
    out, err = io.StringIO(), io.StringIO()
    given = {verb: True, **(options or {})}
    console = Console(io.StringIO(typed), out, err)
    status = admin.run(verb, given, config, console, clock=lambda: now)
    return Outcome(status, out.getvalue(), err.getvalue())
