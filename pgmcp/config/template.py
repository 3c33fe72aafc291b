"""The configuration files that -init writes: a short one, or every key with its default.

The rule: made from the tables of keys alone. A description is `# text`; a default is `#key: value`,
so that deleting the `#` is all that switches it on.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping

from pgmcp.config import databases
from pgmcp.config.key import Default, Key
from pgmcp.config.model import KEYS

Values = Mapping[str, str | int]
"""What a file says, by the path of its key."""

_HEAD = """\
# The configuration of pgedge-postgres-mcp.
#
# Flags win over environment variables, they over this file, and this file over the defaults.
# Relative paths are relative to this file's folder; "" is the same as leaving a key out.
"""

_DEFAULTS = """\
# A line such as "#key: value" shows a default: delete its "#" to change it.
"""

_SHORT = """\
# -init -full writes every key with what it means.
"""

_DATABASES = """\
# The first database is the default one. Without a list there is one database, named default, from
# PGEDGE_DB_HOST, _PORT, _NAME, _USER, _PASSWORD and _SSLMODE, else from PGHOST and libpq's others.
"""


def render_short(database: Values, settings: Values) -> str:
    """The text of a file that says this of its one database, and these settings."""
    lines = [_HEAD + _SHORT, "databases:"]
    for position, key in enumerate(key for key in databases.KEYS if key.path in database):
        lines.append(f"  {'  ' if position else '- '}{key.path}: {_yaml(database[key.path])}")
    section: list[str] = []
    for key in KEYS:
        if key.path in settings:
            *parts, name = key.path.split(".")
            lines += _headers(section, parts)
            section = parts
            lines.append(f"{'  ' * len(parts)}{name}: {_yaml(settings[key.path])}")
    return "\n".join(lines) + "\n"


def render(database: Values | None = None, settings: Values | None = None) -> str:
    """The text of a file with every key, the database's first.

    What the two do not say is a comment: without them it loads, and means nothing but defaults.
    """
    lines = [_HEAD + _DEFAULTS, *_DATABASES.splitlines(), "databases:"]
    for position, key in enumerate(databases.KEYS):
        lines += _setting(key, key.path, "  ", database or {}, "  " if position else "- ")
    section: list[str] = []
    for key in KEYS:
        *parts, name = key.path.split(".")
        lines += _headers(section, parts)
        section = parts
        lines += _setting(key, key.example or name, "  " * len(parts), settings or {})
    return "\n".join(lines) + "\n"


def _headers(before: list[str], after: list[str]) -> Iterator[str]:
    """The lines that lead from one section into another."""
    shared = _shared(before, after)
    if not shared:
        yield ""
    for depth in range(shared, len(after)):
        yield f"{'  ' * depth}{after[depth]}:"


def _shared(before: list[str], after: list[str]) -> int:
    """How many parts two section paths have in common at their start."""
    count = 0
    while count < min(len(before), len(after)) and before[count] == after[count]:
        count += 1
    return count


def _setting(key: Key, name: str, indent: str, values: Values, bullet: str = "") -> Iterator[str]:
    note = f" Default: {key.default_note}." if key.default_note else ""
    names = [name for name in (key.env, key.flag and f"-{key.flag}") if name]
    also = f" Also: {', '.join(names)}." if names else ""
    text = key.description + note.replace("`", "") + also
    for line in textwrap.wrap(text, 96 - len(indent), break_on_hyphens=False):
        yield f"{indent}# {line}"
    if key.path in values:
        yield f"{indent}{bullet}{name}: {_yaml(values[key.path])}"
    else:
        yield f"{indent}#{bullet}{name}: {_yaml(key.default)}"


def _yaml(value: Default) -> str:
    """A default as YAML; JSON's spelling is YAML too."""
    if value is None:
        return '""'
    plain = list(value) if isinstance(value, tuple) else value
    return json.dumps(plain, ensure_ascii=False)  # YAML knows no halves of a character
