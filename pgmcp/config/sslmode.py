"""TLS towards PostgreSQL: the `ssl…` keys of one database, in libpq's terms.

The rule: where libpq would quietly check less than was asked for, this refuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pgmcp.config.key import Key
from pgmcp.config.kinds import PATH, ROOT_CERTIFICATES, choice
from pgmcp.config.layers import Inputs, Layer, Setting, Settings

SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
_VERIFYING = ("verify-ca", "verify-full")

KEYS = (
    Key(
        "sslmode",
        choice(*get_args(SslMode)),
        "prefer",
        "TLS towards PostgreSQL, as in libpq: disable, allow, prefer, require, verify-ca or "
        "verify-full; require with a root certificate is verify-ca.",
        env="PGEDGE_DB_SSLMODE",
        flag="db-sslmode",
        libpq_env="PGSSLMODE",
    ),
    Key(
        "sslrootcert",
        ROOT_CERTIFICATES,
        None,
        "Root certificates to check the server's against; system for the machine's own.",
        libpq_env="PGSSLROOTCERT",
        default_note="`~/.postgresql/root.crt` if it exists",
    ),
    Key("sslcert", PATH, None, "A client certificate to present.", libpq_env="PGSSLCERT"),
    Key("sslkey", PATH, None, "The client certificate's private key.", libpq_env="PGSSLKEY"),
)


@dataclass(frozen=True, slots=True)
class Ssl:
    """TLS towards PostgreSQL.

    With `verify-ca` or `verify-full`, `root_cert` None means the machine's own trusted roots.
    `require` beside a root certificate has become `verify-ca` here already, as in libpq.
    """

    mode: SslMode
    root_cert: Path | None
    cert: Path | None
    key: Path | None


def build(settings: Settings, inputs: Inputs) -> Ssl:
    """The TLS of one database; it asks the machine whether the files are there.

    ConfigError for a mode that would not check the named certificates, and for a missing file.
    """
    mode, root = settings["sslmode"], settings["sslrootcert"]
    chosen = mode.value
    if root.value == "system":
        # libpq: with the machine's own roots anybody's certificate would pass, but for its name.
        if mode.layer is not Layer.DEFAULT and chosen != "verify-full":
            root.refuse(
                f"system cannot go with sslmode {chosen} ({mode.source})",
                "Set sslmode to verify-full.",
            )
        return Ssl("verify-full", None, *_client_certificate(settings, inputs))
    if root.value is not None and chosen in ("disable", "allow", "prefer"):
        root.refuse(
            f"sslmode {chosen} ({mode.source}) would not check the server against it",
            "Set sslmode to verify-full, or remove sslrootcert.",
        )
    root_cert = root.value or _default_root(inputs)
    if chosen == "require" and root_cert is not None:
        chosen = "verify-ca"  # libpq, "Client Verification of Server Certificates"
    if chosen in _VERIFYING and root_cert is None:
        mode.refuse(
            f"{chosen} needs root certificates",
            "Name them with sslrootcert, or set sslrootcert to system.",
        )
    if root.value is not None:
        _require_file(root, inputs)
    return Ssl(
        chosen, root_cert if chosen in _VERIFYING else None, *_client_certificate(settings, inputs)
    )


def _client_certificate(settings: Settings, inputs: Inputs) -> tuple[Path | None, Path | None]:
    cert, key = settings["sslcert"], settings["sslkey"]
    for setting, other in ((cert, key), (key, cert)):
        if setting.value is not None and other.value is None:
            setting.refuse(f"{other.label} is missing", "Give both or neither.")
        if setting.value is not None:
            _require_file(setting, inputs)
    return cert.value, key.value


def _require_file(setting: Setting, inputs: Inputs) -> None:
    if not inputs.machine.is_file(setting.value):
        setting.refuse(f"there is no file {setting.value}", "Check the path.")


def _default_root(inputs: Inputs) -> Path | None:
    if inputs.home is None:
        return None
    root = inputs.home / ".postgresql" / "root.crt"
    return root if inputs.machine.is_file(root) else None
