"""What `-check` finds out about a configuration: each part of it that serving would use.

The rule: each part returns findings and prints nothing; what is not "ok" says what to do next, once
for all that have the same remedy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path

from pgmcp.auth.attenuation import AttenuationKey
from pgmcp.cli.database_findings import database_findings
from pgmcp.cli.finding import Finding, error, exposure, ok, warning
from pgmcp.cli.http_findings import (
    address_findings,
    certificate_findings,
    host_findings,
    subject_findings,
)
from pgmcp.cli.observing_findings import observing_findings
from pgmcp.cli.policy_findings import fit_findings
from pgmcp.config.auth import Auth
from pgmcp.config.model import Config
from pgmcp.errors import COMMAND, FileError
from pgmcp.storage.files import read
from pgmcp.storage.protection import refuse_if_others_can_write
from pgmcp.storage.secret_key import read_key
from pgmcp.stores.token_file import parse_tokens
from pgmcp.stores.user_file import parse_users

_SEEN_WITH = "give -check the flags that the server is started with, such as -http or -tls"


def all_findings(config: Config, now: datetime) -> Iterator[Finding]:
    """Everything that can be found out; `now` is compared with the dates of what expires."""
    for part in _parts(config, now):
        yield from part


def _parts(config: Config, now: datetime) -> Iterator[Iterable[Finding]]:
    yield configuration_findings(config)
    yield unseen_findings(config)
    if config.http.enabled:
        yield address_findings(config.http.address)
        yield host_findings(config.http)
    if config.http.enabled and config.http.auth.enabled:
        auth = config.http.auth
        yield file_findings("token file", auth.token_file, _tokens(now), "-add-token")
        yield attenuation_findings(auth)
        yield file_findings("user file", auth.user_file, _users, "-add-user", required=False)
    if config.http.enabled and config.http.tls.enabled:
        yield certificate_findings(config.http.tls, now)
        yield subject_findings(config.http, now)
    yield observing_findings(config)
    for database in config.databases:
        yield database_findings(database, policies=config.policies)
    yield fit_findings(config.policies, config.databases)


def configuration_findings(config: Config) -> Iterator[Finding]:
    """What the configuration says of serving."""
    origin = str(config.file) if config.file is not None else "no file: defaults and flags"
    yield ok("configuration", origin)
    if not config.databases:
        yield error("databases", "none is configured", "Add one to the file, or give -db-… flags.")
    if config.http.enabled and not config.http.auth.enabled:
        yield warning(
            "authentication",
            f"off: everybody who reaches {config.http.address} can read",
            f"Leave -no-auth out, and make a token with: {COMMAND} -add-token",
        )


def unseen_findings(config: Config) -> Iterator[Finding]:
    """What is not looked at because this configuration, without more flags, does not use it."""
    http = config.http
    unseen = []
    if not http.enabled:
        unseen.append("the address, credentials, certificate and metrics of HTTP (it is off)")
    elif not http.tls.enabled and http.tls.cert_file is not None:
        unseen.append("the certificate (TLS is off)")
    if http.enabled and not http.auth.enabled:
        unseen.append("tokens and users (authentication is off)")
    if unseen:
        yield ok("not looked at", f"{', '.join(unseen)}; {_SEEN_WITH}")


def file_findings(
    what: str,
    path: Path,
    describe: Callable[[bytes, str], str],
    verb: str,
    *,
    required: bool = True,
) -> Iterator[Finding]:
    """Whether a credential file can be used, and by nobody else."""
    try:
        refuse_if_others_can_write(path)
        data = read(path)
        if data is None:
            said = warning if not required else error
            yield said(what, f"{path} is not there", f"Make it with: {COMMAND} {verb}")
            return
        yield ok(what, f"{path}: {describe(data, str(path))}")
        yield from exposure(what, path, can="read")
    except FileError as failure:
        yield error(what, failure.message, failure.hint or "Mend the file.")


def attenuation_findings(auth: Auth) -> Iterator[Finding]:
    """Whether the tokens that their holders can narrow have the key that made them; nothing where
    there are none."""
    what, path = "attenuation key", auth.attenuation_key_file
    try:
        tokens = parse_tokens(read(auth.token_file) or b"", str(auth.token_file)).tokens
    except FileError:  # said of the file itself
        return
    attenuable = [token.attenuable for token in tokens if token.attenuable is not None]
    if not attenuable:
        return
    mend = "Put the key back, or remove these tokens and make others."
    try:
        refuse_if_others_can_write(path)
        key = AttenuationKey.of(read_key(path, mend))
    except FileError as failure:
        yield error(what, failure.message, failure.hint or mend)
        return
    refused = sum(other != key.id for other in attenuable)
    if refused:
        yield error(what, f"{path}: another key made {refused} attenuable tokens", mend)
    else:
        yield ok(what, f"{path}: of {len(attenuable)} attenuable tokens")
    yield from exposure(what, path)


def _tokens(now: datetime) -> Callable[[bytes, str], str]:
    def describe(data: bytes, origin: str) -> str:
        tokens = parse_tokens(data, origin).tokens
        expired = sum(token.expired(now) for token in tokens)
        return f"{len(tokens) - expired} valid tokens, {expired} expired"

    return describe


def _users(data: bytes, origin: str) -> str:
    return f"{len(parse_users(data, origin).users)} users"
