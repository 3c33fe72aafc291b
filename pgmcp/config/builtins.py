"""The section `builtins`: which tools, resources and prompts are switched off."""

from __future__ import annotations

from dataclasses import dataclass

from pgmcp.config.document import suggestion
from pgmcp.config.key import Key
from pgmcp.config.kinds import BOOLEAN
from pgmcp.config.layers import Settings, named

TOOLS = Key(
    "builtins.tools.NAME",
    BOOLEAN,
    True,
    "false hides the tool of that name and refuses its calls.",
    example="query_database",
)
RESOURCES = Key(
    "builtins.resources.NAME",
    BOOLEAN,
    True,
    "false hides the resource of that name or URI and refuses its reading.",
    example="system_info",
)
PROMPTS = Key(
    "builtins.prompts.NAME",
    BOOLEAN,
    True,
    "false hides the prompt of that name and refuses it.",
    example="explore-database",
)


@dataclass(frozen=True, slots=True)
class Features:
    """The names that `builtins` may switch off, None where any is accepted.

    A resource goes by its name and by its URI.
    """

    tools: frozenset[str] | None = frozenset()
    resources: frozenset[str] | None = frozenset()
    prompts: frozenset[str] | None = frozenset()


def hidden(key: Key, settings: Settings, known: frozenset[str] | None) -> frozenset[str]:
    """The names that one of the three keys switches off. ConfigError for a name that is not
    `known`; None leaves the names unchecked."""
    names = set()
    for name, setting in named(settings, key.path.removesuffix("NAME")):
        if known is not None and name not in known:
            setting.refuse("there is nothing of that name", suggestion(name, known))
        if not setting.value:
            names.add(name)
    return frozenset(names)
