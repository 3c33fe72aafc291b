"""The list `databases`: its entries, or one database where there is no list.

The rule: the flags and PGEDGE_DB_* count for the first entry, libpq's variables without a list
only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pgmcp.config.databases import KEYS, DatabaseSettings, build
from pgmcp.config.document import flatten, type_name
from pgmcp.config.layers import Inputs, Setting, Settings, resolve
from pgmcp.config.needed import EVERYTHING, Needed, warn
from pgmcp.errors import ConfigError

_PATHS = [each.path for each in KEYS]
_NAME_ALONE = ("name",)


def entries(
    listed: object, inputs: Inputs, needed: Needed = EVERYTHING
) -> list[dict[str, Setting]]:
    """The settings of every entry of `databases`; without a list, of one named `default`.

    `listed` is what the file has there. ConfigError for an unknown key and a bad value, where it
    concerns a key that is `needed`; else a warning.
    """
    if listed is not None and not isinstance(listed, list):
        raise ConfigError(
            f"{inputs.file}: databases must be a list, not {type_name(listed)}",
            'Begin every database with a dash: "- name: main".',
        )
    if not listed:
        return [resolve(KEYS, {}, inputs, prefix="databases[0].", libpq=True, needed=needed)]
    settings = list(_listed(listed, inputs, needed))
    _refuse_duplicates(settings)
    return settings


def databases(listed: object, inputs: Inputs) -> tuple[DatabaseSettings, ...]:
    """Every database, its password files read. ConfigError."""
    return tuple(build(entry, inputs)[0] for entry in entries(listed, inputs))


def names(listed: object, inputs: Inputs) -> tuple[str, ...]:
    """The names of the databases, () without a file: then there may be others at any start.

    ConfigError where the names cannot be read; a problem with another key is a warning.
    """
    if inputs.file is None:
        return ()
    return tuple(entry["name"].value for entry in entries(listed, inputs, _NAME_ALONE))


def warn_of_problems(listed: object, inputs: Inputs) -> None:
    """Log the problems of a list that is not needed now."""
    try:
        entries(listed, inputs, _NAME_ALONE)
    except ConfigError as error:
        warn(error)


def _listed(listed: list[object], inputs: Inputs, needed: Needed) -> Iterator[dict[str, Setting]]:
    assert inputs.file is not None
    plain = replace(inputs, options={}, environ={})
    for index, node in enumerate(listed):
        prefix = f"databases[{index}]."
        section = flatten(node, _PATHS, inputs.file, prefix, needed)
        if section.get("name") in (None, ""):
            raise ConfigError(
                f"{inputs.file}: {prefix}name is missing", "Give every database a name of its own."
            )
        layers = plain if index else inputs
        yield resolve(KEYS, section, layers, prefix=prefix, needed=needed)


def _refuse_duplicates(several: Sequence[Settings]) -> None:
    labels: dict[str, str] = {}
    for settings in several:
        name = settings["name"]
        if name.value in labels:
            name.refuse(
                f"the name {name.value!r} is taken by {labels[name.value]}",
                "Give every database a name of its own.",
            )
        labels[name.value] = name.label
