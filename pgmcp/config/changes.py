"""What a running server can take over from a newer configuration, and what needs a restart.

The rule: what needs a restart is named and stays as it was; nothing is half taken over. A key says
itself, where it is declared, that it needs one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from pgmcp.config.databases import DatabaseSettings
from pgmcp.config.model import Config
from pgmcp.errors import ConfigError

_NOT_SETTINGS = ("file", "sources", "databases")


def applicable(running: Config, wanted: Config) -> tuple[Config, tuple[str, ...]]:
    """`wanted`, but for what can only be had by a restart, and the names of those keys.

    ConfigError for a file that holds nothing any more, or is gone: it was saved half, and says
    nothing about what is wanted.
    """
    if _has_settings(running) and not _has_settings(wanted):
        raise ConfigError(
            f"{running.file}: holds no setting any more",
            "Write it again. To run on defaults, restart without it.",
        )
    needs_restart = tuple(path for path in restarts() if _get(running, path) != _get(wanted, path))
    if (
        "http.tls.enabled" in needs_restart
    ):  # certificates belong to it: there may be none in `wanted`
        wanted = _set(wanted, "http.tls", running.http.tls)
    for path in needs_restart:
        wanted = _set(wanted, path, _get(running, path))
    return wanted, needs_restart


def restarts(cls: type = Config, at: str = "") -> Iterator[str]:
    """The keys, and whole sections, that need a restart, as paths in a configuration."""
    for field in dataclasses.fields(cls):
        path = f"{at}{field.name}"
        keys = field.metadata.get("keys", ())
        if field.metadata.get("restart") or any(key.restart for key in keys):
            yield path
        elif "section" in field.metadata:
            yield from restarts(field.metadata["section"], f"{path}.")


def changed_keys(before: Config, after: Config) -> tuple[str, ...]:
    """The names of the settings that differ, those of databases left out."""
    return tuple(_differing(before, after, ""))


def changed_databases(before: Config, after: Config) -> tuple[str, ...]:
    """The databases that differ: `+name` came, `-name` went, `~name` has other settings."""
    old, new = _by_name(before.databases), _by_name(after.databases)
    added = [f"+{name}" for name in new if name not in old]
    removed = [f"-{name}" for name in old if name not in new]
    return (*added, *removed, *(f"~{n}" for n in new if n in old and new[n] != old[n]))


def _has_settings(config: Config) -> bool:
    """Whether a file says anything."""
    return str(config.file) in config.sources.values()


def _by_name(databases: Sequence[DatabaseSettings]) -> dict[str, DatabaseSettings]:
    return {database.name: database for database in databases}


def _differing(before: Any, after: Any, at: str) -> Iterator[str]:
    for field in dataclasses.fields(before):
        path = f"{at}.{field.name}" if at else field.name
        old, new = getattr(before, field.name), getattr(after, field.name)
        if old == new or path in _NOT_SETTINGS:
            continue
        if dataclasses.is_dataclass(old) and type(old) is type(new):
            yield from _differing(old, new, path)
        else:
            yield path


def _get(config: Any, path: str) -> Any:
    for name in path.split("."):
        config = getattr(config, name)
    return config


def _set(config: Any, path: str, value: Any) -> Any:
    name, _, rest = path.partition(".")
    if rest:
        value = _set(getattr(config, name), rest, value)
    return dataclasses.replace(config, **{name: value})
