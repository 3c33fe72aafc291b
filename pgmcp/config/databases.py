"""From the settings of one `databases` entry to a Database, with libpq's defaults.

The rule: what libpq would do with the same words is what happens here; where libpq would quietly
check less than was asked for, this refuses.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pgmcp.config import pgpass
from pgmcp.config.document import flatten, type_name
from pgmcp.config.keys import DATABASE_KEYS
from pgmcp.config.layers import Inputs, Layer, Setting, Settings, resolve
from pgmcp.config.model import Database, Host, Secret, Ssl
from pgmcp.errors import ConfigError

_PATHS = [key.path for key in DATABASE_KEYS]
_VERIFYING = ("verify-ca", "verify-full")


def entries(listed: object, inputs: Inputs) -> list[dict[str, Setting]]:
    """The settings of every entry of `databases`; without a list, of one named `default`.

    The flags and PGEDGE_DB_* count for the first entry, libpq's variables without a list only.
    """
    if listed is not None and not isinstance(listed, list):
        raise ConfigError(
            f"{inputs.file}: databases must be a list, not {type_name(listed)}",
            'Begin every database with a dash: "- name: main".',
        )
    if not listed:
        return [resolve(DATABASE_KEYS, {}, inputs, prefix="databases[0].", libpq=True)]
    assert inputs.file is not None
    plain = replace(inputs, options={}, environ={})
    found = []
    for index, node in enumerate(listed):
        prefix = f"databases[{index}]."
        section = flatten(node, _PATHS, inputs.file, prefix)
        if section.get("name") in (None, ""):
            raise ConfigError(
                f"{inputs.file}: {prefix}name is missing", "Give every database a name of its own."
            )
        found.append(resolve(DATABASE_KEYS, section, plain if index else inputs, prefix=prefix))
    _refuse_duplicates(found)
    return found


def build(
    settings: Settings, inputs: Inputs, *, connects: bool = True
) -> tuple[Database, dict[str, str]]:
    """A Database, and the sources of its settings. It reads password files and no other.

    A command that does not connect needs no role to connect as.
    """
    _check_pool(settings)
    user = settings["user"].value or _system_user(inputs.environ)
    if connects and not user:
        settings["user"].refuse(
            "nobody says which role to connect as", "Set it, or PGEDGE_DB_USER."
        )
    database = settings["database"].value or user
    hosts = _hosts(settings)
    passwords, password_source = _passwords(settings, inputs, hosts, database, user)
    sources = {setting.label: setting.source for setting in settings.values()}
    sources[settings["password"].label] = password_source
    return (
        Database(
            name=settings["name"].value,
            hosts=hosts,
            database=database,
            user=user,
            passwords=passwords,
            ssl=_ssl(settings, inputs.home),
            available_to_users=settings["available_to_users"].value,
            pool_max_conns=settings["pool_max_conns"].value,
            pool_min_conns=settings["pool_min_conns"].value,
            pool_max_conn_idle_seconds=settings["pool_max_conn_idle_time"].value,
            connect_timeout_seconds=settings["connect_timeout"].value,
            statement_timeout_seconds=settings["statement_timeout"].value,
            target_session_attrs=settings["target_session_attrs"].value,
            pool_max_conn_lifetime_seconds=settings["pool_max_conn_lifetime"].value,
            lock_timeout_seconds=settings["lock_timeout"].value,
            max_result_bytes=settings["max_result_bytes"].value,
            trusted_functions=settings["trusted_functions"].value,
            require_safe_role=settings["require_safe_role"].value,
        ),
        sources,
    )


def _refuse_duplicates(found: Sequence[Settings]) -> None:
    names: dict[str, str] = {}
    for settings in found:
        name = settings["name"]
        if name.value in names:
            name.refuse(
                f"the name {name.value!r} is taken by {names[name.value]}",
                "Give every database a name of its own.",
            )
        names[name.value] = name.label


def _check_pool(settings: Settings) -> None:
    least, most = settings["pool_min_conns"], settings["pool_max_conns"]
    if least.value > most.value:
        least.refuse(
            f"{least.value} is more than pool_max_conns, {most.value} ({most.source})",
            "Lower the one or raise the other.",
        )


def _hosts(settings: Settings) -> tuple[Host, ...]:
    names, ports = settings["host"], settings["port"]
    if len(ports.value) not in (1, len(names.value)):
        ports.refuse(
            f"{len(ports.value)} ports for {len(names.value)} host(s) ({names.source})",
            "Give one port for all hosts, or one for each.",
        )
    repeated = ports.value * len(names.value) if len(ports.value) == 1 else ports.value
    return tuple(Host(host, port) for host, port in zip(names.value, repeated, strict=True))


def _passwords(
    settings: Settings, inputs: Inputs, hosts: Sequence[Host], database: str, user: str
) -> tuple[tuple[Secret | None, ...], str]:
    """One password for each host, and where they came from."""
    password, file = settings["password"], settings["password_file"]
    if password.value is not None and file.value is not None and password.layer == file.layer:
        password.refuse("there is a password_file too", "Keep one of them, best the password_file.")
    if file.value is not None and password.layer < file.layer:
        secret = pgpass.read_single(file.value, f"{file.source}: {file.label}")
        return (secret,) * len(hosts), str(file.value)
    if password.value is not None:
        return (password.value,) * len(hosts), password.source
    store = _pgpass_file(inputs)
    lines = pgpass.read(store) if store is not None else []
    found = tuple(pgpass.find(lines, host, database, user) for host in hosts)
    return found, str(store) if any(found) else "default"


def _pgpass_file(inputs: Inputs) -> Path | None:
    named = inputs.environ.get("PGPASSFILE")
    if named and "\0" not in named:
        return inputs.cwd / named
    return None if inputs.home is None else inputs.home / ".pgpass"


def _ssl(settings: Settings, home: Path | None) -> Ssl:
    mode, root = settings["sslmode"], settings["sslrootcert"]
    chosen = mode.value
    if root.value == "system":
        # libpq: with the machine's own roots anybody's certificate would pass, but for its name.
        if mode.layer is not Layer.DEFAULT and chosen != "verify-full":
            root.refuse(
                f"system cannot go with sslmode {chosen} ({mode.source})",
                "Set sslmode to verify-full.",
            )
        return Ssl("verify-full", None, *_client_certificate(settings))
    if root.value is not None and chosen in ("disable", "allow", "prefer"):
        root.refuse(
            f"sslmode {chosen} ({mode.source}) would not check the server against it",
            "Set sslmode to verify-full, or remove sslrootcert.",
        )
    root_cert = root.value or _default_root(home)
    if chosen == "require" and root_cert is not None:
        chosen = "verify-ca"  # libpq, "Client Verification of Server Certificates"
    if chosen in _VERIFYING and root_cert is None:
        mode.refuse(
            f"{chosen} needs root certificates",
            "Name them with sslrootcert, or set sslrootcert to system.",
        )
    if root.value is not None:
        _require_file(root)
    return Ssl(chosen, root_cert if chosen in _VERIFYING else None, *_client_certificate(settings))


def _client_certificate(settings: Settings) -> tuple[Path | None, Path | None]:
    cert, key = settings["sslcert"], settings["sslkey"]
    for setting, other in ((cert, key), (key, cert)):
        if setting.value is not None and other.value is None:
            setting.refuse(f"{other.label} is missing", "Give both or neither.")
        if setting.value is not None:
            _require_file(setting)
    return cert.value, key.value


def _require_file(setting: Setting) -> None:
    try:
        is_file = setting.value.is_file()
    except OSError:
        is_file = False
    if not is_file:
        setting.refuse(f"there is no file {setting.value}", "Check the path.")


def _default_root(home: Path | None) -> Path | None:
    root = None if home is None else home / ".postgresql" / "root.crt"
    try:
        return root if root is not None and root.is_file() else None
    except OSError:
        return None


def _system_user(environ: Mapping[str, str]) -> str:
    """The name of the operating system's user, as libpq takes it for a default; "" without one."""
    try:
        import pwd

        return pwd.getpwuid(os.geteuid()).pw_name
    except (ImportError, KeyError):  # Windows; a user id without an entry, as in containers
        return environ.get("USER") or environ.get("USERNAME") or ""
