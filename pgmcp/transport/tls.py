"""The server's side of TLS: one context, made from files, replaced when they change.

The rule: a pair that cannot be used never replaces one that can, and one that is not valid now
never one that is.
"""

from __future__ import annotations

import hashlib
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pgmcp.config.tls import Tls
from pgmcp.errors import ConfigError
from pgmcp.transport import pem
from pgmcp.transport.certificate import Certificate, certificates

_LINE_END = b"\n"
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_VERIFY = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "require": ssl.CERT_REQUIRED,
}

_log = logging.getLogger("pgmcp.tls")


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and a key that OpenSSL took; what is shown is None when we cannot read it.

    `digest` is that of all that was read.
    """

    file: Path
    digest: bytes
    context: ssl.SSLContext
    shown: Certificate | None

    def validity_problem(self, now: datetime) -> str | None:
        """Why clients refuse the certificate at `now`, None when they need not."""
        problem = self.shown.validity_problem(now) if self.shown is not None else None
        return problem and f"the TLS certificate {self.file} {problem}"


class ServerTls:
    """The certificate that new connections are shown. ConfigError for a pair that is no good.

    One that has expired or is not valid yet is shown when there is none better, and the log says
    so: a server that does not start helps nobody. `before` shows what this would replace.
    """

    def __init__(
        self,
        config: Tls,
        before: ServerTls | None = None,
        *,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._config = config
        self._clock = clock
        self._pair: Pair = self._better(None if before is None else before._pair)

    @property
    def asks_clients(self) -> bool:
        """Whether clients are asked for a certificate."""
        return self._config.client_auth != "none"

    def context(self) -> ssl.SSLContext:
        """The context for a new connection, with the last good pair."""
        context = self._pair.context
        return context if context.verify_mode is ssl.CERT_NONE else _without_past(context)

    def reload(self) -> bool:
        """Read the files again; new connections get the new pair, open ones keep theirs.

        False when they say the same as before. ConfigError when they are no good: then everything
        stays as it was.
        """
        before, self._pair = self._pair, self._better(self._pair)
        return self._pair.digest != before.digest

    def take(self, other: ServerTls) -> None:
        """Show what `other` shows from now on, and follow its files."""
        self._config, self._pair = other._config, other._pair

    def _better(self, before: Pair | None) -> Pair:
        """The pair of the files; ConfigError when the one before is valid and this one is not."""
        pair, now = load(self._config), self._clock()
        problem = pair.validity_problem(now)
        if problem is None:
            return pair
        if before is not None and before.validity_problem(now) is None:
            raise ConfigError(
                f"{problem}; the one before is still valid, and stays",
                "Put a certificate that is valid now in its place, with its key.",
            )
        _log.error("Clients will refuse to connect: %s", problem)
        return pair


def files(config: Tls) -> tuple[Path, ...]:
    """The files whose changes `ServerTls.reload` takes over."""
    named = (config.cert_file, config.key_file, config.chain_file, config.client_ca_file)
    return tuple(path for path in named if path is not None)


def load(config: Tls) -> Pair:
    """The pair, in a context that shows `cert_file`, followed by `chain_file` if given.

    ConfigError when a file is missing, unreadable, no PEM, encrypted, or not the other's pair.
    """
    certificate = _require(config.cert_file, "http.tls.cert_file (or -cert)")
    key = _require(config.key_file, "http.tls.key_file (or -key)")
    shown = pem.read(certificate, "certificate")
    chain = b""
    if config.chain_file is not None:
        chain = pem.read(config.chain_file, "chain")
        if _CERTIFICATE not in chain:  # OpenSSL would leave it out without a word
            raise ConfigError(
                f"the TLS chain {config.chain_file} holds no certificate",
                "Give a PEM file with the intermediate certificates, or leave chain_file out.",
            )
    secret, trusted = pem.read(key, "key"), b""
    context = _context(_VERIFY[config.client_auth])
    _load_pair(context, shown + _LINE_END + chain, secret, certificate, key)
    if context.verify_mode is not ssl.CERT_NONE:
        authority = _require(config.client_ca_file, "http.tls.client_ca_file")
        trusted = pem.read(authority, "client authority")
        _trust(context, trusted, authority)
    parts = (shown, chain, secret, trusted)
    digest = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()
    return Pair(certificate, digest, context, _first(shown))


def _first(shown: bytes) -> Certificate | None:
    try:
        return certificates(shown)[0]
    except ValueError:  # OpenSSL knows forms of PEM and of time that we do not
        return None


def _context(verify: ssl.VerifyMode) -> ssl.SSLContext:
    """TLS 1.2 and later, with no pair yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.verify_mode = verify
    if verify is not ssl.CERT_NONE:  # a ticket is a session that is kept by the client
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    return context


def _without_past(shared: ssl.SSLContext) -> ssl.SSLContext:
    """A context for one connection, which goes on with `shared`.

    A resumed session brings the client's certificate without the key, and without verifying it
    again. TLS 1.2 resumes by an id that OpenSSL looks up in the context which a connection begins
    with, and the ssl module cannot switch that off; but a new context has no past. It costs a
    tenth of making `shared` once more.
    """
    context = _context(shared.verify_mode)

    def go_on(sock: Any, _name: str | None, first: ssl.SSLContext) -> None:
        sock.first_context = first  # OpenSSL keeps a pointer to it, and the socket no reference
        sock.context = shared

    context.sni_callback = go_on  # called for each handshake, whether a name was sent or not
    return context


def _trust(context: ssl.SSLContext, trusted: bytes, authority: Path) -> None:
    """Let in whose certificate leads to the authority; another one ends the handshake."""
    try:
        context.load_verify_locations(cadata=trusted.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError):
        raise ConfigError(
            f"the TLS client authority {authority} holds no certificate that can be read",
            "Give a PEM file with the certificates that clients' certificates lead to.",
        ) from None


def _load_pair(
    context: ssl.SSLContext, shown: bytes, secret: bytes, certificate: Path, key: Path
) -> None:
    def no_password() -> str:
        # Without this OpenSSL would ask on the terminal, in the middle of serving.
        raise ConfigError(
            f"the TLS key {key} is encrypted",
            "Give a key without a passphrase: openssl pkey -in KEY -out PLAIN_KEY",
        )

    try:
        # Two files: the certificate's may hold another key.
        with pem.as_path(shown) as shown_path, pem.as_path(secret) as secret_path:
            context.load_cert_chain(shown_path, secret_path, password=no_password)
    except ssl.SSLError as error:
        raise ConfigError(
            f"the TLS certificate {certificate} and the key {key} cannot be used: {_reason(error)}",
            "Check that both are PEM files, and that the key belongs to the certificate.",
        ) from None
    except OSError as error:
        raise ConfigError(
            f"cannot hand the TLS certificate {certificate} to OpenSSL: {error.strerror or error}",
            "Free memory, space or descriptors, or set TMPDIR to a folder that can be written to.",
        ) from None


def _reason(error: ssl.SSLError) -> str:
    known = {
        "KEY_VALUES_MISMATCH": "the key does not belong to the certificate",
        "NO_START_LINE": "no PEM block was found",
        "PEM_LIB": "the PEM blocks cannot be read",
        "EE_KEY_TOO_SMALL": "the key is too small",
    }
    return known.get(error.reason or "", (error.reason or str(error)).lower().replace("_", " "))


def _require(path: Path | None, key: str) -> Path:
    if path is None:
        raise ConfigError(f"TLS is on but {key} is not set", "Set it, or switch TLS off.")
    return path
