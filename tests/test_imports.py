"""The import table holds, and the check that says so sees what it should."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.check_imports import Table, problems, read_modules, read_table


def test_the_code_keeps_to_the_table() -> None:
    found = list(problems(read_table(), read_modules()))
    assert not found, "\n".join(found)


def check(folder: Path, table: Table, **sources: str) -> str:
    package = folder / "pgmcp"
    package.mkdir()
    (package / "__init__.py").write_text("")
    for name, source in sources.items():
        (package / f"{name}.py").write_text(source)
    rows = {"pgmcp": [], **table.may_import}
    checked = Table(
        may_import=rows,
        owned=table.owned,
        broad_except=table.broad_except,
        pure=table.pure,
        impure_modules=table.impure_modules,
        most_lines=table.most_lines,
    )
    return "\n".join(problems(checked, read_modules(folder)))


def test_finds_nothing_in_code_that_keeps_to_it(tmp_path: Path) -> None:
    table = Table({"pgmcp.a": ["pgmcp.b"], "pgmcp.b": []}, owned={"yaml": ["pgmcp.b"]})
    assert check(tmp_path, table, a="from pgmcp.b import x\nimport os", b="import yaml") == ""


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
    found = check(tmp_path, Table({"pgmcp.a": [], "pgmcp.b": []}), a=source, b="")
    assert "pgmcp.a imports pgmcp.b: not in its row" in found


def test_finds_a_module_without_a_row(tmp_path: Path) -> None:
    assert "pgmcp.a has no row" in check(tmp_path, Table({}), a="")


def test_finds_a_row_without_a_module(tmp_path: Path) -> None:
    assert "names pgmcp.gone" in check(tmp_path, Table({"pgmcp.gone": []}))
    assert "names pgmcp.gone" in "\n".join(
        problems(Table({"pgmcp": ["pgmcp.gone"]}), read_modules(tmp_path))
    )


def test_finds_a_third_party_import_outside_its_owner(tmp_path: Path) -> None:
    table = Table({"pgmcp.a": []}, owned={"yaml": ["pgmcp.files"]})
    found = check(tmp_path, table, a="import yaml.nodes\nimport requests")
    assert "pgmcp.a imports yaml.nodes: pgmcp.files owns it" in found
    assert "pgmcp.a imports requests: no module owns this package" in found


def test_finds_a_relative_import(tmp_path: Path) -> None:
    assert "a relative import" in check(tmp_path, Table({"pgmcp.a": []}), a="from . import b")


def test_finds_a_cycle(tmp_path: Path) -> None:
    table = Table({"pgmcp.a": ["pgmcp.*"], "pgmcp.b": ["pgmcp.*"], "pgmcp.c": ["pgmcp.*"]})
    sources = {"a": "import pgmcp.b", "b": "import pgmcp.c", "c": "def f():\n    import pgmcp.a"}
    found = check(tmp_path, table, **sources)
    assert found == "a cycle: pgmcp.a -> pgmcp.b -> pgmcp.c -> pgmcp.a"


@pytest.mark.parametrize("caught", ["", " Exception", " BaseException", " (OSError, Exception)"])
def test_finds_except_exception_outside_its_places(tmp_path: Path, caught: str) -> None:
    source = f"try:\n    pass\nexcept{caught}:\n    pass"
    table = Table({"pgmcp.a": [], "pgmcp.b": []}, broad_except={"pgmcp.b": 1})
    found = check(tmp_path, table, a=source, b=source)
    assert "a.py:3: except Exception" in found
    assert "b.py" not in found


def test_finds_a_module_that_is_too_long(tmp_path: Path) -> None:
    found = check(tmp_path, Table({"pgmcp.a": []}, most_lines=2), a="1\n2\n3\n")
    assert "3 lines are more than 2" in found


def test_finds_a_clock_in_a_pure_module(tmp_path: Path) -> None:
    table = Table({"pgmcp.a": []}, pure=["pgmcp.*"], impure_modules=["time"])
    assert "no socket, file, thread or clock" in check(tmp_path, table, a="from time import sleep")


def test_a_row_of_its_own_comes_before_a_pattern(tmp_path: Path) -> None:
    table = Table({"pgmcp.*": ["pgmcp.b"], "pgmcp.a": []})
    assert "not in its row" in check(tmp_path, table, a="import pgmcp.b", b="")


def test_lets_everything_be_caught_to_clean_up_and_raise_again(tmp_path: Path) -> None:
    source = "try:\n    pass\nexcept BaseException:\n    f()\n    raise"
    assert check(tmp_path, Table({"pgmcp.a": []}), a=source) == ""
