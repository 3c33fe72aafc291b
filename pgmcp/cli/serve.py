"""Serving: the process that does it, or those that do it together, and their signals.

The rule: what a start may fail on comes before anything is shared, and is said once.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Sequence

from pgmcp.app import App
from pgmcp.cli.invocation import Invocation, program_dir
from pgmcp.config import config_file
from pgmcp.config.layers import Options
from pgmcp.config.load import load
from pgmcp.config.model import Config
from pgmcp.errors import ConfigError
from pgmcp.logs import log
from pgmcp.server.service import known_features
from pgmcp.server.shared import ServerCommand
from pgmcp.transport import systemd

TYPE_CHECKING = False  # importing typing takes a while
if TYPE_CHECKING:
    from pgmcp.processes.start import Place

_SWITCH_SECONDS = 0.0005  # keeps a quiet client's answers quick beside heavy ones
_LOOK_SECONDS = 0.2
_GARBAGE_OBJECTS = 50_000  # what is loaded is no garbage, and to look for some takes time


def serve(options: Options, called: Invocation, hasher: Sequence[str]) -> int:
    """Serve as the configuration says, until told to stop; the exit status. `hasher`: the command
    whose process hashes passwords. PgmcpError for a start that fails.

    With workers this returns in each of them, and in their parent.
    """
    gc.set_threshold(_GARBAGE_OBJECTS)
    handover = systemd.take(os.environ)
    environ = dict(os.environ)

    def read() -> Config:
        return load(options, environ, program_dir(), known_features())

    with contextlib.ExitStack() as stack:
        place: Place | None = None
        with log.held():
            config = read()
            if config.http.enabled and config.http.workers > 1:
                _load_for_all()
                from pgmcp.processes import start  # here: most servers are one process

                begun = start.begin(config, handover)
                if isinstance(begun, int):
                    log.forget_held()
                    return begun
                place = begun
                if not place.shared.first:
                    log.forget_held()
                    log.leave_common_to_another()
            stack.enter_context(log.queued())
            log.apply(config.log, debug=config.debug)
        logging.getLogger("pgmcp.config").info(config_file.describe(config.file, program_dir()))
        sys.setswitchinterval(_SWITCH_SECONDS)
        if place is not None:
            return _serve_among_workers(config, place, hasher, read)
        app = App(config, handover, hasher)
        app.outbound.install()
        if not config.http.enabled:
            return _serve_stdio(app, config, called)
        commands: queue.SimpleQueue[ServerCommand] = queue.SimpleQueue()
        _on_stop(lambda _: commands.put("stop"))
        _on_reload(lambda: commands.put("reload"))
        return app.serve_http(_waiting(commands), read)


def _serve_stdio(app: App, config: Config, called: Invocation) -> int:
    stop = threading.Event()
    _on_stop(lambda _: stop.set())
    _explain_terminal(called, config)
    return app.serve_stdio(stop)


def _load_for_all() -> None:
    """Load what every worker needs: they share the memory that it takes, and begin at once.
    ConfigError where there can be none."""
    if not hasattr(os, "fork"):
        raise ConfigError("http.workers: this system has no fork", "Serve with one process.")
    import pgmcp.gate.database
    import pgmcp.gate.judge
    import pgmcp.server.authentication
    import pgmcp.server.http_front  # noqa: F401


def _serve_among_workers(
    config: Config, place: Place, hasher: Sequence[str], read: Callable[[], Config]
) -> int:
    commands: queue.SimpleQueue[ServerCommand] = queue.SimpleQueue()
    signal.signal(signal.SIGTERM, lambda _number, _frame: commands.put("stop"))
    place.listen(commands.put)
    app = App(place.share_of(config), place.handover, hasher, place.shared)
    place.seal(app.outbound)
    return app.serve_http(_waiting(commands), lambda: place.share_of(read()))


def _waiting(commands: queue.SimpleQueue[ServerCommand]) -> Callable[[], ServerCommand]:
    """A function that waits for the next command."""

    def command() -> ServerCommand:
        while True:
            # Not for ever: a signal that comes just before the wait does not end it, and
            # neither does one that the system hands to another thread.
            with contextlib.suppress(queue.Empty):
                return commands.get(timeout=_LOOK_SECONDS)

    return command


def _explain_terminal(called: Invocation, config: Config) -> None:
    """Say to somebody who typed the bare command what it waits for."""
    if sys.stdin is None or not sys.stdin.isatty():
        return
    begin = f"Begin with a configuration: {called.command('-init')}\n" if not config.file else ""
    sys.stderr.write(
        "Waiting for the messages of an MCP client on standard input; Ctrl-C ends it.\n"
        "A client starts this program by itself: -print-client NAME shows how.\n"
        f"To serve over HTTP: {called.command('-http')}\n{begin}"
        f"All flags: {called.command('-help')}\n"
    )


def _on_stop(tell: Callable[[int], object]) -> None:
    """Call `tell` on SIGINT or SIGTERM; the second one kills at once."""

    def handle(number: int, _frame: object) -> None:
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, signal.SIG_DFL)
        tell(number)

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, handle)


def _on_reload(tell: Callable[[], object]) -> None:
    """Call `tell` on SIGHUP, where there is one."""
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, lambda _number, _frame: tell())
