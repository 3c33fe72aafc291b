"""Logging in and out.

The rule: how a login was refused shows in the words of the guide and in nothing else, neither in
the time it took nor in what happens to the account that was asked for.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from pgmcp.auth.accounts import UserAccounts
from pgmcp.auth.hashing import Hasher, InProcess
from pgmcp.auth.limiter import Limiter
from pgmcp.auth.passwords import COST, PasswordChecks, is_weak
from pgmcp.auth.principal import Principal
from pgmcp.auth.refusals import Refusals
from pgmcp.auth.sessions import Sessions
from pgmcp.auth.times import rfc3339
from pgmcp.auth.users import NAME_MAX_CHARACTERS, User, normalize
from pgmcp.errors import LoginError
from pgmcp.logs.log import quote

WRONG = "authentication failed: invalid username or password"
DISABLED = "authentication failed: user account is disabled"
BLOCKED = "too many failed authentication attempts from this IP address, please try again later"

# Every refusal does the same work, and ends no sooner than this after the check: the small rest
# that differs cannot be timed.
_REFUSAL_SECONDS = 0.05
_MAX_TYPED_CHARACTERS = 4 * NAME_MAX_CHARACTERS  # before letters and their accents are composed

_log = logging.getLogger("pgmcp.auth")


class Logins:
    """Logging in to the accounts of one server. `limiter` counts failed logins per address.

    `checks` lets `hasher` be used by as many threads as it is made for.
    """

    def __init__(
        self,
        users: UserAccounts,
        sessions: Sessions,
        limiter: Limiter,
        *,
        checks: PasswordChecks | None = None,
        refusals: Refusals | None = None,
        hasher: Hasher | None = None,
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._limiter = limiter
        self._checks = checks or PasswordChecks()
        self._refusals = refusals or Refusals()
        self._hasher = hasher or InProcess()

    def for_request(self, address: str, principal: Principal) -> RequestLogins:
        """Logging in and out for one request from `address`."""
        return RequestLogins(self, address, principal)

    def log_in(self, username: str, password: str, address: str) -> tuple[str, str]:
        """A session token and when it expires (RFC 3339); LoginError in the guide's words."""
        name = ""
        try:
            # First of all: a blocked address costs no work on what it sent.
            self._refuse_blocked(self._limiter.retry_after(address))
            name = normalize(username)
            user = self._check(name, password, address)
        except LoginError as error:
            self._log_failure(name, address, error)
            raise
        token, session = self._sessions.open(name)
        # The account may have been disabled between the check and the opening of the session: the
        # change came too early to end this session, so it is ended here.
        now = self._users.get(name)
        if now is None or (now.enabled, now.disabled_at) != (True, user.disabled_at):
            self._sessions.end(session.key, "user disabled")
            raise LoginError(DISABLED)
        _log.info("session started address=%s user=%s", quote(address), quote(name))
        return token, rfc3339(session.expires_at)

    def known(self, username: str) -> str | None:
        """The name of the account of `username`, None when there is none."""
        if len(username) > _MAX_TYPED_CHARACTERS:
            return None
        name = normalize(username)
        return None if self._users.get(name) is None else name

    def log_out(self, principal: Principal) -> bool:
        """End the session that `principal` is; False when it is none."""
        return self._sessions.end(principal.key, "logged out")

    def _check(self, name: str, password: str, address: str) -> User:
        with self._checks.slot():
            self._refuse_blocked(self._limiter.count(address))
            user = self._users.get(name)
            usable = user.password_hash if user is not None and user.enabled else None
            right = self._hasher.matches(password, usable, self._users.highest_cost())
            answer_at = time.monotonic() + _REFUSAL_SECONDS
            # The slot is still held: while the file is locked, further logins are told that the
            # server is busy, instead of waiting for the file with every worker thread.
            outcome = self._record(user, password, right=right)
        if isinstance(outcome, User):
            self._limiter.take_back(address)
            return outcome
        time.sleep(max(0.0, answer_at - time.monotonic()))
        raise LoginError(outcome)

    def _record(self, user: User | None, password: str, *, right: bool) -> User | str:
        """Write down how a check ended: the account that may come in, or the words for it."""
        if user is None or not user.enabled:
            self._users.equalise_failure_time()
            return WRONG if user is None else DISABLED
        if not right:
            self._users.failed(user)
            return WRONG
        better = (
            self._hasher.hash_password(password)
            if is_weak(user.password_hash)
            else user.password_hash
        )
        now = self._users.succeeded(user, better)
        if now is not None and now.enabled and now.password_hash != better:
            # Another login may have hashed the same password anew meanwhile.
            if not self._hasher.matches(password, now.password_hash, COST):
                return WRONG
            better = now.password_hash
            now = self._users.succeeded(now, better)
        if now is not None and now.enabled and now.password_hash == better:
            return now
        return DISABLED if now is not None and not now.enabled else WRONG

    def _log_failure(self, name: str, address: str, error: LoginError) -> None:
        # People type passwords where the name belongs: what is no name stays out.
        user = quote(name) if self._users.get(name) is not None else "-"
        reason = quote(error.message, len(error.message))
        if error.message == BLOCKED and not self._limiter.should_log_block(address):
            self._refusals.count(address, BLOCKED)
            level = logging.DEBUG
        else:
            first_block = error.message == BLOCKED
            shown = self._refusals.should_log(address, error.message, first_block=first_block)
            level = logging.WARNING if shown else logging.DEBUG
        _log.log(level, "login failed address=%s user=%s reason=%s", quote(address), user, reason)

    def _refuse_blocked(self, wait: int | None) -> None:
        if wait is not None:
            raise LoginError(BLOCKED, retry_after_seconds=wait)


@dataclass(frozen=True, slots=True)
class RequestLogins:
    """Logging in and out for a request that came from `address` as `principal`."""

    logins: Logins
    address: str
    principal: Principal

    def log_in(self, username: str, password: str) -> tuple[str, str]:
        """A new session token and its expiry (RFC 3339); LoginError when refused."""
        return self.logins.log_in(username, password, self.address)

    def log_out(self) -> bool:
        """End the session this call came with; False when it came with none."""
        return self.logins.log_out(self.principal)

    def known(self, username: str) -> str | None:
        """The name of the account of `username`, None when there is none."""
        return self.logins.known(username)
