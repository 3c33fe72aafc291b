"""The table of every flag.

The rule: it is derived. A flag that sets a configuration key is made from the key, a verb and the
flags that go with it from the verb, so -help, the configuration and the verbs cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgmcp.config import databases
from pgmcp.config.key import Key
from pgmcp.config.model import KEYS

if TYPE_CHECKING:
    from pgmcp.cli.verb import Flag, Verb

PROGRAM = "The program"
"""The group that stands last in -help."""


@dataclass(frozen=True, slots=True)
class Row:
    """One flag in the table. `metavar` stands for its value, "" for a boolean.

    `group` is its heading in -help. `verb`: it says what to do instead of serving. `of`: the verbs
    that it goes with, empty for all. `word`: what a word by itself is with this verb.
    """

    name: str
    group: str
    description: str
    metavar: str = ""
    verb: bool = False
    of: tuple[str, ...] = ()
    word: str = ""


Table = Mapping[str, Row]
"""Rows by name, in the order of -help within each group."""

_CONFIG = Row("config", PROGRAM, "The configuration file.", "FILE")
_BUILT_IN = (
    Row("version", PROGRAM, "Show the version.", verb=True),
    Row("help", PROGRAM, "Show this text, or a page of the manual; -h does too.", verb=True),
)


def serving_flags() -> Table:
    """The flags that a start may have that serves, and -version and -help."""
    return _table([*_settings(), _CONFIG, *_of_program(), *_BUILT_IN])


def flags_for(names: Iterable[str]) -> Table:
    """Flags among which these are, if they are known at all. It loads as few verbs as it can."""
    table = serving_flags()
    unknown = [name for name in names if name not in table]
    if not unknown:
        return table
    from pgmcp.cli import verbs

    table = _with_verbs(verbs.find_likely(unknown))
    return table if all(name in table for name in unknown) else all_flags()


def all_flags() -> Table:
    """Every flag. It loads the verbs."""
    from pgmcp.cli import verbs

    return _with_verbs(verbs.find_all())


def _with_verbs(verbs: Sequence[Verb]) -> Table:
    rows = list(_of_verbs(verbs))
    others = [row for row in rows if row.group != PROGRAM]
    program = [row for row in rows if row.group == PROGRAM]
    return _table([*_settings(), *others, _CONFIG, *program, *_of_program(), *_BUILT_IN])


def _table(rows: Iterable[Row]) -> Table:
    return {row.name: row for row in rows}


def _settings() -> tuple[Row, ...]:
    return (
        *_of_keys("Serving", [key for key in KEYS if key.path.startswith("http.")]),
        *_of_keys("The first database", databases.KEYS),
    )


def _of_program() -> tuple[Row, ...]:
    return _of_keys(PROGRAM, [key for key in KEYS if not key.path.startswith("http.")])


def _of_keys(group: str, keys: Sequence[Key]) -> tuple[Row, ...]:
    return tuple(_of_key(group, key) for key in keys if key.flag)


def _of_key(group: str, key: Key) -> Row:
    off = "=false" if key.negated else ""
    note = f" ({key.env}{off})" if key.env else ""
    description = key.description
    if key.negated:
        description = "Serve without authentication (development only)."
    elif key.kind.metavar and (key.default_note or key.default is not None):
        default = key.default_note.replace("`", "") or str(key.default)
        description = f"{description.removesuffix('.')}. Default: {default}."
    return Row(key.flag or "", group, description + note, key.kind.metavar)


def _of_verbs(verbs: Sequence[Verb]) -> Iterator[Row]:
    """Each verb, and below the first one that has it each flag."""
    shown: set[Flag] = set()
    for verb in verbs:
        yield Row(verb.name, verb.group, verb.description, verb.metavar, verb=True, word=verb.word)
        for flag in verb.flags:
            if flag not in shown:
                shown.add(flag)
                of = tuple(other.name for other in verbs if flag in other.flags)
                yield Row(flag.name, verb.group, flag.description, flag.metavar, of=of)
