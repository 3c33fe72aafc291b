"""Running the admin commands in a test: a configuration, streams, a clock that stands still."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pgmcp.cli import verb, verbs
from pgmcp.cli.console import Console
from pgmcp.config.auth import Auth
from pgmcp.config.http import Http
from pgmcp.config.model import Config
from pgmcp.config.tls import Tls
from pgmcp.config.values import Address
from tests.databases import unreachable

NOW = datetime(2024, 10, 30, 10, 15, 30, tzinfo=UTC)


def configuration(folder: Path, databases: tuple[str, ...] = ()) -> Config:
    """A configuration with its credential files in `folder`; from a file if it has databases."""
    auth = Auth(
        enabled=True,
        token_file=folder / "pgedge-postgres-mcp-tokens.yaml",
        attenuation_key_file=folder / "pgedge-postgres-mcp-tokens.yaml.key",
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


def sections_of(config: Config, names: Sequence[str]) -> dict[str, object]:
    """What a verb gets that names these sections, from a configuration that is loaded already."""
    listed = () if config.file is None else tuple(each.name for each in config.databases)
    values = {
        "audit": config.audit,
        "auth": config.http.auth,
        "config": config,
        "database_names": listed,
        "databases": config.databases,
        "policies": config.policies,
    }
    return {name: values[name] for name in names}


def run(
    config: Config,
    name: str,
    options: Mapping[str, str | bool] | None = None,
    typed: str = "",
    now: datetime = NOW,
) -> Outcome:
    """Run the verb of this name in this process."""
    out, err = io.StringIO(), io.StringIO()
    (wanted,) = (each for each in verbs.find_all() if each.name == name)
    console = Console(io.StringIO(typed), out, err)
    command = verb.Command({name: True, **(options or {})}, console, lambda: now)
    status = verb.run(wanted, command, sections_of(config, wanted.sections))
    return Outcome(status, out.getvalue(), err.getvalue())
