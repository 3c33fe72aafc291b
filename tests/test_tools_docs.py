"""README.md says what the program does."""

from __future__ import annotations

import pytest

from tools.docs import README, generate, problems, render_help, render_tools


def test_the_readme_is_up_to_date() -> None:
    found = list(problems(README.read_text(encoding="utf-8")))
    assert not found, "\n".join([*found, "run tools/check --fix"])


def test_a_block_is_made_anew_and_the_rest_stays() -> None:
    before = "a\n<!-- generated: x -->\nold\n<!-- end -->\nb\n"
    after = generate(before, {"x": lambda: "new"})
    assert after == "a\n<!-- generated: x -->\n\nnew\n\n<!-- end -->\nb\n"
    assert list(problems(before, {"x": lambda: "new"})) == ["README.md: the block x is out of date"]
    assert list(problems(after, {"x": lambda: "new"})) == []


def test_a_backslash_in_a_block_stays_one() -> None:
    assert "\\1" in generate("<!-- generated: x -->\n<!-- end -->", {"x": lambda: "\\1"})


def test_a_missing_and_an_unknown_block_are_named() -> None:
    text = "<!-- generated: y -->\n<!-- end -->"
    assert "no block `<!-- generated: x -->`" in "\n".join(problems(text, {"x": lambda: ""}))
    assert "nobody makes the block y" in "\n".join(problems(text, {"x": lambda: ""}))
    with pytest.raises(KeyError):
        generate(text, {"x": lambda: ""})


def test_the_help_block_is_what_is_printed() -> None:
    assert "-config" in render_help()


def test_the_tools_table_has_a_row_for_each_listed_tool() -> None:
    table = render_tools()
    assert "| `query_database` |" in table
    assert "authenticate_user" not in table
