"""The program: read the command line, run a verb or serve, and turn errors into an exit status.

The rule: 0 for success, 1 for what the operator can mend, 2 for a command line that cannot be read;
messages go to stderr, and an error is never a traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence

import pgmcp

TYPE_CHECKING = False  # importing typing is a quarter of the time that -version takes
if TYPE_CHECKING:
    from pathlib import Path

    from pgmcp.cli import flags
    from pgmcp.config.model import Config

_SWITCH_SECONDS = 0.0005  # keeps a quiet client's answers quick beside heavy ones
_LOOK_SECONDS = 0.2
_GARBAGE_OBJECTS = 50_000  # what is loaded is no garbage, and to look for some takes time


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with these arguments; the exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    if list(arguments) in (["-version"], ["--version"]):
        # Scripts ask for it again and again: nothing is loaded to say it.
        return _show_version()
    from pgmcp.cli import flags
    from pgmcp.errors import PgmcpError, UsageError
    from pgmcp.logs import log

    try:
        options = flags.parse(arguments)
    except UsageError as error:
        sys.stderr.write(f"{error.for_operator()}\n\n{flags.usage()}")
        return 2
    if options.verb == "help":
        sys.stdout.write(flags.usage())
        return 0
    if options.verb == "version":
        return _show_version()
    handler = log.configure(sys.stderr, debug=bool(options.values.get("debug")))
    try:
        return _run(options)
    except PgmcpError as error:
        sys.stderr.write(error.for_operator() + "\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return 130
    finally:
        log.release(handler)


def _show_version() -> int:
    sys.stdout.write(f"pgedge-postgres-mcp {pgmcp.__version__}\n")
    return 0


def _run(options: flags.Options) -> int:
    if options.verb is not None:
        return _run_verb(options.verb, options.values)
    # Imported here: each way of starting loads only what it needs.
    import contextlib
    import gc
    import queue
    import threading

    gc.set_threshold(_GARBAGE_OBJECTS)
    from pgmcp.app import App, Command
    from pgmcp.config.load import load
    from pgmcp.logs import log
    from pgmcp.server.service import known_features
    from pgmcp.transport import systemd

    handed = systemd.take(os.environ)
    environ = dict(os.environ)

    def read() -> Config:
        return load(options.values, environ, program_dir(), known_features())

    with log.queued():
        with log.held():
            config = read()
            log.apply(config.log, debug=config.debug)
        sys.setswitchinterval(_SWITCH_SECONDS)
        app = App(config, handed)
        app.outbound.install()
        if not config.http.enabled:
            stop = threading.Event()
            _on_stop(lambda _: stop.set())
            return app.serve_stdio(stop)
        commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        _on_stop(lambda _: commands.put("stop"))
        _on_reload(lambda: commands.put("reload"))

        def command() -> Command:
            while True:
                # Not for ever: a signal that comes just before the wait does not end it, and
                # neither does one that the system hands to another thread.
                with contextlib.suppress(queue.Empty):
                    return commands.get(timeout=_LOOK_SECONDS)

        return app.serve_http(command, read)


def _run_verb(name: str, options: Mapping[str, str | bool]) -> int:
    from pgmcp.auth.times import utc_now
    from pgmcp.cli import verb as verb_
    from pgmcp.cli import verbs
    from pgmcp.cli.console import Console

    verb = verbs.find(name)
    command = verb_.Command(options, Console(sys.stdin, sys.stdout, sys.stderr), utc_now)
    return verb_.run(verb, command, _sections(verb.sections, options))


def _sections(names: Sequence[str], options: Mapping[str, str | bool]) -> Mapping[str, object]:
    """The values of the sections that a verb names; `config` is all of them."""
    if not names:
        return {}
    from pgmcp.config.load import load, load_sections

    if "config" not in names:
        return load_sections(names, options, os.environ, program_dir())
    from pgmcp.server.service import known_features

    return {"config": load(options, os.environ, program_dir(), known_features())}


def _on_stop(tell: Callable[[int], object]) -> None:
    """Call `tell` on SIGINT or SIGTERM; the second one kills at once."""
    import signal

    def handle(number: int, _frame: object) -> None:
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, signal.SIG_DFL)
        tell(number)

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, handle)


def _on_reload(tell: Callable[[], object]) -> None:
    """Call `tell` on SIGHUP, where there is one."""
    import signal

    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, lambda _number, _frame: tell())


def program_dir() -> Path:
    """Where the program stands: the folder of its command, or with `python -m` the current one."""
    from pathlib import Path

    started = Path(sys.argv[0])
    if started.name == "__main__.py" and started.parent.name == "pgmcp":
        return Path.cwd()
    return started.resolve().parent if started.name else Path.cwd()
