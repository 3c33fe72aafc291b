"""The manual's list of configuration keys, in Markdown.

The rule: made from the tables of keys alone; a page holds this text, and a check compares it.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator

from pgmcp.config import databases, policies
from pgmcp.config.key import Key
from pgmcp.config.model import KEYS

_DATABASE = "databases[]"
_POLICY = f"{policies.PREFIX}.NAME"
_COLUMNS = 96


def render_keys_markdown() -> str:
    """Every key below the heading of its section; a database's entry is `databases[].KEY`."""
    listed = [(key.path, key) for key in KEYS]
    listed += [(f"{_DATABASE}.{key.path}", key) for key in databases.KEYS]
    listed += [(f"{_POLICY}.{key.path}", key) for key in policies.KEYS]
    sections: dict[str, list[str]] = {}
    for path, key in listed:
        sections.setdefault(path.rpartition(".")[0], []).append(_entry(path, key))
    return "\n".join(
        f"### {f'`{name}`' if name else 'At the top level'}\n\n{''.join(entries)}"
        for name, entries in sections.items()
    )


def _entry(path: str, key: Key) -> str:
    head = _filled(f"- `{path}` ({'; '.join(_facts(key))}):", "")
    return f"{head}\n{_filled(key.description, '  ')}\n"


def _filled(text: str, indent: str) -> str:
    return textwrap.fill(
        text,
        _COLUMNS,
        initial_indent=indent,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _facts(key: Key) -> Iterator[str]:
    yield key.kind.name
    default = key.default_note or _default(key)
    if default:
        yield f"default: {default}"
    for name in (key.env, key.libpq_env):
        if name:
            yield f"`{name}`"
    if key.flag:
        yield f"`-{key.flag}`"


def _default(key: Key) -> str:
    if key.default is None or key.default == ():
        return ""
    value = key.default
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"
