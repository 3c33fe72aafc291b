"""The one place where the objects of a running server meet: build, start, serve, stop.

The rule: every other module gets what it needs as an argument; only this one knows them all.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import pgmcp
from pgmcp import prompts, resources, tools
from pgmcp.auth.accounts import Accounts, RequestAccounts
from pgmcp.auth.gate import Gate, OpenGate
from pgmcp.auth.limiter import Limiter
from pgmcp.auth.principal import Principal, local
from pgmcp.auth.sessions import SessionStore
from pgmcp.auth.token_store import TokenStore
from pgmcp.auth.user_store import UserStore
from pgmcp.call import Call
from pgmcp.config.model import Auth, Config, Features
from pgmcp.db import role
from pgmcp.db.pools import Pools
from pgmcp.db.port import Database
from pgmcp.errors import ToolError
from pgmcp.mcp.dispatch import Dispatcher
from pgmcp.mcp.feature import Context
from pgmcp.mcp.registry import Registry
from pgmcp.mcp.server import NAME
from pgmcp.transport import origin, stdio
from pgmcp.transport.endpoint import ClientInfo, Endpoint
from pgmcp.transport.http import HttpServer
from pgmcp.transport.inflight import InFlight
from pgmcp.transport.tls import ServerTls
from pgmcp.watch import Watcher

SWEEP_SECONDS = 1.0
GRACE_SECONDS = 10.0
CLOSE_SECONDS = 5.0
_CALL_MARGIN_SECONDS = 5.0
_REPORT_SECONDS = 30.0
_OPERATOR = "operator"
"""Whose connections look at the databases on nobody's behalf."""

_log = logging.getLogger("pgmcp.server")


def known_features() -> Features:
    """The names that a configuration may switch off."""
    return Features(
        frozenset(tool.name for tool in tools.ALL),
        frozenset(name for r in resources.ALL for name in (r.name, r.uri)),
        frozenset(prompt.name for prompt in prompts.ALL),
    )


def registry(config: Config) -> Registry:
    """Every feature that the configuration did not switch off."""
    hidden = config.hidden_resources
    return Registry(
        [tool for tool in tools.ALL if tool.name not in config.hidden_tools],
        [r for r in resources.ALL if r.name not in hidden and r.uri not in hidden],
        [prompt for prompt in prompts.ALL if prompt.name not in config.hidden_prompts],
    )


@dataclass(frozen=True, slots=True)
class Reach:
    """The databases of one principal, within one call."""

    pools: Pools
    principal: Principal
    call: Call

    def names(self) -> tuple[str, ...]:
        """Their names, the default first."""
        return self.principal.databases

    def get(self, name: str | None = None) -> Database:
        """One of them, the default without a name; ToolError when it is not there."""
        names = self.names()
        if not names:
            raise ToolError(
                "no database is available to you",
                "The operator binds tokens to databases, and reserves databases for users.",
            )
        if name is not None and name not in names:
            raise ToolError(
                f"there is no database {name!r} that you may use",
                f"You may use: {', '.join(names)}",
            )
        return self.pools.database(self.principal.key, name or names[0], self.call)


class FrontDoor:
    """Tokens, users and sessions of a server that asks who is calling. FileError on bad files."""

    def __init__(
        self, config: Config, watcher: Watcher, on_ended: Callable[[str, str], None]
    ) -> None:
        auth = config.http.auth
        self.sessions = SessionStore(
            clock=_now, max_per_user=auth.max_sessions_per_user, on_ended=on_ended
        )
        self.tokens = TokenStore(auth.token_file, clock=_now, on_ended=on_ended)
        self.users = UserStore(
            auth.user_file,
            clock=_now,
            lockout=auth.max_failed_attempts_before_lockout,
            on_gone=self.sessions.end_user,
        )
        self.gate = Gate(
            self.tokens,
            self.sessions,
            databases={d.name: d.available_to_users for d in config.databases},
            bad_tokens=Limiter(auth.rate_limit_max_bad_tokens, auth.rate_limit_window_seconds),
        )
        self.accounts = Accounts(
            self.users,
            self.sessions,
            Limiter(auth.rate_limit_max_attempts, auth.rate_limit_window_seconds),
        )
        watcher.watch(auth.token_file, self.tokens.reload)
        watcher.watch(auth.user_file, self.users.reload)
        watcher.every(SWEEP_SECONDS, self.sweep, "credentials")
        self.tokens.start()
        self.users.start()
        _log_limits(auth)

    def sweep(self) -> None:
        """End what has expired."""
        self.tokens.sweep()
        self.sessions.sweep()


class App:
    """A server, from its configuration to its end. ConfigError or FileError when it cannot be."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._registry = registry(config)
        self._dispatcher = Dispatcher(self._registry, server_version=pgmcp.__version__)
        self._pools = Pools(config.databases, max_connections_total=config.max_connections_total)
        self._watcher = Watcher()
        self._watcher.every(SWEEP_SECONDS, self._pools.tick, "pools")
        self._everybody = local(tuple(database.name for database in config.databases))

    def serve_stdio(self, stop: threading.Event) -> int:
        """Serve standard input and output until it ends or `stop` is set; the exit status."""
        reader, writer = stdio.own_streams()
        limits = stdio.Limits(call_timeout_seconds=self._call_timeout_seconds())
        self._start()
        try:
            return stdio.serve(
                reader,
                writer,
                self._dispatcher,
                lambda call: self._context(self._everybody, call),
                stop=stop,
                limits=limits,
            )
        finally:
            self._close()

    def serve_http(self, wait: Callable[[], object]) -> int:
        """Serve HTTP until `wait` returns; the exit status."""
        http = self._config.http
        tls = ServerTls(http.tls) if http.tls.enabled else None
        door = FrontDoor(self._config, self._watcher, self._end) if http.auth.enabled else None
        inflight = InFlight()

        def context(principal: Principal, call: Call, client: ClientInfo) -> Context:
            accounts = door.accounts.for_request(client.address, principal) if door else None
            return self._context(principal, call, accounts)

        endpoint = Endpoint(
            door.gate if door else OpenGate(self._everybody),
            self._dispatcher,
            context,
            inflight=inflight,
            call_timeout_seconds=self._call_timeout_seconds(),
            health={"status": "ok", "server": NAME, "version": pgmcp.__version__},
            local=origin.is_loopback(http.address.host),
            trusted=origin.networks(http.trusted_proxies),
        )
        server = HttpServer(http.address, endpoint, tls=tls.context if tls else None)
        self._warn()
        self._start()
        server.start()
        _log.info("Listening on %s://%s", "https" if tls else "http", http.address)
        try:
            wait()
            _log.info("Stopping")
            stopped = server.stop(GRACE_SECONDS, inflight.cancel_all)
            _log.info("Stopped: %d finished, %d cancelled", stopped.finished, stopped.cancelled)
        finally:
            self._close()
        return 0

    def _context(
        self, principal: Principal, call: Call, accounts: RequestAccounts | None = None
    ) -> Context:
        return Context(
            principal,
            call,
            Reach(self._pools, principal, call),
            accounts,
            self._registry.resources,
        )

    def _call_timeout_seconds(self) -> float:
        """Room for the slowest statement of any database, and for getting to it."""
        return _CALL_MARGIN_SECONDS + max(
            (
                database.statement_timeout_seconds + database.connect_timeout_seconds
                for database in self._config.databases
            ),
            default=0.0,
        )

    def _start(self) -> None:
        """Begin what happens beside serving."""
        self._watcher.start()
        threading.Thread(target=self._report_roles, name="roles", daemon=True).start()

    def _report_roles(self) -> None:
        """Say what each database's role could do beyond reading: only the role is a wall."""
        for database in self._config.databases:
            reader = self._pools.database(_OPERATOR, database.name, Call(_REPORT_SECONDS))
            try:
                found = role.powers(reader.fetch(role.POWERS_SQL).rows)
            except ToolError as error:
                _log.warning("%s: %s", database.name, error.message)
                continue
            if found:
                could = "; ".join(f"{power.name}: {power.detail}" for power in found)
                _log.warning(
                    "%s: the role %s could do more than read. %s",
                    database.name,
                    database.user,
                    could,
                )
            else:
                _log.info("%s: the role %s can only read", database.name, database.user)

    def _end(self, owner: str, reason: str) -> None:
        """Close what a principal had. Not here: the caller is busy letting others in."""
        threading.Thread(
            target=self._pools.close_owner, args=(owner, reason), name="revocation", daemon=True
        ).start()

    def _close(self) -> None:
        self._watcher.stop()
        self._pools.close(CLOSE_SECONDS)

    def _warn(self) -> None:
        http = self._config.http
        if origin.is_loopback(http.address.host):
            if not http.auth.enabled:
                _log.warning("Authentication is off: serving this machine only")
            return
        if not http.auth.enabled:
            _log.warning(
                "AUTHENTICATION IS OFF and %s is not loopback: everybody who reaches this "
                "address can read your databases",
                http.address,
            )
        elif not http.tls.enabled:
            _log.warning(
                "Serving plain HTTP on %s: tokens and passwords travel in the clear. "
                "Use -tls, or a proxy that does TLS",
                http.address,
            )


def _log_limits(auth: Auth) -> None:
    if auth.rate_limit_max_attempts:
        _log.info(
            "Rate limiting enabled: %d failed attempts per %d minutes and address",
            auth.rate_limit_max_attempts,
            auth.rate_limit_window_seconds // 60,
        )


def _now() -> datetime:
    return datetime.now(UTC)
