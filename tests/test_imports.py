"""The import table holds, and the check that says so sees what it should."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tools.check_imports import Table, problems, read_modules, read_table

FLAT = Table({"a": [], "b": [], "c": [], "pgmcp": []})
"""Three modules that may import nothing of each other."""


def test_the_code_keeps_to_the_table() -> None:
    lines = list(problems(read_table(), read_modules()))
    assert not lines, "\n".join(lines)


def check(folder: Path, table: Table, **sources: str) -> str:
    """The problems of a package with these modules; `__` in a name stands for a folder."""
    package = folder / "pgmcp"
    for name, source in {"__init__": "", **sources}.items():
        path = package / f"{name.replace('__', '/') if name != '__init__' else name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)
        if path.parent != package:
            (path.parent / "__init__.py").touch()
    modules = read_modules(folder)
    there = {module.room for module in modules.values()}
    rooms = {room: row for room, row in table.rooms.items() if room in there or row}
    return "\n".join(problems(replace(table, rooms=rooms), modules))


def test_finds_nothing_in_code_that_keeps_to_it(tmp_path: Path) -> None:
    table = Table({"a": ["b"], "b": [], "pgmcp": []}, owned={"yaml": ["b"]})
    assert check(tmp_path, table, a="from pgmcp.b import x\nimport os", b="import yaml") == ""


def test_modules_of_one_room_may_import_each_other(tmp_path: Path) -> None:
    assert check(tmp_path, FLAT, a__one="from pgmcp.a.two import x", a__two="") == ""


@pytest.mark.parametrize(
    "source",
    [
        "from pgmcp.b import x",
        "import pgmcp.b",
        "from pgmcp import b",
        "def f():\n    import pgmcp.b",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pgmcp.b import x",
    ],
)
def test_finds_an_import_outside_the_row(tmp_path: Path, source: str) -> None:
    shown = check(tmp_path, FLAT, a=source, b="")
    assert "a imports b: not in the row of a" in shown


def test_a_row_may_name_one_module_of_a_room(tmp_path: Path) -> None:
    table = Table({"a": ["b.port"], "b": [], "pgmcp": []})
    source = "import pgmcp.b.port\nimport pgmcp.b.other"
    shown = check(tmp_path, table, a=source, b__port="", b__other="")
    assert shown.endswith("a imports b.other: not in the row of a")
    assert "\n" not in shown


def test_a_module_may_have_less_than_its_room(tmp_path: Path) -> None:
    rooms: dict[str, list[str]] = {"a": ["b", "c"], "b": [], "c": [], "pgmcp": []}
    table = Table(rooms, everywhere=["c"], modules={"a.x": ["a.y"]})
    sources = {"a__x": "import pgmcp.b\nimport pgmcp.c\nimport pgmcp.a.y", "b": "", "c": ""}
    shown = check(tmp_path, table, **sources, a__y="import pgmcp.b")
    assert "a.x imports b: not in its row in [modules]" in shown
    assert "a.x imports c" not in shown
    assert "a.x imports a.y" not in shown


def test_finds_a_room_without_a_row(tmp_path: Path) -> None:
    assert "the room d has no row" in check(tmp_path, FLAT, d__x="")


def test_a_row_names_only_what_stands_below_it_so_that_rooms_have_no_cycle(tmp_path: Path) -> None:
    table = Table({"a": ["b"], "b": ["a"], "pgmcp": []})
    shown = check(tmp_path, table, a="import pgmcp.b", b="import pgmcp.a")
    assert "b names a, which does not stand below it" in shown


def test_finds_names_of_what_is_not_there_or_not_imported(tmp_path: Path) -> None:
    table = Table({"a": ["gone", "b"], "b": [], "left": ["b"], "pgmcp": []}, modules={"a.z": []})
    shown = check(tmp_path, table, a="", b="")
    assert "a names gone, which is neither a room nor a module" in shown
    assert "a names b, which it does not import" in shown
    assert "there is no room left" in shown
    assert "there is no a.z" in shown


@pytest.mark.parametrize(
    ("a", "way"),
    [
        ("import pgmcp.b", "a -> b -> c"),
        ("class X:\n    import pgmcp.b", "a -> b -> c"),
        ("if True:\n    pass\nelse:\n    from pgmcp.b import x", "a -> b -> c"),
        ("import pgmcp.c", "a -> c"),
        ("def f():\n    import pgmcp.c", ""),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pgmcp.c", ""),
    ],
)
def test_finds_what_is_loaded_early(tmp_path: Path, a: str, way: str) -> None:
    table = Table(
        {"a": ["b", "c"], "b": ["c"], "c": [], "pgmcp": []}, loads_late={"a": ["c", "yaml"]}
    )
    shown = check(tmp_path, table, a=a, b="import pgmcp.c", c="import yaml")
    assert (f"importing a loads c: {way}" in shown) == bool(way)
    assert ("importing a loads yaml" in shown) == bool(way)


def test_finds_a_third_party_import_outside_its_owner(tmp_path: Path) -> None:
    table = replace(FLAT, owned={"yaml": ["files"]})
    shown = check(tmp_path, table, a="import yaml.nodes\nimport requests")
    assert "a imports yaml.nodes: files owns it" in shown
    assert "a imports requests: no module owns this package" in shown


def test_finds_a_relative_import(tmp_path: Path) -> None:
    assert "a relative import" in check(tmp_path, FLAT, a="from . import b")


def test_finds_a_cycle_of_modules(tmp_path: Path) -> None:
    sources = {
        "a__x": "import pgmcp.a.y",
        "a__y": "import pgmcp.a.z",
        "a__z": "def f():\n    import pgmcp.a.x",
    }
    assert check(tmp_path, FLAT, **sources) == "a cycle: a.x -> a.y -> a.z -> a.x"


@pytest.mark.parametrize("caught", ["", " Exception", " BaseException", " (OSError, Exception)"])
def test_finds_except_exception_outside_its_places(tmp_path: Path, caught: str) -> None:
    source = f"try:\n    pass\nexcept{caught}:\n    pass"
    shown = check(tmp_path, replace(FLAT, broad_except={"b": 1}), a=source, b=source)
    assert "a.py:3: except Exception" in shown
    assert "b.py" not in shown


def test_finds_a_module_that_is_too_long(tmp_path: Path) -> None:
    assert "3 lines are more than 2" in check(tmp_path, replace(FLAT, most_lines=2), a="1\n2\n3\n")


def test_finds_a_clock_in_a_pure_module(tmp_path: Path) -> None:
    table = replace(FLAT, pure=["a.*"], not_pure=["a.y"], impure_modules=["time", "urllib.request"])
    source = "from time import sleep\nfrom urllib.parse import quote"
    shown = check(tmp_path, table, a__x=source, a__y="import urllib.request")
    assert "x.py:1: a.x imports time: this module is to touch no socket" in shown
    assert shown.count("\n") == 0


def test_finds_a_pure_module_that_is_gone(tmp_path: Path) -> None:
    shown = check(tmp_path, replace(FLAT, pure=["a.x"]), a="")
    assert "no module is called a.x" in shown


def test_lets_everything_be_caught_to_clean_up_and_raise_again(tmp_path: Path) -> None:
    source = "try:\n    pass\nexcept BaseException:\n    f()\n    raise"
    assert check(tmp_path, FLAT, a=source) == ""
