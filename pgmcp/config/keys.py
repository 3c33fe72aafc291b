"""The table of every configuration key: its kind, default, environment variable, flag and meaning.

The rule: nothing about a key is written twice. Loading, -help, the file that -init writes and the
table in the README are all made from these two tuples.
"""

from __future__ import annotations

from dataclasses import dataclass

from pgmcp.config.kinds import (
    ADDRESS,
    BOOLEAN,
    DURATION,
    HOSTS,
    NAME,
    NAMES,
    NETWORKS,
    PATH,
    PORTS,
    ROOT_CERTIFICATES,
    SECRET,
    TEXT,
    Kind,
    choice,
    whole,
)

FILE_NAME = "pgedge-postgres-mcp.yaml"
TOKEN_FILE_NAME = "pgedge-postgres-mcp-tokens.yaml"  # noqa: S105
USER_FILE_NAME = "pgedge-postgres-mcp-users.yaml"

Default = str | int | bool | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Key:
    """One key.

    `path` is dotted, and ends in `NAME` where the last part is free; in DATABASE_KEYS it is
    relative to an entry of `databases`.
    `default` is what a file would say, None for no value; `default_note` is for people.
    `libpq_env` counts only when no database is listed.
    `negated`: the flag, a boolean, says the opposite of the key.
    """

    path: str
    kind: Kind
    default: Default
    description: str
    env: str | None = None
    flag: str | None = None
    libpq_env: str | None = None
    default_note: str = ""
    negated: bool = False
    example: str = ""


KEYS: tuple[Key, ...] = (
    Key(
        "http.enabled",
        BOOLEAN,
        False,
        "Serve MCP over HTTP; without it, over standard input and output.",
        env="PGEDGE_HTTP_ENABLED",
        flag="http",
    ),
    Key(
        "http.address",
        ADDRESS,
        ":8080",
        "Where to listen: host:port, or :port for every interface.",
        env="PGEDGE_HTTP_ADDRESS",
        flag="addr",
        default_note="`:8080`; `127.0.0.1:8080` without authentication",
    ),
    Key(
        "http.trusted_proxies",
        NETWORKS,
        (),
        "Proxies, as addresses or networks, whose X-Forwarded-For header is believed.",
    ),
    Key(
        "http.tls.enabled",
        BOOLEAN,
        False,
        "Serve HTTPS instead of HTTP.",
        env="PGEDGE_TLS_ENABLED",
        flag="tls",
    ),
    Key(
        "http.tls.cert_file",
        PATH,
        None,
        "The server's certificate (PEM).",
        env="PGEDGE_TLS_CERT_FILE",
        flag="cert",
    ),
    Key(
        "http.tls.key_file",
        PATH,
        None,
        "The certificate's private key (PEM).",
        env="PGEDGE_TLS_KEY_FILE",
        flag="key",
    ),
    Key(
        "http.tls.chain_file",
        PATH,
        None,
        "Intermediate certificates (PEM) that the certificate's file does not hold.",
        env="PGEDGE_TLS_CHAIN_FILE",
        flag="chain",
    ),
    Key(
        "http.auth.enabled",
        BOOLEAN,
        True,
        "Ask every client for a token or a session; -no-auth turns it off (development only).",
        env="PGEDGE_AUTH_ENABLED",
        flag="no-auth",
        negated=True,
    ),
    Key(
        "http.auth.token_file",
        PATH,
        TOKEN_FILE_NAME,
        "The file of API tokens.",
        env="PGEDGE_AUTH_TOKEN_FILE",
        flag="token-file",
        default_note=f"`{TOKEN_FILE_NAME}` beside the program",
    ),
    Key(
        "http.auth.user_file",
        PATH,
        USER_FILE_NAME,
        "The file of user accounts.",
        env="PGEDGE_AUTH_USER_FILE",
        flag="user-file",
        default_note=f"`{USER_FILE_NAME}` beside the program",
    ),
    Key(
        "http.auth.rate_limit_window_minutes",
        whole(1, 1440),
        15,
        "How far back failed attempts of an IP address count, in minutes.",
        env="PGEDGE_AUTH_RATE_LIMIT_WINDOW_MINUTES",
    ),
    Key(
        "http.auth.rate_limit_max_attempts",
        whole(1, 1_000_000),
        10,
        "Failed logins an IP address has in one window before it is refused.",
        env="PGEDGE_AUTH_RATE_LIMIT_MAX_ATTEMPTS",
    ),
    Key(
        "http.auth.rate_limit_max_bad_tokens",
        whole(1, 1_000_000),
        100,
        "Invalid tokens an IP address has in one window before it is refused.",
    ),
    Key(
        "http.auth.max_failed_attempts_before_lockout",
        whole(0, 1_000_000),
        0,
        "Failed logins in a row that disable an account; 0 means never.",
        env="PGEDGE_AUTH_MAX_FAILED_ATTEMPTS_BEFORE_LOCKOUT",
    ),
    Key(
        "http.auth.password_min_length",
        whole(1, 72),
        8,
        "The fewest characters a new password may have.",
    ),
    Key(
        "http.auth.max_sessions_per_user",
        whole(1, 1000),
        10,
        "Sessions one user may have at once; one more ends the oldest.",
    ),
    Key(
        "builtins.tools.NAME",
        BOOLEAN,
        True,
        "false hides the tool of that name and refuses its calls.",
        example="query_database",
    ),
    Key(
        "builtins.resources.NAME",
        BOOLEAN,
        True,
        "false hides the resource of that name or URI and refuses its reading.",
        example="system_info",
    ),
    Key(
        "builtins.prompts.NAME",
        BOOLEAN,
        True,
        "false hides the prompt of that name and refuses it.",
        example="explore-database",
    ),
    Key(
        "max_connections_total",
        whole(1, 10_000),
        50,
        "The most connections to all databases together; idle pools give theirs up.",
    ),
    Key("debug", BOOLEAN, False, "Log every request with its duration.", flag="debug"),
)

DATABASE_KEYS: tuple[Key, ...] = (
    Key("name", NAME, "default", "What tokens and tools call this database; unique in the list."),
    Key(
        "host",
        HOSTS,
        "localhost",
        "A name, an address or a socket directory, or several separated by commas, tried in order.",
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
    Key(
        "database",
        TEXT,
        None,
        "The database's name on the server.",
        env="PGEDGE_DB_NAME",
        flag="db-name",
        libpq_env="PGDATABASE",
        default_note="the user's name",
    ),
    Key(
        "user",
        TEXT,
        None,
        "The role to connect as; best one that may only read.",
        env="PGEDGE_DB_USER",
        flag="db-user",
        libpq_env="PGUSER",
        default_note="the operating system's user",
    ),
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
    Key(
        "sslmode",
        choice("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
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
    Key(
        "available_to_users",
        NAMES,
        (),
        "The users this database is reserved for; empty for everybody.",
    ),
    Key(
        "pool_max_conns",
        whole(1, 1000),
        4,
        "The most connections one token or session holds to it.",
    ),
    Key(
        "pool_min_conns",
        whole(0, 1000),
        0,
        "Connections of a pool that stay open when idle.",
    ),
    Key(
        "pool_max_conn_idle_time",
        DURATION,
        "30m",
        "How long an idle connection is kept.",
    ),
    Key(
        "pool_max_conn_lifetime",
        DURATION,
        "1h",
        "How old a connection may become.",
    ),
    Key("connect_timeout", DURATION, "10s", "How long connecting to one host may take."),
    Key("statement_timeout", DURATION, "30s", "How long one statement may run."),
    Key("lock_timeout", DURATION, "5s", "How long one statement may wait for a lock."),
    Key(
        "max_result_bytes",
        whole(1024, 1024 * 1024 * 1024),
        8 * 1024 * 1024,
        "Where a result is cut, in bytes.",
    ),
    Key(
        "trusted_functions",
        NAMES,
        (),
        "Functions, as schema.name, that a read may call although pgmcp cannot vouch for them.",
    ),
    Key(
        "require_safe_role",
        BOOLEAN,
        False,
        "Refuse to serve this database to a role that could do more than read.",
    ),
    Key(
        "target_session_attrs",
        choice("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
        "any",
        "Which of several hosts is acceptable, as in libpq: any, read-write, read-only, primary, "
        "standby or prefer-standby.",
    ),
)
