"""`-suggest-policy` and `-suggest-role`: what recorded calls need, and nothing else.

The rule: a record counts only when its MAC is right, so that nobody widens a suggestion by a line
of his own. What is suggested goes to standard output, ready to be used, and notes to standard
error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pgmcp.cli.verb import Command, Flag, Verb
from pgmcp.cli.verbs.audit import AUDIT_KEY, key_file
from pgmcp.cli.verbs.policy_check import GROUP, TOKEN, USERNAME
from pgmcp.errors import ConfigError, PgmcpError, UsageError

if TYPE_CHECKING:
    from pgmcp.audit.recorded import RecordedUse
    from pgmcp.config.audit import Audit
    from pgmcp.config.auth import Auth

_ROLE = "pgmcp_suggested"


def suggest_policy(command: Command, audit: Audit | None, auth: Auth) -> int:
    """Print a section `policies` with the smallest policy."""
    from pgmcp.audit.suggestions import POLICY, policy_of
    from pgmcp.storage.files import dump_yaml

    use = _use(command, audit, auth)
    if not use.tools:
        command.console.warn("Note: no tool was called, and a policy without `tools` allows all")
    command.console.say(*dump_yaml(policy_of(use)).decode().splitlines())
    command.console.warn(f"Attach it with: -token-policy {POLICY}, or -user-policy {POLICY}")
    return 0


def suggest_role(command: Command, audit: Audit | None, auth: Auth) -> int:
    """Print the smallest GRANTs as SQL."""
    from pgmcp.audit.suggestions import grants_of

    role = command.text("grant-to") or _ROLE
    command.console.say(*grants_of(_use(command, audit, auth), role))
    return 0


def _use(command: Command, audit: Audit | None, auth: Auth) -> RecordedUse:
    from pgmcp.audit.recorded import recorded_use
    from pgmcp.auth.users import normalize

    token, username = command.text("token"), command.text("username")
    if token is not None and username is not None:
        raise UsageError("-token and -username cannot go together", "Give one of them.")
    kind, name = "token", None if token is None else _token_id(token, auth)
    if username is not None:
        kind, name = "session", normalize(username)
    records = _records(command, audit)
    use = recorded_use(records, *((kind, name) if name is not None else ()))
    warn = command.console.warn
    if use.unnamed:
        warn(f"Note: {use.unnamed} calls of an older version do not say what they used; left out")
    if use.baited:
        warn(f"Note: {use.baited} calls used a canary; left out")
    if not use.calls:
        raise ConfigError(
            "the audit has no answered call to suggest from", "Name its file, and who called."
        )
    warn(f"From {use.calls} answered calls")
    return use


def _token_id(given: str, auth: Auth) -> str:
    """The id of a token that is there, else what was given: it may have been removed since."""
    from pgmcp.cli.verbs.tokens import find_token
    from pgmcp.stores.files import FileTokenStore

    try:
        return find_token(given, FileTokenStore(auth.token_file).listed()).id
    except PgmcpError:
        return given


def _records(command: Command, audit: Audit | None) -> Iterator[Mapping[str, Any]]:
    """The records of calls in the file, and in those that were rotated away from it."""
    from pathlib import Path

    from pgmcp.audit import chain
    from pgmcp.audit.read import chain_files, read_key
    from pgmcp.storage.files import os_error
    from pgmcp.storage.regular_file import read_regular

    given = command.text("from-audit")
    if not given:
        raise UsageError("no audit is named", "Name its newest file: -from-audit FILE")
    path = Path(given)
    if not path.exists():
        raise ConfigError(f"{given}: there is no such file", "Name the audit's newest file.")
    key = read_key(key_file(command, audit, path))
    try:
        for file in chain_files(path.resolve(), key):
            with read_regular(file) as stream:
                for number, line in enumerate(stream, 1):
                    entry = chain.read(key, line)
                    if entry is not None and entry.intact:
                        yield entry.fields
                    elif line.endswith(b"\n"):
                        command.console.warn(
                            f"Note: {file.name}, line {number} cannot be verified, and is left out"
                        )
    except OSError as error:
        raise os_error(Path(error.filename or path), error) from error


_FLAGS = (
    Flag("from-audit", "The audit's newest file; those rotated away from it count too.", "FILE"),
    TOKEN,
    USERNAME,
    AUDIT_KEY,
)

VERBS = (
    Verb(
        "suggest-policy",
        GROUP,
        "Print the smallest policy that would have allowed the calls that an audit recorded.",
        suggest_policy,
        ("audit", "auth"),
        _FLAGS,
    ),
    Verb(
        "suggest-role",
        GROUP,
        "Print the smallest GRANTs with which a role could have made the calls that an audit"
        " recorded.",
        suggest_role,
        ("audit", "auth"),
        (*_FLAGS, Flag("grant-to", f"The role. Default: {_ROLE}.", "ROLE")),
    ),
)
