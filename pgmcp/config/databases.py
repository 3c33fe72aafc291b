"""The section `databases`: one entry for each database, with libpq's defaults.

The rule: what libpq would do with the same words is what happens here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pgmcp.config import pgpass, sslmode
from pgmcp.config.key import Key, key, keys_of, made_of
from pgmcp.config.kinds import (
    BOOLEAN,
    DURATION,
    HOSTS,
    NAME,
    NAMES,
    PATH,
    PORTS,
    SECRET,
    TEXT,
    choice,
    whole,
)
from pgmcp.config.layers import Inputs, Settings, fill
from pgmcp.config.sslmode import Ssl
from pgmcp.config.values import Host, Secret

Statistics = Literal["none", "own", "all"]
SessionAttrs = Literal["any", "read-write", "read-only", "primary", "standby", "prefer-standby"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """One configured database. `passwords` are already looked up, one for each of `hosts`.

    `hosts` are tried in order. `available_to_users` reserves it for those users; empty: for all.
    `trusted_functions` are `schema.name` of functions that a read may call unseen.
    """

    name: str = key(
        "default", NAME, "What tokens and tools call this database; unique in the list."
    )
    hosts: tuple[Host, ...] = made_of(
        Key(
            "host",
            HOSTS,
            "localhost",
            "A name, an address or a socket directory, or several separated by commas, tried in "
            "order.",
            env="PGEDGE_DB_HOST",
            flag="db-host",
            libpq_env="PGHOST",
        ),
        Key(
            "port",
            PORTS,
            5432,
            "The port, or one for each host, separated by commas.",
            env="PGEDGE_DB_PORT",
            flag="db-port",
            libpq_env="PGPORT",
        ),
    )
    database: str = key(
        None,
        TEXT,
        "The database's name on the server.",
        required=True,
        env="PGEDGE_DB_NAME",
        flag="db-name",
        libpq_env="PGDATABASE",
        default_note="the user's name",
    )
    user: str = key(
        None,
        TEXT,
        "The role to connect as; best one that may only read.",
        required=True,
        env="PGEDGE_DB_USER",
        flag="db-user",
        libpq_env="PGUSER",
        default_note="the operating system's user",
    )
    passwords: tuple[Secret | None, ...] = made_of(
        Key(
            "password",
            SECRET,
            None,
            "The role's password.",
            env="PGEDGE_DB_PASSWORD",
            flag="db-password",
            libpq_env="PGPASSWORD",
            default_note="looked up in `~/.pgpass`",
        ),
        Key(
            "password_file",
            PATH,
            None,
            "A file that holds the password and nothing else; only its owner may read it.",
        ),
    )
    ssl: Ssl = made_of(*sslmode.KEYS)
    available_to_users: tuple[str, ...] = key(
        (), NAMES, "The users this database is reserved for; empty for everybody."
    )
    pool_max_conns: int = key(
        4, whole(1, 1000), "The most connections one token or user holds to it."
    )
    pool_min_conns: int = key(0, whole(0, 1000), "Connections of a pool that stay open when idle.")
    pool_max_conn_idle_seconds: float = key(
        "30m", DURATION, "How long an idle connection is kept.", name="pool_max_conn_idle_time"
    )
    pool_max_conn_lifetime_seconds: float = key(
        "1h", DURATION, "How old a connection may become.", name="pool_max_conn_lifetime"
    )
    connect_timeout_seconds: float = key(
        "10s", DURATION, "How long connecting to one host may take.", name="connect_timeout"
    )
    statement_timeout_seconds: float = key(
        "30s",
        DURATION,
        "How long a statement may run; the role's own holds if shorter.",
        name="statement_timeout",
    )
    lock_timeout_seconds: float = key(
        "5s",
        DURATION,
        "How long one statement may wait for a lock; as above.",
        name="lock_timeout",
    )
    max_result_bytes: int = key(
        8 * 1024 * 1024, whole(1024, 1024 * 1024 * 1024), "Where a result is cut, in bytes."
    )
    trusted_functions: tuple[str, ...] = key(
        (),
        NAMES,
        "Functions, as schema.name, that a read may call although pgmcp cannot vouch for them.",
    )
    statistics: Statistics = key(
        "own",
        choice(*get_args(Statistics)),
        "What of pg_stat_activity, pg_stat_statements and their like a read may show: nothing "
        "(none), what PostgreSQL shows the role without the text of other callers of this server "
        "(own), or with it (all).",
    )
    require_safe_role: bool = key(
        False,
        BOOLEAN,
        "Refuse to serve this database to a role that could do more than read.",
    )
    target_session_attrs: SessionAttrs = key(
        "any",
        choice(*get_args(SessionAttrs)),
        "Which of several hosts is acceptable, as in libpq: any, read-write, read-only, primary, "
        "standby or prefer-standby.",
    )

    @property
    def label(self) -> str:
        """`user@host:port/database`, for people; never the password."""
        hosts = ",".join(
            f"[{h.host}]:{h.port}" if ":" in h.host else f"{h.host}:{h.port}" for h in self.hosts
        )
        return f"{self.user}@{hosts}/{self.database}"


KEYS = keys_of(DatabaseSettings)
"""The keys of one entry, by their paths in it."""


def build(settings: Settings, inputs: Inputs) -> tuple[DatabaseSettings, dict[str, str]]:
    """A database from the settings of its entry, and the sources of these settings.

    It asks the machine for passwords and certificates. ConfigError for what cannot be served.
    """
    _check_pool(settings)
    user = settings["user"].value or _system_user(inputs)
    if not user:
        settings["user"].refuse(
            "nobody says which role to connect as", "Set it, or PGEDGE_DB_USER."
        )
    database = settings["database"].value or user
    hosts = _hosts(settings)
    passwords, password_source = _passwords(settings, inputs, hosts, database, user)
    sources = {setting.label: setting.source for setting in settings.values()}
    sources[settings["password"].label] = password_source
    built = fill(
        DatabaseSettings,
        settings,
        hosts=hosts,
        database=database,
        user=user,
        passwords=passwords,
        ssl=sslmode.build(settings, inputs),
    )
    return built, sources


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
        secret = inputs.machine.secret(file.value, f"{file.source}: {file.label}", "password")
        return (secret,) * len(hosts), str(file.value)
    if password.value is not None:
        return (password.value,) * len(hosts), password.source
    store = _pgpass_file(inputs)
    lines = inputs.machine.pgpass(store) if store is not None else ()
    passwords = tuple(pgpass.find(lines, host, database, user) for host in hosts)
    return passwords, str(store) if any(passwords) else "default"


def _pgpass_file(inputs: Inputs) -> Path | None:
    named = inputs.environ.get("PGPASSFILE")
    if named and "\0" not in named:
        return inputs.cwd / named
    return None if inputs.home is None else inputs.home / ".pgpass"


def _system_user(inputs: Inputs) -> str:
    """The name of the operating system's user, as libpq takes it for a default; "" without one."""
    environ = inputs.environ
    return inputs.machine.user() or environ.get("USER") or environ.get("USERNAME") or ""
