"""The user accounts of a server: recording what logins come to, and counting what fails.

The rule: a login is decided by the account as it is stored at that moment, in one step with what is
written, so a lockout holds at once, survives a restart, and loses no concurrent edit.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from pgmcp.auth.passwords import COST, cost_of
from pgmcp.auth.store import CredentialStore
from pgmcp.auth.times import rfc3339
from pgmcp.auth.users import User, why_gone
from pgmcp.errors import StoreError
from pgmcp.logs.log import quote

_log = logging.getLogger("pgmcp.auth")

UserChanges = Sequence[tuple[User, User | None]]
"""Pairs: a user before a change, and the user of that name after it, None when it is gone."""


class UserStore(CredentialStore[UserChanges], Protocol):
    """Keeps user accounts by name (NFC)."""

    def load(self) -> bool:
        """Read the users for the first time; False when there is no store yet, and so no user."""

    def get(self, name: str) -> User | None:
        """The user of that name, None when there is none."""

    def users(self) -> Mapping[str, User]:
        """All users by name: a snapshot, and the same object for as long as nothing changes."""

    def change(self, name: str, decide: Callable[[User | None], User | None]) -> User | None:
        """Store what `decide` makes of a user as it is stored now, in one step. Returns the user
        after that.

        `decide` gets None where there is no user, and returns None to remove it; the same object
        means no change. Lookups return the result before this returns. A change that cannot be
        written is kept in memory and logged: a lockout holds also on a full disk.
        """

    def store(self, name: str, decide: Callable[[User | None], User | None]) -> None:
        """As `change`, but a change that cannot be written is a StoreError, and none."""

    def dry_run(self, decide: Callable[[User], User]) -> None:
        """Spend on some user what `change` would spend, disk included, and store nothing.

        StoreError where `change` could not write.
        """


class UserAccounts:
    """The users of one store.

    `lockout` failures in a row disable an account, 0 never. `on_gone` is told the names whose
    sessions must end, each with the reason: deleted, disabled (even if enabled again since), or
    made anew. `on_locked` is told the name of an account that failures have just disabled.
    """

    def __init__(
        self,
        store: UserStore,
        *,
        clock: Callable[[], datetime],
        lockout: int,
        on_gone: Callable[[Mapping[str, str]], None],
        on_locked: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self.lockout = lockout
        self._on_gone = on_gone
        self._on_locked = on_locked
        # The names of accounts that are stopped here and not in the store: replaced, so that a
        # look-up needs no lock, and replaced under it, so that none is lost.
        self._stopped: frozenset[str] = frozenset()
        self._stopped_lock = threading.Lock()
        self._highest_cost: tuple[Mapping[str, User], int] = ({}, COST)
        store.subscribe(self._tell)

    def start(self) -> None:
        """Load the users for the first time; without a store there are none until it appears."""
        if self._store.load():
            _log.info("Loaded %d user(s) from %s", len(self._store.users()), self._store.origin)
        if self.lockout:
            _log.info("Account lockout enabled: %d failed attempts in a row", self.lockout)

    def get(self, name: str) -> User | None:
        """The user of that name (NFC) as last loaded."""
        return self._held(self._store.get(name))

    def highest_cost(self) -> int:
        """The highest bcrypt cost of all hashes: a refusal of any name must take that long."""
        users, cost = self._highest_cost
        if users is not self._store.users():
            users = self._store.users()
            costs = [cost_of(user.password_hash) for user in users.values()]
            cost = max(costs, default=COST)
            self._highest_cost = (users, cost)
        return cost

    def reload(self) -> bool:
        """Take over what the store says now; False when nothing has changed. StoreError."""
        return self._store.reload()

    def succeeded(self, checked: User, password_hash: str | None = None) -> User | None:
        """Record a login of `checked`, and another hash of its password if one is given.

        Returns the account as it is now, None when it is gone.
        """
        return self._record(checked, lambda user: user.with_login(self._clock(), password_hash))

    def failed(self, checked: User) -> User | None:
        """Record a failed login, and log it when that locks the account."""
        if not self.lockout:
            return self.get(checked.name)
        now = self._clock()
        user = self._record(checked, lambda user: user.with_failure(now, self.lockout))
        if user is not None and user.disabled_at == rfc3339(now, "microseconds"):
            count = user.failed_attempts
            _log.warning("account locked user=%s failed_attempts=%d", quote(user.name), count)
            self._on_locked(user.name)
        return user

    def equalise_failure_time(self) -> None:
        """Take as long as `failed` takes, and change nothing: for a name that has no account.

        Writing takes longer the more users there are and the slower the disk is, so no fixed
        delay can hide it.
        """
        if not self.lockout:
            return
        # What is in the way of writing is in the way of `failed` too, which logs it.
        with contextlib.suppress(StoreError):
            self._store.dry_run(lambda user: user.with_failure(self._clock(), self.lockout))

    def _record(self, checked: User, change: Callable[[User], User]) -> User | None:
        """Change the account, unless it is not what was checked any more."""

        def decide(user: User | None) -> User | None:
            # Checked in the same step as the writing: the account may have been disabled, or its
            # password changed, since the check of the password.
            user = self._held(user)
            if user is None or not user.enabled or user.password_hash != checked.password_hash:
                return user
            return change(user)

        return self._held(self._store.change(checked.name, decide))

    def stop(self, name: str) -> bool:
        """Disable an account and end its sessions. False where that is so in memory alone, since
        the store cannot be written."""
        self.hold(name)  # refused before the store is asked, which takes a while
        written = self._write_stop(name)
        if not written:
            self._on_gone({name: "user disabled"})
            _log.error(
                "the account %s is disabled in memory only, and works again once the server "
                "restarts: %s does not say so, and is tried again",
                quote(name),
                self._store.origin,
            )
        return written

    def hold(self, name: str) -> None:
        """Disable an account in memory alone; its sessions are ended by who stopped it."""
        with self._stopped_lock:
            self._stopped |= {name}

    def sweep(self) -> None:
        """Disable in the store what is disabled and could not be written."""
        for name in self._stopped:
            self._write_stop(name)

    def _write_stop(self, name: str) -> bool:
        def decide(user: User | None) -> User | None:
            return user if user is None or not user.enabled else user.with_disabled(self._clock())

        try:
            self._store.store(name, decide)
        except StoreError as error:
            _log.debug("an account could not be disabled in the store: %s", error.message)
            return False
        with self._stopped_lock:
            self._stopped -= {name}
        return True

    def _held(self, user: User | None) -> User | None:
        """A user as the store has it, disabled where it is stopped."""
        if user is None or user.name not in self._stopped or not user.enabled:
            return user
        return user.with_disabled(self._clock())

    def _tell(self, changes: UserChanges) -> None:
        reasons = {before.name: why_gone(before, after) for before, after in changes}
        gone = {name: reason for name, reason in reasons.items() if reason is not None}
        if gone:
            self._on_gone(gone)
