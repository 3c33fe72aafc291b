"""The verbs: each module here declares a group of them in `VERBS`.

The rule: to add a verb is to add it to the `VERBS` of a module here, or to add a module; the folder
is the list. A module imports at its top only what is quickly loaded, for -help loads all of them.
"""

from __future__ import annotations

from collections.abc import Iterable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pgmcp.cli.verb import Verb


def find_all() -> tuple[Verb, ...]:
    """Every verb, in the order of the modules' names and of their `VERBS`."""
    return _verbs_of(_modules())


def find_likely(flags: Iterable[str]) -> tuple[Verb, ...]:
    """The verbs of the modules whose name is a part of one of these flags: of `tokens` for
    `remove-token`. It may miss some, and loads less than `find_all`."""
    text = " ".join(flags).replace("-", "_")
    return _verbs_of(name for name in _modules() if name.rpartition(".")[2].rstrip("s") in text)


def find(name: str) -> Verb:
    """The verb of this name; KeyError."""
    for verbs in (find_likely([name]), find_all()):
        for verb in verbs:
            if verb.name == name:
                return verb
    raise KeyError(name)


def _modules() -> list[str]:
    import pkgutil  # here: a start that serves has no verb

    return sorted(module.name for module in pkgutil.iter_modules(__path__, f"{__name__}."))


def _verbs_of(modules: Iterable[str]) -> tuple[Verb, ...]:
    import importlib

    return tuple(verb for name in modules for verb in importlib.import_module(name).VERBS)
