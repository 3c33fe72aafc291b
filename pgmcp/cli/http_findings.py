"""What `-check` finds out about serving HTTP: the address, the certificate, and clients' subjects.

The rule: what ends the start is an error; what starts and is not well is a warning.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from pgmcp.cli.finding import OTHERS, Finding, error, exposure, ok, warning
from pgmcp.config.http import Http
from pgmcp.config.tls import Tls
from pgmcp.config.values import Address
from pgmcp.errors import ConfigError, FileError
from pgmcp.storage.files import read
from pgmcp.stores.token_file import parse_tokens
from pgmcp.transport import pem
from pgmcp.transport.certificate import Certificate, certificates
from pgmcp.transport.listen import listen
from pgmcp.transport.origin import is_loopback
from pgmcp.transport.tls import load

_SOON_DAYS = 30
_OWN, _OWN_OF_ROOT = 0o600, 0o640  # a key of root's is often read by a group, as for PostgreSQL
_RENEW = "Put a new certificate and key in place; a running server takes them over."


def address_findings(address: Address) -> Iterator[Finding]:
    """Whether the address can be listened on, by listening there for a moment."""
    try:
        for listener in listen(address, 1):
            listener.close()
    except ConfigError as failure:
        cause = failure.__cause__
        number = cause.errno if isinstance(cause, OSError) else None
        if number == errno.EADDRINUSE:
            yield warning(
                "address",
                f"{address} is in use by another process",
                "Nothing to do if that is pgmcp, running already, or systemd, which will hand the "
                "socket over.\nElse pgmcp will not start: stop that process, or choose another "
                "port with http.address or -addr.",
            )
        elif number == errno.EACCES:
            yield warning(
                "address",
                f"{address}: this user may not listen on this port",
                "Nothing to do if systemd will hand the socket over, or its unit gives the right "
                "to.\nElse pgmcp will not start: choose a port from 1024 on with http.address or "
                "-addr.",
            )
        else:
            yield error("address", failure.message, failure.hint)
        return
    yield ok("address", f"{address} can be listened on")


def host_findings(http: Http) -> Iterator[Finding]:
    """By which names the server may be called, where a page in a browser could make one up; and by
    pages of which origins."""
    if http.allowed_origins:
        yield ok("allowed origins", ", ".join(http.allowed_origins))
    if http.allowed_hosts:
        local = " and this machine's own names" if is_loopback(http.address.host) else ""
        yield ok("allowed hosts", ", ".join(http.allowed_hosts) + local)
    elif not http.auth.enabled and not is_loopback(http.address.host):
        yield warning(
            "allowed hosts",
            "any: without authentication, a page in a browser that reaches the server can call it "
            "by a name of its own",
            "List the names that clients call in http.allowed_hosts.",
        )


def certificate_findings(tls: Tls, now: datetime) -> Iterator[Finding]:
    """Whether the pair can be served, and for how long; whether the key is kept from others."""
    try:
        load(tls)
        assert tls.cert_file is not None
        assert tls.key_file is not None
        shown = pem.read(tls.cert_file, "certificate")
        chain = pem.read(tls.chain_file, "chain") if tls.chain_file else b""
        clients = tls.client_ca_file if tls.client_auth != "none" else None
        authority = pem.read(clients, "client authority") if clients else b""
    except ConfigError as failure:
        yield error("certificate", failure.message, failure.hint)
        return
    yield from _shown(tls.cert_file, shown, now)
    if tls.chain_file is not None:
        yield from _chain(tls.chain_file, chain, shown, now)
    yield from _key(tls.key_file)
    if clients is not None:
        yield from _dates("client authority", clients, _known(authority), now)


def _known(data: bytes) -> list[Certificate]:
    """Those in a file that OpenSSL took; none when they are in a form that only OpenSSL knows."""
    try:
        return certificates(data)
    except ValueError:
        return []


def _shown(path: Path, data: bytes, now: datetime) -> Iterator[Finding]:
    known = _known(data)
    if known:
        yield _validity(path, known[0], now)
        yield from _dates("certificate", path, known[1:], now)
        return
    yield warning(
        "certificate",
        f"{path}: can be served, but its dates cannot be read",
        f"Look with: openssl x509 -noout -dates -in {path}",
    )


def _validity(path: Path, shown: Certificate, now: datetime) -> Finding:
    problem = shown.validity_problem(now)
    if problem is not None:
        return error("certificate", f"{path}: {problem}; clients refuse it", _RENEW)
    days = (shown.ends - now).days
    until = f"{path}: valid until {shown.ends:%Y-%m-%d}"
    if days < _SOON_DAYS:
        return warning("certificate", f"{until}, {days} days", _RENEW)
    return ok("certificate", until)


def _chain(path: Path, data: bytes, shown: bytes, now: datetime) -> Iterator[Finding]:
    known = _known(data)
    vouching = {certificate.subject for certificate in known}
    if known and not any(certificate.issuer in vouching for certificate in _known(shown)):
        yield warning(
            "chain",
            f"{path}: none of its certificates is the issuer of the server's",
            "Give the intermediates that came with the certificate, or leave chain_file out.",
        )
    yield from _dates("chain", path, known, now)


def _dates(what: str, path: Path, known: Sequence[Certificate], now: datetime) -> Iterator[Finding]:
    for certificate in known:
        problem = certificate.validity_problem(now)
        if problem is not None:
            yield warning(what, f"{path}: one of its certificates {problem}", "Renew the file.")


def _key(path: Path) -> Iterator[Finding]:
    with suppress(OSError):  # it was read a moment ago
        allowed = _OWN_OF_ROOT if path.stat().st_uid == 0 else _OWN
        yield from exposure("key", path, OTHERS & ~allowed, remedy=allowed)


def subject_findings(http: Http, now: datetime) -> Iterator[Finding]:
    """Whether each token that a client's certificate acts as is there."""
    if not http.auth.enabled or not http.tls.client_subjects:
        return
    path = http.auth.token_file
    try:
        tokens = parse_tokens(read(path) or b"", str(path)).tokens
    except FileError:
        return  # said of the token file already
    valid = {token.id for token in tokens if not token.expired(now)}
    for subject, token_id in http.tls.client_subjects:
        if token_id not in valid:
            yield warning(
                "client subject",
                f"{subject} acts as {token_id}, and {path} holds no valid token of that id",
                "Name one that -list-tokens shows in http.tls.client_subjects.",
            )
