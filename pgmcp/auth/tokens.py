"""API tokens as values; no I/O.

The rule: a token is kept as its SHA-256 and never as itself.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from pgmcp.auth.times import rfc3339

MAX_SECRET_CHARACTERS = 1024
"""The longest token that is looked at: with its scheme, it fits into a header field anywhere."""


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token. `hash` is 64 lower-case hex digits; `expires_at` None means never.

    `database` is the only database that it may use, None for the default; `policy` the name of what
    restricts it, None for the default one. `attenuable` is the id of the key that it was made with
    (`auth.attenuation`), None where its holder cannot narrow it. `disabled_at` is when it was
    stopped, None while it is not. `entry` is what the store says, unknown keys included; `text` is
    how a file says it, None when that is not known or not in our layout.
    """

    id: str
    hash: str
    note: str
    created_at: datetime
    expires_at: datetime | None
    database: str | None
    entry: Mapping[str, object]
    text: str | None = field(default=None, compare=False)
    policy: str | None = None
    attenuable: str | None = None
    disabled_at: str | None = None

    def with_disabled(self, now: datetime) -> ApiToken:
        """Stopped, if it is not already."""
        if self.disabled_at is not None:
            return self
        at = rfc3339(now, "microseconds")
        return replace(self, disabled_at=at, entry={**self.entry, "disabled_at": at}, text=None)

    def with_enabled(self) -> ApiToken:
        """Working again."""
        if self.disabled_at is None:
            return self
        entry = {name: value for name, value in self.entry.items() if name != "disabled_at"}
        return replace(self, disabled_at=None, entry=entry, text=None)

    @property
    def key(self) -> str:
        """What its connections are pooled under; an id that is made again shares nothing."""
        return f"token:{self.id}:{self.hash[:16]}"

    def expired(self, now: datetime) -> bool:
        """Whether it has stopped working."""
        return self.expires_at is not None and self.expires_at <= now


def digest(secret: str) -> str:
    """The SHA-256 of a token as a store keeps it: 64 lower-case hex digits."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def new_secret() -> str:
    """32 random bytes, base64url with padding: 44 characters."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def new_token(
    taken: Iterable[ApiToken],
    secret: str,
    *,
    note: str,
    database: str | None,
    now: datetime,
    expires_at: datetime | None,
    policy: str | None = None,
    attenuable: str | None = None,
) -> ApiToken:
    """A token for `secret`, with an id that none of `taken` has."""
    ids = {token.id for token in taken}
    number = int(now.timestamp())
    while f"token-{number}" in ids:
        number += 1
    entry: dict[str, object] = {
        "id": f"token-{number}",
        "hash": digest(secret),
        "note": note,
        "created_at": rfc3339(now),
        "expires_at": None if expires_at is None else rfc3339(expires_at),
    }
    if database is not None:
        entry["database"] = database
    if policy is not None:
        entry["policy"] = policy
    if attenuable is not None:
        entry["attenuable"] = attenuable
    return ApiToken(
        f"token-{number}",
        digest(secret),
        note,
        now,
        expires_at,
        database,
        entry,
        policy=policy,
        attenuable=attenuable,
    )


def why_ended(before: ApiToken, after: ApiToken | None, now: datetime) -> str | None:
    """Why the connections of a token must end when the store says `after` instead of `before`.

    `after` is the token of the same hash, None when there is none. Returns None when they may stay.
    """
    if after is None or after.id != before.id:
        return "expired" if before.expired(now) else "removed"
    if after.disabled_at is not None and before.disabled_at is None:
        return "stopped"
    if after.policy != before.policy:
        return "given another policy"
    if after.attenuable != before.attenuable:
        return "given another key, or none, to be narrowed with"
    return None if after.database == before.database else "bound to another database"
