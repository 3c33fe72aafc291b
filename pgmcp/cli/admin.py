"""The administrator's commands: which verb is which function, and how a command ends.

The rule: a command says on standard output what it did, or on standard error why it did nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from pgmcp.auth.times import utc_now
from pgmcp.cli.command import Command, Options
from pgmcp.cli.console import Console
from pgmcp.config.model import Config
from pgmcp.config.template import render
from pgmcp.errors import ConfigError, PgmcpError
from pgmcp.storage.files import os_error

DEFAULT_CONFIG = "pgedge-postgres-mcp.yaml"


def run(
    verb: str,
    options: Options,
    config: Config | None,
    console: Console,
    *,
    clock: Callable[[], datetime] = utc_now,
) -> int:
    """Run one verb (a flag's name, `add-token`); its exit status: 0 done, 1 not done.

    `init` needs no configuration; for the others `config` says where the files are, and which
    databases there are if it came from a file.
    """
    command = Command(options, config, console, clock)
    try:
        return _function(verb)(command)
    except PgmcpError as error:
        console.warn(*error.for_operator().split("\n"))
        return 1
    except BrokenPipeError:
        # `-list-tokens | head -1`: the reader has what it wanted.
        return 1
    except KeyboardInterrupt:
        console.warn("", "Interrupted: nothing was changed.")
        return 130


def init(command: Command) -> int:
    """`-init`: write a commented configuration file, never over another."""
    path = Path(command.text("config") or DEFAULT_CONFIG)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigError(
            f"{path} is already there", "Give another name with: -init -config FILE"
        ) from None
    except OSError as error:
        raise os_error(path, error) from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(render())
    command.console.say(f"Wrote {path}")
    return 0


def _function(verb: str) -> Callable[[Command], int]:
    # Each side is imported when it is wanted: a token command starts without loading bcrypt.
    if verb == "init":
        return init
    if verb.endswith(("-token", "-tokens")):
        from pgmcp.cli import admin_tokens

        return admin_tokens.VERBS[verb]
    if verb == "verify-audit":
        from pgmcp.cli import admin_audit

        return admin_audit.verify
    if verb == "check":
        from pgmcp.cli.admin_check import check

        return check
    if verb == "self-test":
        from pgmcp.cli.admin_selftest import self_test

        return self_test
    from pgmcp.cli import admin_users

    return admin_users.VERBS[verb]
