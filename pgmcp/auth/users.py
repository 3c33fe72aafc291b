"""User accounts as values, and the file that holds them as bytes; no I/O.

The rule: a name is compared in Unicode NFC, and what an entry holds beyond what is understood here
goes back as it came.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from pgmcp.auth.fields import Fields, rfc3339
from pgmcp.auth.passwords import MAX_BYTES, is_hash
from pgmcp.errors import FileError, UsageError
from pgmcp.files import Document, Where, dump_yaml, parse_yaml
from pgmcp.log import visible

NAME_MAX_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class User:
    """One account. `disabled_at` is when it was last disabled: no older session outlives that.

    `entry` is what the file says.
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

    def with_password(self, password_hash: str) -> User:
        """With another password; sessions stay."""
        return replace(
            self,
            password_hash=password_hash,
            entry={**self.entry, "password_hash": password_hash},
        )

    def with_annotation(self, annotation: str) -> User:
        """With another note."""
        return replace(self, annotation=annotation, entry={**self.entry, "annotation": annotation})

    def with_enabled(self) -> User:
        """Enabled, with a clean count."""
        entry = {**self.entry, "enabled": True, "failed_attempts": 0}
        return replace(self, enabled=True, failed_attempts=0, entry=entry)

    def with_disabled(self, now: datetime) -> User:
        """Disabled, with the time: a server that sees it enabled again must still end sessions."""
        stamp = rfc3339(now, "microseconds")
        entry = {**self.entry, "enabled": False, "disabled_at": stamp}
        return replace(self, enabled=False, disabled_at=stamp, entry=entry)

    def with_login(self, now: datetime) -> User:
        """After a login that succeeded."""
        entry = {**self.entry, "last_login": rfc3339(now), "failed_attempts": 0}
        # To the second, as the file says it.
        whole = now.replace(microsecond=0)
        return replace(self, last_login=whole, failed_attempts=0, entry=entry)

    def with_failure(self, now: datetime, lockout: int) -> User:
        """After a login that failed; disabled by the `lockout`th in a row, 0 never."""
        count = self.failed_attempts + 1
        counted = replace(
            self, failed_attempts=count, entry={**self.entry, "failed_attempts": count}
        )
        return counted.with_disabled(now) if 0 < lockout <= count else counted


@dataclass(frozen=True, slots=True)
class UserFile:
    """The users of a file by name, in its order, and its other keys."""

    users: Mapping[str, User]
    others: Mapping[str, object]

    def dump(self) -> bytes:
        """The file."""
        entries = {name: dict(user.entry) for name, user in self.users.items()}
        return dump_yaml({**self.others, "users": entries})

    def with_user(self, user: User) -> UserFile:
        """With a user added or replaced."""
        return replace(self, users={**self.users, user.name: user})

    def without(self, name: str) -> UserFile:
        """Without one user."""
        return replace(self, users={n: user for n, user in self.users.items() if n != name})

    def find(self, name: str) -> User:
        """The user of that name; UsageError."""
        user = self.users.get(normalize(name))
        if user is None:
            raise UsageError(f"User not found: {visible(name)}", "See them with: -list-users")
        return user


NO_USERS = UserFile({}, {})


def normalize(name: str) -> str:
    """The form in which names are compared and stored: Unicode NFC."""
    return unicodedata.normalize("NFC", name)


def check_name(name: str) -> str:
    """The name, normalised, if it may be one; UsageError."""
    normal = normalize(name)
    if not 1 <= len(normal) <= NAME_MAX_CHARACTERS:
        raise UsageError(f"a username has 1 to {NAME_MAX_CHARACTERS} characters")
    if visible(normal) != normal or normal != normal.strip():
        raise UsageError("a username has printable characters only, and no spaces at its ends")
    return normal


def check_password(password: str, name: str, min_length: int) -> str:
    """The password, if it may be this user's; UsageError says why not and never shows it."""
    if len(password) < min_length:
        raise UsageError(f"the password has fewer than {min_length} characters")
    if len(password.encode(errors="surrogatepass")) > MAX_BYTES:
        raise UsageError(f"the password has more than {MAX_BYTES} bytes, and bcrypt takes no more")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in password):
        raise UsageError("the password has a control character in it")
    if normalize(password).casefold() == normalize(name).casefold():
        raise UsageError("the password is the username")
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


def parse_users(data: bytes, origin: str) -> UserFile:
    """The users of a file; FileError."""
    document = parse_yaml(data, origin)
    hint = "A file without users says: users: {}"
    if document.value is None:
        raise FileError("the file is empty", hint, origin=origin)
    top = Fields(document, (), document.value)
    top.need("users")
    listed = top.values["users"]
    if not isinstance(listed, dict):
        raise top.error("users", "is not a mapping from names to users", hint)
    users: dict[str, User] = {}
    for key, value in listed.items():
        user = _user(document, ("users", key), normalize(key), value)
        if user.name in users:
            raise document.error(("users", key), "is there twice")
        users[user.name] = user
    return UserFile(users, {key: value for key, value in top.values.items() if key != "users"})


def _user(document: Document, where: Where, name: str, value: object) -> User:
    fields = Fields(document, where, value)
    if normalize(fields.text("username", name)) != name:
        raise fields.error("username", "is not the name the entry stands under")
    password_hash = fields.text("password_hash")
    if not is_hash(password_hash):
        raise fields.error("password_hash", "is not a bcrypt hash")
    return User(
        name=name,
        password_hash=password_hash,
        created_at=fields.time("created_at"),
        last_login=None if fields.text("last_login", "") == "" else fields.time("last_login"),
        enabled=fields.flag("enabled"),
        annotation=fields.text("annotation", ""),
        failed_attempts=fields.count("failed_attempts"),
        disabled_at=fields.text("disabled_at", ""),
        entry=fields.values,
    )
