"""URI templates as far as resources use them (RFC 6570, level 1): `pg://{database}/{schema}`.

The rule: a value is one or more characters that are percent-encoded or need not be, and a template
that matches a URI gives the values back that it would be made of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import unquote

_VARIABLE = re.compile(r"\{([A-Za-z0-9_]+)\}")
_VALUE = r"(?:[A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})+"
MAX_URI_CHARACTERS = 2000


@lru_cache(maxsize=256)
def variables(template: str) -> tuple[str, ...]:
    """The names of a template's variables, in order. ValueError for what is no such template."""
    names = tuple(_VARIABLE.findall(template))
    rest = _VARIABLE.sub("", template)
    if len(set(names)) != len(names) or not names or "{" in rest or "}" in rest:
        raise ValueError(f"{template!r}: variables are {{name}}, at least one, and each once")
    return names


def match(template: str, uri: str) -> Mapping[str, str] | None:
    """The values of a template's variables in a URI, decoded; None for another URI."""
    if len(uri) > MAX_URI_CHARACTERS:
        return None
    matched = _pattern(template).fullmatch(uri)
    if matched is None:
        return None
    try:
        return {
            name: unquote(value, errors="strict")
            for name, value in zip(variables(template), matched.groups(), strict=True)
        }
    except UnicodeDecodeError:
        return None


@lru_cache(maxsize=256)
def _pattern(template: str) -> re.Pattern[str]:
    variables(template)  # which refuses what is none
    literals = _VARIABLE.split(template)[::2]
    return re.compile(f"({_VALUE})".join(map(re.escape, literals)))
