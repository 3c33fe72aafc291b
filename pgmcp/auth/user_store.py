"""The server's users: checking a password against the file, and counting what fails.

The rule: a login is decided by the file as it is at that moment, under the lock the commands share,
so a lockout holds at once, survives a restart, and loses nobody's concurrent edit.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from pgmcp.auth.credential_file import CredentialFile
from pgmcp.auth.fields import rfc3339
from pgmcp.auth.passwords import COST, cost_of
from pgmcp.auth.users import NO_USERS, User, UserFile, parse_users
from pgmcp.errors import FileError
from pgmcp.logs.log import quote

_log = logging.getLogger("pgmcp.auth")


class UserStore:
    """The users of one file.

    `lockout` failures in a row disable an account, 0 never. `on_gone` is told the names whose
    sessions must end, each with the reason: deleted, disabled (even if enabled again since), or
    made anew. `on_locked` is told the name of an account that failures have just disabled.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], datetime],
        lockout: int,
        on_gone: Callable[[Mapping[str, str]], None],
        on_locked: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self.path = path
        self._clock = clock
        self.lockout = lockout
        self._on_gone = on_gone
        self._on_locked = on_locked
        self._file = CredentialFile(path, _parse, NO_USERS)
        self._dearest: tuple[UserFile, int] = (NO_USERS, COST)

    def start(self) -> None:
        """Load the file for the first time; without one there are no users until it appears."""
        if self._file.exists():
            self._file.reload()
            _log.info("Loaded %d user(s) from %s", len(self._file.value.users), self.path)
        if self.lockout:
            _log.info("Account lockout enabled: %d failed attempts in a row", self.lockout)

    def get(self, name: str) -> User | None:
        """The user of that name (NFC) as last loaded."""
        return self._file.value.users.get(name)

    def dearest_cost(self) -> int:
        """The highest cost of the hashes: a refusal for any name takes as long as for that one."""
        users, cost = self._dearest
        if users is not self._file.value:
            users = self._file.value
            costs = [cost_of(user.password_hash) for user in users.users.values()]
            cost = max(costs, default=COST)
            self._dearest = (users, cost)
        return cost

    def reload(self) -> bool:
        """Take over the changed file; False when it says what this store knows."""
        old, new, changed = self._file.reload()
        self._announce(old, new)
        return changed

    def succeeded(self, checked: User, password_hash: str | None = None) -> User | None:
        """Record a login of `checked`, and another hash of its password if one is given.

        The account as it is now, None when it is gone.
        """
        return self._record(checked, lambda user: user.with_login(self._clock(), password_hash))

    def failed(self, checked: User) -> User | None:
        """Record a failed login; says so in the log when that locks the account."""
        if not self.lockout:
            return self.get(checked.name)
        now = self._clock()
        user = self._record(checked, lambda user: user.with_failure(now, self.lockout))
        if user is not None and user.disabled_at == rfc3339(now, "microseconds"):
            count = user.failed_attempts
            _log.warning("account locked user=%s failed_attempts=%d", quote(user.name), count)
            self._on_locked(user.name)
        return user

    def pretend(self) -> None:
        """Do what `failed` does, and change nothing: for a name that is nobody's.

        Writing takes longer the more users there are and the slower the disk is, so no fixed
        delay can hide it.
        """
        if not self.lockout:
            return

        def counted(data: bytes) -> bytes:
            # Of whoever is first: one entry is made anew, as `failed` does it.
            users = self._file.parsed(data)
            first = next(iter(users.users.values()), None)
            if first is not None:
                users = users.with_user(first.with_failure(self._clock(), self.lockout))
            return users.written().dump()

        # What is in the way of writing is in the way of `failed` too, which says so.
        with contextlib.suppress(FileError):
            self._file.rehearse(counted)
            self.reload()

    def _record(self, checked: User, change: Callable[[User], User]) -> User | None:
        """Change the account in the file, then in memory, unless it is not what was checked."""

        def applied(users: UserFile) -> UserFile:
            user = users.users.get(checked.name)
            if user is None or not user.enabled or user.password_hash != checked.password_hash:
                return users
            return users.with_user(change(user))

        def rewritten(data: bytes) -> bytes | None:
            users = self._file.parsed(data)
            changed = applied(users)
            if changed is users:
                return None
            changed = changed.written()
            written = changed.dump()
            self._file.remember(written, changed)
            return written

        try:
            self._file.rewrite(rewritten)
            self.reload()
        except FileError as error:
            _log.warning("recorded in memory only: %s", error.message)
            self._announce(*self._file.apply(applied))
        return self.get(checked.name)

    def _announce(self, old: UserFile, new: UserFile) -> None:
        gone: dict[str, str] = {}
        for name, before in old.users.items():
            now = new.users.get(name)
            if now is before:
                continue
            if now is None or now.created_at != before.created_at:
                gone[name] = "user deleted"
            elif before.enabled and (not now.enabled or now.disabled_at != before.disabled_at):
                gone[name] = "user disabled"
        if gone:
            self._on_gone(gone)


def _parse(data: bytes, origin: str, before: UserFile) -> UserFile:
    return parse_users(data, origin, before.users.values())
