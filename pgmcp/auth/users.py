"""User accounts as values, and the file that holds them as bytes; no I/O.

The rule: a name is compared in Unicode NFC, and what an entry holds beyond what is understood here
goes back as it came.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pgmcp.auth import entries
from pgmcp.auth.fields import Fields, rfc3339
from pgmcp.auth.passwords import MAX_BYTES, is_hash
from pgmcp.errors import FileError, UsageError
from pgmcp.logs.log import visible
from pgmcp.storage.files import Document, Where, dump_yaml, parse_yaml

NAME_MAX_CHARACTERS = 64
_MAX_DECOMPOSED = 4 * NAME_MAX_CHARACTERS
"""The longest text whose NFC has that many characters: one is made of four at most."""


@dataclass(frozen=True, slots=True)
class User:
    """One account. `disabled_at` is when it was last disabled: no older session outlives that.

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

    def with_password(self, password_hash: str) -> User:
        """With another password; sessions stay."""
        return self._changed(password_hash=password_hash)

    def with_annotation(self, annotation: str) -> User:
        """With another note."""
        return self._changed(annotation=annotation)

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


@dataclass(frozen=True, slots=True)
class UserFile:
    """The users of a file by name, in its order, and its other keys."""

    users: Mapping[str, User]
    others: Mapping[str, object]

    def dump(self) -> bytes:
        """The file."""
        if not self.users:
            return dump_yaml({**self.others, "users": {}})
        others = dump_yaml(self.others) if self.others else b""
        return others + entries.join([u.text or "" for u in self.written().users.values()], "users")

    def written(self) -> UserFile:
        """With the text that `dump` gives each user, so that it is made once."""
        unknown = [(n, dict(user.entry)) for n, user in self.users.items() if user.text is None]
        made = iter(entries.written("users", unknown))
        users = {
            name: replace(user, text=next(made)) if user.text is None else user
            for name, user in self.users.items()
        }
        return replace(self, users=users)

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
            raise UsageError(f"User not found: {name}", "See them with: -list-users")
        return user


NO_USERS = UserFile({}, {})


def normalize(name: str) -> str:
    """The form in which names are compared and stored: Unicode NFC.

    A text that is too long for a name stays as it is, and so is nobody's: normalising takes time
    in the square of a run of combining marks (31,000 of them 1.5 s, with the interpreter held).
    """
    return unicodedata.normalize("NFC", name) if len(name) <= _MAX_DECOMPOSED else name


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


def parse_users(data: bytes, origin: str, known: Iterable[User] = ()) -> UserFile:
    """The users of a file; FileError.

    `known` are users who are taken as they are where the file still says the same.
    """
    users = _entries(data, origin, known)
    return parse_document(data, origin) if users is None else UserFile(users, {})


def _entries(data: bytes, origin: str, known: Iterable[User]) -> dict[str, User] | None:
    """The users of a file in our own layout, None when it is another or something is wrong."""
    texts = entries.split(data, "users")
    if texts is None:
        return None
    before = {user.text: user for user in known}
    document = Document(None, origin, {(): 1})
    users: dict[str, User] = {}
    for text in texts:
        user = before.get(text)
        if user is None:
            entry = entries.read(text, "users")
            if entry is None:
                return None
            try:
                user = _user(document, (), normalize(entry[0]), entry[1], text)
            except FileError:
                return None
        if user.name in users:
            return None
        users[user.name] = user
    return users


def parse_document(data: bytes, origin: str) -> UserFile:
    """The same by YAML's parser, which takes any layout and says what is wrong with a file."""
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


def _user(
    document: Document, where: Where, name: str, value: object, text: str | None = None
) -> User:
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
        text=text,
    )
