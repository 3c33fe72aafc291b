"""How a server of several processes begins, and what each of its workers gets to work with.

The rule: what can fail, such as the port, fails before the first fork.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from pgmcp.config import share
from pgmcp.config.model import Config
from pgmcp.logs.log import PROCESSES
from pgmcp.net.outbound import Outbound
from pgmcp.processes.link import Link
from pgmcp.processes.supervisor import Supervisor
from pgmcp.processes.worker import AmongWorkers, ParentNotifier, new_turn
from pgmcp.server.shared import STATE_KEY_BYTES, ServerCommand
from pgmcp.transport.limits import HttpLimits
from pgmcp.transport.listen import listen
from pgmcp.transport.systemd import Handover

_log = logging.getLogger(PROCESSES)


@dataclass(frozen=True, slots=True)
class Place:
    """What a worker process gets: the sockets and the notifier, what it shares, and its part."""

    link: Link
    handover: Handover
    shared: AmongWorkers
    parent_outbound: Outbound

    def listen(self, command: Callable[[ServerCommand], object]) -> None:
        """Begin to take the parent's commands; without a parent there is one left, to stop."""

        def lost() -> None:
            _log.error("worker %d has lost its parent process, and stops", self.link.number)
            command("stop")

        handlers = self.link.handlers
        handlers |= {"stop": lambda: command("stop"), "reload": lambda: command("reload")}
        self.link.start(lost)

    def share_of(self, config: Config) -> Config:
        """This worker's part of a configuration."""
        return share.share_of(config, self.link.number, self.link.count)

    def seal(self, outbound: Outbound) -> None:
        """Hold this process to `outbound`, instead of to what holds for the parent."""
        self.parent_outbound.give_way(outbound)


def begin(config: Config, handover: Handover) -> int | Place:
    """Fork the workers. Returns in each of them with its place, and in their parent with the exit
    status. ConfigError when the port cannot be had."""
    listeners = handover.listeners or tuple(listen(config.http.address, HttpLimits().backlog))
    turn, state_key = new_turn(), secrets.token_bytes(STATE_KEY_BYTES)
    notify = handover.notifier.path
    outbound = Outbound(lambda: (), fixed=[notify] if notify else ())
    outbound.install()
    http = config.http
    supervisor = Supervisor(http.workers, listeners, handover.notifier, logins=http.auth.enabled)
    begun = supervisor.run()
    if isinstance(begun, int):
        return begun
    link, passed = begun
    notifier = ParentNotifier(watchdog_seconds=handover.notifier.watchdog_seconds, link=link)
    return Place(
        link, Handover(notifier, tuple(passed)), AmongWorkers(link, turn, state_key), outbound
    )
