"""User accounts as values, and the rules for names and passwords; no I/O.

The rule: a name is compared in Unicode NFC, and what an entry holds beyond what is understood here
goes back as it came.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pgmcp.auth.passwords import MAX_BYTES
from pgmcp.auth.times import rfc3339
from pgmcp.errors import UsageError, visible

NAME_MAX_CHARACTERS = 64
_OTHER_NAME = "Choose another username."
_OTHER_PASSWORD = "Choose another password."  # noqa: S105 - a hint
_MAX_DECOMPOSED = 4 * NAME_MAX_CHARACTERS
"""The longest text whose NFC has that many characters: a character is made of four at most."""


@dataclass(frozen=True, slots=True)
class User:
    """A user account. `disabled_at` is when it was last disabled: older sessions end then.
    `policy` is the name of what restricts it, None for the default one.

    `entry` is what the file says, and `text` how it says it, None when that is not known or not in
    our layout.
    """

    name: str
    password_hash: str
    created_at: datetime
    last_login: datetime | None
    enabled: bool
    annotation: str
    failed_attempts: int
    disabled_at: str
    entry: Mapping[str, object]
    text: str | None = field(default=None, compare=False)
    policy: str | None = None

    def with_password(self, password_hash: str) -> User:
        """With another password; sessions stay."""
        return self._changed(password_hash=password_hash)

    def with_annotation(self, annotation: str) -> User:
        """With another note."""
        return self._changed(annotation=annotation)

    def with_policy(self, policy: str | None) -> User:
        """With another policy, None for the default one; sessions end."""
        entry = {name: value for name, value in self.entry.items() if name != "policy"}
        if policy is not None:
            entry["policy"] = policy
        return replace(self, policy=policy, entry=entry, text=None)

    def with_enabled(self) -> User:
        """Enabled, with a clean count."""
        return self._changed(enabled=True, failed_attempts=0)

    def with_disabled(self, now: datetime) -> User:
        """Disabled, with the time: a server that sees it enabled again must still end sessions."""
        return self._changed(enabled=False, disabled_at=rfc3339(now, "microseconds"))

    def with_login(self, now: datetime, password_hash: str | None = None) -> User:
        """After a login that succeeded; the password is kept by another hash if one is given."""
        # To the second, as the file says it.
        whole = now.replace(microsecond=0)
        user = replace(self, last_login=whole, text=None)
        if password_hash is not None:
            user = user.with_password(password_hash)
        entry = {**user.entry, "last_login": rfc3339(now), "failed_attempts": 0}
        return replace(user, failed_attempts=0, entry=entry)

    def with_failure(self, now: datetime, lockout: int) -> User:
        """After a login that failed; disabled by the `lockout`th in a row, 0 never."""
        count = self.failed_attempts + 1
        counted = self._changed(failed_attempts=count)
        return counted.with_disabled(now) if 0 < lockout <= count else counted

    def _changed(self, **values: Any) -> User:
        """With other values of fields that the file holds as they are."""
        return replace(self, **values, entry={**self.entry, **values}, text=None)


def normalize(name: str) -> str:
    """The form in which names are compared and stored: Unicode NFC.

    A text that is too long for a name stays as it is, and so matches no account: normalising takes
    time in the square of a run of combining marks (31,000: 1.5 s, with the interpreter held).
    """
    return unicodedata.normalize("NFC", name) if len(name) <= _MAX_DECOMPOSED else name


def check_name(name: str) -> str:
    """The name in NFC; UsageError when it may not be a username."""
    normal = normalize(name)
    if not 1 <= len(normal) <= NAME_MAX_CHARACTERS:
        raise UsageError(f"a username has 1 to {NAME_MAX_CHARACTERS} characters", _OTHER_NAME)
    if visible(normal) != normal or normal != normal.strip():
        raise UsageError(
            "a username has printable characters only, and no spaces at its ends", _OTHER_NAME
        )
    return normal


def check_password(password: str, name: str, min_length: int) -> str:
    """The password, if this user may have it; UsageError says why not and never shows it."""
    if len(password) < min_length:
        raise UsageError(f"the password has fewer than {min_length} characters", _OTHER_PASSWORD)
    if len(password.encode(errors="surrogatepass")) > MAX_BYTES:
        raise UsageError(
            f"the password has more than {MAX_BYTES} bytes, and bcrypt takes no more",
            _OTHER_PASSWORD,
        )
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in password):
        raise UsageError("the password has a control character in it", _OTHER_PASSWORD)
    if normalize(password).casefold() == normalize(name).casefold():
        raise UsageError("the password is the username", _OTHER_PASSWORD)
    return password


def new_user(name: str, password_hash: str, annotation: str, now: datetime) -> User:
    """A new account, enabled."""
    # Microseconds: somebody deleted and made again is somebody else, and the server can tell.
    entry: dict[str, object] = {
        "username": name,
        "password_hash": password_hash,
        "created_at": rfc3339(now, "microseconds"),
        "last_login": None,
        "enabled": True,
        "annotation": annotation,
        "failed_attempts": 0,
    }
    return User(name, password_hash, now, None, True, annotation, 0, "", entry)


def why_gone(before: User, after: User | None) -> str | None:
    """Why the sessions of a user must end when the store says `after` instead of `before`.

    None when they may stay: another password or note ends none.
    """
    if after is None or after.created_at != before.created_at:
        return "user deleted"
    if after.policy != before.policy:
        return "user given another policy"
    disabled = before.enabled and not (after.enabled and after.disabled_at == before.disabled_at)
    return "user disabled" if disabled else None
