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
PACKAGE = "pgmcp"

_BROAD = {"Exception", "BaseException"}


@dataclass(frozen=True, slots=True)
class Table:
    """The rules, as the file has them. Names of modules and rooms stand without `pgmcp.`.

    `rooms`: for each room the rooms below it, or modules of such rooms, that its modules may
    import; `everywhere` are rooms that all may import. `modules`: rooms and modules that these
    modules may import, where that is less than their room may. `loads_late`: what importing these
    modules must not load. `owned` are packages that only the named modules import; a third-party
    package that is not in it may not be imported at all. `pure` are patterns of modules that import
    nothing of `impure_modules`; `not_pure` are exceptions from them.
    """

    rooms: Mapping[str, list[str]]
    everywhere: list[str] = field(default_factory=list)
    modules: Mapping[str, list[str]] = field(default_factory=dict)
    loads_late: Mapping[str, list[str]] = field(default_factory=dict)
    owned: Mapping[str, list[str]] = field(default_factory=dict)
    broad_except: Mapping[str, int] = field(default_factory=dict)
    pure: list[str] = field(default_factory=list)
    not_pure: list[str] = field(default_factory=list)
    impure_modules: list[str] = field(default_factory=list)
    most_lines: int = 400


@dataclass(frozen=True, slots=True)
class Module:
    """One file, as far as the table is concerned.

    `name` is the name without `pgmcp.`; that of the package itself is `pgmcp`. `imports` are (line,
    name); `at_start` are the names among them that are imported when the module is. Names of our
    own modules stand without `pgmcp.` there too.
    """

    name: str
    path: Path
    lines: int
    imports: tuple[tuple[int, str], ...]
    at_start: frozenset[str]
    relative: tuple[int, ...]
    broad_excepts: tuple[int, ...]

    @property
    def room(self) -> str:
        """The folder that it stands in; a module outside any folder is a room by itself."""
        return room_of(self.name)


Modules = Mapping[str, Module]


def read_table(path: Path = TABLE) -> Table:
    """Read the table; a key that is not known is an error."""
    content: dict[str, Any] = tomllib.loads(path.read_text())
    return Table(**content)


def read_modules(root: Path = ROOT) -> dict[str, Module]:
    """Every module under `root/pgmcp`, by its name."""
    paths = {_name_of(path, root): path for path in sorted((root / PACKAGE).rglob("*.py"))}
    return {name: _read(name, path, set(paths)) for name, path in paths.items()}


def room_of(name: str) -> str:
    """The room of a module or of a room: the first part of the name."""
    return name.partition(".")[0]


def problems(table: Table, modules: Modules) -> Iterator[str]:
    """What breaks the rules, one line each: `path:line: what`."""
    yield from _of_table(table, modules)
    for pattern in (*table.pure, *table.not_pure):
        if not any(fnmatchcase(name, pattern) for name in modules):
            yield f"tools/imports.toml: no module is called {pattern}"
    for module in modules.values():
        yield from _of_module(table, module, modules)
    yield from _cycles(modules)
    for name, late in table.loads_late.items():
        if name in modules:
            yield from _loaded_early(name, late, modules)


def main() -> int:
    """Print the problems; 1 when there are any."""
    try:
        lines = list(problems(read_table(), read_modules()))
    except SyntaxError as error:
        lines = [f"{error.filename}:{error.lineno}: {error.msg}"]
    for line in lines:
        print(line)
    return 1 if lines else 0


def _of_table(table: Table, modules: Modules) -> Iterator[str]:
    """Rows that name what is not there, what stands above them, or what is not needed."""
    rooms = list(table.rooms)
    for room, entries in table.rooms.items():
        below = rooms[rooms.index(room) + 1 :]
        for entry in entries:
            reason = _why_not_an_entry(table, room, entry, below, modules)
            if reason:
                yield f"tools/imports.toml: {room} names {entry}, {reason}"
    for name in (*table.rooms, *table.everywhere):
        if all(module.room != name for module in modules.values()):
            yield f"tools/imports.toml: there is no room {name}"
    known = {*modules, *rooms}
    for section in (table.modules, table.loads_late):
        for name, entries in section.items():
            for entry in (name, *entries):
                if entry not in known and not _is_foreign(entry, table):
                    yield f"tools/imports.toml: {name}: there is no {entry}"


def _why_not_an_entry(
    table: Table, room: str, entry: str, below: list[str], modules: Modules
) -> str:
    if room_of(entry) not in table.rooms or (entry not in table.rooms and entry not in modules):
        return "which is neither a room nor a module"
    if room_of(entry) not in below:
        return "which does not stand below it"
    if room_of(entry) in table.everywhere:
        return "which all may import"
    imported = {
        name for module in modules.values() if module.room == room for _, name in module.imports
    }
    if not imported & {name for name in modules if entry in (name, room_of(name))}:
        return "which it does not import"
    return ""


def _is_foreign(name: str, table: Table) -> bool:
    return room_of(name) in table.owned or room_of(name) in sys.stdlib_module_names


def _of_module(table: Table, module: Module, modules: Modules) -> Iterator[str]:
    if module.room not in table.rooms:
        yield f"{module.path}:1: the room {module.room} has no row in tools/imports.toml"
    for line in module.relative:
        yield f"{module.path}:{line}: a relative import; write it in full"
    for line, name in module.imports:
        reason = _why_not(table, module, name, modules)
        if reason:
            yield f"{module.path}:{line}: {module.name} imports {name}: {reason}"
    if len(module.broad_excepts) > table.broad_except.get(module.name, 0):
        where = ", ".join(map(str, module.broad_excepts))
        yield f"{module.path}:{where}: except Exception belongs in tools/imports.toml's places only"
    if module.lines > table.most_lines:
        yield f"{module.path}: {module.lines} lines are more than {table.most_lines}: split it"


def _why_not(table: Table, module: Module, name: str, modules: Modules) -> str:
    """Why this module may not import this; "" when it may."""
    if name in modules:
        return _why_not_ours(table, module, name)
    top = room_of(name)
    if top in table.owned:
        return "" if module.name in table.owned[top] else f"{', '.join(table.owned[top])} owns it"
    if top not in sys.stdlib_module_names:
        return "no module owns this package"
    if _is_pure(table, module.name) and any(
        f"{name}.".startswith(f"{impure}.") for impure in table.impure_modules
    ):
        return "this module is to touch no socket, file, thread or clock"
    return ""


def _is_pure(table: Table, name: str) -> bool:
    return name not in table.not_pure and any(fnmatchcase(name, each) for each in table.pure)


def _why_not_ours(table: Table, module: Module, name: str) -> str:
    names = {name, room_of(name)}
    own = {module.room, *table.everywhere}
    if not names & {*own, *table.rooms.get(module.room, ())}:
        return f"not in the row of {module.room}"
    narrower = table.modules.get(module.name)
    if narrower is not None and not names & {*table.everywhere, *narrower}:
        return "not in its row in [modules]"
    return ""


def _cycles(modules: Modules) -> Iterator[str]:
    """Each cycle once, by a walk that goes down every edge.

    Rooms need no walk: a row names only what stands below it.
    """
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


def _loaded_early(name: str, late: list[str], modules: Modules) -> Iterator[str]:
    """What importing a module loads although it is to be loaded late, with the way there."""
    ways: dict[str, tuple[str, ...]] = {name: (name,)}
    waiting = [name]
    while waiting:
        importer = waiting.pop(0)
        for imported in sorted(modules[importer].at_start):
            # Importing a module imports the packages above it first.
            for loaded in _with_parents(imported, modules):
                if loaded not in ways:
                    ways[loaded] = (*ways[importer], loaded)
                    if loaded in modules:
                        waiting.append(loaded)
    for loaded, way in ways.items():
        if loaded in late or (room_of(loaded) in late and loaded != name):
            yield f"importing {name} loads {loaded}: {' -> '.join(way)}"


def _with_parents(name: str, modules: Modules) -> Iterator[str]:
    room = room_of(name)
    if name in modules and room in modules:
        yield room
    yield name


def _name_of(path: Path, root: Path) -> str:
    parts = path.relative_to(root / PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or PACKAGE


def _read(name: str, path: Path, known: set[str]) -> Module:
    text = path.read_text()
    tree = ast.parse(text, str(path))
    nodes = list(ast.walk(tree))
    return Module(
        name=name,
        path=path,
        lines=len(text.splitlines()),
        imports=tuple(sorted({each for node in nodes for each in _imports(node, known)})),
        at_start=frozenset(
            imported for node in _run_at_start(tree.body) for _, imported in _imports(node, known)
        ),
        relative=tuple(n.lineno for n in nodes if isinstance(n, ast.ImportFrom) and n.level),
        broad_excepts=tuple(
            n.lineno
            for n in nodes
            if isinstance(n, ast.ExceptHandler) and _is_broad(n.type) and not _cleans_up(n)
        ),
    )


def _run_at_start(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """The statements that run when the module is imported: none in a function, none for types."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If) and ast.unparse(statement.test).endswith("TYPE_CHECKING"):
            yield from _run_at_start(statement.orelse)
        elif not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            for inner in ("body", "orelse", "finalbody"):
                yield from _run_at_start(getattr(statement, inner, []))


def _imports(node: ast.AST, known: set[str]) -> Iterator[tuple[int, str]]:
    """(line, name) of what a statement imports; the name of ours without `pgmcp.`."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield node.lineno, _short(alias.name)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        for alias in node.names:
            submodule = _short(f"{node.module}.{alias.name}")
            yield node.lineno, submodule if submodule in known else _short(node.module)


def _short(name: str) -> str:
    return name.removeprefix(f"{PACKAGE}.")


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
