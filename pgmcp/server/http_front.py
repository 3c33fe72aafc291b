"""The HTTP side of a running server: authentication, certificate, listening sockets.

The rule: a reload prepares whatever can fail first, and then swaps what cannot.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pgmcp
from pgmcp.auth.no_authentication import NoAuthentication
from pgmcp.auth.principal import Principal
from pgmcp.auth.times import utc_now
from pgmcp.calls.call import Call
from pgmcp.config.model import Config
from pgmcp.config.tls import Tls
from pgmcp.config.values import Address
from pgmcp.errors import ConfigError
from pgmcp.mcp.client import Client
from pgmcp.mcp.feature import Context
from pgmcp.mcp.server import NAME
from pgmcp.server.observation import Observation
from pgmcp.server.pages import METRICS_PATH, READY_PATH, MetricsPage, ReadyPage
from pgmcp.server.service import OPERATOR, Service
from pgmcp.server.shared import Shared
from pgmcp.storage.watch import Unwatch, Watcher
from pgmcp.transport import interfaces, origin
from pgmcp.transport.caller_rules import CallerRules
from pgmcp.transport.endpoint import MCP_PATH, ClientInfo, Endpoint, Page
from pgmcp.transport.http import HttpServer
from pgmcp.transport.inflight import InFlight
from pgmcp.transport.limits import answers_bytes

if TYPE_CHECKING:
    from pgmcp.metrics.metrics import MetricFamily
    from pgmcp.server.authentication import Authentication
    from pgmcp.transport.tls import ServerTls

GRACE_SECONDS = 10.0
_REPORT_SECONDS = 1.0
_CALLS_WITHOUT_CONNECTION = 16

_log = logging.getLogger("pgmcp.server")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A certificate that can be used, and is watched already."""

    tls: ServerTls
    unwatch: Unwatch


class HttpFront:
    """Serves over HTTP the service that it was given last. `listeners` are sockets that listen
    already.

    `on_ended` is told the keys of credentials that are over, each with the reason.
    ConfigError, FileError.
    """

    def __init__(
        self,
        service: Service,
        watcher: Watcher,
        on_ended: Callable[[Mapping[str, str]], None],
        observation: Observation,
        shared: Shared,
        listeners: Sequence[socket.socket] = (),
        hasher: Sequence[str] = (),
    ) -> None:
        http = service.config.http
        self._watcher = watcher
        self.addresses = tuple(map(_address, listeners)) or (http.address,)
        self._local = all(origin.is_loopback(address.host) for address in self.addresses)
        self._hasher_command = hasher
        self._shared = shared
        self._inflight = InFlight(shared.cancel_elsewhere)
        self._observation = observation
        self._pools = service.databases.pools
        self._certificate: Prepared | None = None
        self._certificate = self.prepare(http.tls)
        self._authentication = (
            self._authentication_of(service.config, on_ended) if http.auth.enabled else None
        )
        tls = self._certificate.tls.context if self._certificate else None
        endpoint = self._endpoint(service, self.metrics_page(service.config))
        self._server = HttpServer(http.address, endpoint, tls=tls, listeners=listeners)
        shared.offer(self._families, self._inflight.cancel_here)
        if not shared.keeps_sessions:
            watcher.every(_REPORT_SECONDS, self._report, "http")
        self._server.answer_memory.size_bytes = _answers_bytes(service.config)
        self._server.allow_connections(http.max_connections)
        self._share_out(service.config)
        if not listeners:  # port 0 has become a real one
            self.addresses = (Address(http.address.host, self._server.port),)
        self._warn()

    def _authentication_of(
        self, config: Config, on_ended: Callable[[Mapping[str, str]], None]
    ) -> Authentication:
        # Here, because an open server needs none.
        from pgmcp.server.authentication import SWEEP_SECONDS, Authentication

        def ended(keys: Mapping[str, str]) -> None:
            self._inflight.cancel_keys(keys)
            on_ended(keys)

        self._watcher.every(SWEEP_SECONDS, lambda: self._inflight.cancel_expired(utc_now()), "auth")
        return Authentication(
            config, self._watcher, ended, self._observation, self._shared, self._hasher_command
        )

    def _share_out(self, config: Config) -> None:
        """As many calls at once as have use for a connection, and some more that need none.

        While a language model is asked, a call uses no connection: others go on meanwhile.
        """
        spare = _CALLS_WITHOUT_CONNECTION // 4
        asking = spare if config.llm is not None else 0
        connections = config.max_connections_total
        wanted = sum(database.pool_max_conns for database in config.databases)
        self._server.share_out(
            running=connections + _CALLS_WITHOUT_CONNECTION,
            share=min(connections, wanted) + spare,
            pool_sizes={d.name: d.pool_max_conns + asking for d in config.databases},
        )

    @property
    def urls(self) -> Sequence[str]:
        """Where it is served, each as a client calls it: on every interface, one for each."""
        scheme = "https" if self._certificate else "http"
        return [
            f"{scheme}://{Address(host, address.port)}{MCP_PATH}"
            for address in self.addresses
            for host in interfaces.hosts_of(address.host)
        ]

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()
        for url in self.urls:
            _log.info("Listening on %s", url)

    def answers(self) -> bool:
        """Whether the server has moved since this was last asked."""
        return self._server.answers()

    def stop(self) -> None:
        """Let running requests end, and cancel what takes too long."""
        _log.info("Stopping")
        stopped = self._server.stop(GRACE_SECONDS, self._inflight.cancel_all)
        if self._authentication is not None:
            self._authentication.stop()
        _log.info("Stopped: %d finished, %d cancelled", stopped.finished, stopped.cancelled)

    def prepare(self, config: Tls) -> Prepared | None:
        """Load and watch the files of a certificate, None without TLS; ConfigError.

        One that is not valid now does not replace the one that is served, if that is.
        """
        if not config.enabled:
            return None
        from pgmcp.transport.tls import ServerTls, files  # here: many a server has no certificate

        reload = self._observation.reloading("certificate", self._reload_certificate)
        unwatch = self._watcher.watch_together(files(config), reload, "tls")
        try:
            before = self._certificate.tls if self._certificate is not None else None
            return Prepared(ServerTls(config, before), unwatch)
        except ConfigError:
            unwatch()
            raise

    def metrics_page(self, config: Config) -> Page | None:
        """The page of a configuration, None when it is off; ConfigError, FileError."""
        if not config.metrics.enabled:
            return None
        return MetricsPage(
            config.metrics.token_file,
            lambda: self._shared.families(self._families()),
            trusted=origin.networks(config.http.trusted_proxies),
        )

    def take(self, service: Service, prepared: Prepared | None, metrics: Page | None) -> None:
        """Serve this from the next request on, with what was prepared for it."""
        if self._authentication is not None:
            self._authentication.change(service.config.http.auth)
        self._server.endpoint = self._endpoint(service, metrics)
        self._server.allow_connections(service.config.http.max_connections)
        self._server.answer_memory.size_bytes = _answers_bytes(service.config)
        self._share_out(service.config)
        if self._certificate is not None and prepared is not None:
            asked = self._certificate.tls.asks_clients
            self._certificate.unwatch()
            self._certificate.tls.take(prepared.tls)
            self._certificate = Prepared(self._certificate.tls, prepared.unwatch)
            if asked or prepared.tls.asks_clients:
                self._server.renew()

    def _reload_certificate(self) -> bool:
        if self._certificate is None:
            return False
        changed = self._certificate.tls.reload()
        if changed and self._certificate.tls.asks_clients:
            self._server.renew()
        return changed

    def _endpoint(self, service: Service, metrics: Page | None) -> Endpoint:
        authentication = self._authentication

        def context(
            principal: Principal, call: Call, source: ClientInfo, client: Client
        ) -> Context:
            accounts = (
                authentication.logins.for_request(source.address, principal)
                if authentication
                else None
            )
            return service.context(principal, call, client, source.address, accounts)

        return Endpoint(
            authentication.authenticator(service.config)
            if authentication
            else NoAuthentication(service.everybody),
            service.dispatcher,
            context,
            CallerRules(
                local=self._local,
                allowed_hosts=service.config.http.allowed_hosts,
                allowed_origins=service.config.http.allowed_origins,
                trusted=origin.networks(service.config.http.trusted_proxies),
            ),
            inflight=self._inflight,
            call_timeout_seconds=service.call_timeout_seconds,
            health={"status": "ok", "server": NAME, "version": pgmcp.__version__},
            pages=_pages(service, metrics),
        )

    def _report(self) -> None:
        self._shared.report(self._server.open_connections)

    def _families(self) -> Iterator[MetricFamily]:
        from pgmcp.metrics import measure

        yield from self._observation.families()
        yield from measure.pools(self._pools)
        yield from measure.server(
            in_flight=self._inflight.count,
            waiting=self._server.calls.waiting,
            connections=self._server.open_connections,
            threads=self._server.threads,
            sessions=self._sessions(),
        )

    def _sessions(self) -> int | None:
        if self._authentication is None or not self._shared.keeps_sessions:
            return None
        return len(self._authentication.sessions)

    def _warn(self) -> None:
        if self._local:
            if not self._authentication:
                _log.warning("Authentication is off: serving this machine only")
            return
        if not self._authentication:
            _log.warning(
                "AUTHENTICATION IS OFF and %s is not loopback: everybody who reaches this "
                "address can read your databases",
                ", ".join(self.urls),
            )
        elif not self._certificate:
            _log.warning(
                "Serving plain HTTP on %s: tokens and passwords travel in the clear. "
                "Use -tls, or a proxy that does TLS",
                ", ".join(self.urls),
            )


def _pages(service: Service, metrics: Page | None) -> dict[str, Page]:
    names, databases = service.databases.names, service.databases
    ready = ReadyPage(names, lambda name, call: databases.database(OPERATOR, name, call))
    return {READY_PATH: ready} | ({} if metrics is None else {METRICS_PATH: metrics})


def _answers_bytes(config: Config) -> int:
    return answers_bytes(max(database.max_result_bytes for database in config.databases))


def _address(listener: socket.socket) -> Address:
    host, port = listener.getsockname()[:2]
    return Address(host, port)
