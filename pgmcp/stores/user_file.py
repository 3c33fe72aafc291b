"""The user file: user accounts as bytes; no I/O.

The rule: what an entry holds beyond what is understood here goes back as it came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pgmcp.auth.passwords import is_hash
from pgmcp.auth.users import User, normalize
from pgmcp.errors import FileError
from pgmcp.storage.files import Document, Where, dump_yaml, parse_yaml
from pgmcp.stores import entries
from pgmcp.stores.fields import Fields


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


NO_USERS = UserFile({}, {})


def parse_users(data: bytes, origin: str, known: Iterable[User] = ()) -> UserFile:
    """The users of a file; FileError.

    `known` are users who are taken as they are where the file still says the same.
    """
    users = _entries(data, origin, known)
    return parse_document(data, origin) if users is None else UserFile(users, {})


def _entries(data: bytes, origin: str, known: Iterable[User]) -> dict[str, User] | None:
    """The users of a file in our own layout, None when it is another or something is wrong."""
    document = Document(None, origin, {(): 1})
    listed = entries.parsed(
        data,
        "users",
        {user.text: user for user in known},
        lambda entry, text: _user(document, (), normalize(entry[0]), entry[1], text),
    )
    if listed is None:
        return None
    users = {user.name: user for user in listed}
    return users if len(users) == len(listed) else None


def parse_document(data: bytes, origin: str) -> UserFile:
    """The users of a file in any layout, by YAML's parser; FileError says what is wrong."""
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
        policy=fields.text("policy") if "policy" in fields.values else None,
    )
