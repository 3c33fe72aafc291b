"""The stores that keep API tokens and users in files.

The rule: lookups read a snapshot without a lock, and a change is made to the file as it is then,
under the lock that the commands share.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pgmcp.auth.accounts import UserChanges
from pgmcp.auth.api_tokens import TokenChanges
from pgmcp.auth.tokens import ApiToken
from pgmcp.auth.users import User
from pgmcp.errors import FileError
from pgmcp.stores.credential_file import CredentialFile
from pgmcp.stores.token_file import TokenFile, missing_token_file, parse_tokens
from pgmcp.stores.user_file import NO_USERS, UserFile, parse_users

_NEVER = datetime.max.replace(tzinfo=UTC)

_log = logging.getLogger("pgmcp.auth")


@dataclass(frozen=True, slots=True)
class TokenSnapshot:
    """The tokens of one version of the file. `soonest` is when the first of them expires."""

    by_hash: Mapping[str, ApiToken]
    by_id: Mapping[str, ApiToken]
    soonest: datetime

    @classmethod
    def of(cls, tokens: Sequence[ApiToken]) -> TokenSnapshot:
        """A snapshot of these tokens."""
        return cls(
            {token.hash: token for token in tokens},
            {token.id: token for token in tokens},
            min((t.expires_at for t in tokens if t.expires_at is not None), default=_NEVER),
        )


class FileTokenStore:
    """`auth.api_tokens.TokenStore` in one file. Errors are FileErrors."""

    def __init__(self, path: Path) -> None:
        self._file = CredentialFile(path, _parse_tokens, TokenSnapshot.of(()))
        self._subscribers: list[Callable[[TokenChanges], None]] = []

    @property
    def origin(self) -> str:
        """The path of the file."""
        return str(self._file.path)

    def subscribe(self, on_changes: Callable[[TokenChanges], None]) -> None:
        """Have `on_changes` told of tokens that changed or went."""
        self._subscribers.append(on_changes)

    def load(self) -> None:
        """Read the file for the first time; FileError when there is none."""
        if not self._file.exists():
            raise missing_token_file(self._file.path)
        self._file.reload()

    def reload(self) -> bool:
        """Take over the changed file; False when it says what this store knows. FileError."""
        old, new, changed = self._file.reload()
        changes = [
            (token, new.by_hash.get(token.hash))
            for token in old.by_hash.values()
            if new.by_hash.get(token.hash) is not token
        ]
        if changes:
            for tell in self._subscribers:
                tell(changes)
        return changed

    def find(self, hashed: str) -> ApiToken | None:
        """The token of that hash, None when there is none."""
        return self._file.value.by_hash.get(hashed)

    def get(self, token_id: str) -> ApiToken | None:
        """The token of that id, None when there is none."""
        return self._file.value.by_id.get(token_id)

    def tokens(self) -> Collection[ApiToken]:
        """All tokens, in the order of the file."""
        return self._file.value.by_hash.values()

    def listed(self) -> Sequence[ApiToken]:
        """All tokens of the file as it is now, for a command; FileError when there is none."""
        data = self._file.read()
        if data is None:
            raise missing_token_file(self._file.path)
        return self._parse(data).tokens

    def expired(self, now: datetime) -> Collection[ApiToken]:
        """Those that expire at `now` or did before."""
        snapshot = self._file.value
        if now < snapshot.soonest:
            return ()
        return [token for token in snapshot.by_hash.values() if token.expired(now)]

    def add(self, make: Callable[[Collection[ApiToken]], ApiToken]) -> ApiToken:
        """Add the token that `make` makes; a file that is not there is made. FileError."""
        made: list[ApiToken] = []

        def change(data: bytes | None) -> bytes:
            known = self._parse(data) if data and data.strip() else TokenFile()
            made[:] = [make(known.tokens)]
            return known.added(made[0]).dump()

        self._file.update(change)
        self.reload()
        return made[0]

    def remove(self, drop: Callable[[ApiToken], bool]) -> Sequence[ApiToken]:
        """Remove the tokens of the file as it is now for which `drop` is true; those. FileError.

        What was removed is taken over by the next `reload`.
        """
        removed: list[ApiToken] = []

        def change(data: bytes) -> bytes | None:
            known = self._parse(data)
            removed[:] = [token for token in known.tokens if drop(token)]
            return known.without(drop).dump() if removed else None

        # Looked at first without the lock: a folder that is read-only is no trouble as long as
        # there is nothing to write.
        data = self._file.read()
        if data is None or change(data) is None:
            return ()
        if not self._file.rewrite(change):
            return ()
        return removed

    def change(self, hashed: str, change: Callable[[ApiToken], ApiToken]) -> None:
        """Change the token of this hash in the file as it is now. FileError.

        What was changed is taken over by the next `reload`.
        """

        def rewrite(data: bytes) -> bytes | None:
            known = self._parse(data)
            changed = known.changed(hashed, change)
            return None if changed is known else changed.dump()

        self._file.rewrite(rewrite)

    def disable(self, hashed: str, now: datetime) -> None:
        """Mark the token of this hash as stopped; lookups say so when this returns. FileError."""
        self.change(hashed, lambda token: token.with_disabled(now))
        self.reload()

    def _parse(self, data: bytes) -> TokenFile:
        return parse_tokens(data, self.origin, self._file.value.by_hash.values())


class FileUserStore:
    """`auth.accounts.UserStore` in one file. Errors are FileErrors."""

    def __init__(self, path: Path) -> None:
        self._file = CredentialFile(path, _parse_users, NO_USERS)
        self._subscribers: list[Callable[[UserChanges], None]] = []

    @property
    def origin(self) -> str:
        """The path of the file."""
        return str(self._file.path)

    def subscribe(self, on_changes: Callable[[UserChanges], None]) -> None:
        """Have `on_changes` told of users who changed or went."""
        self._subscribers.append(on_changes)

    def load(self) -> bool:
        """Read the file for the first time; False when there is none. FileError."""
        if not self._file.exists():
            return False
        self._file.reload()
        return True

    def reload(self) -> bool:
        """Take over the changed file; False when it says what this store knows. FileError."""
        old, new, changed = self._file.reload()
        self._tell(old, new)
        return changed

    def get(self, name: str) -> User | None:
        """The user of that name, None when there is none."""
        return self._file.value.users.get(name)

    def users(self) -> Mapping[str, User]:
        """All users by name."""
        return self._file.value.users

    def change(self, name: str, decide: Callable[[User | None], User | None]) -> User | None:
        """Change a user in the file, then in memory; the user then. A file that is not there is not
        made."""
        try:
            self.store(name, decide)
        except FileError as error:
            _log.warning("recorded in memory only: %s", error.message)
            self._tell(*self._file.apply(lambda users: _changed(users, name, decide)))
        return self.get(name)

    def store(self, name: str, decide: Callable[[User | None], User | None]) -> None:
        """As `change`, but a change that cannot be written is a FileError."""
        self._file.rewrite(lambda data: self._rewritten(self._file.parsed(data), name, decide))
        self.reload()

    def listed(self) -> Mapping[str, User]:
        """All users by name, as the file is now, for a command; none without a file. FileError."""
        return self._users_of(self._file.read()).users

    def edit(self, name: str, decide: Callable[[User | None], User | None]) -> None:
        """Change a user in the file, for a command: a file that is not there is made. FileError.

        What was changed is taken over by the next `reload`.
        """
        self._file.update(lambda data: self._rewritten(self._users_of(data), name, decide))

    def dry_run(self, decide: Callable[[User], User]) -> None:
        """Rewrite the file with its first user changed, and keep the old one. FileError."""

        def changed(data: bytes) -> bytes:
            users = self._file.parsed(data)
            first = next(iter(users.users.values()), None)
            if first is not None:
                users = users.with_user(decide(first))
            return users.written().dump()

        self._file.dry_run(changed)
        self.reload()

    def _rewritten(
        self, users: UserFile, name: str, decide: Callable[[User | None], User | None]
    ) -> bytes | None:
        """The file with a user changed, None when nothing is; under the lock of the file."""
        changed = _changed(users, name, decide)
        if changed is users:
            return None
        changed = changed.written()
        data = changed.dump()
        self._file.remember(data, changed)
        return data

    def _users_of(self, data: bytes | None) -> UserFile:
        return self._file.parsed(data) if data and data.strip() else NO_USERS

    def _tell(self, old: UserFile, new: UserFile) -> None:
        changes = [
            (before, new.users.get(name))
            for name, before in old.users.items()
            if new.users.get(name) is not before
        ]
        if changes:
            for tell in self._subscribers:
                tell(changes)


def _changed(users: UserFile, name: str, decide: Callable[[User | None], User | None]) -> UserFile:
    before = users.users.get(name)
    after = decide(before)
    if after is before:
        return users
    return users.without(name) if after is None else users.with_user(after)


def _parse_tokens(data: bytes, origin: str, before: TokenSnapshot) -> TokenSnapshot:
    return TokenSnapshot.of(parse_tokens(data, origin, before.by_hash.values()).tokens)


def _parse_users(data: bytes, origin: str, before: UserFile) -> UserFile:
    return parse_users(data, origin, before.users.values())
