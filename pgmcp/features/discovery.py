"""Finding the features: each is one module of its folder, which names it in capitals.

The rule: the folder is the list. What cannot be listed stops the program at its start, with a
message that says what to do.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import TypeVar

from pgmcp.mcp.feature import Prompt, Resource, ResourceTemplate, Tool

F = TypeVar("F", Tool, Resource, ResourceTemplate, Prompt)


def modules(package: ModuleType) -> list[str]:
    """The names of the modules in a folder of features: all that begin with no underscore.

    Also of a folder in the one file, whose importer lists it as pkgutil asks.
    """
    names = (module.name for module in pkgutil.iter_modules(package.__path__))
    return sorted(name for name in names if not name.startswith("_"))


def features(package: ModuleType, attribute: str, kind: type[F]) -> tuple[F, ...]:
    """What each module of a package has under `attribute`, by rank and name.

    TypeError for a module without one, or with one of another name.
    """
    listed = []
    for name in modules(package):
        module = importlib.import_module(f"{package.__name__}.{name}")
        feature = getattr(module, attribute, None)
        if not isinstance(feature, kind):
            raise TypeError(
                f"{module.__name__}: give it {attribute} = {kind.__name__}(…), or a name that "
                "begins with an underscore if it is no feature"
            )
        if feature.name.replace("-", "_") != name:
            raise TypeError(
                f"{module.__name__}: its {attribute} is named {feature.name!r}; give the module "
                "and what it has the same name"
            )
        listed.append(feature)
    return tuple(sorted(listed, key=lambda feature: (feature.rank, feature.name)))
