"""`-attenuate`: a narrower token from one that may be narrowed, with no server and no file."""

from __future__ import annotations

import ipaddress
from datetime import datetime

from pgmcp.auth.attenuation import AttenuationError, attenuated
from pgmcp.auth.narrowing import Narrowing
from pgmcp.auth.times import parse_lifetime
from pgmcp.cli.verb import Command
from pgmcp.errors import UsageError

_STDIN = "-"
_MOST_ROWS = 1_000_000


def attenuate(command: Command) -> int:
    """Add conditions to a token and show the new one as the last word."""
    narrowing = _narrowing(command)
    if narrowing == Narrowing():
        raise UsageError(
            "there is nothing to narrow the token by",
            "Give one or more of -token-database, -token-policy, -token-tool, -token-rows, "
            "-token-expiry and -token-network.",
        )
    secret = command.text("attenuate") or ""
    if secret == _STDIN:
        secret = command.console.ask_hidden("Token", "-attenuate")
    try:
        token = attenuated(secret.strip(), narrowing)
    except AttenuationError as error:
        raise UsageError(
            f"the token cannot be narrowed: {error}",
            "Take a token of -add-token -attenuable, and fewer or shorter conditions.",
        ) from None
    say = command.console.say
    for name, value in narrowing.described().items():
        said = value if isinstance(value, tuple) else (value,)
        say(f"{name.replace('_', ' ').capitalize()}: {', '.join(map(_text, said))}")
    say(f"Token: {token}")
    return 0


def _narrowing(command: Command) -> Narrowing:
    """What the flags take away; UsageError."""
    networks = _listed(command, "token-network")
    return Narrowing(
        databases=_listed(command, "token-database"),
        policies=_listed(command, "token-policy") or (),
        tools=_listed(command, "token-tool"),
        rows=_rows(command.text("token-rows")),
        expires_at=_expiry(command),
        networks=() if networks is None else (tuple(map(_network, networks)),),
    )


def _listed(command: Command, flag: str) -> tuple[str, ...] | None:
    """The names of a flag, with commas between; None without it, UsageError for an empty one."""
    text = command.text(flag)
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or "\n" in text:
        raise UsageError(f"-{flag} has an empty name: {text!r}", "Write names with commas between.")
    return names


def _rows(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 8 and 1 <= int(text) <= _MOST_ROWS):
        raise UsageError(f"not a number of rows: {text}", f"Write 1 to {_MOST_ROWS}.")
    return int(text)


def _expiry(command: Command) -> datetime | None:
    text = command.text("token-expiry")
    return None if text is None else parse_lifetime(text, command.clock())


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise UsageError(
            f"not an address or a network: {text}", "Write such as 10.0.0.5 or 192.0.2.0/24."
        ) from None


def _text(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)
