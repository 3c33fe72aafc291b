"""The database that -init writes into a new configuration file.

The rule: what flags, environment and libpq's defaults say now is written out, because libpq's
variables do not count where a file lists databases. A password is kept apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pgmcp.config.database_list import entries
from pgmcp.config.databases import DatabaseSettings, build
from pgmcp.config.kinds import NAME
from pgmcp.config.layers import Inputs, Layer, Setting
from pgmcp.config.values import Secret

_ALWAYS = ("host", "port", "database", "user")


@dataclass(frozen=True, slots=True)
class FirstDatabase:
    """`entry_values` are those of its entry in a file, by key, without the password; `settings`
    connects to it."""

    entry_values: Mapping[str, str | int]
    password: Secret | None
    settings: DatabaseSettings


def first_database(inputs: Inputs) -> FirstDatabase:
    """The database that flags and environment describe, without a file. ConfigError."""
    (entry,) = entries(None, inputs)
    settings, _ = build(entry, inputs)
    entry_values: dict[str, str | int] = {"name": _name(settings.database)}
    for path, setting in entry.items():
        if setting.layer is not Layer.DEFAULT and path not in ("name", "password"):
            entry_values[path] = _written(setting)
    for path in _ALWAYS:
        entry_values.setdefault(path, _written(entry[path]) or getattr(settings, path, ""))
    return FirstDatabase(entry_values, entry["password"].value, settings)


def _name(database: str) -> str:
    """What tokens and tools call it: the name that it has, where that can be one."""
    try:
        return str(NAME.of_text(database))
    except ValueError:
        return "default"


def _written(setting: Setting) -> str | int:
    """A value as a file has it."""
    if isinstance(setting.value, tuple):
        several = ",".join(map(str, setting.value))
        return int(several) if several.isdigit() else several
    return str(setting.value or "")
