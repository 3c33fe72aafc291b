"""The configuration file that -init writes: every key with its default, commented out.

The rule: made from the tables of keys alone. A description is `# text`; a setting is `#key: value`,
so that deleting the `#` is all that switches it on.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator

from pgmcp.config import databases
from pgmcp.config.key import Default, Key
from pgmcp.config.model import KEYS

_HEAD = """\
# The configuration of pgedge-postgres-mcp.
#
# A line such as "#key: value" shows a default: delete its "#" to change it.
# Flags win over environment variables, they over this file, and this file over the defaults.
# Relative paths are relative to this file's folder; "" is the same as leaving a key out.
"""

_DATABASES = """\
# The first database is the default one. Without a list there is one database, named default, from
# PGEDGE_DB_HOST, _PORT, _NAME, _USER, _PASSWORD and _SSLMODE, else from PGHOST and libpq's others.
databases:
"""


def render() -> str:
    """The text of the file. It loads as it is, and means nothing but defaults."""
    lines = [_HEAD.rstrip()]
    section: list[str] = []
    for key in KEYS:
        *parts, name = key.path.split(".")
        lines += _headers(section, parts)
        section = parts
        lines += _setting(key, key.example or name, "  " * len(parts))
    lines += ["", *_DATABASES.splitlines()]
    for position, key in enumerate(databases.KEYS):
        lines += _setting(key, key.path, "  ", "  " if position else "- ")
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


def _setting(key: Key, name: str, indent: str, bullet: str = "") -> Iterator[str]:
    note = f" Default: {key.default_note}." if key.default_note else ""
    names = [name for name in (key.env, key.flag and f"-{key.flag}") if name]
    also = f" Also: {', '.join(names)}." if names else ""
    text = key.description + note.replace("`", "") + also
    for line in textwrap.wrap(text, 96 - len(indent), break_on_hyphens=False):
        yield f"{indent}# {line}"
    yield f"{indent}#{bullet}{name}: {_yaml(key.default)}"


def _yaml(value: Default) -> str:
    """A default as YAML; JSON's spelling is YAML too."""
    if value is None:
        return '""'
    return json.dumps(list(value) if isinstance(value, tuple) else value)
