"""Our pages say what the program does and how its code is laid out."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgmcp.cli import clients
from pgmcp.config.log import Log
from pgmcp.features import prompts, resources
from pgmcp.metrics import measure
from pgmcp.reference import pages
from pgmcp.server.observation import Observation
from pgmcp.transport.limits import HttpLimits
from tools import manual, prose
from tools.check_imports import Table, read_table
from tools.docs import ROOT, all_problems, generate, problems, render_help
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


def test_the_page_of_tools_has_each_tool_with_its_arguments_and_the_hidden_ones_last() -> None:
    page = manual.render_tools()
    assert page.index("### `read_resource`") < page.index("### `authenticate_user` (not listed")
    assert "- `query` (string, required, characters at most: 1,000,000): One SQL" in page
    assert "  - `op` (one of `=`, `<>`," in page
    assert "It takes no arguments." in page.partition("### `logout_user`")[2]


def test_every_resource_and_prompt_is_on_its_page() -> None:
    page = manual.render_resources() + manual.render_prompts()
    names = [
        *(resource.uri for resource in resources.ALL),
        *(prompt.name for prompt in prompts.ALL),
    ]
    assert all(f"### `{name}`\n" in page for name in names)
    assert "- `requirements` (string, required): " in page


def test_every_metric_is_listed_with_its_labels() -> None:
    page = " ".join(manual.render_metrics().split())
    assert "outcome. By `method`, `name`, `outcome`. - `pgmcp_calls_waiting`" in page
    assert "By `database`, `state`." in page
    server = Observation(Log())
    made = {family.name for family in [*server.families(), *measure.process()]}
    assert made <= manual.metric_names()


def test_every_client_is_on_its_page_and_in_the_readme() -> None:
    for client in clients.CLIENTS:
        assert f"## {client.title}\n" in manual.render_clients()
        assert f"**{client.title}**" in manual.render_client_starts()
        assert f"`{client.name}`" in (ROOT / "README.md").read_text()


def test_the_limits_are_those_of_the_server() -> None:
    limits = HttpLimits(body_bytes=3 * 1024**2, short_body_bytes=5 * 1024, waiting=7)
    page = manual.render_limits(limits)
    assert "| body of a message tools/call | 3 MiB, then 413 |" in page
    assert "| 5 KiB |" in page
    assert "| 7, then 429 |" in page


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("`-http`, `-h` and `--addr=:8080`", None),
        ("`-gone`", "no flag -gone"),
        ("`pgedge-postgres-mcp -http -gone x`", "no flag -gone"),
        ("```sh\nls -l\nx | pgedge-postgres-mcp -gone | wc -c\n```", "no flag -gone"),
        ("```sh\nls -l | ~/bin/pgmcp -http\n```", None),
        ("```sh\nls '#x'\nls # all\n```", "a comment, which zsh takes"),
        ("`http.address`, `http.tls` and `builtins.tools.NAME`", None),
        ("`audit.required: true`", None),
        ("`http.gone`", "no key http.gone"),
        ("`databases[].gone: 1`", "no key databases[].gone"),
        ("```yaml\nhttp:\n  address: x\ndatabases:\n  - name: a\n```", None),
        ("```yaml\nhttp:\n  gone: x\n```", "no key http.gone"),
        ("```yaml\ndatabases:\n  - gone: x\n```", "no key databases[].gone"),
        ("`PGEDGE_DB_HOST`", None),
        ("PGEDGE_GONE", "no variable PGEDGE_GONE"),
        ("`pgmcp_calls_total`", None),
        ("`pgmcp_gone_total`", "no metric pgmcp_gone_total"),
    ],
)
def test_a_name_that_is_not_there_is_a_problem(text: str, problem: str | None) -> None:
    shown = list(prose.unknown_names(text))
    assert len(shown) == (problem is not None), shown
    assert problem is None or problem in shown[0]


def test_a_link_that_leads_nowhere_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("# One two\n\n## `three`: four\n")
    text = "[a](b.md) [a](b.md#one-two) [a](b.md#three-four) [a](https://x.example/gone) [a](#here)"
    page = tmp_path / "a.md"
    page.write_text("# Here\n")
    assert list(prose.dead_links(text, page)) == []
    assert list(prose.dead_links("[a](gone.md)", page)) == ["there is no file gone.md"]
    assert list(prose.dead_links("[a](b.md#gone)", page)) == ["b.md has no heading #gone"]


def test_a_readme_that_is_too_long_and_a_page_without_a_topic_are_problems(tmp_path: Path) -> None:
    manual_folder = tmp_path / "pgmcp" / "reference"
    manual_folder.mkdir(parents=True)
    for topic in pages.TOPICS:
        (manual_folder / f"{topic}.md").write_text(f"# {topic}\n")
    readme = tmp_path / "README.md"
    readme.write_text("x" * prose.MOST_README_BYTES)
    assert list(prose.problems(tmp_path)) == []
    readme.write_text("x" * prose.MOST_README_BYTES + "y")
    (manual_folder / "more.md").write_text("# More\n")
    shown = list(prose.problems(tmp_path))
    assert [line.split()[0] for line in shown] == ["README.md", "pgmcp/reference/more.md"]


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
