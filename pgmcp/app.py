"""The one place where the objects of a running server meet: build, start, reload, stop.

The rule: every other module gets what it needs as an argument; only this one knows them all. What
only some servers need, or none before its first answer, is imported where it is needed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

import pgmcp
from pgmcp.auth.principal import owner_of
from pgmcp.calls.call import Call
from pgmcp.config.databases import DatabaseSettings
from pgmcp.config.model import Config
from pgmcp.config.values import Host
from pgmcp.errors import PgmcpError, ToolError
from pgmcp.features.all import ALL
from pgmcp.gate.databases import DatabaseSet, require_safe_role
from pgmcp.logs import log
from pgmcp.mcp.feature import FeatureSet
from pgmcp.mcp.request_state import RequestStates
from pgmcp.net.outbound import Outbound
from pgmcp.pool.pools import Pools
from pgmcp.server.observation import Observation
from pgmcp.server.policies import active_policies
from pgmcp.server.service import OPERATOR, Service
from pgmcp.server.shared import Alone, ServerCommand, Shared
from pgmcp.server.usage import SAVE_SECONDS, UsageKeeper, is_counted
from pgmcp.storage.watch import Watcher
from pgmcp.transport.systemd import NOTHING, Handover

if TYPE_CHECKING:
    from pgmcp.audit.audit import AuditLog
    from pgmcp.config.policies import Policy
    from pgmcp.gate.port import Database
    from pgmcp.llm.client import ModelEndpoint
    from pgmcp.policy.active import ActivePolicy
    from pgmcp.server.http_front import HttpFront

SWEEP_SECONDS = 1.0
CLOSE_SECONDS = 5.0
_WATCHDOG_SECONDS = 0.05  # the shortest; a watchdog that wants more would be most of the work
_REPORT_SECONDS = 30.0
_REPORT_AFTER_SECONDS = 0.5


_log = logging.getLogger("pgmcp.server")


class App:
    """A server, from its configuration to its end. ConfigError or FileError when it cannot be.

    `handover`: what the init system handed over. `hasher`: the command whose process
    hashes passwords, where it is not to be this one. `shared`: what it shares with other processes
    that serve the same port, None where there are none. `features`: what it offers, as far as the
    configuration does not switch it off. `outbound` says what it may connect to, and holds the
    process to it once it is installed.
    """

    def __init__(
        self,
        config: Config,
        handover: Handover = NOTHING,
        hasher: Sequence[str] = (),
        shared: Shared | None = None,
        features: FeatureSet = ALL,
    ) -> None:
        self._handed = handover
        self._features = features
        self._shared: Shared = shared or Alone()
        self._states = RequestStates(cache(self._shared.states), time.time)
        self._hasher_command = hasher
        self._pools = Pools(
            config.databases,
            require_safe_role,
            max_connections_total=config.max_connections_total,
            on_resolved=lambda host, addresses: self.outbound.allow(host, addresses),
        )
        notify = handover.notifier.path
        self.outbound = Outbound(
            self._reachable,
            fixed=[notify] if notify else (),
            names=[config.http.address.host],
            commands=[hasher] if hasher else (),
        )
        self._audit = self._audit_of(config)
        self._observation = Observation(config.log, self._audit)
        self._ending = threading.Event()
        self._watcher = Watcher()
        self._watcher.every(SWEEP_SECONDS, self._pools.tick, "pools")
        self._usage = UsageKeeper(config.usage_file, self._shared.usage())
        self._saves_usage = False
        self._keep_usage(config)
        self._service = self._service_of(
            config,
            DatabaseSet.of(self._pools, names_uses=self._audit is not None),
            active_policies(config),
        )

    def _service_of(
        self, config: Config, databases: DatabaseSet, policies: Mapping[str, ActivePolicy]
    ) -> Service:
        return Service.of(
            config,
            self._features,
            self._states,
            databases,
            self._observation,
            self._model(config),
            policies,
            self._usage.store,
        )

    def _audit_of(self, config: Config) -> AuditLog | None:
        if config.audit is None:
            return None
        from pgmcp.audit.audit import AuditLog

        return AuditLog(config.audit, version=pgmcp.__version__)

    def _model(self, config: Config) -> ModelEndpoint | None:
        if config.llm is None:
            return None
        from pgmcp.llm.client import ModelEndpoint

        return ModelEndpoint(config.llm, on_resolved=self.outbound.allow, log_words=config.log.sql)

    def _keep_usage(self, config: Config) -> None:
        """Know what was used today, and keep it from now on, where a policy counts."""
        if not is_counted(config.policies.values()):
            return
        self._usage.load()
        if not self._saves_usage:
            self._saves_usage = True
            if self._shared.first:  # once for all processes
                self._watcher.every(SAVE_SECONDS, self._usage.save, "usage")

    def _reachable(self) -> Iterable[Host]:
        """Where this process may connect to now."""
        llm = self._service.config.llm
        return [*self._pools.hosts(), *([llm.base_url.host] if llm else [])]

    def serve_stdio(self, stop: threading.Event) -> int:
        """Serve standard input and output until it ends or `stop` is set; the exit status."""
        from pgmcp.transport import stdio

        reader, writer = stdio.own_streams()
        service = self._service
        self._start()
        try:
            return stdio.serve(
                reader,
                writer,
                service.dispatcher,
                lambda call, client: service.context(service.everybody, call, client, stdio.SCOPE),
                stop=stop,
                limits=stdio.StdioLimits(call_timeout_seconds=service.call_timeout_seconds),
            )
        finally:
            self._close()

    def serve_http(self, command: Callable[[], ServerCommand], load: Callable[[], Config]) -> int:
        """Serve HTTP; the exit status. `command` waits for what to do next, and to reload is to
        take over what `load` then returns."""
        from pgmcp.server.http_front import HttpFront

        front = HttpFront(
            self._service,
            self._watcher,
            self._end,
            self._observation,
            self._shared,
            self._handed.listeners,
            self._hasher_command,
        )
        notifier = self._handed.notifier
        if notifier.watchdog_seconds is not None:

            def watch() -> None:
                if front.answers():
                    notifier.alive()

            seconds = max(notifier.watchdog_seconds / 2, _WATCHDOG_SECONDS)
            self._watcher.every(seconds, watch, "watchdog")
        self._start()
        front.start()
        notifier.ready(f"Serving on {', '.join(front.urls)}")
        try:
            while command() == "reload":
                notifier.reloading()
                log.reopen()
                self._reload(front, load)
                notifier.ready(f"Serving on {', '.join(front.urls)}")
            notifier.stopping()
            front.stop()
        finally:
            self._close()
        return 0

    def _reload(self, front: HttpFront, load: Callable[[], Config]) -> None:
        """Take over a newer configuration, and log what changed or why nothing did."""
        from pgmcp.config.changes import changed_databases, changed_keys

        before = self._service.config
        take_over = self._observation.reloading(
            "configuration", lambda: self._take_over(front, load())
        )
        try:
            needs_restart = take_over()
        except (PgmcpError, OSError) as error:
            _log.error("Configuration not reloaded, nothing has changed: %s", _on_one_line(error))
            return
        config = self._service.config
        changed = [*changed_keys(before, config), *_named(changed_databases(before, config))]
        _log.info("Configuration reloaded, changed: %s", ", ".join(changed) or "nothing")
        if needs_restart:
            # An error, so that no log.level hides what the operator waits for.
            _log.error("A restart is needed for: %s", ", ".join(needs_restart))
        newer = [d for d in config.databases if d not in before.databases]
        same = config.policies == before.policies and not newer
        self._begin_report(newer, {} if same else config.policies)

    def _take_over(self, front: HttpFront, newer: Config) -> Sequence[str]:
        """Serve a newer configuration, whole or not at all; the keys that need a restart.

        PgmcpError or OSError when it cannot be served: the one before stays.
        """
        from pgmcp.config.changes import applicable

        before = self._service.config
        config, needs_restart = applicable(before, newer)
        metrics = front.metrics_page(config)
        policies = active_policies(config)
        prepared = front.prepare(config.http.tls)
        try:
            log.apply(config.log, debug=config.debug)
        except PgmcpError:
            if prepared is not None:
                prepared.unwatch()
            raise
        # Nothing can fail from here on.
        self._keep_usage(config)
        self._pools.replace(config.databases, max_connections_total=config.max_connections_total)
        databases = DatabaseSet.of(
            self._pools, self._service.databases, names_uses=self._audit is not None
        )
        self._observation.log = config.log
        self._service = self._service_of(config, databases, policies)
        front.take(self._service, prepared, metrics)
        return needs_restart

    def _start(self) -> None:
        """Begin what happens beside serving."""
        self._watcher.start()
        config = self._service.config
        self._begin_report(config.databases, config.policies)

    def _begin_report(
        self, databases: Sequence[DatabaseSettings], policies: Mapping[str, Policy]
    ) -> None:
        if self._shared.first:  # once for all processes
            threading.Thread(
                target=self._report, args=(databases, policies), name="roles", daemon=True
            ).start()

    def _report(
        self, databases: Sequence[DatabaseSettings], policies: Mapping[str, Policy]
    ) -> None:
        # After the first answers: loading what asks a database would hold them up.
        if self._ending.wait(_REPORT_AFTER_SECONDS):
            return
        self._report_roles(databases)
        self._report_policies(policies)

    def _report_policies(self, policies: Mapping[str, Policy]) -> None:
        """Say what of the policies does not fit their databases."""
        if not policies:
            return
        from pgmcp.gate.policy_fits import policy_problems

        databases = self._service.databases

        def reader_of(name: str) -> Database:
            databases.pools.drop_idle(OPERATOR)  # one connection at a time: see _report_roles
            return databases.database(OPERATOR, name, Call(_REPORT_SECONDS))

        try:
            for problem in policy_problems(policies, databases.names, reader_of):
                level = logging.ERROR if problem.is_error else logging.WARNING
                _log.log(level, "%s: %s. %s", problem.subject, problem.message, problem.mend)
        finally:
            databases.pools.drop_idle(OPERATOR)

    def _report_roles(self, databases: Sequence[DatabaseSettings]) -> None:
        """Say what each database's role could do beyond reading: only the role is a wall."""
        from pgmcp.gate.roles import powers as role

        for database in databases:
            try:
                reader = self._service.databases.database(
                    OPERATOR, database.name, Call(_REPORT_SECONDS)
                )
                powers = role.read_powers(reader.fetch, database.trusted_functions)
                log_problem = role.read_log_problem(reader.fetch, database.user)
            except ToolError as error:
                _log.warning("%s: %s", database.name, _on_one_line(error))
                continue
            finally:
                # The role may have no more than one connection (CONNECTION LIMIT).
                self._service.databases.pools.drop_idle(OPERATOR)
            if powers:
                could = "; ".join(f"{power.name}: {power.detail}" for power in powers)
                more = "do more than read" if any(p.writes for p in powers) else "read too much"
                _log.warning(
                    "%s: the role %s could %s. %s", database.name, database.user, more, could
                )
            else:
                _log.info("%s: the role %s can only read", database.name, database.user)
            if log_problem is not None:
                mend = " ".join(log_problem.mend.split())
                _log.warning("%s: %s. %s", database.name, log_problem.message, mend)

    def _end(self, ended: Mapping[str, str]) -> None:
        """End what runs with these credentials, each key with its reason. Not here: the caller is
        busy letting others in."""
        threading.Thread(
            target=self._end_now, args=(ended,), name="revocation", daemon=True
        ).start()

    def _end_now(self, ended: Mapping[str, str]) -> None:
        # Of a user, who has several sessions, the other ones go on.
        sessions = {key: reason for key, reason in ended.items() if owner_of(key) != key}
        if sessions:
            self._pools.end_calls(sessions, {owner_of(key) for key in sessions})
        owners = {key: reason for key, reason in ended.items() if key not in sessions}
        if owners:
            self._pools.close_owners(owners)

    def _close(self) -> None:
        self._ending.set()
        self._watcher.stop()
        if self._saves_usage:
            # In a thread: a disk that does not answer must not keep the process.
            save = threading.Thread(target=self._usage.save, name="usage", daemon=True)
            save.start()
            save.join(CLOSE_SECONDS)
        self._pools.close(CLOSE_SECONDS)
        if self._audit is not None:
            self._audit.stop()


def _named(databases: Sequence[str]) -> list[str]:
    return [f"databases {' '.join(databases)}"] if databases else []


def _on_one_line(error: PgmcpError | OSError) -> str:
    text = error.for_operator() if isinstance(error, PgmcpError) else str(error)
    return text.removeprefix("ERROR: ").replace("\n", " ")
