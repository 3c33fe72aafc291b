"""What the configuration file says: its content flattened to dotted keys.

The rule: an unknown key is an error, because a setting that is silently ignored is worse than a
start that fails. Pure functions.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pgmcp.config.needed import EVERYTHING, Needed, holds_needed, may_be_needed, warn
from pgmcp.errors import ConfigError


def flatten(
    node: object,
    known: Iterable[str],
    file: Path,
    prefix: str = "",
    needed: Needed = EVERYTHING,
) -> dict[str, object]:
    """The leaves of a document by dotted path.

    `known` are the paths of leaves; one that ends in `.NAME` takes any last part.
    `prefix` goes before a path in messages only. ConfigError for an unknown key, a warning where
    it can only be meant for a key that is not `needed`.
    """
    return _Shape(frozenset(known), file, prefix, needed).walk(node, "")


class _Shape:
    """The keys that a document, or a part of it, may have."""

    def __init__(self, leaves: frozenset[str], file: Path, prefix: str, needed: Needed) -> None:
        self._leaves = leaves
        self._sections = {
            ".".join(parts[:depth])
            for parts in (leaf.split(".") for leaf in leaves)
            for depth in range(1, len(parts))
        }
        self._file = file
        self._prefix = prefix
        self._needed = needed

    def walk(self, node: object, at: str) -> dict[str, object]:
        """The leaves below the section `at`, "" for the whole document."""
        if node is None:
            return {}
        if not isinstance(node, dict):
            self._refuse_value(node, at)
            return {}
        leaves: dict[str, object] = {}
        for name, value in node.items():
            path = f"{at}.{name}" if at else str(name)
            if f"{at}.NAME" in self._leaves and isinstance(name, str):
                leaves[path] = value
            elif not isinstance(name, str) or "." in name:
                self._refuse_name(at, str(name)[:60])
            elif path in self._leaves:
                leaves[path] = value
            elif path in self._sections:
                leaves.update(self.walk(value, path))
            else:
                self._refuse_name(at, name)
        return leaves

    def _siblings(self, at: str) -> list[str]:
        inside = f"{at}." if at else ""
        paths = sorted(self._leaves | self._sections)
        names = [path.removeprefix(inside) for path in paths if path.startswith(inside)]
        return [name for name in names if "." not in name]

    def _refuse_value(self, node: object, at: str) -> None:
        what = self._prefix + at or "the file"
        error = ConfigError(
            f"{self._file}: {what.rstrip('.')} must be a section of keys, not {type_name(node)}",
            f"Known keys: {', '.join(self._siblings(at))}.",
        )
        if holds_needed(self._needed, at):
            raise error
        warn(error)

    def _refuse_name(self, at: str, name: str) -> None:
        path = self._prefix + (f"{at}.{name}" if at else name)
        error = ConfigError(
            f"{self._file}: unknown key {path!r}", suggestion(name, self._siblings(at))
        )
        if may_be_needed(self._needed, at, name, self._leaves):
            raise error
        warn(error)


def suggestion(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: the nearest known one, else all of them."""
    import difflib  # here: no other start needs it

    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {close[0]}?" if close else f"Known here: {', '.join(known)}."


def type_name(value: object) -> str:
    """What a YAML value is called in a message."""
    if isinstance(value, bool):
        return "true or false"
    names = {str: "text", int: "a number", float: "a number", list: "a list", dict: "a section"}
    return names.get(type(value), "nothing that belongs there")
