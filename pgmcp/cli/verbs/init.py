"""`-init`: a configuration file for one database, which works as it is.

The rule: nothing that is there is written over, and a password goes into a file of its own.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from pgmcp.cli.console import Console
from pgmcp.cli.flag_table import PROGRAM
from pgmcp.cli.invocation import program_dir
from pgmcp.cli.verb import Command, Flag, Verb
from pgmcp.config import databases, template
from pgmcp.config.config_file import default_file, find
from pgmcp.config.first_database import FirstDatabase, first_database
from pgmcp.config.key import Key
from pgmcp.config.layers import Options
from pgmcp.config.load import gather
from pgmcp.errors import COMMAND, ConfigError, FileError, UsageError
from pgmcp.storage.files import os_error
from pgmcp.storage.protection import refuse_if_others_can_write

_QUESTIONS = {
    "host": "Host of PostgreSQL, or the folder of its socket",
    "port": "Port, from 1 to 65535",
    "database": "Database",
    "user": "Role to connect as, best one that may only read",
}
_HIDDEN_QUESTION = "Password (not shown; empty for none, or one in ~/.pgpass)"
_ADDRESS = "127.0.0.1:8080"


def init(command: Command) -> int:
    """Write a configuration file, never over another, and say what to do next."""
    path = _path(command)
    given = any(name.startswith("db-") for name in command.options)
    if command.console.stdin.isatty() and not given:
        database = _asked(command.console, command.options)
    else:
        database = _described(command.options)
        command.console.warn(*_answer_of(database)[1])
    written = [_write_password(path, database)] if database.password is not None else []
    settings = {
        "http.address": _ADDRESS,
        "http.auth.token_file": f"{path.stem}-tokens.yaml",
        "http.auth.user_file": f"{path.stem}-users.yaml",
    }
    entry_values = {**database.entry_values} | (
        {"password_file": written[0].name} if written else {}
    )
    render = template.render if command.options.get("full") else template.render_short
    try:
        _write(path, render(entry_values, settings))
    except FileError:
        for made in written:
            made.unlink()
        raise
    for made in (*written, path):
        command.console.say(f"Wrote {made}")
    called = command.called
    command.console.say(
        "",
        # No comments behind the commands: zsh takes a # that is pasted for an argument.
        "Next: see what works and what the role could do",
        f"  {called.command('-check')}",
        "Then make a token for a client over HTTP",
        f"  {called.command('-add-token')}",
        f"Then serve this machine on http://{_ADDRESS}/mcp/v1",
        f"  {called.command('-http')}",
    )
    return 0


def _path(command: Command) -> Path:
    """Where to write: the place that is named, else the one that every verb looks in last."""
    given = command.text("config")
    if given is not None:
        path = Path.cwd() / given
        other = path if os.path.lexists(path) else None
    else:
        path = default_file(program_dir())
        other = find({}, Path.cwd(), program_dir())
    if other is not None:
        more = "" if given else ", and every command reads it"
        raise ConfigError(
            f"{other} is already there{more}",
            f"Edit it, or write another with: {COMMAND} -init -config FILE",
        )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ConfigError(
            f"{path}: no file can be written there",
            f"Write it elsewhere with: {COMMAND} -init -config {path.name}",
        )
    refuse_if_others_can_write(path)
    return path


def _described(options: Options) -> FirstDatabase:
    """The database that these flags and the environment describe."""
    return first_database(gather(options, os.environ, program_dir(), None))


def _asked(console: Console, options: Options) -> FirstDatabase:
    """The database that somebody describes at a terminal, until it answers or that is waived."""
    keys = {key.path: key for key in databases.KEYS}
    answers: dict[str, str | bool] = dict(options)
    while True:
        for path, question in _QUESTIONS.items():
            default = _described(answers).entry_values[path]
            flag = str(keys[path].flag)
            answers[flag] = console.ask_until(
                f"{question} [{default}]",
                f"-{flag}",
                partial(_checked, keys[path], default),
            )
        password = console.ask_hidden(_HIDDEN_QUESTION, "-db-password")
        if password:
            answers["db-password"] = password
        database = _described(answers)
        works, lines = _answer_of(database)
        console.warn(*lines)
        if works or console.confirm("Write the file nevertheless?"):
            return database


def _checked(key: Key, default: str | int, answer: str) -> str:
    """The answer, else the default, if the key takes it; UsageError."""
    text = answer or str(default)
    try:
        key.kind.of_text(text)
    except ValueError as error:
        raise UsageError(f"{text}: {error}", key.kind.expects) from None
    return text


def _answer_of(database: FirstDatabase) -> tuple[bool, list[str]]:
    """Whether the database answers, and what to tell of it."""
    from pgmcp.cli.database_findings import database_findings  # here: it loads the driver
    from pgmcp.cli.finding import render

    findings = database_findings(database.settings)
    try:
        first = next(findings)
    finally:
        findings.close()
    return first.status == "ok", render(first)


def _write_password(config: Path, database: FirstDatabase) -> Path:
    path = config.with_name(f"{config.stem}-password")
    _write(path, f"{database.password.reveal() if database.password else ''}\n")
    return path


def _write(path: Path, text: str) -> None:
    """Write a new file for our eyes only; FileError when there is one."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise os_error(path, error) from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)


VERBS = (
    Verb(
        "init",
        PROGRAM,
        "Write a configuration file for one database: it asks for it, or takes the -db-… flags.",
        init,
        flags=(Flag("full", "Write every key into it, with its default and what it means."),),
    ),
)
