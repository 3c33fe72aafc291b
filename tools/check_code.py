"""Hold the code to three habits: small functions, one meaning for each type name, names that say.

The rule: what broke a habit before it was checked stands in tools/exemptions.toml, and that list
may only shrink. What is not in it fails, and so does a line in it that is no longer needed.
"""

from __future__ import annotations

import argparse
import ast
import functools
import json
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXEMPTIONS = "tools/exemptions.toml"

_FOLDERS = ("pgmcp", "tools")
_NO_NAMES = frozenset({"one", "found"})
_EACH_HAS_ITS_OWN = frozenset({"Args"})  # each tool and prompt declares its arguments
_TYPE_PARAMETERS = frozenset({"TypeVar", "ParamSpec"})
_MOST_LINES = 50  # of a function, its docstring included: what fits a screen

_HEADER = f"""\
# What still breaks a rule of tools/check_code.py. Nothing may be added; `tools/check --fix` takes
# out what is no longer needed.
#
# functions: McCabe complexity over the limit of pyproject.toml, or more than {_MOST_LINES} lines.
# types: names of classes and aliases that stand twice in pgmcp/, and copies of a Literal.
# names: how often a file gives something the name {" or ".join(sorted(_NO_NAMES))}.
"""


@dataclass(frozen=True, slots=True)
class Faults:
    """What breaks a habit, each with the number of times: once for a function or a type.

    `functions` are `path::name`, `types` names or Literals as they are written, `names` paths.
    """

    functions: Mapping[str, int]
    types: Mapping[str, int]
    names: Mapping[str, int]


def read_faults(root: Path = ROOT) -> Faults:
    """What breaks a habit in the code below `root`."""
    trees = {
        path.relative_to(root).as_posix(): ast.parse(path.read_text(), str(path))
        for folder in _FOLDERS
        for path in sorted((root / folder).rglob("*.py"))
    }
    return Faults(
        functions=_complex_functions(root, trees) | _long_functions(trees),
        types=_repeated_types(trees),
        names=_poor_names(trees),
    )


def read_exemptions(root: Path = ROOT) -> Faults:
    """What may break a habit; TypeError for a section that is not known."""
    content = tomllib.loads((root / EXEMPTIONS).read_text())
    content["functions"] = dict.fromkeys(content["functions"], 1)
    content["types"] = dict.fromkeys(content["types"], 1)
    return Faults(**content)


def problems(faults: Faults, exemptions: Faults) -> Iterator[str]:
    """What is not exempt, and what is exempt without need, one line each."""
    for (path, what), (actual, allowed) in _compared(faults, exemptions).items():
        if actual > allowed:
            yield f"{path}: {what}"
        elif actual < allowed:
            yield f"{EXEMPTIONS}: {path} needs less: tools/check --fix takes it out"


def shrunk(faults: Faults, exemptions: Faults) -> str:
    """The text of the exemptions, without what is no longer needed."""
    kept = Faults(
        *(
            {
                name: min(count, actual[name])
                for name, count in sorted(allowed.items())
                if name in actual
            }
            for actual, allowed in (
                (faults.functions, exemptions.functions),
                (faults.types, exemptions.types),
                (faults.names, exemptions.names),
            )
        )
    )
    lines = [_HEADER]
    for section, names in (("functions", kept.functions), ("types", kept.types)):
        listed = "".join(f'\n    "{name}",' for name in names)
        lines += [f"{section} = [{listed}\n]" if names else f"{section} = []", ""]
    lines += ["[names]", *(f'"{path}" = {count}' for path, count in kept.names.items())]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Print the problems; 1 when there are any. With --shrink, shorten the list instead."""
    parser = argparse.ArgumentParser(prog="python -m tools.check_code")
    parser.add_argument("--shrink", action="store_true", help=f"shorten {EXEMPTIONS} where it can")
    options = parser.parse_args(arguments)
    faults, exemptions = read_faults(), read_exemptions()
    if options.shrink:
        (ROOT / EXEMPTIONS).write_text(shrunk(faults, exemptions))
        return 0
    lines = list(problems(faults, exemptions))
    for line in lines:
        print(line)
    return 1 if lines else 0


def _compared(faults: Faults, exemptions: Faults) -> dict[tuple[str, str], tuple[int, int]]:
    """(name, what is wrong with it) to (how often it is so, how often it may be)."""
    sections = (
        (
            "more complex than pyproject.toml allows, or too long for a screen: split it",
            "functions",
        ),
        ("this type stands twice in pgmcp/: give each meaning one name, in one place", "types"),
        (f"{' or '.join(sorted(_NO_NAMES))} as a name: say what the thing is", "names"),
    )
    compared = {}
    for what, section in sections:
        actual: Mapping[str, int] = getattr(faults, section)
        allowed: Mapping[str, int] = getattr(exemptions, section)
        for name in sorted({*actual, *allowed}):
            compared[name, what] = (actual.get(name, 0), allowed.get(name, 0))
    return compared


@functools.cache  # each habit looks at them all
def _nodes(tree: ast.Module) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree))


def _complex_functions(root: Path, trees: Mapping[str, ast.Module]) -> dict[str, int]:
    """The functions that ruff's C901 names, with the limit that pyproject.toml sets."""
    command = [sys.executable, "-m", "ruff", "check", "--select", "C901", "--no-cache"]
    settings = ["--output-format", "json", "--ignore-noqa", "--exit-zero", *_FOLDERS]
    printed = subprocess.run(
        [*command, *settings], cwd=root, check=True, capture_output=True, text=True
    ).stdout
    functions = {}
    for row in json.loads(printed):
        path = Path(row["filename"]).resolve().relative_to(root.resolve()).as_posix()
        functions[f"{path}::{_name_at(trees[path], row['location']['row'])}"] = 1
    return functions


def _name_at(tree: ast.Module, row: int) -> str:
    """The function that is defined in this row, with the classes and functions around it."""

    def names(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                if child.lineno == row:
                    yield child.name
                yield from (f"{child.name}.{name}" for name in names(child))
            else:
                yield from names(child)

    return next(names(tree))


def _long_functions(trees: Mapping[str, ast.Module]) -> dict[str, int]:
    """The functions of pgmcp/ that have more than `_MOST_LINES`."""
    return {
        f"{path}::{_name_at(tree, node.lineno)}": 1
        for path, tree in trees.items()
        if path.startswith("pgmcp/")
        for node in _nodes(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= _MOST_LINES
    }


def _repeated_types(trees: Mapping[str, ast.Module]) -> dict[str, int]:
    """Public types that several modules of pgmcp/ define, and Literals that are written twice."""
    places = defaultdict(list)
    for path, tree in trees.items():
        if path.startswith("pgmcp/"):
            for name in {*_classes(tree), *_aliases(tree)}:
                places[name].append(path)
            for literal in _literals(tree):
                places[literal].append(path)
    return {
        name: 1
        for name, paths in places.items()
        if len(paths) > 1 and name not in _EACH_HAS_ITS_OWN
    }


def _classes(tree: ast.Module) -> Iterator[str]:
    for node in _nodes(tree):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name


def _aliases(tree: ast.Module) -> Iterator[str]:
    """The names in CamelCase that a module gives to something: aliases, NewTypes, named tuples."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        for target in targets:
            if (
                isinstance(target, ast.Name)
                and target.id[0].isupper()
                and not target.id.isupper()
                and not _is_type_parameter(getattr(node, "value", None))
            ):
                yield target.id


def _is_type_parameter(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func) in _TYPE_PARAMETERS


def _literals(tree: ast.Module) -> Iterator[str]:
    """Each Literal of several values, with its values in order."""
    for node in _nodes(tree):
        if (
            isinstance(node, ast.Subscript)
            and ast.unparse(node.value).rpartition(".")[2] == "Literal"
            and isinstance(node.slice, ast.Tuple)
        ):
            yield f"Literal[{', '.join(sorted(map(ast.unparse, node.slice.elts)))}]"


def _poor_names(trees: Mapping[str, ast.Module]) -> Counter[str]:
    """By path, how often something is given a name that says nothing."""
    counts = Counter[str]()
    for path, tree in trees.items():
        given = (name.strip("_") for node in _nodes(tree) for name in _given(node))
        counts[path] = sum(name in _NO_NAMES for name in given)
    return +counts


def _given(node: ast.AST) -> Iterator[str]:
    """The names that a node gives: to a variable, an argument, a function, a class, an import."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
            yield name
        case ast.arg(arg=name):
            yield name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.alias(asname=str(name)):
            yield name
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
            yield name
        case ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
            yield name
        case _:
            pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
