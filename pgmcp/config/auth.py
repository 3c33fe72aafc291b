"""The section `http.auth`: who may call, and how often somebody may fail to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pgmcp.config.key import key
from pgmcp.config.kinds import BOOLEAN, PATH, minutes, whole
from pgmcp.config.layers import Settings, fill

PREFIX = "http.auth."
_TOKEN_FILE = "pgedge-postgres-mcp-tokens.yaml"  # noqa: S105
_USER_FILE = "pgedge-postgres-mcp-users.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth:
    """Who may call. `max_failed_attempts_before_lockout` 0 means that accounts never lock."""

    enabled: bool = key(
        True,
        BOOLEAN,
        "Ask every client for a token or a session; -no-auth turns it off (development only).",
        env="PGEDGE_AUTH_ENABLED",
        flag="no-auth",
        negated=True,
        restart=True,
    )
    token_file: Path = key(
        _TOKEN_FILE,
        PATH,
        "The file of API tokens.",
        env="PGEDGE_AUTH_TOKEN_FILE",
        flag="token-file",
        default_note=f"`{_TOKEN_FILE}` beside the program",
        restart=True,
    )
    user_file: Path = key(
        _USER_FILE,
        PATH,
        "The file of user accounts.",
        env="PGEDGE_AUTH_USER_FILE",
        flag="user-file",
        default_note=f"`{_USER_FILE}` beside the program",
        restart=True,
    )
    attenuation_key_file: Path = key(
        None,
        PATH,
        "The key of tokens that their holders can narrow, 64 hexadecimal digits; -add-token "
        "-attenuable makes it when there is none.",
        required=True,
        default_note="http.auth.token_file with `.key` after it",
        restart=True,
    )
    rate_limit_window_seconds: float = key(
        15,
        minutes(1, 1440),
        "How far back failed attempts of an IP address count, in minutes.",
        name="rate_limit_window_minutes",
        env="PGEDGE_AUTH_RATE_LIMIT_WINDOW_MINUTES",
    )
    rate_limit_max_attempts: int = key(
        10,
        whole(1, 1_000_000),
        "Failed logins an IP address has in one window before it is refused.",
        env="PGEDGE_AUTH_RATE_LIMIT_MAX_ATTEMPTS",
    )
    rate_limit_max_bad_tokens: int = key(
        100,
        whole(1, 1_000_000),
        "Invalid tokens an IP address has in one window before it is refused.",
    )
    max_failed_attempts_before_lockout: int = key(
        0,
        whole(0, 1_000_000),
        "Failed logins in a row that disable an account; 0 means never.",
        env="PGEDGE_AUTH_MAX_FAILED_ATTEMPTS_BEFORE_LOCKOUT",
    )
    password_min_length: int = key(
        8, whole(1, 72), "The fewest characters a new password may have."
    )
    max_sessions_per_user: int = key(
        10, whole(1, 1000), "Sessions one user may have at once; one more ends the oldest."
    )


def build(settings: Settings) -> Auth:
    """The section's value. It reads no file."""
    token_file: Path = settings[f"{PREFIX}token_file"].value
    beside = token_file.with_name(f"{token_file.name}.key")
    key_file = settings[f"{PREFIX}attenuation_key_file"].value or beside
    return fill(Auth, settings, PREFIX, attenuation_key_file=key_file)
