"""The API tokens of a server: who a bearer token is, right now, and which ones have just ended.

The rule: a lookup takes no lock and asks the clock; a token that goes, for whatever reason, is
announced to `on_ended` with the key of its connections. A token that has expired by a clock that
was just set is refused, and kept.
"""

from __future__ import annotations

import hmac
import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Protocol

from pgmcp.auth.attenuation import AttenuationKey
from pgmcp.auth.ended import Ended, log_each
from pgmcp.auth.store import CredentialStore
from pgmcp.auth.times import WallClock
from pgmcp.auth.tokens import ApiToken, digest, why_ended
from pgmcp.errors import StoreError
from pgmcp.logs.log import quote

_log = logging.getLogger("pgmcp.auth")

TokenChanges = Sequence[tuple[ApiToken, ApiToken | None]]
"""Pairs: a token before a change, and the token of that hash after it, None when it is gone."""


class TokenStore(CredentialStore[TokenChanges], Protocol):
    """Keeps API tokens. An expired token is a token here."""

    def load(self) -> None:
        """Read the tokens for the first time; StoreError when there is no store."""

    def find(self, hashed: str) -> ApiToken | None:
        """The token of that hash (64 lower-case hex digits), None when there is none."""

    def get(self, token_id: str) -> ApiToken | None:
        """The token of that id, None when there is none."""

    def tokens(self) -> Collection[ApiToken]:
        """All tokens."""

    def expired(self, now: datetime) -> Collection[ApiToken]:
        """Those that expire at `now` or did before. It is asked every second."""

    def add(self, make: Callable[[Collection[ApiToken]], ApiToken]) -> ApiToken:
        """Add the token that `make` makes, given those that are there. StoreError."""

    def disable(self, hashed: str, now: datetime) -> None:
        """Mark the token of this hash as stopped, as it is stored now, in one step; lookups say so
        when this returns. StoreError when it cannot be written."""

    def remove(self, drop: Callable[[ApiToken], bool]) -> Sequence[ApiToken]:
        """Remove the tokens for which `drop` is true as they are stored now; those. StoreError."""


class KeyStore(Protocol):
    """Keeps the key of attenuable tokens. `current` is None while there is none."""

    current: AttenuationKey | None

    @property
    def origin(self) -> str:
        """Where the key is kept, for people and for the log."""

    def reload(self) -> bool:
        """Take over what the store says now; False when nothing has changed. StoreError when it
        cannot be read: then there is no key."""


class NoKey:
    """A store without a key."""

    current: AttenuationKey | None = None
    origin = "nowhere"

    def reload(self) -> bool:
        """Nothing changes."""
        return False


class ApiTokens:
    """The tokens of one store. `clock` is the wall clock, aware of its zone, and `elapsed` a
    monotonic one that tells when the other is set. `keys` has the key of attenuable tokens: one
    that was made with another key is not valid."""

    def __init__(
        self,
        store: TokenStore,
        *,
        clock: Callable[[], datetime],
        on_ended: Ended,
        elapsed: Callable[[], float] = time.monotonic,
        keys: KeyStore | None = None,
    ) -> None:
        self._store = store
        self._keys = keys or NoKey()
        self._keyless = 0
        self._find = store.find  # bound once: each request comes by
        self._clock = WallClock(clock, elapsed)
        self._on_ended = on_ended
        self._announced: frozenset[str] = frozenset()
        self._to_remove = False
        # The hashes of tokens that are stopped here and not in the store: replaced, so that a
        # look-up needs no lock, and replaced under it, so that none is lost.
        self._stopped: frozenset[str] = frozenset()
        self._stopped_lock = threading.Lock()
        store.subscribe(self._tell)

    def start(self) -> None:
        """Load the tokens for the first time and remove those that have expired; StoreError."""
        self._store.load()
        try:
            self._keys.reload()
        except StoreError as error:
            _log.error("the key of attenuable tokens cannot be read: %s", error.message)
        removed = self._remove_expired()
        self._announced = frozenset(self._expired_now())
        valid = len(self._store.tokens()) - len(self._announced)
        _log.info("Loaded %d API token(s) from %s", valid, self._store.origin)
        self._report_keyless()
        if removed:
            _log.info("Removed %d expired token(s)", removed)

    def find(self, secret: str) -> ApiToken | None:
        """The valid token that `secret` is, None when it is none."""
        return self.by_hash(digest(secret))

    def by_hash(self, hashed: str) -> ApiToken | None:
        """The valid token of that hash, None when there is none."""
        token = self._find(hashed)
        if token is None or not hmac.compare_digest(token.hash, hashed):
            return None
        if token.attenuable is not None and not self._has_key(token):
            return None
        if self._is_stopped(token):
            return None
        return None if token.expired(self._clock.now()) else token

    def get(self, token_id: str) -> ApiToken | None:
        """The valid token of that id, None when there is none."""
        token = self._store.get(token_id)
        if token is None or not self._has_key(token) or self._is_stopped(token):
            return None
        return None if token.expired(self._clock.now()) else token

    @property
    def attenuation_key(self) -> AttenuationKey | None:
        """The key of attenuable tokens, None while there is none."""
        return self._keys.current

    def reload(self) -> bool:
        """Take over what the store says now; False when nothing has changed. StoreError."""
        changed = self._store.reload()
        self._report_keyless()
        return changed

    def reload_key(self) -> bool:
        """As `reload`, of the key of attenuable tokens. Those that another key made end, with what
        was narrowed from them."""
        before = self._keys.current
        try:
            return self._keys.reload()
        finally:
            if before is not None and self._keys.current != before:
                self._end(
                    [
                        (token, "made with a key that is gone")
                        for token in self._store.tokens()
                        if token.attenuable == before.id
                    ]
                )
            self._report_keyless()

    def stop(self, token_id: str, key: str) -> bool:
        """Stop the token that has this id and this key: it is refused from now on, and what runs
        with it ends. False where it is stopped in memory alone, since the store cannot be
        written."""
        token = self._store.get(token_id)
        if token is None or token.key != key:
            return True
        self._hold(token)  # refused before the store is asked, which takes a while
        written = self._write_stop(token.hash)
        if not written:
            self._end([(token, "stopped")])
            _log.error(
                "the token %s is stopped in memory only, and works again once the server restarts: "
                "%s does not say so, and is tried again. Remove the token with -remove-token",
                quote(token.id),
                self._store.origin,
            )
        return written

    def hold(self, token_id: str, key: str) -> None:
        """Stop a token in memory alone."""
        token = self._store.get(token_id)
        if token is not None and token.key == key:
            self._hold(token)
            self._end([(token, "stopped")])

    def _hold(self, token: ApiToken) -> None:
        with self._stopped_lock:
            self._stopped |= {token.hash}

    def _write_stop(self, hashed: str) -> bool:
        try:
            self._store.disable(hashed, self._clock.now())
        except StoreError as error:
            _log.debug("a stopped token could not be marked: %s", error.message)
            return False
        with self._stopped_lock:
            self._stopped -= {hashed}
        return True

    def sweep(self) -> None:
        """End the tokens that have expired, and remove them from the store; mark those that are
        stopped and could not be marked."""
        for hashed in self._stopped:
            self._write_stop(hashed)
        is_stable = self._clock.is_stable()
        expired = self._expired_now()
        fresh = [token for key, token in expired.items() if key not in self._announced]
        self._to_remove = self._to_remove or bool(fresh)
        self._end([(token, "expired") for token in fresh])
        self._announced = frozenset(expired)
        if self._to_remove and is_stable:
            self._to_remove = False
            self._remove_expired()

    def _is_stopped(self, token: ApiToken) -> bool:
        return token.disabled_at is not None or token.hash in self._stopped

    def _has_key(self, token: ApiToken) -> bool:
        """Whether there is the key that a token was made with, where it was made with one."""
        if token.attenuable is None:
            return True
        key = self._keys.current
        return key is not None and key.id == token.attenuable

    def _report_keyless(self) -> None:
        """Log how many tokens are refused for want of their key, when that changes."""
        keyless = sum(not self._has_key(token) for token in self._store.tokens())
        if keyless and keyless != self._keyless:
            _log.error(
                "%d attenuable token(s) are refused, and all that were narrowed from them: %s does "
                "not hold the key that they were made with. Put it back, or make other tokens",
                keyless,
                self._keys.origin,
            )
        self._keyless = keyless

    def _expired_now(self) -> dict[str, ApiToken]:
        return {token.key: token for token in self._store.expired(self._clock.now())}

    def _remove_expired(self) -> int:
        """Remove expired tokens from the store; how many there were."""
        now = self._clock.now()
        if not self._store.expired(now):
            return 0
        try:
            # Asked of each token as it is stored at that moment: one that was prolonged meanwhile
            # stays.
            removed = self._store.remove(lambda token: token.expired(now))
        except StoreError as error:
            _log.warning("expired tokens stay in the file, without effect: %s", error.message)
            return 0
        log_each(
            (f"token removed id={quote(token.id)} reason=expired" for token in removed),
            len(removed),
        )
        return len(removed)

    def _tell(self, changes: TokenChanges) -> None:
        """Announce the tokens that ended. Before this is called, the store finds them no more."""
        now, ended = self._clock.now(), []
        for before, after in changes:
            if before.expired(now) and before.key in self._announced:
                continue
            reason = why_ended(before, after, now)
            if reason is not None:
                ended.append((before, reason))
        self._end(ended)

    def _end(self, ended: Sequence[tuple[ApiToken, str]]) -> None:
        if not ended:
            return
        self._on_ended({token.key: f"token {reason}" for token, reason in ended})
        log_each(
            (f"token ended id={quote(token.id)} reason={quote(why)}" for token, why in ended),
            len(ended),
        )
