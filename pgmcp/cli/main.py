"""The program: read the command line, run a verb or serve, and turn errors into an exit status.

The rule: 0 for success, 1 for what the operator can mend, 2 for a command line that cannot be read;
messages go to stderr, and an error is never a traceback.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence

import pgmcp

TYPE_CHECKING = False  # importing typing is a quarter of the time that -version takes
if TYPE_CHECKING:
    from pgmcp.app import App, ServerCommand
    from pgmcp.cli import flags
    from pgmcp.cli.console import Console
    from pgmcp.cli.invocation import Invocation
    from pgmcp.cli.verb import Verb
    from pgmcp.config.layers import Options
    from pgmcp.config.model import Config

HASH_PASSWORDS = "-hash-passwords"
"""Makes the program the helper that hashes. For itself alone, so no help shows it."""
_SWITCH_SECONDS = 0.0005  # keeps a quiet client's answers quick beside heavy ones
_LOOK_SECONDS = 0.2
_GARBAGE_OBJECTS = 50_000  # what is loaded is no garbage, and to look for some takes time


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with these arguments; the exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    if list(arguments) in (["-version"], ["--version"]):
        # Scripts ask for it again and again: nothing is loaded to say it.
        return _show_version()
    if list(arguments) == [HASH_PASSWORDS]:
        from pgmcp.auth import hashing

        return hashing.serve_standard_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What its encoding lacks, such as a table's name in the C locale, must not end a command.
        sys.stdout.reconfigure(errors="backslashreplace")
    from pgmcp.cli import flags, invocation
    from pgmcp.errors import PgmcpError, UsageError
    from pgmcp.logs import log

    try:
        options = flags.parse(arguments)
    except UsageError as error:
        sys.stderr.write(f"{error.for_operator()}\n\n{flags.usage()}")
        return 2
    if options.verb == "help":
        from pgmcp.cli import help as help_

        return help_.show(str(options.values.get("help", "")))
    if options.verb == "version":
        return _show_version()
    handler = log.configure(sys.stderr, debug=bool(options.values.get("debug")))
    called = invocation.of_process(options.values, os.environ)
    try:
        return _run(options, called, started_alone=argv is None)
    except PgmcpError as error:
        sys.stderr.write(called.pasteable(error.for_operator()) + "\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return 130
    finally:
        log.release(handler)


def _show_version() -> int:
    sys.stdout.write(f"pgedge-postgres-mcp {pgmcp.__version__}\n")
    return 0


def _run(options: flags.CommandLine, called: Invocation, *, started_alone: bool) -> int:
    """Run the verb of the command line, else serve. `started_alone`: not inside another program."""
    if options.verb is not None:
        return _run_verb(options.verb, options.values, called)
    # Imported here: each way of starting loads only what it needs.
    import gc
    import logging

    gc.set_threshold(_GARBAGE_OBJECTS)
    from pgmcp.app import App
    from pgmcp.auth import hashing
    from pgmcp.cli.invocation import program_dir
    from pgmcp.config import config_file
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
        logging.getLogger("pgmcp.config").info(config_file.describe(config.file, program_dir()))
        sys.setswitchinterval(_SWITCH_SECONDS)
        # Inside another program, that one would be started.
        app = App(config, handed, hashing.own_command(HASH_PASSWORDS) if started_alone else ())
        app.outbound.install()
        if config.http.enabled:
            return _serve_http(app, read)
        _explain_terminal(called, config)
        return _serve_stdio(app)


def _serve_stdio(app: App) -> int:
    """Serve standard input until it ends, or a signal ends it."""
    import threading

    stop = threading.Event()
    _on_stop(lambda _: stop.set())
    return app.serve_stdio(stop)


def _serve_http(app: App, read: Callable[[], Config]) -> int:
    """Serve over HTTP until a signal ends it; `read` reads the configuration for a reload."""
    import contextlib
    import queue

    commands: queue.SimpleQueue[ServerCommand] = queue.SimpleQueue()
    _on_stop(lambda _: commands.put("stop"))
    _on_reload(lambda: commands.put("reload"))

    def command() -> ServerCommand:
        while True:
            # Not for ever: a signal that comes just before the wait does not end it, and
            # neither does one that the system hands to another thread.
            with contextlib.suppress(queue.Empty):
                return commands.get(timeout=_LOOK_SECONDS)

    return app.serve_http(command, read)


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


def _run_verb(name: str, options: Options, called: Invocation) -> int:
    from pgmcp.auth.times import utc_now
    from pgmcp.cli import verb as verb_
    from pgmcp.cli import verbs
    from pgmcp.cli.console import Console

    verb = verbs.find(name)
    console = Console(sys.stdin, sys.stdout, sys.stderr)
    command = verb_.Command(options, console, utc_now, called)
    sections = _sections(verb, options, console)
    for file in verb.files:
        path = getattr(sections["auth"], file)
        console.warn(f"{file.replace('_', ' ').capitalize()}: {path}")
    return verb_.run(verb, command, sections)


def _sections(verb: Verb, options: Options, console: Console) -> Mapping[str, object]:
    """The values of the sections that a verb names; `config` is all of them.

    It says which file they are read from, since what is not there is looked for elsewhere.
    """
    if not verb.sections:
        return {}
    from pathlib import Path

    from pgmcp.cli.invocation import program_dir
    from pgmcp.config import config_file
    from pgmcp.config.load import load, load_sections

    where = program_dir()
    file = config_file.find(options, Path.cwd(), where)
    console.warn(config_file.describe(file, where))
    if "config" not in verb.sections:
        return load_sections(verb.sections, options, os.environ, where)
    from pgmcp.server.service import known_features

    return {"config": load(options, os.environ, where, known_features())}


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
