"""What a configuration key is, and how a field of a section's dataclass declares its key.

The rule: a key is declared once, by the field that holds its value. Loading, the defaults of the
dataclass, -help, the file that -init writes and the manual's list are all made from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pgmcp.config.kinds import Kind

Default = str | int | bool | tuple[str, ...] | Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Key:
    """One key.

    `path` is dotted, and ends in `NAME` where the last part is free. In an entry of `databases` it
    is relative to the entry.
    `default` is what a file would say, None for no value; `default_note` is for people.
    `libpq_env` counts only when no database is listed.
    `negated`: the flag, a boolean, says the opposite of the key.
    `restart`: a running server keeps its value until it is restarted.
    """

    path: str
    kind: Kind
    default: Default
    description: str
    env: str | None = None
    flag: str | None = None
    libpq_env: str | None = None
    default_note: str = ""
    negated: bool = False
    example: str = ""
    restart: bool = False

    @property
    def default_value(self) -> Any:
        """The default as the dataclass has it; a relative path where that is the default."""
        if self.default is None:
            return None
        default = list(self.default) if isinstance(self.default, tuple) else self.default
        return self.kind.of_yaml(default)


def key(
    default: Default,
    kind: Kind,
    description: str,
    *,
    name: str = "",
    required: bool = False,
    **more: Any,
) -> Any:
    """A field that holds the value of one key.

    `name` is the key's last part where it is not the field's name. A `required` field has no
    default in the dataclass: its section is made only when the value is known. `more` are further
    fields of `Key`.
    """
    declared = Key(name, kind, default, description, **more)
    metadata = {"keys": (declared,)}
    if required:
        return field(metadata=metadata)
    return field(default=declared.default_value, metadata=metadata)


def made_of(*keys: Key, default: object = dataclasses.MISSING) -> Any:
    """A field that its section makes from these keys; their paths are relative to the section."""
    metadata = {"keys": keys}
    if default is dataclasses.MISSING:
        return field(metadata=metadata)
    return field(default=default, metadata=metadata)


def section(cls: type, *, optional: bool = False, restart: bool = False) -> Any:
    """A field that holds a section of keys, None when `optional` and the section is not used.

    `restart`: a running server keeps the whole section until it is restarted.
    """
    metadata = {"section": cls, "restart": restart}
    if optional:
        return field(default=None, metadata=metadata)
    return field(default_factory=cls, metadata=metadata)


def keys_of(cls: type, prefix: str = "") -> tuple[Key, ...]:
    """The keys of a section and of the sections in it, their paths in full; `prefix` ends in a dot
    or is empty."""
    return tuple(_keys(cls, prefix))


def _keys(cls: type, prefix: str) -> Iterator[Key]:
    for each in dataclasses.fields(cls):
        if "section" in each.metadata:
            yield from _keys(each.metadata["section"], f"{prefix}{each.name}.")
        for declared in each.metadata.get("keys", ()):
            path = f"{prefix}{declared.path or each.name}"
            yield dataclasses.replace(declared, path=path)
