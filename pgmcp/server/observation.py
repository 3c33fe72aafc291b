"""What becomes of a call's trail: a record in the audit, numbers for the metrics, lines in the log.

The rule: nothing is counted in two places. What is no call (a refused credential, a reload) is
counted by a wrapper around the thing that knows of it, and that thing does not know it is counted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pgmcp.auth.principal import LOGIN_TOOL, Principal
from pgmcp.config.log import Log
from pgmcp.errors import PgmcpError, TooManyAttemptsError, UnauthorizedError
from pgmcp.logs.log import dropped, fields
from pgmcp.metrics.metrics import Counter, Histogram, MetricFamily, gauge, value

if TYPE_CHECKING:
    # Loaded by the module that makes one; over standard input there is no authenticator.
    from pgmcp.audit.audit import AuditLog
    from pgmcp.auth.logins import RequestLogins
    from pgmcp.calls.call import Waiting
    from pgmcp.calls.trail import Trail
    from pgmcp.transport.endpoint import Authenticator

T = TypeVar("T")

_log = logging.getLogger("pgmcp.call")


class Observation:
    """Counts, logs and audits the calls of a server. `log` may be replaced while it runs."""

    def __init__(self, log: Log, audit: AuditLog | None = None) -> None:
        self.log = log
        self._audit = audit
        names = ("method", "name")
        self.calls = Counter(
            "pgmcp_calls_total",
            "Requests by method, tool, resource or prompt, and outcome.",
            (*names, "outcome"),
        )
        self.errors = Counter(
            "pgmcp_call_errors_total",
            "Requests that failed, by the kind of error and the gate that refused.",
            ("error", "gate"),
        )
        self.seconds = Histogram(
            "pgmcp_call_duration_seconds", "How long requests took, in seconds.", names
        )
        self.rows = Counter("pgmcp_rows_total", "Rows that went back, by database.", ("database",))
        self.slow = Counter("pgmcp_slow_calls_total", "Requests over log.slow_call_seconds.")
        self.logins = Counter(
            "pgmcp_logins_total", "Log-ins by outcome: ok, failed or limited.", ("outcome",)
        )
        self.refused = Counter(
            "pgmcp_credentials_refused_total",
            "Requests without a valid credential: unauthorized, or limited by their address.",
            ("reason",),
        )
        self.lockouts = Counter("pgmcp_lockouts_total", "Accounts that failed log-ins disabled.")
        self.canaries = Counter(
            "pgmcp_canaries_total",
            "Calls that used a canary, or tried to, by what followed: stop or alarm.",
            ("action",),
        )
        self.stop: Callable[[Principal], None] | None = None
        """Stops a credential; None where nobody brings any."""
        self.reloads = Counter(
            "pgmcp_reloads_total",
            "Files that were loaded anew, by what they hold and outcome: ok or failed.",
            ("what", "outcome"),
        )

    # -- what `mcp.dispatch` tells -----------------------------------------------------------------

    def admit(self, method: str) -> None:
        """AuditError when a call of this method may not run now."""
        if self._audit is not None:
            self._audit.admit(method)

    def record(self, trail: Trail, waiting: Waiting) -> None:
        """Record a call that ran, which waits by `waiting`; AuditError when its answer must be
        withheld."""
        if trail.canaries:
            self._alarm(trail)
        if self._audit is not None:
            self._audit.record(trail, waiting)

    def _alarm(self, trail: Trail) -> None:
        """Report a call that used a canary, and stop its credential where its policy wants that."""
        stop = self.stop if trail.principal.kind in ("token", "session") else None
        if stop is None:
            trail.canary_action = "alarm"
        stops = trail.canary_action == "stop"
        # An error, so that no log.level hides it; first of all, whatever fails below.
        _log.error(
            "canary used, %s",
            "and its credential is stopped" if stops else "and nothing is stopped",
            extra=self._fields(trail),
        )
        self.canaries.add(trail.canary_action)
        if stops and stop is not None:
            try:
                stop(trail.principal)
            except PgmcpError as error:  # it is stopped here, and the others end with the server
                _log.error("a credential was not stopped in all processes: %s", error.message)

    def note(self, trail: Trail) -> None:
        """Count and log a call that is over."""
        self.calls.add(trail.method, trail.name, trail.outcome)
        self.seconds.observe(trail.seconds, trail.method, trail.name)
        if trail.error is not None:
            self.errors.add(trail.error, trail.gate)
        if trail.rows is not None and trail.database is not None:
            self.rows.add(trail.database, amount=trail.rows)
        if trail.name == LOGIN_TOOL:
            failed = "limited" if trail.limited else "failed"
            self.logins.add("ok" if trail.outcome == "ok" else failed)
        if trail.seconds > self.log.slow_call_seconds:
            self.slow.add()
            _log.warning("slow call", extra=self._fields(trail))
        elif _log.isEnabledFor(logging.DEBUG):
            _log.debug("call", extra=self._fields(trail))

    def _fields(self, trail: Trail) -> dict[str, object]:
        return fields(
            seconds=round(trail.seconds, 6),
            principal=f"{trail.principal.kind}:{trail.principal.name}",
            narrowed=str(trail.principal.narrowing or "") or None,
            address=trail.address,
            method=trail.method,
            name=trail.name or None,
            database=trail.database,
            rows=trail.rows,
            outcome=trail.outcome,
            error=trail.error,
            sqlstate=trail.sqlstate,
            gate=trail.gate or None,
            canaries=", ".join(trail.canaries) or None,
            sql="; ".join(trail.statements) if self.log.sql and trail.statements else None,
        )

    # -- what is no call ---------------------------------------------------------------------------

    def reloading(self, what: str, reload: Callable[[], T]) -> Callable[[], T]:
        """`reload`, counted unless it returns False: nothing has changed.

        A file, a certificate and the configuration follow one rule: `reload` reads the newer state
        and takes it over whole, or raises PgmcpError or OSError and leaves the last good state in
        use. Who calls it logs the reason: the watcher for files, the app for its configuration.
        """

        def counted() -> T:
            try:
                done = reload()
            except (PgmcpError, OSError):
                self.reloads.add(what, "failed")
                raise
            if done is not False:
                self.reloads.add(what, "ok")
            return done

        return counted

    def locked(self, _name: str) -> None:
        """Count an account that failed log-ins have disabled."""
        self.lockouts.add()

    def families(self) -> Iterator[MetricFamily]:
        """All that was counted, and the audit's state."""
        counters = (self.calls, self.errors, self.rows, self.slow, self.logins, self.refused)
        for counter in (*counters, self.lockouts, self.canaries, self.reloads):
            yield counter.family()
        yield self.seconds.family()
        yield MetricFamily(
            "pgmcp_log_lines_dropped_total",
            "counter",
            "Lines of the log that could not be written.",
            [value(dropped())],
        )
        if self._audit is not None:
            yield gauge(
                "pgmcp_audit_sequence",
                "The number of the audit's newest record.",
                value(self._audit.sequence),
            )
            yield gauge(
                "pgmcp_audit_failing",
                "1 while the audit cannot be written.",
                value(self._audit.failing),
            )
            lost = MetricFamily(
                "pgmcp_audit_failures_total",
                "counter",
                "Calls that could not be recorded.",
                [value(self._audit.failures)],
            )
            yield lost


@dataclass(frozen=True, slots=True)
class ObservedAuthenticator:
    """An authenticator whose refusals are counted."""

    authenticator: Authenticator
    refused: Counter

    def authenticate(
        self, authorization: Sequence[str], address: str, subject: str | None
    ) -> Principal | None:
        """The principal with these credentials, None without any; AuthError for bad ones."""
        try:
            return self.authenticator.authenticate(authorization, address, subject)
        except TooManyAttemptsError:
            self.refused.add("limited")
            raise
        except UnauthorizedError:
            self.refused.add("unauthorized")
            raise

    def anonymous(self, method: str, params: object, address: str) -> Principal:
        """The principal without a credential; UnauthorizedError unless anybody may ask this."""
        try:
            return self.authenticator.anonymous(method, params, address)
        except UnauthorizedError:
            self.refused.add("unauthorized")
            raise


@dataclass(frozen=True, slots=True)
class ObservedLogins:
    """Accounts that leave the account's name on the call's trail, and never the password.

    People type passwords where the name belongs: a name without an account is left out.
    """

    logins: RequestLogins
    trail: Trail

    def log_in(self, username: str, password: str) -> tuple[str, str]:
        """A new session token and its expiry (RFC 3339); LoginError when refused."""
        self.trail.user = self.logins.known(username)
        return self.logins.log_in(username, password)

    def log_out(self) -> bool:
        """End the session this call came with; False when it came with none."""
        return self.logins.log_out()
