"""Hold the code to tools/imports.toml: who may import whom, and what else may stand only in places.

The rule: the table says what may be; this module only compares. Imports inside functions and under
TYPE_CHECKING count like any other.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "tools" / "imports.toml"

_BROAD = {"Exception", "BaseException"}


@dataclass(frozen=True, slots=True)
class Table:
    """The rules, as the file has them.

    A module's own row comes before one with a star. `owned` are packages that only the named
    modules import; a third-party package that is not in it may not be imported at all.
    """

    may_import: Mapping[str, list[str]]
    owned: Mapping[str, list[str]] = field(default_factory=dict)
    broad_except: Mapping[str, int] = field(default_factory=dict)
    pure: list[str] = field(default_factory=list)
    impure_modules: list[str] = field(default_factory=list)
    most_lines: int = 400

    def row(self, module: str) -> str | None:
        """The name of the row that is about `module`."""
        if module in self.may_import:
            return module
        patterns = [row for row in self.may_import if "*" in row and fnmatchcase(module, row)]
        return max(patterns, key=len, default=None)


@dataclass(frozen=True, slots=True)
class Module:
    """One file, as far as the table is concerned. `imports` are (line, name), names in full."""

    name: str
    path: Path
    lines: int
    imports: tuple[tuple[int, str], ...]
    relative: tuple[int, ...]
    broad_excepts: tuple[int, ...]


def read_table(path: Path = TABLE) -> Table:
    """Read the table; a key that is not known is an error."""
    content: dict[str, Any] = tomllib.loads(path.read_text())
    return Table(**content)


def read_modules(root: Path = ROOT, package: str = "pgmcp") -> dict[str, Module]:
    """Every module under `root/package`, by its full name."""
    paths = {_name_of(path, root): path for path in sorted((root / package).rglob("*.py"))}
    return {name: _read(name, path, set(paths)) for name, path in paths.items()}


def problems(table: Table, modules: Mapping[str, Module]) -> Iterator[str]:
    """What breaks the rules, one line each: `path:line: what`."""
    for module in modules.values():
        yield from _of_module(table, module, modules)
    for row, allowed in table.may_import.items():
        for name in (row, *allowed):
            if not any(fnmatchcase(module, name) for module in modules):
                yield f"tools/imports.toml: the row of {row} names {name}, which does not exist"
        if any(fnmatchcase(module, row) for module in modules) and all(
            table.row(module) != row for module in modules
        ):
            yield f"tools/imports.toml: no module is left for the row {row}"
    yield from _cycles(modules)


def main() -> int:
    """Print the problems; 1 when there are any."""
    try:
        found = list(problems(read_table(), read_modules()))
    except SyntaxError as error:
        found = [f"{error.filename}:{error.lineno}: {error.msg}"]
    for problem in found:
        print(problem)
    return 1 if found else 0


def _of_module(table: Table, module: Module, modules: Mapping[str, Module]) -> Iterator[str]:
    row = table.row(module.name)
    if row is None:
        yield f"{module.path}:1: {module.name} has no row in tools/imports.toml: give it one"
    for line in module.relative:
        yield f"{module.path}:{line}: a relative import; write it in full"
    for line, name in module.imports:
        reason = _why_not(table, module.name, row, name, modules)
        if reason:
            yield f"{module.path}:{line}: {module.name} imports {name}: {reason}"
    if len(module.broad_excepts) > table.broad_except.get(module.name, 0):
        where = ", ".join(map(str, module.broad_excepts))
        yield f"{module.path}:{where}: except Exception belongs in tools/imports.toml's places only"
    if module.lines > table.most_lines:
        yield f"{module.path}: {module.lines} lines are more than {table.most_lines}: split it"


def _why_not(
    table: Table, importer: str, row: str | None, name: str, modules: Mapping[str, Module]
) -> str:
    if name in modules:
        allowed = table.may_import[row] if row is not None else []
        return "" if any(fnmatchcase(name, entry) for entry in allowed) else "not in its row"
    top = name.partition(".")[0]
    if top in table.owned:
        return "" if importer in table.owned[top] else f"{', '.join(table.owned[top])} owns it"
    if top not in sys.stdlib_module_names:
        return "no module owns this package"
    if top in table.impure_modules and any(fnmatchcase(importer, pure) for pure in table.pure):
        return "this module is to touch no socket, file, thread or clock"
    return ""


def _cycles(modules: Mapping[str, Module]) -> Iterator[str]:
    """Each cycle once, by a walk that goes down every edge."""
    done: set[str] = set()

    def walk(name: str, path: tuple[str, ...]) -> Iterator[str]:
        if name in path:
            yield "a cycle: " + " -> ".join((*path[path.index(name) :], name))
        elif name not in done:
            for imported in sorted({target for _, target in modules[name].imports}):
                if imported in modules:
                    yield from walk(imported, (*path, name))
            done.add(name)

    for name in modules:
        yield from walk(name, ())


def _name_of(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _read(name: str, path: Path, known: set[str]) -> Module:
    text = path.read_text()
    nodes = list(ast.walk(ast.parse(text, str(path))))
    return Module(
        name=name,
        path=path,
        lines=len(text.splitlines()),
        imports=tuple(sorted({found for node in nodes for found in _imports(node, known)})),
        relative=tuple(n.lineno for n in nodes if isinstance(n, ast.ImportFrom) and n.level),
        broad_excepts=tuple(
            n.lineno
            for n in nodes
            if isinstance(n, ast.ExceptHandler) and _is_broad(n.type) and not _cleans_up(n)
        ),
    )


def _imports(node: ast.AST, known: set[str]) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield node.lineno, alias.name
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        for alias in node.names:
            submodule = f"{node.module}.{alias.name}"
            yield node.lineno, submodule if submodule in known else node.module


def _is_broad(caught: ast.expr | None) -> bool:
    if caught is None:
        return True
    if isinstance(caught, ast.Tuple):
        return any(map(_is_broad, caught.elts))
    return isinstance(caught, ast.Name) and caught.id in _BROAD


def _cleans_up(handler: ast.ExceptHandler) -> bool:
    """Whether it is `except BaseException: …; raise`, which hides nothing."""
    last = handler.body[-1]
    everything = isinstance(handler.type, ast.Name) and handler.type.id == "BaseException"
    return everything and isinstance(last, ast.Raise) and last.exc is None


if __name__ == "__main__":
    sys.exit(main())
