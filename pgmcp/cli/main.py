"""The program: read the command line, run a verb or serve, and turn errors into an exit status.

The rule: 0 for success, 1 for what the operator can mend, 2 for a command line that cannot be read;
messages go to stderr, and an error is never a traceback.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping, Sequence

import pgmcp

TYPE_CHECKING = False  # importing typing is a quarter of the time that -version takes
if TYPE_CHECKING:
    from pgmcp.cli import flags
    from pgmcp.cli.console import Console
    from pgmcp.cli.invocation import Invocation
    from pgmcp.cli.verb import Verb
    from pgmcp.config.layers import Options


HASH_PASSWORDS = "-hash-passwords"
"""Makes the program the helper that hashes. For itself alone, so no help shows it."""


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
    from pgmcp.auth import hashing
    from pgmcp.cli import serve

    # Inside another program, that one would be started.
    hasher = hashing.own_command(HASH_PASSWORDS) if started_alone else ()
    return serve.serve(options.values, called, hasher)


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
