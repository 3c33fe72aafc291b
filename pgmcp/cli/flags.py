"""The command line: how Go's spellings are read, which flags go together, and the text of -help.

The rule: argparse only ever sees `-name==value`, made here from a flag that is in the table. Left
to itself it takes `-tl` for `-tls`, a value that begins with a dash for a flag, and drops the value
`--`, which the second `=` keeps.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from pgmcp.cli.flag_table import Row, Table, all_flags, flags_for
from pgmcp.cli.verb import WORD
from pgmcp.config.document import suggestion
from pgmcp.config.layers import Options
from pgmcp.errors import UsageError
from pgmcp.reference.pages import TOPICS

_TOPIC = "help topic"  # no flag: the blank keeps it from being one

_BOOLEANS = dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True) | dict.fromkeys(
    ("0", "f", "F", "FALSE", "false", "False"), False
)


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A command line that was understood. `verb` is None to serve.

    `values` has only what was given, by the flag's name: text, or a bool for a boolean flag.
    A verb with a value, `remove-token`, has it here too, and so has `help` where a word follows it.
    """

    verb: str | None
    values: Options


def parse(argv: Sequence[str]) -> CommandLine:
    """What a command line, without the program's name, asks for.

    Raises UsageError for an unknown or incomplete flag, a stray word, and flags that do not go
    together. A flag given twice counts as given last; -help ends the reading, as in Go, with the
    word behind it, which names a page of the manual.
    """
    words = list(argv)
    names = [word.lstrip("-").partition("=")[0] for word in words if word.startswith("-")]
    table = flags_for(names)
    given = vars(_parser(table).parse_args(list(_normalise(words, table))))
    values = {
        name: value
        for name, value in given.items()
        if name == WORD or (name in table and (value or not table[name].verb))
    }
    if "help" in values:
        topic = given.get(_TOPIC)
        return CommandLine("help", {"help": topic} if topic else {})
    verb = _verb(values, given, table)
    _refuse_flags_of_others(verb, values, table)
    return CommandLine(verb, values)


def usage() -> str:
    """The text of -help."""
    lines = [
        "Usage: pgedge-postgres-mcp [flags]",
        "",
        *textwrap.wrap(
            "Serves PostgreSQL over the Model Context Protocol: over standard input and output, "
            "or with -http over HTTP. A flag wins over its environment variable, shown in "
            "brackets, and both win over the configuration file.",
            96,
        ),
    ]
    rows = all_flags().values()
    for group in dict.fromkeys(row.group for row in rows):
        lines += ["", f"{group}:"]
        for row in rows:
            if row.group == group:
                lines += _usage_lines(row)
    lines += ["", "The manual, a page for each word behind -help, as in -help configuration:"]
    lines += [f"  {topic:<24}{about}" for topic, about in TOPICS.items()]
    return "\n".join(lines) + "\n"


def _usage_lines(row: Row) -> Iterator[str]:
    head = f"  -{row.name} {row.metavar}".rstrip()
    body = textwrap.wrap(row.description, 70, break_on_hyphens=False)
    if len(head) > 24:
        yield head
        head = ""
    for text in body:
        yield f"{head:<26}{text}"
        head = ""


def _normalise(argv: Sequence[str], table: Table) -> Iterator[str]:
    """Go's spellings as `-name==value` (Go, package flag, "Command line flag syntax")."""
    words = iter(argv)
    takes_word = any(row.word for row in _named(argv, table))
    for word in words:
        if takes_word and word and not word.startswith("-"):
            takes_word = False
            yield f"-{WORD}=={word}"
            continue
        if word == "--":
            for stray in words:
                raise UsageError(f"unexpected argument: {stray!r}")
            return
        if len(word) < 2 or not word.startswith("-"):
            raise UsageError(f"unexpected argument: {word!r}", _about_stray(word))
        flag, value = _split(word, table)
        if value is None:
            value = next(words, None) if flag.metavar else "true"
        if value is None:
            raise UsageError(f"missing value: -{flag.name}", f"Write -{flag.name} {flag.metavar}.")
        yield f"-{flag.name}=={value}"
        if flag.name == "help" and _BOOLEANS.get(value):
            topic = next(words, "")
            if topic and not topic.startswith("-"):
                yield f"-{_TOPIC}=={topic}"
            return


def _named(argv: Sequence[str], table: Table) -> Iterator[Row]:
    """The flags among these words."""
    names = (word.lstrip("-").partition("=")[0] for word in argv if word.startswith("-"))
    return (table[name] for name in names if name in table)


def _split(word: str, table: Table) -> tuple[Row, str | None]:
    """The flag of one word, and what stands behind its `=`."""
    name, equals, value = word.removeprefix("-").removeprefix("-").partition("=")
    if not name or name.startswith("-"):
        raise UsageError(f"not a flag: {word.partition('=')[0]!r}", "Write -name or --name.")
    flag = table.get("help" if name == "h" else name)
    if flag is None:
        hint = suggestion(name, table).replace("you mean ", "you mean -")
        raise UsageError(f"unknown flag: -{name}", hint if "-" in hint[:16] else "")
    return flag, value if equals else None


def _about_stray(word: str) -> str:
    if word in _BOOLEANS:
        return f"A flag that is on or off takes its value behind an equals sign: -flag={word}."
    return "Put a value that contains blanks in quotes."


def _verb(values: Options, given: Mapping[str, object], table: Table) -> str | None:
    verbs = [name for name in values if name != WORD and table[name].verb]
    if len(verbs) > 1:
        raise UsageError(
            f"-{verbs[0]} and -{verbs[1]} cannot go together", "Run one, then the other."
        )
    for name, value in given.items():
        if name not in table:
            continue
        flag = table[name]
        if flag.verb and value == "":
            raise UsageError(f"empty value: -{name}", f"Write -{name} {flag.metavar}.")
    return verbs[0] if verbs else None


def _refuse_flags_of_others(verb: str | None, values: Options, table: Table) -> None:
    """Refuse a flag of a verb that was not given: it would be ignored in silence."""
    for name in values:
        of = table[name].of if name in table else ()
        if of and verb not in of:
            owners = " or ".join(f"-{owner}" for owner in of)
            if verb is None:
                raise UsageError(f"-{name} needs {owners}", "Give the two together.")
            raise UsageError(f"-{name} does not go with -{verb}", f"It goes with {owners}.")


class _Parser(argparse.ArgumentParser):
    """An argparse parser that raises UsageError instead of leaving the program."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message.removeprefix("argument "))


def _parser(table: Table) -> argparse.ArgumentParser:
    parser = _Parser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    for word in (_TOPIC, WORD):
        parser.add_argument(f"-{word}", dest=word, type=_text)
    for flag in table.values():
        parser.add_argument(
            f"-{flag.name}", dest=flag.name, type=_text if flag.metavar else _boolean
        )
    return parser


def _text(word: str) -> str:
    return word.removeprefix("=")


def _boolean(word: str) -> bool:
    """One of the words that Go's strconv.ParseBool takes."""
    text = _text(word)
    if text not in _BOOLEANS:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return _BOOLEANS[text]
