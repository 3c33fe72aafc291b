"""Where the program reads the fields of the configuration, as its source shows it.

The rule: a field counts as read when an attribute of its name is taken from something that is known
to be its section: by the section's own name (`config.metrics.enabled`), or by an annotation.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "pgmcp"


@cache
def sources() -> Mapping[Path, ast.Module]:
    """The parsed modules of the program but those that make the configuration."""
    return {
        path: ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(ROOT.rglob("*.py"))
        if path.relative_to(ROOT).parts[0] != "config"
    }


def unread(sections: Mapping[type, str], trees: Mapping[Path, ast.Module]) -> Iterator[str]:
    """`Class.field` of each field that no module reads; `sections` are classes with the names that
    their values have in the configuration."""
    read: set[tuple[type, str]] = set()
    for tree in trees.values():
        for cls, name in sections.items():
            known = _names_of(tree, cls.__name__, name)
            read |= {(cls, node.attr) for node in _attributes(tree) if _last(node.value) in known}
    for cls in sections:
        for field in dataclasses.fields(cls):
            if (cls, field.name) not in read:
                yield f"{cls.__name__}.{field.name}"


def literal_defaults(names: set[str], trees: Mapping[Path, ast.Module]) -> Iterator[str]:
    """`file: name` of each parameter and field of these names that has a default of its own."""
    for path, tree in trees.items():
        for node in _nodes(tree):
            for name, default in _defaults(node):
                if (
                    name in names
                    and isinstance(default, ast.Constant)
                    and default.value is not None
                ):
                    yield f"{path.relative_to(ROOT)}: {name}"


@cache
def _nodes(tree: ast.Module) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree))


@cache
def _attributes(tree: ast.Module) -> tuple[ast.Attribute, ...]:
    return tuple(node for node in _nodes(tree) if isinstance(node, ast.Attribute))


@cache
def _annotated(tree: ast.Module) -> tuple[tuple[str, frozenset[str]], ...]:
    """The names that have annotations, and the words of these."""
    return tuple(
        (
            node.arg if isinstance(node, ast.arg) else _last(node.target),
            frozenset(re.split(r"[\[\]. ]", ast.unparse(node.annotation))),
        )
        for node in _nodes(tree)
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None
    )


def _names_of(tree: ast.Module, cls: str, section: str) -> set[str]:
    """The names that a module has for values of a section."""
    known = {section} | {target for target, words in _annotated(tree) if cls in words}
    changed = True
    while changed:  # a value goes from one name to another
        changed = False
        for target, value in _passed_on(tree):
            if _last(value) in known and target not in known and target:
                known.add(target)
                changed = True
    return known


@cache
def _passed_on(tree: ast.Module) -> tuple[tuple[str, ast.expr], ...]:
    passed: list[tuple[str, ast.expr]] = []
    for node in _nodes(tree):
        if isinstance(node, ast.Assign):
            passed += ((_last(target), node.value) for target in node.targets)
        elif isinstance(node, ast.For | ast.comprehension):
            passed.append((_last(node.target), node.iter))
    return tuple(passed)


def _last(node: ast.expr) -> str:
    """`tls` of `config.http.tls`, `auth` of `self._auth`."""
    if isinstance(node, ast.Attribute):
        return node.attr.lstrip("_")
    return node.id.lstrip("_") if isinstance(node, ast.Name) else ""


def _defaults(node: ast.AST) -> Iterator[tuple[str, ast.expr | None]]:
    if isinstance(node, ast.FunctionDef | ast.Lambda):
        arguments = node.args
        plain = [*arguments.posonlyargs, *arguments.args]
        for argument, default in zip(reversed(plain), reversed(arguments.defaults), strict=False):
            yield argument.arg, default
        for argument, maybe in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
            yield argument.arg, maybe
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id, node.value
