"""The configuration as frozen values, ready to use: durations are seconds, paths are absolute.

The rule: no I/O and no default hidden elsewhere. `config.keys` is the table of every key with its
default, and `config.load` the only place that makes these values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

ClientAuth = Literal["none", "optional", "require"]
SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
Provider = Literal["ollama", "openai", "anthropic"]
SessionAttrs = Literal["any", "read-write", "read-only", "primary", "standby", "prefer-standby"]


class Secret:
    """A string that no message, log, repr or traceback shows by accident."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The string itself, for the one place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: `host` is "" for every interface, IPv6 without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Tls:
    """The server's certificate. `chain_file` holds intermediates that `cert_file` does not.

    `client_ca_file` vouches for clients' certificates, unless `client_auth` is none.
    `client_subjects` pairs canonical subjects (`pgmcp.subject`) with ids of API tokens.
    """

    enabled: bool
    cert_file: Path | None
    key_file: Path | None
    chain_file: Path | None
    client_ca_file: Path | None = None
    client_auth: ClientAuth = "none"
    client_subjects: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Auth:
    """The front door. `max_failed_attempts_before_lockout` 0 means that accounts never lock."""

    enabled: bool
    token_file: Path
    user_file: Path
    rate_limit_window_seconds: float
    rate_limit_max_attempts: int
    rate_limit_max_bad_tokens: int
    max_failed_attempts_before_lockout: int
    password_min_length: int
    max_sessions_per_user: int


@dataclass(frozen=True, slots=True)
class Http:
    """The HTTP side. `trusted_proxies` are networks in CIDR form; `allowed_hosts` are hosts, some
    with `:port`, as `authority.parse` spells them."""

    enabled: bool
    address: Address
    tls: Tls
    auth: Auth
    trusted_proxies: tuple[str, ...]
    allowed_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Host:
    """One place where a database may be: a name, an address, or a directory with its socket."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Ssl:
    """TLS towards PostgreSQL, in libpq's terms.

    With `verify-ca` or `verify-full`, `root_cert` None means the machine's own trusted roots.
    `require` beside a root certificate has become `verify-ca` here already, as in libpq.
    """

    mode: SslMode
    root_cert: Path | None
    cert: Path | None
    key: Path | None


@dataclass(frozen=True, slots=True)
class Database:
    """One configured database. `password` is already looked up, from wherever it stood.

    `hosts` are tried in order. `available_to_users` reserves it for those users; empty: for all.
    `trusted_functions` are `schema.name` of functions that a read may call unseen.
    """

    name: str
    hosts: tuple[Host, ...]
    database: str
    user: str
    passwords: tuple[Secret | None, ...]
    ssl: Ssl
    available_to_users: tuple[str, ...]
    pool_max_conns: int
    pool_min_conns: int
    pool_max_conn_idle_seconds: float
    connect_timeout_seconds: float
    statement_timeout_seconds: float
    target_session_attrs: SessionAttrs
    pool_max_conn_lifetime_seconds: float = 3600.0
    lock_timeout_seconds: float = 5.0
    max_result_bytes: int = 8 * 1024 * 1024
    trusted_functions: tuple[str, ...] = ()
    require_safe_role: bool = False

    @property
    def label(self) -> str:
        """`user@host:port/database`, for people; never the password."""
        hosts = ",".join(
            f"[{h.host}]:{h.port}" if ":" in h.host else f"{h.host}:{h.port}" for h in self.hosts
        )
        return f"{self.user}@{hosts}/{self.database}"


@dataclass(frozen=True, slots=True)
class Log:
    """The log. `file` None means standard error; `sql` lets SQL text into it."""

    format: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "info"
    file: Path | None = None
    sql: bool = False
    slow_call_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class Audit:
    """The record of every call. With `required` no answer goes out before its record is safe."""

    file: Path
    required: bool
    sql: bool
    key_file: Path
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Metrics:
    """Who may read /metrics: whoever has the token in the file, without one this machine."""

    enabled: bool = False
    token_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Url:
    """Where an HTTP service is. `path` begins with a slash or is empty, and never ends with one."""

    tls: bool
    host: Host
    path: str


@dataclass(frozen=True, slots=True)
class Llm:
    """The language model that is asked what the grammar declines."""

    provider: Provider
    model: str
    base_url: Url
    api_key: Secret | None = None
    timeout_seconds: float = 30.0
    max_concurrent: int = 4


@dataclass(frozen=True, slots=True)
class Features:
    """The names that `builtins` may switch off. A resource goes by its name and by its URI."""

    tools: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    prompts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Config:
    """Everything. `sources` says for each key (`http.address`, `databases[0].host`) where its
    value came from: "default", the file's path, "environment variable NAME" or "flag -x".

    `hidden_resources` holds what the file says: names or URIs.
    """

    file: Path | None
    http: Http
    databases: tuple[Database, ...]
    hidden_tools: frozenset[str]
    hidden_resources: frozenset[str]
    hidden_prompts: frozenset[str]
    max_connections_total: int
    debug: bool
    sources: Mapping[str, str] = field(default_factory=dict)
    log: Log = field(default_factory=Log)
    audit: Audit | None = None
    metrics: Metrics = field(default_factory=Metrics)
    llm: Llm | None = None
