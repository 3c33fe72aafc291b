"""The section `http.tls`: the server's certificate, and the certificates of its clients."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pgmcp.config.key import Key, key, made_of
from pgmcp.config.kinds import BOOLEAN, NAME, PATH, choice
from pgmcp.config.layers import Layer, Settings, fill, named
from pgmcp.config.subject import canonical

PREFIX = "http.tls."
ClientAuth = Literal["none", "optional", "require"]
Subjects = tuple[tuple[str, str], ...]
"""Canonical subjects (`pgmcp.config.subject`), each with the id of an API token."""
_SUBJECTS = f"{PREFIX}client_subjects."


@dataclass(frozen=True, slots=True)
class Tls:
    """The server's certificate. `chain_file` holds intermediates that `cert_file` does not.

    `client_ca_file` vouches for clients' certificates, unless `client_auth` is none.
    """

    enabled: bool = key(
        False,
        BOOLEAN,
        "Serve HTTPS instead of HTTP.",
        env="PGEDGE_TLS_ENABLED",
        flag="tls",
        restart=True,
    )
    cert_file: Path | None = key(
        None,
        PATH,
        "The server's certificate (PEM).",
        env="PGEDGE_TLS_CERT_FILE",
        flag="cert",
    )
    key_file: Path | None = key(
        None,
        PATH,
        "The certificate's private key (PEM).",
        env="PGEDGE_TLS_KEY_FILE",
        flag="key",
    )
    chain_file: Path | None = key(
        None,
        PATH,
        "Intermediate certificates (PEM) that the certificate's file does not hold.",
        env="PGEDGE_TLS_CHAIN_FILE",
        flag="chain",
    )
    client_ca_file: Path | None = key(
        None, PATH, "Certificates (PEM) that clients' certificates must lead to."
    )
    client_auth: ClientAuth = key(
        "none",
        choice(*get_args(ClientAuth)),
        "Whether clients show a certificate: none, optional or require.",
        default_note="`optional` with http.tls.client_ca_file, else `none`",
    )
    client_subjects: Subjects = made_of(
        Key(
            "client_subjects.NAME",
            NAME,
            None,
            "The id of the API token that a client with this certificate subject acts as, unless "
            "it sends a token itself.",
            example="CN=app1,O=Example",
        ),
        default=(),
    )


def build(settings: Settings) -> Tls:
    """The section's value. It reads no file. ConfigError for keys that contradict each other."""
    subjects = _subjects(settings)
    enabled = settings["http.tls.enabled"]
    cert, private = settings["http.tls.cert_file"], settings["http.tls.key_file"]
    chain = settings["http.tls.chain_file"]
    for needed, flag in ((cert, "-cert"), (private, "-key")):
        if enabled.value and needed.value is None:
            enabled.refuse(f"TLS needs {needed.label}", f"Set {needed.label}, or give {flag}.")
    for given, missing in ((cert, private), (private, cert), (chain, cert)):
        if given.value is not None and missing.value is None:
            given.refuse(f"{missing.label} is missing", "Give both or neither.")
    if not enabled.value:
        for setting in (cert, private, chain):
            if setting.layer is Layer.FLAG:
                setting.refuse("it has no effect while TLS is off", "Add -tls.")
    client_auth = _client_auth(settings)
    if subjects and client_auth == "none" and enabled.value:
        authority = settings["http.tls.client_ca_file"]
        authority.refuse(
            f"{_SUBJECTS}* have no effect while clients show no certificate",
            f"Set {authority.label}, and leave http.tls.client_auth out or set it to optional.",
        )
    return fill(Tls, settings, PREFIX, client_auth=client_auth, client_subjects=subjects)


def _client_auth(settings: Settings) -> ClientAuth:
    authority, wanted = settings["http.tls.client_ca_file"], settings["http.tls.client_auth"]
    client_auth: ClientAuth = wanted.value
    if authority.value is not None and wanted.layer is Layer.DEFAULT:
        client_auth = "optional"
    if authority.value is None and client_auth != "none":
        wanted.refuse(
            f"{authority.label} is missing", "Name the certificates that vouch for clients."
        )
    return client_auth


def _subjects(settings: Settings) -> Subjects:
    tokens: dict[str, str] = {}
    for name, setting in named(settings, _SUBJECTS):
        try:
            subject = canonical(name)
        except ValueError as error:
            setting.refuse(
                str(error), "openssl x509 -noout -subject -nameopt RFC2253 -in CERT shows it."
            )
        if subject in tokens:
            setting.refuse("this subject is there twice", "Keep one of the two.")
        if setting.value is not None:
            tokens[subject] = setting.value
    return tuple(tokens.items())
