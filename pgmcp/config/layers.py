"""One value for each key: flags over environment over file over default, each with its source.

The rule: a value keeps its source from here on, and no error is raised without naming it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pgmcp.config.key import Key
from pgmcp.config.machine import Machine
from pgmcp.config.needed import EVERYTHING, Needed, is_needed, warn
from pgmcp.errors import ConfigError

Options = Mapping[str, str | bool]
"""The flags that were given, by name: a text, or True or False for a flag without a value."""


class Layer(IntEnum):
    """Where a value came from; the higher wins."""

    DEFAULT = 0
    LIBPQ = 1
    FILE = 2
    ENVIRONMENT = 3
    FLAG = 4


@dataclass(frozen=True, slots=True)
class Inputs:
    """What there is besides defaults and what the file says.

    Relative paths in `file` are relative to its folder, those in flags and the environment to
    `cwd`, the default files to `program_dir`; `~` is `home`.
    """

    options: Options
    environ: Mapping[str, str]
    file: Path | None
    program_dir: Path
    cwd: Path
    home: Path | None
    machine: Machine


@dataclass(frozen=True, slots=True)
class Setting:
    """The value of one key, and where it came from."""

    label: str
    value: Any
    layer: Layer
    source: str

    def refuse(self, problem: str, hint: str) -> NoReturn:
        """Raise the ConfigError of a value that is well-formed but cannot be used."""
        raise ConfigError(f"{self.source}: {self.label}: {problem}", hint)


Settings = Mapping[str, Setting]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Raw:
    value: object
    layer: Layer
    source: str
    folder: Path


def resolve(
    keys: Sequence[Key],
    section: Mapping[str, object],
    inputs: Inputs,
    *,
    prefix: str = "",
    libpq: bool = False,
    needed: Needed = EVERYTHING,
) -> dict[str, Setting]:
    """The setting of every key, by its path. `section` holds what the file says, by path.

    A key that ends in NAME has a setting for each name in the file. `prefix` goes before the path
    in messages and sources; `libpq` lets libpq's variables count. ConfigError for a bad value;
    of a key that is not `needed` it is a warning, and the key has no setting.
    """
    settings = {}
    for key in keys:
        for each in _with_name(key, section):
            try:
                settings[each.path] = _setting(each, section, inputs, prefix, libpq)
            except ConfigError as error:
                if is_needed(needed, each.path):
                    raise
                warn(error)
    return settings


def fill(cls: type[T], settings: Settings, prefix: str = "", **given: object) -> T:
    """A section's dataclass. A field has the value of its key, unless it is `given`.

    `prefix` goes before the names of the keys in `settings`.
    """
    values: dict[str, object] = dict(given)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        if field.name not in values:
            (key,) = field.metadata["keys"]
            values[field.name] = settings[f"{prefix}{key.path or field.name}"].value
    return cls(**values)


def named(settings: Settings, stem: str) -> Iterator[tuple[str, Setting]]:
    """The names that stand behind `stem` (`builtins.tools.`), each with its setting."""
    for path, setting in settings.items():
        if path.startswith(stem):
            yield path.removeprefix(stem), setting


def _with_name(key: Key, section: Mapping[str, object]) -> Iterator[Key]:
    if not key.path.endswith(".NAME"):
        yield key
        return
    stem = key.path.removesuffix("NAME")
    for path in section:
        if path.startswith(stem):
            yield dataclasses.replace(key, path=path)


def _setting(
    key: Key, section: Mapping[str, object], inputs: Inputs, prefix: str, libpq: bool
) -> Setting:
    label = prefix + key.path
    raw = _highest(key, section, inputs, libpq)
    return Setting(label, _read(key, label, raw, inputs.home), raw.layer, raw.source)


def _highest(key: Key, section: Mapping[str, object], inputs: Inputs, libpq: bool) -> _Raw:
    """What the highest layer says that says anything; an empty value says nothing."""
    if key.flag is not None and key.flag in inputs.options:
        option = inputs.options[key.flag]
        value = not option if key.negated else option
        return _Raw(value, Layer.FLAG, f"flag -{key.flag}", inputs.cwd)
    if key.env is not None and inputs.environ.get(key.env):
        return _variable(key.env, Layer.ENVIRONMENT, inputs)
    if section.get(key.path) not in (None, "") and inputs.file is not None:
        return _Raw(section[key.path], Layer.FILE, str(inputs.file), inputs.file.parent)
    if libpq and key.libpq_env is not None and inputs.environ.get(key.libpq_env):
        return _variable(key.libpq_env, Layer.LIBPQ, inputs)
    default = list(key.default) if isinstance(key.default, tuple) else key.default
    return _Raw(default, Layer.DEFAULT, "default", inputs.program_dir)


def _variable(name: str, layer: Layer, inputs: Inputs) -> _Raw:
    return _Raw(inputs.environ[name], layer, f"environment variable {name}", inputs.cwd)


def _read(key: Key, label: str, raw: _Raw, home: Path | None) -> Any:
    if raw.value is None:
        return None
    try:
        if raw.layer is Layer.FLAG and raw.value == "":
            raise ValueError("it is empty")
        if raw.layer in (Layer.DEFAULT, Layer.FILE) or not isinstance(raw.value, str):
            value = key.kind.of_yaml(raw.value)
        else:
            value = key.kind.of_text(raw.value)
    except ValueError as error:
        shown = "" if key.kind.secret else f" is {show(raw.value)}"
        problem = f"{raw.source}: {label}{shown}: {error}"
        raise ConfigError(problem, key.kind.expects) from None
    return _absolute(value, raw.folder, home) if isinstance(value, Path) else value


def _absolute(path: Path, folder: Path, home: Path | None) -> Path:
    if home is not None and path.parts[:1] == ("~",):
        return home.joinpath(*path.parts[1:])
    return folder / path


def show(value: object) -> str:
    """A value for a message: short, on one line, and never a URL with somebody's password."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python converts
        return "a number too large to show"
    if "://" in text or "@" in text:
        return "not shown, for it may hold a password"
    return text if len(text) <= 60 else text[:57] + "..."
