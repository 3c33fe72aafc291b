"""`-init`: a configuration file to start from."""

from __future__ import annotations

import os
from pathlib import Path

from pgmcp.cli.flag_table import PROGRAM
from pgmcp.cli.invocation import program_dir
from pgmcp.cli.verb import Command, Verb
from pgmcp.config.document import default_file
from pgmcp.config.template import render
from pgmcp.errors import COMMAND, ConfigError
from pgmcp.storage.files import os_error


def init(command: Command) -> int:
    """Write a commented configuration file, never over another."""
    given = command.text("config")
    path = Path.cwd() / given if given else default_file(program_dir())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigError(
            f"{path} is already there", f"Write another with: {COMMAND} -init -config FILE"
        ) from None
    except OSError as error:
        raise os_error(path, error) from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(render())
    command.console.say(f"Wrote {path}")
    return 0


VERBS = (Verb("init", PROGRAM, "Write a commented configuration file to start from.", init),)
