"""The authenticator maps the credentials of a request to a principal, or refuses without a reason.

The rule: whatever is wrong with a credential, the caller hears the same; the log says which it was.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from pgmcp.auth.api_tokens import ApiTokens
from pgmcp.auth.limiter import Limiter
from pgmcp.auth.narrowed_tokens import NarrowedToken, NarrowedTokens
from pgmcp.auth.principal import ANONYMOUS, Principal, anonymous_may, policy_in_force
from pgmcp.auth.refusals import Refusals
from pgmcp.auth.sessions import Session, Sessions
from pgmcp.auth.tokens import MAX_SECRET_CHARACTERS, ApiToken
from pgmcp.auth.users import normalize
from pgmcp.errors import TooManyAttemptsError, UnauthorizedError
from pgmcp.logs.log import quote
from pgmcp.net.addresses import address_key

_MAX_LOGGED_CLIENTS = 10_000
_NARROWED_CHARACTERS = 500
_MAX_LOGGED_NARROWED = 100
"""Of so many tokens narrowed from the same one the first request is logged: their holder makes as
many as it likes."""

ValidCredential = ApiToken | NarrowedToken | Session

_log = logging.getLogger("pgmcp.auth")


class CredentialAuthenticator:
    """`databases` maps each configured name, in order, to the users it is reserved for.

    `bad_tokens` counts failures per address; a valid token is never held up by it.
    `subjects` maps the subjects of clients' certificates to ids of tokens. `policies` maps the name
    of each policy to the databases that it allows, () for all; `policy_of` says which one a user
    has, None for none. `narrowed` finds the tokens that were narrowed, None for none.
    """

    def __init__(
        self,
        tokens: ApiTokens,
        sessions: Sessions,
        *,
        databases: Mapping[str, Sequence[str]],
        bad_tokens: Limiter,
        subjects: Mapping[str, str] | None = None,
        refusals: Refusals | None = None,
        policies: Mapping[str, Sequence[str]] | None = None,
        policy_of: Callable[[str], str | None] = lambda _name: None,
        narrowed: NarrowedTokens | None = None,
    ) -> None:
        self._tokens = tokens
        self._sessions = sessions
        self._narrowed = narrowed
        # In the form in which users are kept.
        self._databases = {
            name: frozenset(map(normalize, users)) for name, users in databases.items()
        }
        self._bad_tokens = bad_tokens
        self._subjects = dict(subjects or {})
        self._refusals = refusals or Refusals()
        self._policies = policies or {}
        self._policy_of = policy_of
        self._logged_clients: set[tuple[str, str]] = set()
        self._logged_clients_lock = threading.Lock()
        self._logged_narrowed: Counter[str] = Counter()  # by the token that they were narrowed from
        self._principals: dict[int, tuple[ValidCredential, Principal]] = {}

    def authenticate(
        self, authorization: Sequence[str], address: str, subject: str | None = None
    ) -> Principal | None:
        """The principal of a request with these Authorization values, which came from `address`
        with a verified certificate of `subject`, or with none.

        None for a request without a credential: `anonymous` decides by what it asks. A header
        decides alone, also beside a certificate: what was sent must be valid.
        UnauthorizedError, or TooManyAttemptsError for an address with too many bad tokens.
        """
        if not authorization:
            return None if subject is None else self._certified(subject, address)
        secret = _bearer(authorization[0]) if len(authorization) == 1 else None
        if secret is None:
            kind = "malformed header" if len(authorization) == 1 else "several headers"
            raise self._bad(address, kind)
        credential = self._tokens.find(secret) or self._find_other(secret, address)
        return self._admitted(credential, address)

    def _find_other(self, secret: str, address: str) -> NarrowedToken | Session:
        """The valid credential that is no token of the store; UnauthorizedError, or
        TooManyAttemptsError."""
        narrowed = None if self._narrowed is None else self._narrowed.find(secret)
        if narrowed is not None and not narrowed.narrowing.covers(address):
            name = narrowed.parent.id
            raise self._bad(address, f"token narrowed from {name} to other networks")
        credential = narrowed or self._sessions.find(secret)
        if credential is None:
            raise self._bad(address, "unknown, expired or revoked token")
        return credential

    def anonymous(self, method: str, params: object, address: str = "-") -> Principal:
        """ANONYMOUS for a login without an Authorization header; UnauthorizedError for all else."""
        if anonymous_may(method, params):
            return ANONYMOUS
        self._refused(address, "missing credential")
        raise UnauthorizedError

    def _certified(self, subject: str, address: str) -> Principal | None:
        """Maps the subject of a verified certificate to the principal of its token, or None.

        UnauthorizedError when that token has been removed or has expired.
        """
        token_id = self._subjects.get(subject)
        if token_id is None:
            return None
        token = self._tokens.get(token_id)
        if token is None:
            self._refused(address, f"certificate {subject} of a token that is not valid")
            raise UnauthorizedError
        return self._admitted(token, address)

    def _admitted(self, credential: ValidCredential, address: str) -> Principal:
        """The principal of a valid credential; UnauthorizedError where its policy is not there."""
        principal = self._principal(credential)
        if principal.policy is not None or principal.narrowing is not None:
            for policy in principal.policies:
                if policy not in self._policies:
                    raise self._without_policy(principal, policy, address)
        self._log_first_request(principal, address)
        return principal

    def _without_policy(self, principal: Principal, policy: str, address: str) -> Exception:
        """The refusal of a principal whose policy is not there."""
        reason = f"{principal.kind} {principal.name} has a policy that is not there: {policy}"
        if principal.narrowing is not None:  # its holder names policies, and must not try them all
            return self._bad(address, reason)
        self._refused(address, reason)
        return UnauthorizedError()

    def _principal(self, credential: ValidCredential) -> Principal:
        """The principal of a credential that was found, made once for each."""
        known = self._principals.get(id(credential))
        if known is None:
            if len(self._principals) >= _MAX_LOGGED_CLIENTS:
                self._principals.clear()
            # With the credential in it, so that its id is no other's.
            known = self._principals[id(credential)] = (credential, self._new_principal(credential))
        return known[1]

    def _new_principal(self, credential: ValidCredential) -> Principal:
        if isinstance(credential, Session):
            username = credential.username
            policy = policy_in_force(self._policy_of(username), self._policies)
            databases = self._for_user(username, policy)
            return Principal("session", username, credential.key, databases, policy)
        token = credential.parent if isinstance(credential, NarrowedToken) else credential
        policy = policy_in_force(token.policy, self._policies)
        databases = self._for_token(token, policy)
        principal = Principal("token", token.id, token.key, databases, policy)
        if isinstance(credential, NarrowedToken):
            return self._narrower(principal, credential)
        return principal

    def _narrower(self, parent: Principal, token: NarrowedToken) -> Principal:
        """The principal of a token that was narrowed from that of `parent`."""
        narrowing = token.narrowing
        databases = tuple(
            name
            for name in parent.databases
            if (narrowing.databases is None or name in narrowing.databases)
            and all(self._allows(policy, name) for policy in narrowing.policies)
        )
        return replace(parent, key=token.key, databases=databases, narrowing=narrowing)

    def _for_user(self, username: str, policy: str | None) -> tuple[str, ...]:
        return tuple(
            name
            for name, users in self._databases.items()
            if (not users or username in users) and self._allows(policy, name)
        )

    def _for_token(self, token: ApiToken, policy: str | None) -> tuple[str, ...]:
        if token.database is not None:
            # Not configured (any more): no database, rather than another one.
            known = token.database in self._databases and self._allows(policy, token.database)
            return (token.database,) if known else ()
        unreserved = (name for name, users in self._databases.items() if not users)
        return tuple(name for name in unreserved if self._allows(policy, name))[:1]

    def _allows(self, policy: str | None, database: str) -> bool:
        """Whether a policy lets its credentials use a database."""
        allowed = () if policy is None else self._policies.get(policy, ())
        return not allowed or database in allowed

    def _bad(self, address: str, kind: str) -> Exception:
        wait = self._bad_tokens.count(address)
        if wait is None:
            self._refused(address, kind)
            return UnauthorizedError()
        if self._bad_tokens.should_log_block(address):
            self._refused(address, f"too many bad tokens, {kind}", first_block=True)
        else:
            self._refusals.count(address, kind)
        return TooManyAttemptsError("too many requests with bad tokens from this IP address", wait)

    def _refused(self, address: str, kind: str, *, first_block: bool = False) -> None:
        if self._refusals.should_log(address, kind, first_block=first_block):
            _log.info("refused address=%s reason=%s", quote(address), quote(kind))

    def _log_first_request(self, principal: Principal, address: str) -> None:
        """Log the first request of a principal from a client, and no further ones.

        An IPv6 client has many addresses, and must not have as many lines in the log.
        """
        request_from = (principal.key, address)
        # Without the lock, as a look-up in a set is atomic; under it the client is looked up again.
        if request_from in self._logged_clients:
            return
        client = (principal.key, address_key(address))
        with self._logged_clients_lock:
            known = client in self._logged_clients
            if len(self._logged_clients) >= _MAX_LOGGED_CLIENTS:
                self._logged_clients.clear()
                self._logged_narrowed.clear()
            self._logged_clients |= {request_from, client}
            if principal.narrowing is not None and not known:
                self._logged_narrowed[principal.owner] += 1
                known = self._logged_narrowed[principal.owner] > _MAX_LOGGED_NARROWED
        if not known:
            narrowed = (
                ""
                if principal.narrowing is None
                else f" narrowed={quote(str(principal.narrowing), _NARROWED_CHARACTERS)}"
            )
            _log.info(
                "admitted address=%s %s=%s%s",
                quote(address),
                principal.kind,
                quote(principal.name),
                narrowed,
            )


def _bearer(header: str) -> str | None:
    """The token of `Bearer TOKEN` (RFC 6750, section 2.1), the scheme in any case."""
    scheme, _, rest = header.strip(" \t").partition(" ")
    secret = rest.strip(" \t")
    if scheme.lower() != "bearer" or not secret or len(secret) > MAX_SECRET_CHARACTERS:
        return None
    return secret if secret.isascii() and len(secret.split()) == 1 else None
