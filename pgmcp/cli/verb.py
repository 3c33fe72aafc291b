"""What a flag and a verb are, and what a verb is given.

The rule: a verb is a value in its module in `pgmcp.cli.verbs`; reading the command line, -help and
the manual are made from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from pgmcp.cli.console import Console
from pgmcp.cli.invocation import AS_IN_THE_GUIDE, Invocation
from pgmcp.config.layers import Options
from pgmcp.errors import PgmcpError, UsageError

WORD = "word of its own"
"""Where `options` have the word that stands by itself; no flag, for the blanks in it."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag. `metavar` stands for its value, "" for a boolean, which needs none."""

    name: str
    description: str
    metavar: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """What every verb gets: the flags that were given, whom to talk to, the wall clock (UTC), and
    how the program was called."""

    options: Options
    console: Console
    clock: Callable[[], datetime]
    called: Invocation = AS_IN_THE_GUIDE

    @property
    def word(self) -> str | None:
        """The word that stands by itself, None without one."""
        return self.text(WORD)

    def text(self, flag: str) -> str | None:
        """A flag's value, None when it was not given."""
        value = self.options.get(flag)
        return value if isinstance(value, str) else None


@dataclass(frozen=True, slots=True)
class Verb:
    """What the program does instead of serving, when the flag `name` is given.

    `group` is its heading in -help. `run` is called with a `Command` and the `sections`, by their
    names, and returns the exit status; PgmcpError says why nothing was done. `sections` are names
    that `pgmcp.config.load.load_sections` knows, or `config` for the whole configuration, of which
    every part then has to be right. `flags` go with this verb, and with others that name them.
    `metavar` stands for the verb's own value, "" where it has none. `files` are the fields of the
    section `auth` that hold the files that it reads or writes: it is said which these are. `word`:
    what a word that stands by itself behind the flags is, "" where there may be none.
    """

    name: str
    group: str
    description: str
    run: Callable[..., int]
    sections: tuple[str, ...] = ()
    flags: tuple[Flag, ...] = ()
    metavar: str = ""
    files: tuple[str, ...] = ()
    word: str = ""


def chosen_policy(command: Command, flag: str, policies: Mapping[str, object]) -> str | None:
    """The policy that a flag names, None without one; UsageError for one that is not there."""
    name = command.text(flag)
    if not name:
        return None
    if name not in policies:
        known = ", ".join(policies)
        raise UsageError(
            f"there is no policy {name!r} in the configuration",
            f"Configured: {known}" if known else "Write one in the section policies.",
        )
    return name


def run(verb: Verb, command: Command, sections: Mapping[str, object]) -> int:
    """Run a verb with the values of its sections; its exit status: 0 done, 1 not done.

    It says on standard output what it did, or on standard error why it did nothing.
    """
    try:
        return verb.run(command, **sections)
    except PgmcpError as error:
        command.console.warn(*command.called.pasteable(error.for_operator()).split("\n"))
        return 1
    except BrokenPipeError:
        # `-list-tokens | head -1`: the reader has what it wanted.
        return 1
    except KeyboardInterrupt:
        command.console.warn("", "Interrupted: nothing was changed.")
        return 130
