"""Complexity, type names and names: what is new fails, and the list of what is left shrinks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tools.check_code import (
    EXEMPTIONS,
    ROOT,
    Faults,
    problems,
    read_exemptions,
    read_faults,
    shrunk,
)

NONE = Faults({}, {}, {})
BRANCHES = "".join(f"{'        '}if x == {n}:\n            return {n}\n" for n in range(11))
COMPLEX = f"class Outer:\n    @staticmethod\n    def inner(x: int) -> int:\n{BRANCHES}"


@pytest.fixture(scope="module")
def faults() -> Faults:
    """What is in this clone."""
    return read_faults()


def test_the_code_keeps_to_it(faults: Faults) -> None:
    lines = list(problems(faults, read_exemptions()))
    assert not lines, "\n".join(lines)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("pgmcp", "tools"):
        (tmp_path / name).mkdir()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_finds_a_function_over_the_limit_by_its_full_name(folder: Path) -> None:
    (folder / "pgmcp" / "a.py").write_text(COMPLEX)
    assert dict(read_faults(folder).functions) == {"pgmcp/a.py::Outer.inner": 1}


def test_a_noqa_hides_nothing(folder: Path) -> None:
    (folder / "tools" / "a.py").write_text(COMPLEX.replace("int:", "int:  # noqa: C901"))
    assert len(read_faults(folder).functions) == 1


def test_finds_a_function_that_is_longer_than_a_screen(folder: Path) -> None:
    body = "    pass\n" * 49
    (folder / "pgmcp" / "a.py").write_text(f"def f():\n{body}\ndef g():\n{body}    pass\n")
    assert dict(read_faults(folder).functions) == {"pgmcp/a.py::g": 1}


def test_finds_an_alias_that_stands_twice_in_the_program(folder: Path) -> None:
    both = "T = TypeVar('T')\nLIMIT = 1\n_Alias = int\nAlias"
    (folder / "pgmcp" / "a.py").write_text(f"{both} = int\n")
    (folder / "pgmcp" / "b.py").write_text(f"{both}: TypeAlias = str\nId = NewType('Id', int)\n")
    (folder / "pgmcp" / "c.py").write_text("class Id: ...\n")
    assert dict(read_faults(folder).types) == {"Alias": 1, "Id": 1}


def test_finds_a_literal_that_is_written_twice_in_any_order(folder: Path) -> None:
    (folder / "pgmcp" / "a.py").write_text("Mode = Literal['on', 'off']\nX = Literal['on']\n")
    (folder / "pgmcp" / "b.py").write_text(
        "def f(mode: typing.Literal['off', 'on'], x: Literal['on']): ...\n"
    )
    assert dict(read_faults(folder).types) == {"Literal['off', 'on']": 1}


def test_finds_a_class_name_that_stands_twice_in_the_program(folder: Path) -> None:
    (folder / "pgmcp" / "a.py").write_text("class A: ...\nclass _B: ...\nclass Args: ...\n")
    (folder / "pgmcp" / "b.py").write_text("class A: ...\nclass _B: ...\nclass Args: ...\n")
    (folder / "tools" / "c.py").write_text("class C: ...\n")
    (folder / "tools" / "d.py").write_text("class C: ...\n")
    assert dict(read_faults(folder).types) == {"A": 1}


@pytest.mark.parametrize(
    "source",
    [
        "one = 1",
        "self.found = 1",
        "for _one in (): pass",
        "[found for found in ()]",
        "def f(one): pass",
        "def found(): pass",
        "class X:\n    one: int",
        "import os as one",
        "with open('') as found: pass",
        "try: pass\nexcept OSError as one: pass",
        "(found := 1)",
        "match 1:\n    case one: pass",
        "match []:\n    case [*found]: pass",
        "match {}:\n    case {**one}: pass",
        "lambda one: 1",
    ],
)
def test_finds_a_name_that_says_nothing(folder: Path, source: str) -> None:
    (folder / "pgmcp" / "a.py").write_text(source)
    assert dict(read_faults(folder).names) == {"pgmcp/a.py": 1}


def test_what_is_only_used_or_only_like_it_is_no_name(folder: Path) -> None:
    (folder / "pgmcp" / "a.py").write_text("print(one, x.found, f(one=1), 'found')\nfound_at = 1")
    assert not read_faults(folder).names


@pytest.mark.parametrize("section", ["functions", "types", "names"])
def test_what_is_new_and_what_is_exempt_without_need_fail(section: str) -> None:
    empty: dict[str, dict[str, int]] = {"functions": {}, "types": {}, "names": {}}
    fault = Faults(**{**empty, section: {"x": 2}})
    less = Faults(**{**empty, section: {"x": 1}})
    assert next(problems(fault, NONE)).startswith("x: ")
    assert next(problems(fault, less)).startswith("x: ")
    assert "x needs less" in next(problems(less, fault))
    assert "x needs less" in next(problems(NONE, fault))
    assert not list(problems(fault, fault))


def test_shrinking_takes_out_and_never_adds(tmp_path: Path) -> None:
    exemptions = Faults({"f::x": 1, "f::y": 1}, {"A": 1}, {"a.py": 3, "b.py": 1})
    faults = Faults({"f::x": 1, "f::z": 1}, {"B": 1}, {"a.py": 2, "b.py": 5})
    (tmp_path / "tools").mkdir()
    (tmp_path / EXEMPTIONS).write_text(shrunk(faults, exemptions))
    assert read_exemptions(tmp_path) == Faults({"f::x": 1}, {}, {"a.py": 2, "b.py": 1})


def test_the_list_is_written_as_it_stands(faults: Faults) -> None:
    text = (ROOT / EXEMPTIONS).read_text()
    assert shrunk(faults, read_exemptions()) == text
