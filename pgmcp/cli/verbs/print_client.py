"""`-print-client`: the entry of an MCP client's configuration for this one.

The rule: standard output has the entry alone, so that it can be redirected or run; what to know
beside it goes to standard error.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from pgmcp.cli.clients import CLIENTS, KnownClient
from pgmcp.cli.flag_table import PROGRAM
from pgmcp.cli.invocation import absolute_program, program_dir
from pgmcp.cli.verb import Command, Flag, Verb
from pgmcp.config.addresses import parse_url
from pgmcp.config.auth import Auth
from pgmcp.config.config_file import find
from pgmcp.config.document import suggestion
from pgmcp.errors import COMMAND, ConfigError, UsageError

_VERB = "print-client"
_PATH = "/mcp/v1"


def print_client(command: Command, auth: Auth) -> int:
    """Print what makes a client start this program, or call the server at -url."""
    client = _client(command.text(_VERB) or "")
    url = _url(command)
    if url:
        entry, notes = client.http(url, auth.enabled), client.notes(url, token=auth.enabled)
    else:
        entry, notes = client.stdio(_started(command)), client.notes()
    command.console.say(*entry.splitlines())
    command.console.warn("", *notes)
    return 0


def _client(name: str) -> KnownClient:
    known = {client.name: client for client in CLIENTS}
    if name not in known:
        raise UsageError(f"unknown client: {name}", suggestion(name, known))
    return known[name]


def _url(command: Command) -> str:
    """The URL that is given, with our path where it has none; "" without one."""
    given = command.text("url")
    if given is None:
        return ""
    try:
        parse_url(given)
    except ValueError as error:
        raise UsageError(
            f"flag -url: {error}", f'Write a URL such as "https://db.example.com:8080{_PATH}".'
        ) from None
    return given if urlsplit(given).path.strip("/") else given.rstrip("/") + _PATH


def _started(command: Command) -> Sequence[str]:
    """The words by which a client starts the program, from any folder."""
    file = find(command.options, Path.cwd(), program_dir())
    if file is None:
        raise ConfigError(
            "there is no configuration file, and a client does not pass on this environment",
            f"Write one with: {COMMAND} -init\nOr give the server's URL with: -url URL",
        )
    return [*absolute_program(), "-config", os.path.abspath(file)]  # noqa: PTH100 - keeps links


VERBS = (
    Verb(
        _VERB,
        PROGRAM,
        f"Print what makes a client use this server: {', '.join(each.name for each in CLIENTS)}.",
        print_client,
        ("auth",),
        (
            Flag(
                "url",
                "Where the server is called over HTTP; without it the client starts it.",
                "URL",
            ),
        ),
        "CLIENT",
    ),
)
