"""Our pages say what the program does and how its code is laid out."""

from __future__ import annotations

import pytest

from pgmcp.features import prompts, resources
from tools.check_imports import Table, read_table
from tools.docs import (
    all_problems,
    generate,
    problems,
    render_help,
    render_prompts,
    render_resources,
    render_tools,
)
from tools.rooms import imported_rooms, render_diagram, render_rooms, wrong_places


def test_our_pages_are_up_to_date() -> None:
    lines = list(all_problems())
    assert not lines, "\n".join([*lines, "run tools/check --fix"])


def test_a_block_is_made_anew_and_the_rest_stays() -> None:
    before = "a\n<!-- generated: x -->\nold\n<!-- end -->\nb\n"
    after = generate(before, {"x": lambda: "new"})
    assert after == "a\n<!-- generated: x -->\n\nnew\n\n<!-- end -->\nb\n"
    assert list(problems("P", before, {"x": lambda: "new"})) == ["P: the block x is out of date"]
    assert list(problems("P", after, {"x": lambda: "new"})) == []


def test_a_backslash_in_a_block_stays_one() -> None:
    assert "\\1" in generate("<!-- generated: x -->\n<!-- end -->", {"x": lambda: "\\1"})


def test_a_missing_and_an_unknown_block_are_named() -> None:
    text = "<!-- generated: y -->\n<!-- end -->"
    assert "no block `<!-- generated: x -->`" in "\n".join(problems("P", text, {"x": lambda: ""}))
    assert "nobody makes the block y" in "\n".join(problems("P", text, {"x": lambda: ""}))
    with pytest.raises(KeyError):
        generate(text, {"x": lambda: ""})


def test_the_help_block_is_what_is_printed() -> None:
    assert "-config" in render_help()


def test_the_tools_table_has_a_row_for_each_listed_tool() -> None:
    table = render_tools()
    assert "| `query_database` |" in table
    assert "authenticate_user" not in table


def test_every_resource_and_prompt_has_a_row() -> None:
    table = render_resources() + render_prompts()
    rows = [*(resource.uri for resource in resources.ALL), *(prompt.name for prompt in prompts.ALL)]
    assert all(f"| `{name}` |" in table for name in rows)
    assert "| `requirements`, `scale` |" in table


def test_the_table_of_rooms_says_what_each_is_for() -> None:
    table = render_rooms()
    assert table.count("\n| `") == len(read_table().rooms)
    assert "|  |" not in table, "a room's docstring is missing"


def test_the_picture_leaves_out_what_other_arrows_lead_to_and_nothing_else() -> None:
    table = Table({"a": ["b", "c.port"], "b": ["c"], "c": [], "d": []})
    arrows = [line.strip() for line in render_diagram(table).splitlines() if "-->" in line]
    assert arrows == ["a --> b", "b --> c"]


def test_every_import_of_the_table_can_be_followed_in_the_picture() -> None:
    arrows: dict[str, set[str]] = {}
    for drawn in render_diagram().splitlines():
        room, arrow, target = drawn.strip().partition(" --> ")
        if arrow:
            arrows.setdefault(room, set()).add(target)

    def reached(room: str) -> set[str]:
        return arrows.get(room, set()).union(*map(reached, arrows.get(room, ())))

    for room, below in imported_rooms(read_table()).items():
        assert set(below) <= reached(room)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("`tools/docs.py:generate`", None),
        ("`gate/database.py:ReadOnlyDatabase.query`", None),
        ("`tools/imports.toml`", None),
        ("`gone.py`", "there is no file gone.py"),
        ("`tools/docs.py:gone`", "tools/docs.py has no gone"),
        ("`gate/database.py:ReadOnlyDatabase.gone`", "database.py has no ReadOnlyDatabase.gone"),
        ("\n".join(f"{n}. `tools/docs.py:main` x" for n in range(26)), "26 stations"),
    ],
)
def test_a_place_that_is_not_there_is_named(text: str, problem: str | None) -> None:
    shown = list(wrong_places(text))
    assert len(shown) == (problem is not None)
    assert problem is None or problem in shown[0]
