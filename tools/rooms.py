"""The rooms of pgmcp/ as pgmcp/README.md shows them, and the places in the code that it names.

The rule: made from the import table and from the docstrings of the rooms, so that nobody keeps a
second list.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from tools.check_imports import PACKAGE, ROOT, Table, read_table, room_of

_PLACE = re.compile(r"`((?:[a-z_]+/)*[a-z_]+\.(?:py|toml))(?::([A-Za-z_][\w.]*))?`")
_STATION = re.compile(r"^([0-9]+)\. `[^`]*:[^`]*`", re.MULTILINE)
MOST_STATIONS = 25


def render_rooms(table: Table | None = None) -> str:
    """A table of the rooms: what each is for, and what it may import."""
    table = table or read_table()
    lines = ["| Room | What it is for | May import |", "|---|---|---|"]
    for room, entries in table.rooms.items():
        below = ", ".join(f"`{entry}`" for entry in entries) or "nothing"
        lines.append(f"| `{room}` | {_purpose(room)} | {below} |")
    everywhere = ", ".join(f"`{room}`" for room in table.everywhere)
    return "\n".join([*lines, "", f"Every room may import {everywhere} as well."])


def render_diagram(table: Table | None = None) -> str:
    """The rooms as a Mermaid graph: an arrow is an import. What follows from two or more other
    arrows is left out."""
    rooms = imported_rooms(table or read_table())
    lines = ["```mermaid", "graph TD"]
    for room, below in rooms.items():
        indirect = {reached for each in below for reached in _reached(each, rooms)}
        lines += [f"    {room} --> {each}" for each in below if each not in indirect]
    return "\n".join([*lines, "```"])


def imported_rooms(table: Table) -> dict[str, list[str]]:
    """The rooms that each room may import, a module counting for its room, in the table's order."""
    order = list(table.rooms)
    return {
        room: sorted({room_of(entry) for entry in entries}, key=order.index)
        for room, entries in table.rooms.items()
    }


def wrong_places(text: str) -> Iterator[str]:
    """The files and functions that a text names and that are not there, and too many stations."""
    for match in _PLACE.finditer(text):
        path = next((p for p in (ROOT / PACKAGE / match[1], ROOT / match[1]) if p.exists()), None)
        if path is None:
            yield f"there is no file {match[1]}"
        elif match[2] and match[2] not in _definitions(path):
            yield f"{match[1]} has no {match[2]}"
    stations = len(_STATION.findall(text))
    if stations > MOST_STATIONS:
        yield f"a call passes {stations} stations, and {MOST_STATIONS} are the most"


def _reached(room: str, rooms: Mapping[str, list[str]]) -> set[str]:
    """The rooms that a room imports, and what those import, and so on."""
    return {reached for each in rooms[room] for reached in (each, *_reached(each, rooms))}


def _purpose(room: str) -> str:
    """The first paragraph of the room's docstring; "" for a room that is not there."""
    folder = ROOT / PACKAGE / ("" if room == PACKAGE else room)
    path = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    docstring = path.exists() and ast.get_docstring(ast.parse(path.read_text()))
    return (docstring or "").split("\n\n")[0].replace("\n", " ").replace("|", "\\|")


@cache
def _definitions(path: Path) -> frozenset[str]:
    """The names of a module's functions, classes, methods and constants."""

    def names(body: list[ast.stmt], prefix: str) -> Iterator[str]:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield prefix + node.name
                yield from names(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                yield from (prefix + each.id for each in targets if isinstance(each, ast.Name))

    text = path.read_text()
    if path.suffix != ".py":
        return frozenset(re.findall(r"^\[?(\w+)", text, re.MULTILINE))
    return frozenset(names(ast.parse(text).body, ""))


if __name__ == "__main__":
    print(render_rooms(), render_diagram(), sep="\n\n")
