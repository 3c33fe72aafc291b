"""Which keys have to be right for what is done now, so that a problem elsewhere does not stop it.

The rule: serving and -check need every key. A verb needs the sections that it names; a problem with
another key is a warning, unless the key may be a misspelling of one that is needed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from pgmcp.errors import ConfigError

Needed = tuple[str, ...] | None
"""Keys by the beginning of their path: `http.auth.` for a section, `name` for one key; None: all.
"""
EVERYTHING: Needed = None

_log = logging.getLogger("pgmcp.config")


def is_needed(needed: Needed, path: str) -> bool:
    """Whether a key, or a section whose path ends in a dot, is needed."""
    return needed is None or path.startswith(needed)


def holds_needed(needed: Needed, at: str) -> bool:
    """Whether the section `at` (`http`, "" for the whole file) holds keys that are needed."""
    inside = f"{at}." if at else ""
    return is_needed(needed, inside) or any(each.startswith(inside) for each in needed or ())


def may_be_needed(needed: Needed, at: str, name: str, leaves: Iterable[str]) -> bool:
    """Whether an unknown `name` in the section `at` may be meant for a key that is needed.

    `leaves` are the paths of the known keys.
    """
    inside = f"{at}." if at else ""
    if is_needed(needed, inside):
        return True
    import difflib  # here: no other start needs it

    likely: set[str] = set()
    for prefix in needed or ():
        if prefix.startswith(inside):
            likely.update(prefix.removeprefix(inside).split("."))
            likely.update(p.rpartition(".")[2] for p in leaves if p.startswith(prefix))
    return bool(difflib.get_close_matches(name, likely - {""}, n=1))


def warn(error: ConfigError) -> None:
    """Log a problem with a key that is not needed now."""
    _log.warning("%s (not needed for this command)", error.message)
