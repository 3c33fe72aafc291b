"""Who is calling: a value that the authenticator makes and every layer below only reads."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pgmcp.auth.narrowing import Narrowing

PrincipalKind = Literal["token", "session", "local", "anonymous"]


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller.

    `kind`: an API token, a user's session, the local caller (stdio, or `-no-auth`), or an anonymous
    caller, who brings no credential, and may log in and do nothing else.
    `name`: the token's id, the user's name, or the kind itself; what the log shows.
    `key`: its credential, which calls end with; unguessable parts are digests, never secrets.
    `databases`: the names it may use; the first is its default.
    `policy`: the name of the policy that restricts it, None where none does.
    `narrowing`: what its holder has taken away from a token, None for nothing.
    """

    kind: PrincipalKind
    name: str
    key: str
    databases: tuple[str, ...] = ()
    policy: str | None = None
    narrowing: Narrowing | None = None

    @property
    def owner(self) -> str:
        """Whose pools, limits and shares its calls go by: all sessions of a user are one owner, and
        so is a token with all that were narrowed from it."""
        return owner_of(self.key)

    @property
    def expires_at(self) -> datetime | None:
        """When it ends by what its holder has taken away, None where that is no time."""
        return None if self.narrowing is None else self.narrowing.expires_at

    @property
    def policies(self) -> tuple[str, ...]:
        """The names of all policies that restrict it: its own, then those that narrow it."""
        own = () if self.policy is None else (self.policy,)
        if self.narrowing is None:
            return own
        return tuple(dict.fromkeys((*own, *self.narrowing.policies)))


DEFAULT_POLICY = "default"
"""The policy of each principal whose credential names none, where there is such a policy."""


def policy_in_force(named: str | None, policies: Container[str]) -> str | None:
    """The policy of a credential that names this one, or none; None where nothing restricts it. It
    need not be among `policies`: then the credential is refused."""
    return DEFAULT_POLICY if named is None and DEFAULT_POLICY in policies else named


LOGIN_TOOL = "authenticate_user"
"""The one tool that an anonymous caller may call."""
ACCOUNT_TOOLS = frozenset({LOGIN_TOOL, "logout_user"})
"""The tools that ask no database."""
ANONYMOUS = Principal("anonymous", "anonymous", "anonymous")


def anonymous_may(method: str, params: object) -> bool:
    """Whether an anonymous caller may ask this. Authenticator and dispatcher share this rule."""
    if method != "tools/call" or not isinstance(params, Mapping):
        return False
    return params.get("name") == LOGIN_TOOL


_SESSION, _NARROWED = "session:", "narrowed:"


def session_key(username: str, digest: str) -> str:
    """The key of a user's session; `digest` holds no colon."""
    return f"{_SESSION}{username}:{digest}"


def narrowed_key(parent: str, digest: str) -> str:
    """The key of a token that was narrowed from the one whose key is `parent`; as `session_key`."""
    return f"{_NARROWED}{parent}:{digest}"


def owner_of(key: str) -> str:
    """The owner of a credential's key: a session's user, the token that one was narrowed from, and
    for all else the key itself."""
    if key.startswith(_NARROWED):
        return key[len(_NARROWED) : key.rindex(":")]
    return f"user:{key[len(_SESSION) : key.rindex(':')]}" if key.startswith(_SESSION) else key


def local(databases: tuple[str, ...], policy: str | None = None) -> Principal:
    """The caller of a server without authentication."""
    return Principal("local", "local", "local", databases, policy)
