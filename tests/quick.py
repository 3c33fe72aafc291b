"""Which tests are quick: those that start no process, and so use no PostgreSQL either.

The rule: nobody keeps a list. What a test, its fixtures and its parameters can reach in the code of
`tests` and `tools` decides. A test that is found to be quick and starts a process all the same, as
through a library, fails: the mark `starts_process` is for it.
"""

from __future__ import annotations

import functools
import inspect
import os
import subprocess
import types
from collections.abc import Iterator

import pytest

EVENTS = frozenset({"subprocess.Popen", "os.exec", "os.fork", "os.posix_spawn", "os.system"})
"""What Python tells an audit hook when a process is started."""

_STARTING = frozenset({"fork", "posix_spawn", "posix_spawnp", "system", "popen", "execv", "execve"})
_OURS = ("tests.", "tools.", "test_", "conftest")


def is_quick(item: pytest.Item) -> bool:
    """Whether nothing that the test can reach starts a process."""
    assert isinstance(item, pytest.Function)
    if item.get_closest_marker("starts_process") is not None:
        return False
    fixtures = [
        definition.func
        for definitions in item._fixtureinfo.name2fixturedefs.values()
        for definition in definitions
    ]
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return not (_any_starts((item.function, *fixtures)) or any(map(_starts, parameters)))


@functools.cache  # all variants of a test have the same
def _any_starts(functions: tuple[object, ...]) -> bool:
    return any(map(_starts, functions))


def _starts(value: object) -> bool:
    """Whether it starts a process, or what it uses of our code does."""
    return any(map(_function_starts, _functions(value)))


@functools.cache  # thousands of tests share their functions, fixtures and parameters
def _function_starts(function: types.FunctionType) -> bool:
    """Whether it or one of our functions that may run when it does starts a process."""
    reached: set[types.FunctionType] = set()
    waiting = [function]
    while waiting:
        used = waiting.pop()
        if used not in reached and used not in _harmless:
            if _starts_itself(used):
                return True
            reached.add(used)
            waiting += _used(used)
    _harmless.update(reached)
    return False


_harmless: set[types.FunctionType] = set()
"""Functions from which no start of a process is reached: what they use is in here as well."""


@functools.cache
def _starts_itself(function: types.FunctionType) -> bool:
    names = set(_names(function.__code__))
    used = [function.__globals__.get(name) for name in names]
    return subprocess in used or (os in used and not names.isdisjoint(_STARTING))


@functools.cache
def _used(function: types.FunctionType) -> tuple[types.FunctionType, ...]:
    """Our functions that it names, those of our classes and modules that it names among them."""
    names = set(_names(function.__code__))
    known = [function.__globals__[name] for name in names & function.__globals__.keys()]
    modules = [value for value in known if isinstance(value, types.ModuleType)]
    members = [getattr(module, name, None) for module in modules for name in names]
    return tuple(used for value in (*known, *members) for used in _functions(value))


def _functions(value: object) -> Iterator[types.FunctionType]:
    """The functions of ours that a value is, wraps or has as methods."""
    value = inspect.unwrap(value) if callable(value) else value
    if isinstance(value, functools.partial):
        yield from _functions(value.func)
    elif isinstance(value, types.FunctionType | types.MethodType):
        function = value if isinstance(value, types.FunctionType) else value.__func__
        if _is_ours(function) and isinstance(function, types.FunctionType):
            yield function
    elif isinstance(value, type) and _is_ours(value):
        for member in vars(value).values():
            yield from _functions(getattr(member, "fget", None) or member)


def _is_ours(value: object) -> bool:
    return str(getattr(value, "__module__", "")).startswith(_OURS)


def _names(code: types.CodeType) -> Iterator[str]:
    """Every name in the code and in the functions and classes that are written inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
