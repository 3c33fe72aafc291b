"""The server's side of TLS: one context, made from files, replaced when they change.

The rule: a pair that cannot be used never replaces one that can.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgmcp.config.model import Tls
from pgmcp.config.subject import of_certificate
from pgmcp.errors import ConfigError

_LINE_END = b"\n"
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """What a verified certificate says of the client: its canonical subject, and until when
    (seconds since 1970)."""

    subject: str
    not_after: float

    def valid(self, now: float) -> bool:
        """Whether it still holds: a connection may outlive it."""
        return now < self.not_after


def client_certificate(peer: Mapping[str, Any] | None) -> ClientCertificate | None:
    """The client's, from `getpeercert`, which is empty unless OpenSSL verified its chain."""
    if not peer:
        return None
    return ClientCertificate(
        of_certificate(peer["subject"]), ssl.cert_time_to_seconds(peer["notAfter"])
    )


class ServerTls:
    """The certificate that new connections are shown. ConfigError for a pair that is no good."""

    def __init__(self, config: Tls) -> None:
        self._config = config
        self._context = load(config)

    @property
    def asks_clients(self) -> bool:
        """Whether clients are asked for a certificate."""
        return self._config.client_auth != "none"

    def context(self) -> ssl.SSLContext:
        """The context of the last good pair."""
        return self._context

    def reload(self) -> None:
        """Read the files again; new connections get the new pair, open ones keep theirs.

        ConfigError when they are no good: then everything stays as it was.
        """
        self._context = load(self._config)

    def take(self, other: ServerTls) -> None:
        """Show what `other` shows from now on, and follow its files."""
        self._config, self._context = other._config, other._context


def files(config: Tls) -> tuple[Path, ...]:
    """The files whose changes `ServerTls.reload` takes over."""
    named = (config.cert_file, config.key_file, config.chain_file, config.client_ca_file)
    return tuple(path for path in named if path is not None)


def load(config: Tls) -> ssl.SSLContext:
    """A context for TLS 1.2 and later that shows `cert_file`, followed by `chain_file` if given.

    ConfigError when a file is missing, unreadable, no PEM, encrypted, or not the other's pair.
    """
    certificate = _require(config.cert_file, "http.tls.cert_file (or -cert)")
    key = _require(config.key_file, "http.tls.key_file (or -key)")
    pem = _read(certificate, "certificate")
    if config.chain_file is not None:
        chain = _read(config.chain_file, "chain")
        if _CERTIFICATE not in chain:  # OpenSSL would leave it out without a word
            raise ConfigError(
                f"the TLS chain {config.chain_file} holds no certificate",
                "Give a PEM file with the intermediate certificates, or leave chain_file out.",
            )
        pem += _LINE_END + chain
    _read(key, "key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load_pair(context, pem, certificate, key)
    if config.client_auth != "none":
        _ask_for_certificate(context, config)
    return context


def _ask_for_certificate(context: ssl.SSLContext, config: Tls) -> None:
    """Have clients show a certificate; one that does not lead to the authority ends the handshake.

    No tickets: a resumed session would not be verified again.
    """
    authority = _require(config.client_ca_file, "http.tls.client_ca_file")
    pem = _read(authority, "client authority")
    try:
        context.load_verify_locations(cadata=pem.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError):
        raise ConfigError(
            f"the TLS client authority {authority} holds no certificate that can be read",
            "Give a PEM file with the certificates that clients' certificates lead to.",
        ) from None
    required = config.client_auth == "require"
    context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0


def _load_pair(context: ssl.SSLContext, pem: bytes, certificate: Path, key: Path) -> None:
    def no_password() -> str:
        # Without this OpenSSL would ask on the terminal, in the middle of serving.
        raise ConfigError(
            f"the TLS key {key} is encrypted",
            "Give a key without a passphrase: openssl pkey -in KEY -out PLAIN_KEY",
        )

    # load_cert_chain takes a file only. The certificates are public; the key stays where it is.
    descriptor, name = tempfile.mkstemp(suffix=".pem")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
        context.load_cert_chain(name, key, password=no_password)
    except ssl.SSLError as error:
        raise ConfigError(
            f"the TLS certificate {certificate} and the key {key} cannot be used: {_reason(error)}",
            "Check that both are PEM files, and that the key belongs to the certificate.",
        ) from None
    finally:
        Path(name).unlink()


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


def _read(path: Path, kind: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot read the TLS {kind} {path}: {error.strerror}",
            "Check the path and that this user may read it.",
        ) from None
