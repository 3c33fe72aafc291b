"""The README's table of configuration keys, in Markdown.

The rule: made from the tables of keys alone; the README holds this text, and a test compares it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from pgmcp.config import databases
from pgmcp.config.key import Key
from pgmcp.config.model import KEYS

_HEAD = ["Key", "Kind", "Default", "Environment", "Flag", "Meaning"]


def render_table_markdown() -> str:
    """One row for each key, the keys of a database's entry as `databases[].KEY`."""
    rows = [_HEAD, ["---"] * len(_HEAD)]
    rows += [list(_cells(key, key.path)) for key in KEYS]
    rows += [list(_cells(key, f"databases[].{key.path}")) for key in databases.KEYS]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cells(key: Key, path: str) -> Iterator[str]:
    yield f"`{path}`"
    yield key.kind.name
    yield key.default_note or _default(key)
    yield ", else ".join(f"`{name}`" for name in (key.env, key.libpq_env) if name)
    yield f"`-{key.flag}`" if key.flag else ""
    yield key.description.replace("|", "\\|")


def _default(key: Key) -> str:
    if key.default is None or key.default == ():
        return ""
    value = key.default
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"
