"""Tokens, users and sessions of a server that asks who is calling.

The rule: a reload changes what is allowed, and forgets nothing that was counted or is signed in.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from pgmcp.auth.accounts import UserAccounts
from pgmcp.auth.api_tokens import ApiTokens
from pgmcp.auth.authenticator import CredentialAuthenticator
from pgmcp.auth.ended import Ended
from pgmcp.auth.hashing import Hasher, InHelper, InProcess
from pgmcp.auth.limiter import Limiter
from pgmcp.auth.logins import Logins
from pgmcp.auth.narrowed_tokens import NarrowedTokens
from pgmcp.auth.principal import Principal
from pgmcp.auth.refusals import Refusals
from pgmcp.auth.sessions import Sessions
from pgmcp.auth.times import utc_now
from pgmcp.config.auth import Auth
from pgmcp.config.model import Config
from pgmcp.server.observation import Observation, ObservedAuthenticator
from pgmcp.server.shared import CredentialStop, Shared
from pgmcp.storage.watch import Watcher
from pgmcp.stores.attenuation_key import FileKeyStore
from pgmcp.stores.files import FileTokenStore, FileUserStore

SWEEP_SECONDS = 1.0

_log = logging.getLogger("pgmcp.server")


class Authentication:
    """The credentials of a server and the limits on them. FileError for files that are not good.

    `shared` has what the server's processes count and keep together. `hasher`: the command whose
    process hashes passwords, where it is not to be this one.
    """

    def __init__(
        self,
        config: Config,
        watcher: Watcher,
        on_ended: Ended,
        observation: Observation,
        shared: Shared,
        hasher: Sequence[str] = (),
    ) -> None:
        auth, stores = config.http.auth, shared.stores()
        self._shared = shared
        self._refused = observation.refused
        self.sessions = Sessions(
            stores.sessions,
            clock=utc_now,
            max_per_user=auth.max_sessions_per_user,
            on_ended=on_ended,
        )
        self.tokens = _api_tokens(auth, on_ended)
        self._narrowed = NarrowedTokens(self.tokens, utc_now)
        self.users = UserAccounts(
            FileUserStore(auth.user_file),
            clock=utc_now,
            lockout=auth.max_failed_attempts_before_lockout,
            on_gone=self.sessions.end_users,
            on_locked=observation.locked,
        )
        self._bad_tokens = Limiter(
            stores.bad_tokens, auth.rate_limit_max_bad_tokens, auth.rate_limit_window_seconds
        )
        self._failed_logins = Limiter(
            stores.failed_logins, auth.rate_limit_max_attempts, auth.rate_limit_window_seconds
        )
        self.refusals = Refusals()
        self._hasher: Hasher = InHelper(hasher) if hasher else InProcess()
        self.logins = Logins(
            self.users,
            self.sessions,
            self._failed_logins,
            checks=stores.checks,
            refusals=self.refusals,
            hasher=self._hasher,
        )
        self._watch(auth, watcher, observation)
        self.tokens.start()
        self.users.start()
        self._share_stops(observation)
        _log_limits(auth)

    def _watch(self, auth: Auth, watcher: Watcher, observation: Observation) -> None:
        for path, what, reload in (
            # Before the tokens, as -add-token makes it before the token.
            (auth.attenuation_key_file, "attenuation key", self.tokens.reload_key),
            (auth.token_file, "tokens", self.tokens.reload),
            (auth.user_file, "users", self.users.reload),
        ):
            watcher.watch(path, observation.reloading(what, reload), "auth")
        watcher.every(SWEEP_SECONDS, self.sweep, "auth")

    def authenticator(self, config: Config) -> ObservedAuthenticator:
        """The authenticator for the databases of a configuration."""
        authenticator = CredentialAuthenticator(
            self.tokens,
            self.sessions,
            databases={d.name: d.available_to_users for d in config.databases},
            bad_tokens=self._bad_tokens,
            subjects=dict(config.http.tls.client_subjects),
            refusals=self.refusals,
            policies={name: policy.databases for name, policy in config.policies.items()},
            policy_of=self._policy_of,
            narrowed=self._narrowed,
        )
        return ObservedAuthenticator(authenticator, self._refused)

    def _policy_of(self, username: str) -> str | None:
        user = self.users.get(username)
        return None if user is None else user.policy

    def change(self, auth: Auth) -> None:
        """Hold everybody to other limits from now on."""
        self._bad_tokens.change(auth.rate_limit_max_bad_tokens, auth.rate_limit_window_seconds)
        self._failed_logins.change(auth.rate_limit_max_attempts, auth.rate_limit_window_seconds)
        self.sessions.max_per_user = auth.max_sessions_per_user
        self.users.lockout = auth.max_failed_attempts_before_lockout

    def stop_credential(self, principal: Principal) -> None:
        """Stop the token, or disable the user, of a principal: in every process, before this
        returns."""
        if principal.kind == "token":
            written = self.tokens.stop(principal.name, principal.owner)
        else:
            written = self.users.stop(principal.name)
        kind, name, owner = principal.kind, principal.name, principal.owner
        self._shared.stop_elsewhere(CredentialStop(kind, name, owner, written))

    def _share_stops(self, observation: Observation) -> None:
        self._shared.on_stop(self._stopped_elsewhere)
        for stop in self._shared.stopped():
            self._stopped_elsewhere(stop)
        observation.stop = self.stop_credential

    def _stopped_elsewhere(self, stop: CredentialStop) -> None:
        """Take over what another process has stopped. Nobody is asked: a user's sessions end
        everywhere by themselves, and a log-in asks the file."""
        if not stop.written:
            if stop.kind == "token":
                self.tokens.hold(stop.name, stop.owner)
            else:
                self.users.hold(stop.name)
        elif stop.kind == "token":
            self.tokens.reload()

    def stop(self) -> None:
        """Say what has not been said, and end what was started."""
        self.refusals.flush()
        self._hasher.close()

    def sweep(self) -> None:
        """End what has expired, and say what was refused."""
        self.tokens.sweep()
        self.users.sweep()
        self.sessions.sweep()
        self.refusals.sweep()


def _api_tokens(auth: Auth, on_ended: Ended) -> ApiTokens:
    keys = FileKeyStore(auth.attenuation_key_file)
    return ApiTokens(FileTokenStore(auth.token_file), clock=utc_now, on_ended=on_ended, keys=keys)


def _log_limits(auth: Auth) -> None:
    if auth.rate_limit_max_attempts:
        _log.info(
            "Rate limiting enabled: %d failed attempts per %d minutes and address",
            auth.rate_limit_max_attempts,
            auth.rate_limit_window_seconds // 60,
        )
