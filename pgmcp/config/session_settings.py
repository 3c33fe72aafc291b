"""The role and the settings of a policy: `role` and `settings`.

The rule: a setting has a dot in its name. Those without are PostgreSQL's own, which decide what a
transaction may do.
"""

from __future__ import annotations

import re

_NAME_BYTES = 63
_MOST_SETTINGS = 100
# GUC names of two parts or more (valid_custom_variable_name, guc.c). A part begins with a letter,
# an underscore or what is not ASCII: said by what it is not, as a class up to the last character
# takes a twentieth of a start to compile.
_FIRST = r"[^\x00-@\[-^`{-\x7f]"
_SETTING = re.compile(rf"{_FIRST}[\w$]*(\.{_FIRST}[\w$]*)+")

SessionSettings = tuple[tuple[str, str], ...]
"""Names and values, in the order of the names."""


def parse_role(text: str) -> str:
    """The name of a role as PostgreSQL has it; ValueError with what is wrong."""
    if "\0" in text:
        raise ValueError("it holds a NUL byte")
    if not text or len(text.encode()) > _NAME_BYTES:
        raise ValueError(f"the name of a role has 1 to {_NAME_BYTES} bytes")
    if text == "none":
        raise ValueError("this stands for no role in PostgreSQL")
    return text


def parse_settings(value: object) -> SessionSettings:
    """The settings of a mapping from names to values; ValueError with what is wrong."""
    if not isinstance(value, dict):
        raise ValueError("it must be a section of settings, each with its value")
    if len(value) > _MOST_SETTINGS:
        raise ValueError(f"there are more than {_MOST_SETTINGS} settings")
    settings: dict[str, tuple[str, str]] = {}
    for name, said in value.items():
        if not isinstance(name, str) or not _SETTING.fullmatch(name):
            raise ValueError(f"{name!r} is no name with a dot, such as app.tenant_id")
        if not isinstance(said, str) or "\0" in said:
            raise ValueError(f"the value of {name} is no text: put it in quotes")
        if name.lower() in settings:
            raise ValueError(f"{name} stands there twice: PostgreSQL does not tell capitals apart")
        settings[name.lower()] = (name, said)
    return tuple(settings[name] for name in sorted(settings))
